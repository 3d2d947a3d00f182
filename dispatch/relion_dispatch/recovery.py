"""What an earlier head of the project left behind: find it, judge it, end what is out of date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from relion_dispatch.client import Client
from relion_dispatch.errors import SchedulerError
from relion_dispatch.ledger import Entry, Ledger, Phase
from relion_dispatch.reports import Report, State
from relion_dispatch.watch import Verdict, Watch, Watched, read_exit_code

#: A submission that was on its way when its head died is in the queue after this time, or never.
SETTLE_S = 5.0
#: Seconds that a cancelled job may take to be gone.
GONE_S = 120.0
_RETRY_S = 10.0

Say = Callable[[str], None]


def recover(ledger: Ledger, client: Client, watch: Watch, say: Say) -> frozenset[str]:
    """Bring the ledger up to date with what has happened since its last head.

    Waits as long as the scheduler gives no answer: without one a job might run twice.

    Returns
    -------
    frozenset of str
        Tokens of the submissions that the scheduler still holds or runs.
    """
    if not ledger.open_entries():
        return frozenset()
    _settle([e for e in ledger.open_entries() if e.phase is Phase.INTENDED], ledger, client, say)
    entries = ledger.open_entries()
    verdicts = _verdicts(entries, watch, say)
    alive = set()
    for entry in entries:
        verdict = verdicts[entry.job_id]
        state = verdict.state
        if _is_another(entry, verdict.report, client):
            if not _note_found(entry, None, ledger):
                ledger.note(entry, Phase.FAILED)
        elif _still_there(entry, verdict):
            alive.add(entry.token)
        elif state is State.SUCCEEDED:
            ledger.note(entry, Phase.SUCCEEDED)
        else:
            if entry.phase is not Phase.CANCELLED:
                say(f"{entry.name} of an earlier run has ended as {state.value}")
            ledger.note(entry, Phase.FAILED)
    if alive:
        say(f"{len(alive)} jobs of an earlier run are still with the scheduler")
    return frozenset(alive)


def serves(entry: Entry, fingerprint: str, *, complete: bool, marked: bool, alive: bool) -> bool:
    """Say whether an earlier submission does what is wanted now.

    Parameters
    ----------
    entry
        The job's latest submission, after `recover`.
    fingerprint
        What is to be done.
    complete
        Whether all of the job's output is there.
    marked
        Whether the workflow's own record says that this submission has not been collected: one
        that has been is no reason to leave out a run that was asked for.
    alive
        Whether the scheduler still holds or runs it.
    """
    if entry.fingerprint != fingerprint:
        return False
    if entry.phase is Phase.SUBMITTED:
        return alive
    return entry.phase is Phase.SUCCEEDED and complete and marked


def end(entry: Entry, ledger: Ledger, client: Client, watch: Watch, say: Say) -> None:
    """Cancel a job that stands in the way of its successor and wait until it is gone.

    Raises
    ------
    SchedulerError
        When it is still there after two minutes.
    """
    say(f"ending {entry.name} (job {entry.job_id}) of an earlier run: it is out of date")
    client.cancel([entry.job_id])
    entry = ledger.note(entry, Phase.CANCELLED)
    deadline = time.monotonic() + GONE_S
    while _still_there(entry, _verdicts([entry], watch, say)[entry.job_id]):
        if time.monotonic() > deadline:
            raise SchedulerError(f"job {entry.job_id} ({entry.name}) does not end: end it by hand")
        time.sleep(0.5)
    ledger.note(entry, Phase.FAILED)


def _is_another(entry: Entry, report: Report | None, client: Client) -> bool:
    """Whether a job of another name has our job's id by now: schedulers begin to count anew."""
    name = report.name if report and client.definition.tag else ""
    return bool(name) and not entry.name.startswith(name)


def _still_there(entry: Entry, verdict: Verdict) -> bool:
    return verdict.state.alive and not _gone(entry, verdict)


def _gone(entry: Entry, verdict: Verdict) -> bool:
    """Whether a job that we have cancelled has vanished, as tasks do that had not begun."""
    return entry.phase is Phase.CANCELLED and verdict.report is None


def find_until_answered(names: Iterable[str], client: Client, say: Say) -> dict[str, Report]:
    """Find jobs by name, and wait while the scheduler gives no answer."""
    names = list(names)
    while True:
        try:
            return client.find(names)
        except SchedulerError as error:
            say(f"waiting for the scheduler: {error}")
            time.sleep(_RETRY_S)


def _settle(dangling: Sequence[Entry], ledger: Ledger, client: Client, say: Say) -> None:
    """Give submissions whose fate nobody noted their ids, or strike them out."""
    youngest = max((entry.time for entry in dangling), default=0.0)
    youngest = min(youngest, time.time())  # the clock of another machine may be ahead
    unknown = list(dangling)
    while unknown:
        started = time.time()
        found = find_until_answered([entry.name for entry in unknown], client, say)
        # How long the answer took tells how far behind the scheduler is.
        settled = started - youngest > max(SETTLE_S, 10 * (time.time() - started))
        unknown = [e for e in unknown if not _note_found(e, found.get(e.name), ledger)]
        if settled:
            break
        time.sleep(0.5 if unknown else 0)
    for entry in unknown:
        ledger.note(entry, Phase.REFUSED)


def _note_found(entry: Entry, report: Report | None, ledger: Ledger) -> bool:
    """Note a submission that turns out to have happened: it has an id, or has left an exit code."""
    if report is not None:
        ledger.note(entry, Phase.SUBMITTED, report.job_id)
        return True
    code = read_exit_code(Path(entry.exit_file))
    if code is None:
        return False
    ledger.note(entry, Phase.FAILED if code else Phase.SUCCEEDED)
    return True


def _verdicts(entries: Sequence[Entry], watch: Watch, say: Say) -> dict[str, Verdict]:
    jobs = [Watched(job_id=each.job_id, exit_file=Path(each.exit_file)) for each in entries]
    while True:
        verdicts = watch.poll(jobs, at_once=True)
        if watch.answered:
            return verdicts
        say(f"waiting for the scheduler: {watch.trouble}")
        time.sleep(_RETRY_S)

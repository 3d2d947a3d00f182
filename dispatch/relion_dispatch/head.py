"""The head of a run: hands scripts to the scheduler, keeps the ledger, watches, and cancels.

It knows nothing of workflows: `snakemake_executor_plugin_relion_dispatch` turns Snakemake's jobs
into submissions, and this module's verdicts into reports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from relion_dispatch import headlock, recovery, scheduler_calls
from relion_dispatch.client import Client
from relion_dispatch.frozen import dataclass
from relion_dispatch.headlock import HeadLock
from relion_dispatch.ledger import Entry, Ledger, Phase, new_token
from relion_dispatch.progress import Progress
from relion_dispatch.reports import State
from relion_dispatch.schedulers import Definition, check_programs
from relion_dispatch.submitter import Submission, Submitter, Together
from relion_dispatch.watch import Pace, Verdict, Watch, Watched

#: The folder in a project for ledger, lock and the files of plain jobs.
FOLDER = Path(".relion_dispatch")

#: Seconds by which a scheduler's records may be behind.
RECORDS_S = 10.0

_SIGHTED_JOBS = 50


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How hard the scheduler may be pressed; see `watch.Pace` and `watch.Watch`."""

    least_poll_s: float = 0.4
    most_poll_s: float = 15.0
    patience_s: float = 120.0
    submissions_per_s: float = 0.0  # as fast as it goes
    queued_jobs: int = 0  # any number
    progress_s: float = 30.0


class Head:
    """The one head process of a project.

    Parameters
    ----------
    definition
        The scheduler.
    folder
        The project's folder for ledger and lock.
    limits
        How hard the scheduler may be pressed.
    say
        Told, in sentences, what a user should know.

    Raises
    ------
    DispatchError
        When another head runs the project's jobs, or the scheduler's commands are missing.
    """

    def __init__(
        self, definition: Definition, folder: Path, limits: Limits, say: Callable[[str], None]
    ) -> None:
        check_programs(definition)
        folder.mkdir(parents=True, exist_ok=True)
        self._definition = definition
        self._say = say
        self._lock = HeadLock(folder / headlock.NAME, say)
        self._ledger = Ledger(folder)
        self._client = Client(definition, hold=(self._lock.fd,))
        self._watch = Watch(
            self._client,
            patience_s=limits.patience_s,
            records_s=min(RECORDS_S, limits.patience_s) if definition.history else 0.0,
        )
        self.pace = Pace(limits.least_poll_s, limits.most_poll_s)
        self._submitter = Submitter(
            self._client,
            self._ledger,
            say,
            per_s=limits.submissions_per_s,
            queued=limits.queued_jobs,
        )
        self._mutex = threading.Lock()
        self._taken: dict[str, Entry] = {}  # in the scheduler's hands
        self._progress = Progress(say, every_s=limits.progress_s)
        self._sighted: set[str] = set()
        self._troubled_since = 0.0
        self._closed = False
        self._alive = set(recovery.recover(self._ledger, self._client, self._watch, say))

    def earlier(self, key: str, fingerprint: str, *, complete: bool, marked: str) -> Entry | None:
        """Return the submission of an earlier head that does a job, if there is one.

        One that does something else by now is brought to its end.

        Parameters
        ----------
        key, fingerprint
            What the job is, and what it is to do.
        complete
            Whether all of its output is there.
        marked
            Token of the submission that the workflow knows to be unfinished, if any.

        Returns
        -------
        Entry or None
            One that has succeeded needs nothing more; any other is to be watched.
        """
        entry = self._ledger.find(key)
        if entry is None:
            return None
        alive = entry.token in self._alive
        if recovery.serves(
            entry, fingerprint, complete=complete, marked=marked == entry.token, alive=alive
        ):
            if alive:
                self._submitter.room.enter_anyway()
                with self._mutex:
                    self._taken[entry.token] = entry
            return entry
        if alive:
            self._alive.discard(entry.token)
            recovery.end(entry, self._ledger, self._client, self._watch, self._say)
        return None

    def new_name(self, label: str, token: str = "") -> str:
        """Return a name that no other job at the scheduler has."""
        return scheduler_calls.job_name(self._definition, label, token or new_token())

    def new_entry(
        self,
        key: str,
        fingerprint: str,
        label: str,
        exit_file: str,
        *,
        name: str = "",
        step: str = "",
    ) -> Entry:
        """Return an entry for a submission to come.

        Parameters
        ----------
        key, fingerprint
            What the job is, and what it is to do.
        label
            What people know it by.
        exit_file
            Where it will leave its exit code.
        name
            Its name at the scheduler, for a task of an array; made of the label where it is empty.
        step
            The step of the workflow that it is of; the label where it is empty.
        """
        token = new_token()
        return Entry(
            key=key,
            token=token,
            step=step or label,
            name=name or self.new_name(label, token),
            fingerprint=fingerprint,
            exit_file=exit_file,
            time=time.time(),
        )

    def intend(self, entries: Sequence[Entry]) -> None:
        """Note submissions to come, on disk; their exit files must not exist any more."""
        self._submitter.intend(entries)

    def withdraw(self, entry: Entry) -> None:
        """Note that an intended submission will not happen."""
        self._submitter.withdraw(entry)

    def submit(self, submission: Submission) -> None:
        """Hand a script to the scheduler soon, in a thread of its own."""
        self._submitter.submit(self._remembering(submission))

    def submit_together(self, together: Together) -> None:
        """Hand an array of scripts to the scheduler soon, in a thread of its own."""
        members = {n: self._remembering(each) for n, each in together.members.items()}
        self._submitter.submit_together(replace(together, members=members))

    def _remembering(self, submission: Submission) -> Submission:
        def taken(entry: Entry) -> None:
            with self._mutex:
                self._taken[entry.token] = entry
            self.pace.happened()
            submission.taken(entry)

        return replace(submission, taken=taken)

    def poll(self, entries: Sequence[Entry]) -> dict[str, Verdict]:
        """Return the verdicts, by token, on those that have ended."""
        started = time.monotonic()
        jobs = [Watched(job_id=each.job_id, exit_file=Path(each.exit_file)) for each in entries]
        verdicts = self._watch.poll(jobs) if jobs else {}
        self._mention_trouble()
        self._progress.note(entries, verdicts, self._submitter.on_their_way())
        ended = {
            each.token: verdicts[each.job_id]
            for each in entries
            if not verdicts[each.job_id].state.alive
        }
        took_s = time.monotonic() - started
        self.pace.asked(jobs=len(jobs) - len(ended), changed=bool(ended), took_s=took_s)
        return ended

    def sighted(self) -> bool:
        """Whether a job has left its exit code since the last call: time for a question.

        Looks at files alone. With many jobs it looks at none: some job ends all the time then, and
        the pace of the questions is right as it is.
        """
        with self._mutex:
            taken = list(self._taken.values())
        if len(taken) > _SIGHTED_JOBS:
            return False
        new = {
            e.token for e in taken if e.token not in self._sighted and Path(e.exit_file).exists()
        }
        self._sighted |= new
        if new:
            self.pace.happened()
        return bool(new)

    def collected(self, entry: Entry, verdict: Verdict) -> None:
        """Note that a job's end is known; call it before anybody acts on it."""
        succeeded = verdict.state is State.SUCCEEDED
        self._ledger.note(entry, Phase.SUCCEEDED if succeeded else Phase.FAILED)
        with self._mutex:
            taken = self._taken.pop(entry.token, None)
            self._alive.discard(entry.token)
        if taken is not None:
            self._submitter.room.leave()
        self._sighted.discard(entry.token)

    def cancel(self) -> None:
        """Stop submitting, and cancel all that was submitted, also what is on its way.

        Raises
        ------
        SchedulerError
            When the scheduler gives no answer; the jobs then go on, and the next head finds them.
        """
        hanging = self._submitter.stop()
        with self._mutex:
            taken = list(self._taken.values())
        if others := len(self._alive - self._taken.keys()):
            self._say(f"{others} jobs of an earlier run, which this one has not taken up, go on")
        self._cancel(taken)
        found = self._client.find([entry.name for entry in hanging])
        self._cancel([replace(e, job_id=found[e.name].job_id) for e in hanging if e.name in found])

    def _cancel(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        self._say(f"cancelling {len(entries)} jobs")
        self._client.cancel([entry.job_id for entry in entries])
        for entry in entries:
            self._ledger.note(entry, Phase.CANCELLED, entry.job_id)
            with self._mutex:
                self._taken.pop(entry.token, None)

    def busy(self) -> bool:
        """Whether jobs that this head has taken care of are still with the scheduler."""
        return bool(self._taken)

    def stop(self) -> None:
        """Submit nothing more; returns when nothing is on its way any longer."""
        self._submitter.stop()

    def close(self) -> None:
        """Give the project free for another head; jobs at the scheduler go on."""
        if not self._closed:
            self._closed = True
            self.stop()
            self._ledger.close()
            self._lock.release()

    def _mention_trouble(self) -> None:
        """Say that the scheduler is silent, and every five minutes that it still is."""
        if not self._watch.trouble:
            self._troubled_since = 0.0
        elif time.monotonic() - self._troubled_since > 300:
            self._troubled_since = time.monotonic()
            self._say(f"no word on the jobs, asking on: {self._watch.trouble}")

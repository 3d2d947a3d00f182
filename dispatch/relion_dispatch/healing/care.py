"""Looks after jobs that have failed: says why, decides what is next, and notes both.

Both doors come here: the executor, which submits the next attempt itself, and ``heal``, which the
scheduler runs behind a failed job of RELION's window.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.calls import Call
from relion_dispatch.healing import attempts, continuing, directory, policy, unfinished
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.healing.case import (
    Case,
    fingerprint,
    left_alone,
    looked_after,
    newest,
    submitting,
    taken,
)
from relion_dispatch.healing.classes import Failure, Finding, Remains, classify
from relion_dispatch.healing.directory import SUCCEEDED
from relion_dispatch.healing.policy import Decision
from relion_dispatch.reports import State

if TYPE_CHECKING:
    from relion_dispatch.watch import Verdict


__all__ = [
    "Case",
    "Decision",
    "after_failure",
    "given_up",
    "left_alone",
    "looked_after",
    "opening",
    "reached",
    "refused",
    "submitting",
    "succeeded",
    "taken",
]

#: How much of the end of a log is looked through.
_TAIL_BYTES = 1 << 16
_TAIL_LINES = 600
_ABORTED = "RELION_JOB_EXIT_ABORTED"
#: Seconds after which a scheduler has written why it has killed a job.
_SETTLE_S = 2.0


def opening(case: Case) -> tuple[int, Mapping[str, object]]:
    """Return number and changes of the attempt that is about to be submitted.

    An attempt whose end nobody saw, because the head of the run was gone, is judged now. After one
    that was given up, a person has started the job again: that is a new run, which goes on with
    what there is.
    """
    history = attempts.read(case.folder)
    if not history or history[-1].science != fingerprint(case):
        return 1, {}
    last = history[-1]
    if last.state == SUCCEEDED or _exit_code(case, None) == 0:
        return 1, {}
    if not last.job_id and last.started is None and last.again is None:
        return last.number, last.changes  # it has never reached the scheduler
    if last.again is None:
        decision = after_failure(case, None)
        return (last.number + 1, decision.changes) if decision.go_on else (1, {})
    return (last.number + 1, last.changes) if last.again else (1, {})


def after_failure(case: Case, verdict: Verdict | None) -> Decision:
    """Say why a job's last attempt has failed, decide what is next, and note both.

    Parameters
    ----------
    case
        The job.
    verdict
        What the scheduler says of its end; None when it says nothing.
    """
    history = attempts.read(case.folder) or (Attempt(number=1),)
    last = history[-1]
    if not last.asked:
        last = replace(last, asked=case.size({}))
    finding = _found(case, last, verdict)
    ended = _ended(case, last, finding, verdict)
    attempts.note(case.folder, last.number, attempts.ENDED, **_values(ended))
    profile = case.profile
    decision = policy.next_step([*history[:-1], ended], profile.cluster, profile.healing, case.size)
    attempts.note(
        case.folder,
        last.number,
        attempts.DECIDED,
        decision=decision.reason,
        again=decision.go_on,
        changes=dict(decision.changes),
    )
    _tell(case, finding, decision, last.number)
    return replace(decision, attempt=last.number)


def refused(case: Case, number: int, reason: str) -> None:
    """Note that the scheduler has refused an attempt: that is for a person to look at."""
    attempts.note(case.folder, number, attempts.ENDED, state="refused")
    attempts.note(case.folder, number, attempts.DECIDED, decision=reason, again=False)


def _found(case: Case, last: Attempt, verdict: Verdict | None) -> Finding:
    """Classify a failure; of a job that was killed outright the reason may come a moment later."""
    finding = classify(_remains(case, last, verdict))
    vague = verdict is not None and verdict.state is State.FAILED
    if vague and finding.failure is Failure.NODE:
        time.sleep(_SETTLE_S)
        finding = classify(_remains(case, last, verdict))
    return finding


def given_up(case: Case) -> None:
    """Let everybody know that a job has failed: RELION's window, and whoever looks for markers."""
    from relion_dispatch.project import enter
    from relion_dispatch.submit import MARKERS, call_gui

    succeeded, failed, aborted = (case.folder / name for name in MARKERS)
    (case.folder / directory.HEAL_FILE).unlink(missing_ok=True)
    succeeded.unlink(missing_ok=True)
    if not aborted.exists():
        failed.touch()
    enter.ended(str(Path(case.request.outfile).parent))
    call_gui(case.request.project)


def succeeded(case: Case) -> None:
    """Note that a job's last attempt has come to a good end."""
    history = attempts.read(case.folder)
    if history:
        number = reached(case, anyhow=True)
        values = {"iteration": number, "state": SUCCEEDED, "exit_code": 0}
        attempts.note(case.folder, history[-1].number, attempts.ENDED, **values)


def reached(case: Case, *, anyhow: bool = False) -> int | None:
    """Return the newest whole iteration, or how many items are finished; None for neither.

    Of a job that has succeeded nothing says which of them are its own: ``anyhow`` takes them all.
    """
    found = newest(case, anyhow=anyhow)
    if found is not None:
        return found.number
    if not (anyhow or (case.folder / directory.SCIENCE_FILE).exists()):
        return None  # nothing goes on from what there is
    main = Call.read(case.request).main
    return unfinished.count(case.folder) if continuing.does_unfinished(main) else None


def _remains(case: Case, last: Attempt, verdict: Verdict | None) -> Remains:
    report = verdict.report if verdict else None
    project, request = case.request.project, case.request
    return Remains(
        state=verdict.state if verdict else None,
        word=report.word if report else "",
        reason=report.reason if report else "",
        exit_code=_exit_code(case, verdict),
        out=tail(project / request.outfile, last.logs.get(request.outfile, 0)),
        err=tail(project / request.errfile, last.logs.get(request.errfile, 0)),
        aborted=(case.folder / _ABORTED).exists(),
        begun=last.started is not None,
        node=report.node if report else "",
        user=os.getuid(),
    )


def _exit_code(case: Case, verdict: Verdict | None) -> int | None:
    from relion_dispatch.watch import read_exit_code

    if verdict and verdict.exit_code is not None:
        return verdict.exit_code
    name = case.request.exit_file or f"{Path(case.request.outfile).parent}/run.exit"
    return read_exit_code(case.request.project / name)


def _ended(case: Case, last: Attempt, finding: Finding, verdict: Verdict | None) -> Attempt:
    found, now = newest(case), time.time()
    since = found.optimiser.stat().st_mtime if found else last.started
    report = verdict.report if verdict else None
    return replace(
        last,
        ended=now,
        node=(report.node if report else "") or last.node,
        iteration=reached(case),
        state=verdict.state.value if verdict else "failed",
        exit_code=_exit_code(case, verdict),
        failure=finding.failure.value,
        evidence=finding.evidence,
        lost_s=round(max(now - max(since, last.started or since), 0), 1) if since else None,
    )


def _values(ended: Attempt) -> dict[str, object]:
    names = ("node", "iteration", "state", "exit_code", "failure", "evidence", "lost_s")
    return {name: getattr(ended, name) for name in names}


def _tell(case: Case, finding: Finding, decision: Decision, number: int) -> None:
    """Say in the job's own log what happened to it, and what happens next."""
    lines = [f"attempt {number} failed ({finding.failure}): {'; '.join(finding.evidence)}"]
    lines.append(decision.reason)
    path = case.request.project / case.request.errfile
    with path.open("a", encoding="utf-8", errors="surrogateescape") as handle:
        handle.writelines(f"relion-dispatch: {line}\n" for line in lines)


def tail(path: Path, start: int = 0) -> Sequence[str]:
    """Return the last lines of a file from a place on; none when it cannot be read.

    Parameters
    ----------
    path
        The file.
    start
        Bytes that are left out; all of a file that is shorter by now is looked at.
    """
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            start = start if start <= size else 0
            handle.seek(max(size - _TAIL_BYTES, start))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    # RELION redraws its progress bars behind carriage returns.
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in lines if line][-_TAIL_LINES:]

"""Watches submitted jobs: one question for all of them, and a verdict on each.

What the scheduler says comes first, then its records, then the exit code that each job leaves in
a file. A job that all three are silent about is unknown: it goes on being asked for, and fails in
the end. It never counts as done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from relion_dispatch.errors import SchedulerError
from relion_dispatch.frozen import dataclass
from relion_dispatch.reports import Report, State


class Source(Protocol):
    """What is asked: see `client.Client`."""

    def status(self, job_ids: Sequence[str], /) -> dict[str, Report]:
        """Report jobs that the scheduler has in mind."""

    def history(self, job_ids: Sequence[str], /) -> dict[str, Report]:
        """Report jobs that its records hold."""

    def cancel(self, job_ids: Sequence[str], /) -> None:
        """Cancel jobs."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A submitted job: its id, and the file it leaves its exit code in."""

    job_id: str
    exit_file: Path


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known of a job now.

    Attributes
    ----------
    report
        What the scheduler or its records said; None when they were silent.
    exit_code
        What the job left, or else what the scheduler knows; None when nobody does.
    """

    job_id: str
    state: State
    report: Report | None = None
    exit_code: int | None = None


class Watch:
    """Asks for jobs and remembers since when some of them are missing.

    Parameters
    ----------
    source
        Whom to ask.
    patience_s
        Seconds for which a job may be unknown to everybody before it counts as lost.
    records_s
        Seconds for which the records may be behind: a job that has failed is judged when they tell
        why and where, or after this time.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        source: Source,
        *,
        patience_s: float = 120.0,
        records_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._patience_s = patience_s
        self._records_s = records_s
        self._clock = clock
        self._missing_since: dict[str, float] = {}
        self._held_since: dict[str, float] = {}
        self.trouble = ""
        self.answered = True

    def poll(self, jobs: Sequence[Watched], *, at_once: bool = False) -> dict[str, Verdict]:
        """Return a verdict on each job.

        With ``at_once`` records that are behind are not waited for.

        A scheduler that gives no answer is noted in ``trouble`` and ``answered``; jobs that have
        left an exit code are judged without it, all others count as running meanwhile. Records
        that cannot be asked, as where there are none, are noted in ``trouble`` alone. A job that
        is held for ever, because a node could not start it, is cancelled: the node has failed.
        """
        ids = [job.job_id for job in jobs]
        self.trouble, self.answered = "", True
        try:
            reports = self._source.status(ids)
        except SchedulerError as error:
            self.trouble, self.answered = str(error), False
            return {job.job_id: _without_scheduler(job) for job in jobs}
        codes = {job.job_id: _exit_code(job, reports.get(job.job_id)) for job in jobs}
        silent = [each for each in ids if _needs_records(reports.get(each), codes[each])]
        records = self._records(silent)
        reports |= self._given_up(ids, reports, records, at_once=at_once)
        verdicts = {
            each: judge(each, reports.get(each), records.get(each), codes[each]) for each in ids
        }
        known = reports.keys() | records.keys() if not at_once else set(ids)
        return {
            each: self._final(each, verdicts[each], known=each in known)
            or self._unknown(each, records.get(each) or reports.get(each))
            for each in ids
        }

    def _records(self, job_ids: Sequence[str]) -> dict[str, Report]:
        try:
            return self._source.history(job_ids) if job_ids else {}
        except SchedulerError as error:
            self.trouble = str(error)
            return {}

    def _given_up(
        self,
        job_ids: Sequence[str],
        reports: Mapping[str, Report],
        records: Mapping[str, Report],
        *,
        at_once: bool,
    ) -> dict[str, Report]:
        """Cancel jobs that would be held for ever; which node it was only the records know."""
        held = [each for each in job_ids if each in reports and reports[each].held]
        nodes = {each: records[each].node for each in held if each in records}
        told = [each for each in held if at_once or nodes.get(each) or self._overdue(each)]
        try:
            if told:
                self._source.cancel(told)
        except SchedulerError as error:
            self.trouble = str(error)
            return {}
        return {
            each: replace(reports[each], state=State.NODE_FAILURE, node=nodes.get(each, ""))
            for each in told
        }

    def _overdue(self, held: str) -> bool:
        """Whether the records on a held job should have been there by now."""
        now = self._clock()
        return now - self._held_since.setdefault(held, now) >= self._records_s

    def _final(self, job_id: str, verdict: Verdict | None, *, known: bool) -> Verdict | None:
        """Return the verdict, unless more may become known of a job that has failed."""
        if verdict is None:
            return None
        if verdict.exit_code and not known and self._since(job_id) < self._records_s:
            return None
        self._missing_since.pop(job_id, None)
        return verdict

    def _unknown(self, job_id: str, report: Report | None) -> Verdict:
        lost = self._since(job_id) >= self._patience_s
        state = State.ENDED if lost else State.UNKNOWN
        return Verdict(job_id=job_id, state=state, report=report)

    def _since(self, job_id: str) -> float:
        """Return for how many seconds nobody has known all of a job."""
        now = self._clock()
        return now - self._missing_since.setdefault(job_id, now)


def judge(
    job_id: str, report: Report | None, record: Report | None, code: int | None
) -> Verdict | None:
    """Decide what has become of a job.

    Parameters
    ----------
    report, record
        What the scheduler and its records say, None for nothing.
    code
        The exit code that the job has left, None for none.

    Returns
    -------
    Verdict or None
        None when the job is over or gone and nobody knows how it ended.
    """
    if report is not None and report.state.alive and code is None:
        return Verdict(job_id=job_id, state=report.state, report=report)
    ends = (each for each in (record, report) if each is not None and not each.state.alive)
    end = next(ends, None)
    state = end.state if end else State.ENDED
    if code is None and end is not None:
        code = end.exit_code
    if state is State.ENDED and code is None:
        return None
    if state in {State.ENDED, State.SUCCEEDED}:
        state = State.FAILED if code else State.SUCCEEDED
    return Verdict(job_id=job_id, state=state, report=end, exit_code=code)


def _exit_code(job: Watched, report: Report | None) -> int | None:
    """Read what the job has left, unless the scheduler knows that it is not over."""
    if report is not None and report.state in {State.PENDING, State.RUNNING}:
        return None
    return read_exit_code(job.exit_file)


def read_exit_code(path: Path) -> int | None:
    """Read a job's exit code; None when there is none, or none that can be read."""
    try:
        return int(path.read_text(encoding="ascii", errors="replace").strip())
    except (OSError, ValueError):
        return None


def _needs_records(report: Report | None, code: int | None) -> bool:
    """Whether the records can tell more: how a job ended, why it failed, or who cancelled it."""
    if report is None:
        return code != 0
    vague = report.held or report.state in {State.ENDED, State.CANCELLED}
    return vague and code is None


def _without_scheduler(job: Watched) -> Verdict:
    code = read_exit_code(job.exit_file)
    verdict = None if code is None else judge(job.job_id, None, None, code)
    return verdict or Verdict(job_id=job.job_id, state=State.UNKNOWN)


class Pace:
    """How long to wait before the next question: soon after something happened, then ever longer.

    Parameters
    ----------
    least_s, most_s
        Bounds of the wait in seconds. The lower one grows with the number of jobs, so that many
        short jobs do not cost more questions than a few.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = max(most_s, least_s)
        self.wait_s = least_s

    def happened(self) -> None:
        """Something was submitted: look soon."""
        self.wait_s = self._least_s

    def asked(self, *, jobs: int, changed: bool, took_s: float) -> None:
        """Note a question: how many jobs are left, whether any has ended, how long it took."""
        least_s = max(self._least_s * (1 + jobs / 100), 5 * took_s)
        wait_s = least_s if changed else self.wait_s * 1.3
        self.wait_s = min(max(wait_s, least_s), self._most_s)

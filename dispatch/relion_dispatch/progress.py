"""Tells now and then what the jobs at the scheduler are doing, and what some wait for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from relion_dispatch.ledger import Entry
from relion_dispatch.reports import State
from relion_dispatch.watch import Verdict

_SHOWN = 5
_BEING_SUBMITTED = "being submitted"

#: Slurm's reasons that do not pass: somebody has to do something.
_STUCK = {
    *("BadConstraints", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS"),
    *("JobHeldAdmin", "JobHeldUser", "PartitionNodeLimit", "PartitionTimeLimit"),
}


class Progress:
    """Says what has changed, but not too often.

    Parameters
    ----------
    say
        Told a sentence.
    every_s
        Least seconds between two of them.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        every_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._every_s = every_s
        self._clock = clock
        self._said_at = clock()
        self._said = ""

    def note(
        self,
        entries: Iterable[Entry],
        verdicts: Mapping[str, Verdict],
        on_their_way: Iterable[Entry] = (),
    ) -> None:
        """Take note of all jobs; ``verdicts`` are by job id."""
        if self._clock() - self._said_at < self._every_s:
            return
        text = summary(entries, verdicts, on_their_way)
        if text and text != self._said:
            self._said = text
            self._said_at = self._clock()
            self._say(text)


def summary(
    entries: Iterable[Entry], verdicts: Mapping[str, Verdict], on_their_way: Iterable[Entry] = ()
) -> str:
    """Return what runs and what waits for what, step by step.

    For example ``Running: refine3d, one (12 jobs). Pending: one (3 jobs: 2 Resources, 1 Priority).
    Being submitted: two.``

    Parameters
    ----------
    entries, verdicts
        Jobs in the scheduler's hands, and what is known of each by its id.
    on_their_way
        Jobs that it has not taken yet.
    """
    jobs: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        verdict = verdicts[entry.job_id]
        if verdict.state.alive:
            _add(jobs, verdict.state.value, entry, _reason(verdict))
    for entry in on_their_way:
        _add(jobs, _BEING_SUBMITTED, entry, "")
    states = [State.RUNNING.value, State.PENDING.value, State.UNKNOWN.value, _BEING_SUBMITTED]
    told = ((state, jobs[state]) for state in states if state in jobs)
    return " ".join(f"{state.capitalize()}: {_steps(steps)}." for state, steps in told)


def _add(jobs: dict[str, dict[str, list[str]]], state: str, entry: Entry, reason: str) -> None:
    step = entry.step or entry.name.rpartition(".")[0] or entry.name
    jobs.setdefault(state, {}).setdefault(step, []).append(reason)


def _reason(verdict: Verdict) -> str:
    reason = verdict.report.reason if verdict.report and verdict.state is State.PENDING else ""
    return f"{reason} - will not start by itself" if reason in _STUCK else reason


def _steps(steps: Mapping[str, list[str]]) -> str:
    told = [f"{step}{_details(reasons)}" for step, reasons in sorted(steps.items())]
    more = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _details(reasons: Sequence[str]) -> str:
    """Return how many jobs there are and why they wait, as far as there is anything to say."""
    count = f"{len(reasons)} jobs" if len(reasons) > 1 else ""
    of_each = Counter(reason for reason in reasons if reason).most_common()
    if len(of_each) == 1 and of_each[0][1] == len(reasons):
        why = of_each[0][0]
    else:
        why = ", ".join(f"{number} {reason}" for reason, number in of_each)
    details = ": ".join(part for part in (count, why) if part)
    return f" ({details})" if details else ""

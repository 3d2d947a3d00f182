"""Tells now and then what the jobs at the scheduler are doing, and what some wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from relion_dispatch.ledger import Entry
from relion_dispatch.reports import State
from relion_dispatch.watch import Verdict

_SHOWN = 5


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

    def note(self, entries: Iterable[Entry], verdicts: Mapping[str, Verdict]) -> None:
        """Take note of all jobs; ``verdicts`` are by job id."""
        if self._clock() - self._said_at < self._every_s:
            return
        text = summary(entries, verdicts)
        if text and text != self._said:
            self._said = text
            self._said_at = self._clock()
            self._say(text)


def summary(entries: Iterable[Entry], verdicts: Mapping[str, Verdict]) -> str:
    """Return what runs and what waits, e.g. ``Running: step1. Pending: step2 (Priority).``."""
    by_state: dict[State, list[str]] = {}
    for entry in entries:
        verdict = verdicts[entry.job_id]
        if verdict.state.alive:
            by_state.setdefault(verdict.state, []).append(_label(entry, verdict))
    states = [state for state in (State.RUNNING, State.PENDING, State.UNKNOWN) if state in by_state]
    return " ".join(f"{state.value.capitalize()}: {_few(by_state[state])}." for state in states)


def _label(entry: Entry, verdict: Verdict) -> str:
    label = entry.name.rpartition(".")[0] or entry.name
    reason = verdict.report.reason if verdict.report and verdict.state is State.PENDING else ""
    return f"{label} ({reason})" if reason else label


def _few(labels: list[str]) -> str:
    more = len(labels) - _SHOWN
    shown = ", ".join(sorted(labels)[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown

"""What is known of a project and of each of its jobs, as it is shown and as JSON."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class State(enum.StrEnum):
    """What a job of a project is doing."""

    WAITING = "waiting"  # not begun, or in the scheduler's queue
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"  # RELION's word: somebody asked it to stop
    UNKNOWN = "unknown"  # it has begun and left no word, and nobody here runs it


#: States in which a job's files change.
ALIVE = frozenset({State.RUNNING, State.UNKNOWN})


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a project.

    Attributes
    ----------
    folder
        Its directory, relative to the project, e.g. ``Class3D/job032``.
    step
        Its rule in the pipeline; empty for a job from RELION's window.
    alias
        The name that it was given in RELION's window.
    state, detail
        What it does, and why it waits or how it ended, in a sentence or a few words.
    job_id, node
        The scheduler's id of it, and where it runs.
    started, ended
        Seconds since the epoch; None while not known.
    iteration, iterations
        Newest begun iteration; the last there will be, None where RELION itself decides.
    percent
        How far the program's present progress bar is.
    resolution
        Current resolution in Å.
    left_s
        Estimated seconds until it ends.
    verdict
        What the pipeline thinks of its map.
    asked, used
        Its size, and what it took of it, by the names of the attempts' journal.
    attempts
        What became of each attempt, see `healing.attempts`.
    """

    folder: str
    step: str = ""
    alias: str = ""
    state: State = State.WAITING
    detail: str = ""
    job_id: str = ""
    node: str = ""
    started: float | None = None
    ended: float | None = None
    iteration: int | None = None
    iterations: int | None = None
    percent: int | None = None
    resolution: float | None = None
    left_s: float | None = None
    verdict: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    used: Mapping[str, Any] = field(default_factory=dict)
    attempts: Sequence[Mapping[str, Any]] = ()

    def elapsed_s(self, now: float) -> float | None:
        """Return for how long it has run, or ran."""
        if self.started is None:
            return None
        end = self.ended if self.ended is not None else now if self.state in ALIVE else None
        return None if end is None else max(0.0, end - self.started)

    def to_json(self, now: float) -> dict[str, Any]:
        """Return it as ``status --json`` prints it."""
        return {
            "folder": self.folder,
            "step": self.step,
            "alias": self.alias,
            "state": str(self.state),
            "detail": self.detail,
            "job_id": self.job_id,
            "node": self.node,
            "started": _clock(self.started),
            "ended": _clock(self.ended),
            "elapsed_s": _rounded(self.elapsed_s(now)),
            "iteration": self.iteration,
            "iterations": self.iterations,
            "percent": self.percent,
            "resolution_angstrom": self.resolution,
            "left_s": _rounded(self.left_s),
            "expected_end": _clock(None if self.left_s is None else now + self.left_s),
            "verdict": self.verdict,
            "asked": dict(self.asked),
            "used": dict(self.used),
            "attempts": [dict(each) for each in self.attempts],
        }


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A project at one moment.

    Attributes
    ----------
    project
        Its absolute path.
    time
        When it was looked at, in seconds since the epoch.
    jobs
        The pipeline's in their order, then all others by their number.
    notes
        What could not be found out, and why.
    """

    project: str
    time: float
    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state, states without any included."""
        return {str(state): sum(job.state is state for job in self.jobs) for state in State}

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself: every job has finished."""
        return bool(self.jobs) and all(job.state is State.FINISHED for job in self.jobs)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``status --json`` prints it."""
        return {
            "project": self.project,
            "time": _clock(self.time),
            "counts": self.counts,
            "notes": list(self.notes),
            "jobs": [job.to_json(self.time) for job in self.jobs],
        }


def _clock(seconds: float | None) -> str | None:
    """Write a time as ISO 8601 with the time zone."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)

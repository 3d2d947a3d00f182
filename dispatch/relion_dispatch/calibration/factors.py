"""Factors of a site, as sizing uses them; imported at every start, so it imports little."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from relion_dispatch import __version__
from relion_dispatch.frozen import dataclass

#: The file's name in a profile's folder.
FILE_NAME = "calibration.json"

#: The model of what no model knows: the job type's own number for each rank.
FLAT = "flat"

#: With fewer jobs of a kind nothing is made smaller.
MIN_JOBS = 3

#: Memory beyond so many times the largest that was measured is not made smaller.
BEYOND = 2


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How measurements of one kind of job compare with what was predicted for them.

    Attributes
    ----------
    jobs
        How many there are.
    median, p90, least, most
        Of measured divided by predicted.
    upper
        What predictions are multiplied by.
    largest_mb
        The most memory of a rank, in MiB, that was predicted for any of them; 0 where nobody knows.
    """

    jobs: int
    median: float
    p90: float
    least: float
    most: float
    upper: float
    largest_mb: int = 0

    @property
    def enough(self) -> bool:
        """Whether there are enough jobs to make something smaller."""
        return self.jobs >= MIN_JOBS


@dataclass(frozen=True, kw_only=True)
class Factor:
    """What a prediction is multiplied by, and why.

    Attributes
    ----------
    value
        The factor.
    reason
        The jobs behind it, as the end of a sentence; empty without any.
    largest_mb
        Of these jobs, as in `Spread`.
    """

    value: float = 1.0
    reason: str = ""
    largest_mb: int = 0

    def of_mb(self, mem_mb: int) -> int:
        """Return memory in MiB times the factor, rounded up.

        In small jobs what every process holds counts most, and that is predicted with most room:
        of a much larger job only so much is made smaller as was measured.
        """
        known = mem_mb
        if self.value < 1 and self.largest_mb:
            known = min(mem_mb, BEYOND * self.largest_mb)
        return scaled(known, self.value) + mem_mb - known


@dataclass(frozen=True, kw_only=True)
class Factors:
    """All factors of a site.

    Attributes
    ----------
    memory
        By model (``refine``) and by model and job type (``refine/class2d``). Where the data told
        nothing the job type's own number was taken: ``flat/import``, which says nothing of others.
    time
        The same, each in one partition (``refine@gpu``, ``refine/class2d@gpu``); of estimates
        before the safety that time limits have.
    """

    memory: Mapping[str, Spread] = field(default_factory=dict)
    time: Mapping[str, Spread] = field(default_factory=dict)

    def of_memory(self, model: str, job_type: str) -> Factor:
        """Return the factor of host memory."""
        own, others = self.memory.get(f"{model}/{job_type}"), self.memory.get(model)
        return _chosen(own, others, default=1.0)

    def of_time(self, model: str, job_type: str, partition: str, default: float) -> Factor:
        """Return the factor of an estimated time; ``default`` is the safety without jobs."""
        own = self.time.get(f"{model}/{job_type}@{partition}")
        return _chosen(own, self.time.get(f"{model}@{partition}"), default=default)

    def over(self, other: Factors) -> Factors:
        """Lay these factors over others; of two of a kind the one of more jobs counts."""
        return Factors(
            memory=_richer(self.memory, other.memory), time=_richer(self.time, other.time)
        )


NONE = Factors()


def _chosen(own: Spread | None, others: Spread | None, *, default: float) -> Factor:
    """Take a type's own jobs where there are enough; fewer, or other types', only raise."""
    if own is not None and own.enough:
        return Factor(value=own.upper, reason=_reason(own), largest_mb=own.largest_mb)
    raising = [each for each in (own, others) if each and each.upper > default]
    if not raising:
        return Factor(value=default)
    most = max(raising, key=lambda each: each.upper)
    return Factor(value=most.upper, reason=_reason(most))


def _reason(spread: Spread) -> str:
    jobs = f"{spread.jobs} finished job{'' if spread.jobs == 1 else 's'} here"
    return f"by {jobs}: ×{spread.upper:.2g} ({spread.least:.2g} to {spread.most:.2g} measured)"


def _richer(ours: Mapping[str, Spread], theirs: Mapping[str, Spread]) -> dict[str, Spread]:
    merged = dict(theirs)
    for name, spread in ours.items():
        if name not in merged or merged[name].jobs <= spread.jobs:
            merged[name] = spread
    return merged


def scaled(mem_mb: int, factor: float) -> int:
    """Return memory in MiB times a factor, rounded up."""
    return max(math.ceil(mem_mb * factor), 1)


def user_file(profile: str) -> Path:
    """Return where a user's own calibration is, for profiles that cannot be written."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    name = Path(profile).resolve().name if "/" in profile else profile
    return home / "relion-dispatch" / "calibration" / f"{name}.json"


def files(folder: Path, profile: str) -> tuple[Path, Path]:
    """Return where calibrations of a profile are looked for: with it, and with the user."""
    return folder / FILE_NAME, user_file(profile)


def load(folder: Path, profile: str) -> Factors:
    """Read the factors of a profile; none where nobody has calibrated it.

    Parameters
    ----------
    folder
        The profile's folder.
    profile
        The name or path it was asked for by.
    """
    found = NONE
    for path in files(folder, profile):
        if (data := read(path)) is not None:
            found = of_file(data).over(found)
    return found


def read(path: Path) -> dict[str, Any] | None:
    """Read a calibration file; None where there is none, or none that can be read."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def of_file(data: Mapping[str, Any]) -> Factors:
    """Return the factors that a file holds; those of another version are worked out anew."""
    if data.get("version") != __version__:
        from relion_dispatch.calibration.store import Store

        return Store.of(data).factors
    try:
        return Factors(
            **{
                part: {name: Spread(**each) for name, each in data[part].items()}
                for part in ("memory", "time")
            }
        )
    except (KeyError, TypeError, AttributeError):
        return NONE

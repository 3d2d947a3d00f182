"""Finished jobs: what was predicted for each, and what it took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from relion_dispatch.calibration.basis import Basis
from relion_dispatch.calibration.factors import FLAT
from relion_dispatch.calibration.usage import Usage
from relion_dispatch.frozen import dataclass

#: Slurm's words for jobs that took at least what they were given.
OUT_OF_MEMORY, OUT_OF_TIME, DONE = "OUT_OF_MEMORY", "TIMEOUT", "COMPLETED"

#: A peak is trusted in jobs that were looked at so many times at least.
LOOKS = 4

#: The time of shorter jobs tells of their start, not of their work.
LEAST_MIN = 1.0


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A job that has ended.

    Attributes
    ----------
    job_dir, project
        Its directory, in its project.
    job_id
        The scheduler's id; empty where there was none.
    end
        When it ended.
    basis
        What its size was worked out from.
    peak_mem_mb
        Most memory that one node held, in MiB.
    at_least_mb
        Memory that a node must have held by other evidence: RELION's own estimate, or what an
        out-of-memory kill proves.
    elapsed_min
        How long it ran, or was let run.
    version
        Of the program that planned it.
    """

    job_dir: str
    project: str
    job_id: str = ""
    end: str = ""
    basis: Basis
    peak_mem_mb: float | None = None
    at_least_mb: float | None = None
    elapsed_min: float | None = None
    version: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other jobs, and from other runs in its directory."""
        return self.project, self.job_dir, self.job_id or self.end

    @property
    def memory_ratio(self) -> float | None:
        """Measured by predicted memory; by other evidence only where it is above 1."""
        predicted = self.basis.predicted_mem_mb
        if self.peak_mem_mb:
            return max(self.peak_mem_mb, self.at_least_mb or 0) / predicted
        least = (self.at_least_mb or 0) / predicted
        return least if least > 1 else None

    @property
    def time_ratio(self) -> float | None:
        """Measured by predicted time."""
        predicted, elapsed = self.basis.predicted_min, self.elapsed_min or 0
        return elapsed / predicted if predicted and elapsed >= LEAST_MIN else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "basis": self.basis.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finished:
        """Read it back.

        Raises
        ------
        TypeError, ValueError, KeyError
            When something is missing or of the wrong kind.
        """
        return cls(**{**data, "basis": Basis.from_json(data["basis"])})


def measured(
    job: Finished, usage: Usage, estimate_mb: float | None, every_s: int
) -> Finished | None:
    """Add to a job what it took.

    Parameters
    ----------
    job
        The job.
    usage
        What the scheduler knows.
    estimate_mb
        What RELION says that a rank needs at least.
    every_s
        How often the scheduler looked at its memory.

    Returns
    -------
    Finished or None
        None for a job that tells nothing: it has not ended, or has ended for other reasons.
    """
    if usage.state not in (DONE, OUT_OF_MEMORY, OUT_OF_TIME):
        return None
    least = [estimate_mb * max(job.basis.ranks_on)] if estimate_mb else []
    least += [float(job.basis.mem_mb)] if usage.state == OUT_OF_MEMORY else []
    looked_at = usage.elapsed_s >= LOOKS * every_s
    values = {
        "end": usage.end,
        "peak_mem_mb": _rounded(usage.peak_mb) if looked_at else None,
        "at_least_mb": _rounded(max(least, default=None)),
        "elapsed_min": None if usage.state == OUT_OF_MEMORY else round(usage.elapsed_s / 60, 3),
    }
    return Finished(**{**vars(job), **values})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def memory_ratios(jobs: Iterable[Finished]) -> Iterator[tuple[str, float, int]]:
    """Yield each job's ratio for its model, and for its model and type; and its rank's memory."""
    for job in jobs:
        if (ratio := job.memory_ratio) is not None:
            model, rank_mb = job.basis.memory_model, job.basis.predicted_rank_mb
            yield f"{model}/{job.basis.job_type}", ratio, rank_mb
            if model != FLAT:
                yield model, ratio, rank_mb


def time_ratios(jobs: Iterable[Finished]) -> Iterator[tuple[str, float]]:
    """Yield each job's ratio for its model, and for its model and type, in its partition."""
    for job in jobs:
        if (ratio := job.time_ratio) is not None:
            basis = job.basis
            yield f"{basis.time}@{basis.partition}", ratio
            yield f"{basis.time}/{basis.job_type}@{basis.partition}", ratio

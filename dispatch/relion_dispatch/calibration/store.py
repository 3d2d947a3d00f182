"""The file of a site's calibration: its factors, and the jobs that they come from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from relion_dispatch import __version__, atomic
from relion_dispatch.calibration import factors, spreads
from relion_dispatch.calibration.factors import Factors
from relion_dispatch.calibration.finished import Finished, memory_ratios, time_ratios
from relion_dispatch.duration import SAFETY
from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass

#: Jobs that are kept of each type in each partition, the newest.
KEPT = 200


@dataclass(frozen=True, kw_only=True)
class Store:
    """Finished jobs, and what they teach.

    Attributes
    ----------
    jobs
        The jobs, in the order in which they ended.
    """

    jobs: tuple[Finished, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Store:
        """Read the jobs of a file; those that cannot be read count for nothing."""
        found = []
        for each in data.get("jobs") or ():
            try:
                found.append(Finished.from_json(each))
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
        return cls(jobs=tuple(found))

    @classmethod
    def read(cls, path: Path) -> Store:
        """Read a file; without one there are no jobs."""
        return cls.of(factors.read(path) or {})

    def with_jobs(self, jobs: Iterable[Finished]) -> Store:
        """Add jobs; one that is known already is replaced, and the oldest of many are left out."""
        merged = {job.key: job for job in (*self.jobs, *jobs)}
        kept: list[Finished] = []
        many: dict[tuple[str, str], int] = {}
        for job in sorted(merged.values(), key=lambda job: job.end, reverse=True):
            group = job.basis.job_type, job.basis.partition
            many[group] = many.get(group, 0) + 1
            if many[group] <= KEPT:
                kept.append(job)
        return replace(self, jobs=tuple(reversed(kept)))

    @cached_property
    def factors(self) -> Factors:
        """What the jobs teach."""
        of_jobs = tuple(memory_ratios(self.jobs))
        memory = spreads.grouped((name, ratio) for name, ratio, _ in of_jobs)
        largest: dict[str, int] = {}
        for name, _, rank_mb in of_jobs:
            largest[name] = max(rank_mb, largest.get(name, 0))
        times = spreads.grouped(time_ratios(self.jobs))
        return Factors(
            memory={n: spreads.of_memory(ratios, largest[n]) for n, ratios in memory.items()},
            time={name: spreads.of_time(ratios, SAFETY) for name, ratios in times.items()},
        )

    def text(self) -> str:
        """Return the file's text."""
        data = {
            "version": __version__,
            "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **{
                part: {name: asdict(each) for name, each in getattr(self.factors, part).items()}
                for part in ("memory", "time")
            },
            "jobs": [job.to_json() for job in self.jobs],
        }
        return json.dumps(data, indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        InputError
            When it cannot be written.
        """
        try:
            atomic.write_text(path, self.text())
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; name another file with --output"
            ) from None

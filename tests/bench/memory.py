"""Compare predicted with measured host memory: ``python -m tests.bench.memory``.

Runs real programs of RELION on noise and prints, for every point, the memory that sizing predicts
for a rank and for all ranks of the job, and the most that they held. Memory is no matter of
machine or load, but of RELION's version and how it was built.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from relion_dispatch.cluster import Partition
from relion_dispatch.engine import Request, plan
from relion_dispatch.host_memory import host_mem_mb
from relion_dispatch.needs import JOB_MB
from relion_dispatch.profiles import Profile, load_profile
from tests.bench.memory_points import Point, points
from tests.bench.noise import Noise
from tests.bench.peaks import peaks_mb

#: Predictions may be so many times what was measured.
LOOSEST = 2.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Predicted and measured memory in MiB, of the hungriest rank and of all ranks."""

    rank_predicted: int
    rank_measured: float
    job_predicted: int
    job_measured: float

    @property
    def ratios(self) -> tuple[float, float]:
        """Predicted by measured."""
        return self.rank_predicted / self.rank_measured, self.job_predicted / self.job_measured

    @property
    def good(self) -> bool:
        """Whether a prediction is never below what was measured, and at most twice it."""
        return all(1 <= ratio <= LOOSEST for ratio in self.ratios)


def measure(point: Point, folder: Path) -> Found:
    """Run a point's job in a new folder and compare.

    Raises
    ------
    subprocess.CalledProcessError
        When RELION fails.
    """
    noise = Noise(folder=folder, rng=np.random.default_rng(1))
    lines = point.lines(noise)
    rank, job = predicted(point, lines[0], folder)
    peaks = [peaks_mb(_argv(line, point.ranks), folder, point.ranks) for line in lines]
    most = [max(of_rank) for of_rank in zip(*peaks, strict=True)]
    return Found(
        rank_predicted=rank,
        rank_measured=max(most),
        job_predicted=job,
        job_measured=sum(most),
    )


def predicted(point: Point, line: str, folder: Path) -> tuple[int, int]:
    """Return what sizing predicts for a rank and for all ranks, in MiB, from a job's line."""
    overrides = {"nproc": point.ranks, "nthread": point.threads, "ngpu": 0}
    request = Request(commands=(line,), project=folder, overrides=overrides)
    basis = plan(request, _roomy("slurm" if point.ranks > 1 else "local")).basis
    assert basis is not None
    assert sum(basis.ranks_on) == point.ranks
    basis = replace(basis, problem=replace(basis.problem, current_size=point.current_size))
    rank = host_mem_mb(basis.memory, basis.problem, basis.cpus_per_task)
    assert rank is not None
    return rank, basis.predicted_mem_mb - JOB_MB


@cache
def _roomy(name: str) -> Profile:
    """Return a profile with one large node, so that every job fits."""
    profile = load_profile(name)
    partitions = {"here": Partition(cores=64, mem_mb=10**7)}
    return replace(profile, cluster=replace(profile.cluster, partitions=partitions))


def _argv(line: str, ranks: int) -> list[str]:
    program, *arguments = shlex.split(line)
    return [f"{program}_mpi" if ranks > 1 else program, *arguments]


def table(chosen: Iterator[Point], folder: str | None) -> bool:
    """Measure points and print a line for each; says whether all predictions are good."""
    good = True
    print(f"{'':58} {'a rank: MiB':>20} {'':>6} {'all ranks: MiB':>19}")
    print(f"{'':46} ranks x j   predicted measured  ratio predicted measured  ratio")
    for point in chosen:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            found = measure(point, Path(name))
        rank, job = found.ratios
        print(
            f"{point.name[:51]:<51} {point.ranks} x {point.threads}"
            f" {found.rank_predicted:9d} {found.rank_measured:8.0f} {rank:6.2f}"
            f" {found.job_predicted:9d} {found.job_measured:8.0f} {job:6.2f}"
            f"{'' if found.good else '  <-'}",
            flush=True,
        )
        good = good and found.good
    return good


def main() -> int:
    """Print the table; fails when a prediction is too low or too high."""
    args = arguments()
    wanted = re.compile(args.only)
    chosen = (each for each in points() if wanted.search(each.name))
    return 0 if table((p for p in chosen if p.quick or not args.quick), args.folder) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what takes but seconds")
    parser.add_argument("--only", default="", help="only points whose names match")
    parser.add_argument("--folder", default=os.environ.get("TMPDIR"), help="for what RELION writes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

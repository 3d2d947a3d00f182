"""What programs cost: wall and CPU time, measured in turn so that they see the same machine."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPEATS = 7


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds on the clock, and seconds of a core."""

    wall_s: float
    cpu_s: float


def costs(commands: Sequence[tuple[Sequence[str], Path]], repeats: int = REPEATS) -> list[Cost]:
    """Run commands in their folders in turn, several times; the medians of each.

    Raises
    ------
    subprocess.CalledProcessError
        When a command fails.
    """
    found: list[list[Cost]] = [[] for _ in commands]
    for _ in range(repeats + 1):
        for costs_of, (command, folder) in zip(found, commands, strict=True):
            costs_of.append(_cost(command, folder))
    # The first round fills caches.
    return [_median(costs_of[1:]) for costs_of in found]


def _cost(command: Sequence[str], folder: Path) -> Cost:
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return Cost(wall_s=time.perf_counter() - began, cpu_s=_cpu_s() - before)


def _cpu_s() -> float:
    """Seconds of a core that all children have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _median(found: Sequence[Cost]) -> Cost:
    return Cost(
        wall_s=statistics.median(each.wall_s for each in found),
        cpu_s=statistics.median(each.cpu_s for each in found),
    )

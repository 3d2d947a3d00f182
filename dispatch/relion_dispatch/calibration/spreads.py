"""From pairs of measured and predicted to factors: pure statistics.

A factor is an upper one: memory and time limits that are too small end a job, and those that are
too large only let it wait. So it is made from the largest ratio that was measured, and the other
numbers are there to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from relion_dispatch.calibration.factors import MIN_JOBS, Spread

#: Ratios beyond these are taken for mistakes, and count as the nearest of the two.
MEMORY_BOUNDS = (0.2, 4.0)
TIME_BOUNDS = (0.05, 20.0)

#: Predictions stay so far above the largest that was measured: the next job may be larger still.
MARGIN = 1.1

#: Time limits stay so far above nine of ten jobs: nodes are shared, data differ.
TIME_MARGIN = 1.5


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of some values lies, between the nearest two.

    Parameters
    ----------
    values
        At least one, in any order.
    part
        From 0 to 1.
    """
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def of_memory(ratios: Sequence[float], largest_mb: int = 0) -> Spread:
    """Return the spread of measured by predicted memory.

    Its ``upper`` is a tenth above the largest ratio, so that no job would get less than it took;
    with fewer than three jobs it is at least 1. ``largest_mb`` is as in `Spread`.
    """
    bounded = _bounded(ratios, MEMORY_BOUNDS)
    upper = min(MARGIN * max(bounded), MEMORY_BOUNDS[1])
    found = _spread(bounded, upper if len(bounded) >= MIN_JOBS else max(upper, 1.0))
    return replace(found, largest_mb=largest_mb)


def of_time(ratios: Sequence[float], safety: float) -> Spread:
    """Return the spread of measured by predicted time.

    Its ``upper`` is by half above nine of ten jobs, and a tenth above the longest; with fewer than
    three jobs it is at least ``safety``, the factor that limits have without any.
    """
    bounded = _bounded(ratios, TIME_BOUNDS)
    upper = max(MARGIN * max(bounded), TIME_MARGIN * quantile(bounded, 0.9))
    return _spread(bounded, upper if len(bounded) >= MIN_JOBS else max(upper, safety))


def grouped(pairs: Iterable[tuple[str, float]]) -> Mapping[str, list[float]]:
    """Put ratios that have the same name together, names in order."""
    found: dict[str, list[float]] = {}
    for name, ratio in pairs:
        found.setdefault(name, []).append(ratio)
    return dict(sorted(found.items()))


def _bounded(ratios: Sequence[float], bounds: tuple[float, float]) -> list[float]:
    return [min(max(ratio, bounds[0]), bounds[1]) for ratio in ratios]


def _spread(bounded: Sequence[float], upper: float) -> Spread:
    return Spread(
        jobs=len(bounded),
        median=round(quantile(bounded, 0.5), 4),
        p90=round(quantile(bounded, 0.9), 4),
        least=round(min(bounded), 4),
        most=round(max(bounded), 4),
        upper=round(upper, 4),
    )

"""Scales of figures: where a value lies, and which values are written beside an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Steps between ticks, in each power of ten.
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
#: Values that differ by less, relative to the largest, are drawn as one: no tick could part them.
_ALIKE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a figure.

    Attributes
    ----------
    label
        What is drawn along it, with its unit.
    low, high
        Values at its two ends; ``low`` may be the larger one.
    ticks
        Values that are marked, each with its text.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def fraction(self, value: float) -> float:
        """Return where a value lies: 0 at ``low``, 1 at ``high``; never beyond either."""
        if self.high == self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def axis(
    label: str,
    values: Iterable[float],
    *,
    zero: bool = False,
    whole: bool = False,
    ticks: int = 5,
) -> Axis:
    """Make an axis that holds all values, with about as many round ticks as asked for.

    Parameters
    ----------
    label
        What is drawn along it.
    values
        All values; those that are not finite are left out.
    zero
        Whether it begins at zero.
    whole
        Whether only whole numbers are marked.
    ticks
        How many ticks it should have at most, roughly.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    largest = max(abs(low), abs(high))
    if high - low <= _ALIKE * largest:
        low, high = low - (largest or 1) * 0.05, high + (largest or 1) * 0.05
    step = _step((high - low) / max(1, ticks))
    step = max(1.0, round(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [at * step for at in range(first, last + 1)]
    texts = _texts(marks, step)
    return Axis(
        label=label, low=marks[0], high=marks[-1], ticks=tuple(zip(marks, texts, strict=True))
    )


def resolution_axis(inverse_angst: Sequence[float], *, power: int = 1) -> Axis:
    """Make an axis of spatial frequency, 1/Å to a power, whose ticks are written in Å.

    Parameters
    ----------
    inverse_angst
        Frequencies in 1/Å (not yet raised to the power).
    power
        2 for Guinier plots.
    """
    high = max(inverse_angst, default=0.2) or 0.2
    marks = [1 / angst for angst in _round_resolutions(high, power)]
    ticks = tuple((mark**power, number(1 / mark)) for mark in marks)
    return Axis(label="resolution (Å)", low=0.0, high=high**power, ticks=ticks)


def _round_resolutions(high: float, power: int) -> list[float]:
    """Choose resolutions in Å for ticks, coarse to fine, that are not too close to each other."""
    candidates: tuple[float, ...] = (
        100,
        50,
        40,
        30,
        20,
        15,
        12,
        10,
        9,
        8,
        7,
        6,
        5,
        4.5,
        4,
        3.5,
        3,
        2.5,
        2.2,
        2,
        1.8,
    )
    candidates += (1.6, 1.4, 1.2, 1.1, 1.0)
    chosen: list[float] = []
    place = 0.0
    for angst in candidates:
        here = (1 / angst / high) ** power
        if here <= 1.001 and here - place >= 0.1:
            chosen.append(angst)
            place = here
    return chosen


def number(value: float, digits: int = 3) -> str:
    """Write a number for people: few digits, no exponent unless it is needed."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", "\u202f") if abs(value) < 1e9 else f"{value:.{digits}g}"
    return f"{value:.{digits}g}"


def angle_axis(label: str, low: int, high: int, every: int) -> Axis:
    """Make an axis of angles in degrees with ticks at multiples of ``every``."""
    marks = range(low, high + 1, every)
    return Axis(
        label=label,
        low=low,
        high=high,
        ticks=tuple((at, f"{at}".replace("-", "−")) for at in marks),
    )


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in _STEPS if power * step >= least * (1 - 1e-9))


def _texts(marks: Sequence[float], step: float) -> list[str]:
    largest = max(abs(mark) for mark in marks)
    if largest >= 1e6 or (largest and largest < 1e-3):
        return [f"{mark:.3g}" for mark in marks]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != round(step, digits + 1):
        digits += 1  # a step of 2.5 needs one more
    return [f"{mark:,.{digits}f}".replace(",", "\u202f").replace("-", "−") for mark in marks]

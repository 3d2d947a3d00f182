"""What several parts of the report need: outliers, thinning, words for numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_dispatch.report.axes import number

Values = NDArray[np.float64]
#: No figure has more points than about this; more could not be told apart anyway.
MOST_POINTS = 600
#: How many scaled median deviations from the median make an outlier.
OUTLIER = 5.0


def deviations(values: Values) -> Values:
    """Return how far values are from their median, in scaled median deviations.

    Parameters
    ----------
    values
        Of any order; what is NaN stays so.

    Returns
    -------
    array of float
        All zero where there are fewer than five values to compare with.

    Notes
    -----
    1.4826 times the median absolute deviation is the standard deviation of normal data
    (Rousseeuw & Croux 1993, J. Am. Stat. Assoc. 88, 1273).
    """
    known = values[np.isfinite(values)]
    if known.size < 5:
        return np.zeros(values.shape)
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    # Values that hardly differ have no outliers worth a look: one in fifty is the least spread.
    return np.asarray((values - middle) / max(spread, 0.02 * abs(middle), 1e-12))


def outliers(values: Values, *, low: bool = True, high: bool = True) -> NDArray[np.bool_]:
    """Find values far from the others: more than 5 scaled median deviations from the median.

    ``low`` and ``high`` say whether small ones and large ones count; NaN is no outlier.
    """
    far = deviations(values)
    return np.asarray((low & (far < -OUTLIER)) | (high & (far > OUTLIER)), dtype=bool)


def thinned(
    count: int, always: NDArray[np.bool_] | None = None, most: int = MOST_POINTS
) -> NDArray[np.int64]:
    """Choose which of many things are drawn: evenly spread ones, and those that always are."""
    step = max(1, math.ceil(count / most))
    chosen = np.arange(0, count, step)
    if always is None or step == 1:
        return chosen
    return np.union1d(chosen, np.flatnonzero(always)[:MOST_POINTS])


def median(values: Values) -> float:
    """Return the median of the values that are known; NaN when none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def many(count: float, noun: str) -> str:
    """Write a count with its noun: ``1 movie``, ``10 movies``."""
    word = noun if count == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{whole(count)} {word}"


def whole(count: float) -> str:
    """Write a whole number with thin spaces between thousands."""
    return f"{count:,.0f}".replace(",", "\u202f")


def angst(value: float | None) -> str:
    """Write a resolution, such as ``9.8 Å``."""
    known = value is not None and math.isfinite(value) and value > 0
    return f"{value:.1f} Å" if known else "–"


def signed(value: float, digits: int = 0) -> str:
    """Write a number with a minus sign rather than a hyphen where it is below zero."""
    return f"{value:.{digits}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Write a time for people: ``12 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    total = round(seconds)
    if total < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    if total < 48 * 3600:
        return f"{total // 3600} h {total % 3600 // 60:02d} min"
    return f"{total // 86400} d {total % 86400 // 3600} h"


def shown(value: Any) -> str:
    """Write a value of any kind for a table."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if not value.is_integer() else f"{value:.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) or "–"
    return str(value)


def short(name: str, most: int = 46) -> str:
    """Shorten a path in its middle, so that its beginning and its end can be read."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def span(values: Sequence[float] | Values, unit: str) -> str:
    """Write the range of values: ``0.96 to 1.9 µm``."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "–"
    low, high = number(min(known)), number(max(known))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"

"""A detector's gain reference, in the orientation that RELION's options undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .fourier import Floats

_FLIPS = {0: None, 1: 0, 2: 1}  # RELION's --gain_flip: nothing, upside down (y), left to right (x)


def gain_pattern(size: int, seed: int) -> Floats:
    """Return what a movie's pixels must be multiplied with, shape (size, size), mean about 1.

    A slope of 30 % along x and of 20 % along y, columns that differ by 5 %, a quadrant 10 %
    apart (so that no rotation or flip maps it on itself) and 3 % from pixel to pixel. Drawn
    apart from the data set's own random numbers, which therefore stay the same with a gain.
    """
    rng = np.random.default_rng([seed, size])
    y, x = np.mgrid[:size, :size] / size - 0.5
    quadrant = np.where((x > 0) & (y > 0), 1.1, 1.0)
    columns = rng.normal(1, 0.05, size)[np.newaxis, :]
    pixels = rng.normal(1, 0.03, (size, size))
    pattern = (1 + 0.3 * x + 0.2 * y) * quadrant * columns * pixels
    return np.asarray(pattern / pattern.mean())


def oriented(pattern: Floats, gain_rot: int, gain_flip: int) -> Floats:
    """Return what RELION makes of a gain reference with ``--gain_rot`` and ``--gain_flip``.

    ``gain_rot`` quarter turns clockwise (with row 0 on top, as relion_display shows it), then
    the flip: ``MotioncorrRunner::prepareGainReference``.
    """
    turned = np.rot90(pattern, -gain_rot)
    axis = _FLIPS[gain_flip]
    return turned if axis is None else np.flip(turned, axis)


def as_recorded(pattern: Floats, gain_rot: int, gain_flip: int) -> Floats:
    """Return the reference that `oriented` turns into ``pattern``."""
    axis = _FLIPS[gain_flip]
    flipped = pattern if axis is None else np.flip(pattern, axis)
    return np.rot90(flipped, gain_rot)

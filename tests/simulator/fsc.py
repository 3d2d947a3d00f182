"""How well two maps agree: masks, Fourier shell correlation, resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import affine_transform

from .fourier import fourier_resize, lowpass, resize_centred, squared_frequencies, within

if TYPE_CHECKING:
    from .fourier import Floats

_EDGE = 12.0  # width of a soft mask's edge, Å
_MARGIN = 5.0  # between the specimen's surface and the mask's edge, Å


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A Fourier shell correlation: ``values[i]`` at ``i / width`` 1/Å.

    ``width`` is that of the box, Å.
    """

    values: Floats
    width: float

    @property
    def finest(self) -> float:
        """Resolution of the last shell, Å."""
        return self.width / (len(self.values) - 1)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Where a curve falls below a threshold.

    ``angstrom`` is the resolution there; where the curve never falls (``finer``) that of its last
    shell, where it is below from its first shell on (``coarser``) the box's width: in both cases
    the bound that the curve gives.
    """

    angstrom: float
    status: Literal["crossed", "finer", "coarser"]

    def __str__(self) -> str:
        sign = {"crossed": "", "finer": "<= ", "coarser": ">= "}[self.status]
        return f"{sign}{self.angstrom:.2f} Å"


def fsc(first: Floats, second: Floats, angpix: float, finest: float = 0.0) -> Curve:
    """Return the Fourier shell correlation of two cubic maps of one size.

    Harauz & van Heel (1986), Optik 73, 146, over shells one Fourier pixel wide.

    Parameters
    ----------
    angpix
        Pixel size of both, Å.
    finest
        Resolution (Å) beyond which one of them holds nothing, besides Nyquist: no shells there.
    """
    box = first.shape[0]
    shell = np.rint(np.sqrt(squared_frequencies(box, 1 / box))).astype(int)
    shells = int(box * angpix / max(finest, 2 * angpix) + 1e-6) + 1
    keep = shell < shells

    def per_shell(values: Floats) -> Floats:
        return np.asarray(np.bincount(shell[keep], values[keep], minlength=shells), np.float64)

    one, two = np.fft.fftn(first), np.fft.fftn(second)
    cross = per_shell((one * two.conj()).real)
    power = per_shell(np.abs(one) ** 2) * per_shell(np.abs(two) ** 2)
    values = np.divide(cross, np.sqrt(power), out=np.zeros(shells), where=power > 0)
    return Curve(values=values, width=box * angpix)


def resolution_at(curve: Curve, threshold: float) -> Resolution:
    """Return the resolution where a curve first falls below a threshold, from low frequencies on.

    Interpolated linearly in frequency between the two shells; the zeroth (the maps' means) does
    not count.
    """
    below = np.flatnonzero(curve.values[1:] < threshold) + 1
    if len(below) == 0:
        return Resolution(angstrom=curve.finest, status="finer")
    last = int(below[0])
    if last == 1:
        return Resolution(angstrom=curve.width, status="coarser")
    high, low = curve.values[last - 1 : last + 1]
    place = last - 1 + (high - threshold) / (high - low)
    return Resolution(angstrom=float(curve.width / place), status="crossed")


def radii(box: int, angpix: float) -> Floats:
    """Return every voxel's distance (Å) from the map's origin at ``box // 2``."""
    x2 = ((np.arange(box) - box // 2) * angpix) ** 2
    return np.asarray(np.sqrt(x2[:, np.newaxis, np.newaxis] + x2[:, np.newaxis] + x2))


def specimen_radius(truth: Floats, angpix: float) -> float:
    """Return how far from the origin (Å) a noise-free map has density above 10 % of its maximum.

    Of the map low-passed a little, without the ripples of atoms sharper than its pixels.
    """
    smooth = lowpass(truth, angpix, 1.5 * angpix)
    return float(radii(truth.shape[0], angpix)[smooth > 0.1 * smooth.max()].max())


def soft_sphere(truth: Floats, angpix: float) -> Floats:
    """Return a mask about the specimen: 1 inside, a linear edge 12 Å wide, 0 outside.

    A sphere rather than the specimen's shape: it adds nothing of the truth to the map.
    """
    reach = specimen_radius(truth, angpix) + _MARGIN + _EDGE
    return np.clip((reach - radii(truth.shape[0], angpix)) / _EDGE, 0, 1)


def resample(volume: Floats, angpix: float, box: int, target_angpix: float) -> Floats:
    """Return a map on another grid, of any size and any pixel size; the origin stays at ``n // 2``.

    Low-passed to the coarser Nyquist frequency, then interpolated with cubic splines on a grid
    twice as fine, which loses little up to Nyquist. Outside of the given map is nothing.

    Parameters
    ----------
    volume
        Cubic, ``angpix`` Å a pixel.
    box, target_angpix
        Size in pixels and pixel size (Å) of the result.
    """
    if np.isclose(angpix, target_angpix, rtol=1e-4):
        return resize_centred(volume, box)
    old = volume.shape[0]
    fine = fourier_resize(within(volume, angpix, 2 * max(angpix, target_angpix)), 2 * old)
    step = 2 * target_angpix / angpix
    offset = old - step * (box // 2)
    return np.asarray(affine_transform(fine, [step] * 3, offset, output_shape=(box,) * 3))

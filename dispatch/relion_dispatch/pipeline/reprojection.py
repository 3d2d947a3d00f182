"""Whether a map looks, from all sides, like the 2D class averages of its particles.

2D classification knows nothing of the map, so this is evidence from outside: a wrong map has views
that no particle shows, and lacks some that they do. It is what a person checks by eye.

Size does not matter: detail, mask and search grow with the particle, and the search is fine enough
that a right map without symmetry matches as well as a symmetric one, which has fewer views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relion_dispatch.errors import InputError
from relion_dispatch.meter import counted
from relion_dispatch.pipeline import mrc

if TYPE_CHECKING:
    from relion_dispatch.pipeline.tables import ClassStatistics

Array = NDArray[np.float64]

#: Å; coarser than any initial model, fine enough to tell a wrong one.
RESOLUTION_ANGST = 25.0
#: Resolved widths across a particle at most, so that larger particles are compared more coarsely.
MAX_DETAILS = 5.6
STEP_DEG = 8.0
#: Pixels per resolution: a little more than Nyquist's two, for interpolation.
SAMPLING = 2.6
#: Å; soft edge of the circular mask.
EDGE_ANGST = 12.0
#: px, at the coarse sampling; class averages are not perfectly centred.
SHIFTS = np.arange(-1.5, 2.0, 0.5)
BUTTERWORTH_ORDER = 10
#: Filter values below this are zero.
LEAST_WEIGHT = 0.01
#: Keeps empty images from divisions by zero.
TINY = 1e-30
HALF_SPHERE_DEG2 = 2 * math.pi * (180 / math.pi) ** 2
BOX_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Correlation of each class average with the best projection of a map, and their shares."""

    correlations: tuple[float, ...]
    fractions: tuple[float, ...]

    @property
    def worst_tenth(self) -> float:
        """Correlation that nine tenths of the particles' class averages reach at least."""
        pairs = sorted(zip(self.correlations, self.fractions, strict=True))
        below, total = 0.0, sum(self.fractions)
        for correlation, fraction in pairs:
            below += fraction
            if below > 0.1 * total:
                return correlation
        return pairs[-1][0]


def compare(map_: Path, classes: Sequence[ClassStatistics], diameter_angst: float) -> Agreement:
    """Compare a map with class averages, both as RELION writes them.

    Parameters
    ----------
    map_
        An MRC file; its box has the same size in Å as the averages'.
    classes
        Whose ``image`` is ``NNNNNN@stack.mrcs``.
    diameter_angst
        Of the particle's mask.

    Raises
    ------
    InputError
        When an image cannot be read or the boxes differ.
    """
    volume, angpix = mrc.read(map_)
    images, image_angpix = _averages(classes)
    sizes = volume.shape[0] * angpix, images.shape[-1] * image_angpix
    if abs(sizes[0] - sizes[1]) > BOX_TOLERANCE * sizes[0]:
        raise InputError(
            f"{map_}: its box is {sizes[0]:.0f} Å and the class averages' {sizes[1]:.0f} Å"
        )
    correlations = agreement(volume, images, sizes[0], diameter_angst)
    return Agreement(
        correlations=tuple(float(c) for c in correlations),
        fractions=tuple(each.fraction for each in classes),
    )


def _averages(classes: Sequence[ClassStatistics]) -> tuple[Array, float]:
    stacks: dict[str, tuple[Array, float]] = {}
    images = []
    for each in classes:
        number, _, stack = each.image.rpartition("@")
        if stack not in stacks:
            images_, angpix = mrc.read(Path(stack))
            stacks[stack] = images_.reshape(-1, *images_.shape[-2:]), angpix
        images.append(stacks[stack][0][int(number or 1) - 1])
    return np.array(images), stacks[stack][1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How images are compared, for one size of box and particle.

    Attributes
    ----------
    mask
        Soft circle, shape (n, n).
    rings
        Ring of each Fourier pixel, shape (n, n).
    weight
        Low-pass filter without the mean, shape (n, n).
    kept
        Indices of the Fourier pixels that count: half of them say all of a real image.
    shifts
        Phase factors of all shifts, shape (shifts, kept).
    """

    mask: Array
    rings: NDArray[np.int_]
    weight: Array
    kept: NDArray[np.intp]
    shifts: NDArray[np.complex128]

    @classmethod
    def of(cls, n: int, box_angst: float, diameter_angst: float) -> Comparison:
        """Prepare a comparison of images of n pixels."""
        y, x = np.meshgrid(*[np.fft.fftfreq(n) * n] * 2, indexing="ij")
        radius = np.hypot(y, x)
        detail = radius / box_angst * resolution(diameter_angst)
        weight = 1 / (1 + detail**BUTTERWORTH_ORDER)
        weight[0, 0] = 0
        half = ((x > 0) | ((x == 0) & (y > 0))) & (np.maximum(abs(x), abs(y)) < n / 2)
        kept = np.flatnonzero(half & (weight >= LEAST_WEIGHT))
        dy, dx = (grid.ravel()[:, None] for grid in np.meshgrid(SHIFTS, SHIFTS))
        turns = (dy * y.ravel()[kept] + dx * x.ravel()[kept]) / n
        return cls(
            mask=_soft_circle(n, box_angst / n, diameter_angst),
            rings=np.rint(radius).astype(int),
            weight=weight,
            kept=kept,
            shifts=np.exp(-2j * np.pi * turns),
        )

    def spectra(self, images: Array) -> NDArray[np.complex128]:
        """Transform images to coefficients of like radial amplitudes and norm 1; (images, kept)."""
        transforms = np.fft.fft2(images * self.mask)
        power = (np.abs(transforms) ** 2).mean(axis=0)
        mean = np.bincount(self.rings.ravel(), power.ravel()) / np.bincount(self.rings.ravel())
        # The fourth root of the power is the square root of the amplitude.
        transforms *= np.maximum(mean, TINY)[self.rings] ** -0.25 * self.weight
        spectra = transforms.reshape(len(images), -1)[:, self.kept]
        norms = np.sqrt((np.abs(spectra) ** 2).sum(axis=1, keepdims=True))
        return np.asarray(spectra / np.maximum(norms, TINY))

    def shifted(self, spectra: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Apply all shifts to all spectra; (images × shifts, kept)."""
        return (spectra[:, None] * self.shifts).reshape(-1, len(self.kept))


def resolution(diameter_angst: float) -> float:
    """Resolution in Å at which particles of a size are compared."""
    return max(RESOLUTION_ANGST, diameter_angst / MAX_DETAILS)


def agreement(volume: Array, averages: Array, box_angst: float, diameter_angst: float) -> Array:
    """Correlate each class average with its best projection, over all views, turns and shifts.

    Both are reduced to :func:`resolution`, masked, and given the same flattened (square root)
    radial amplitudes, so that neither sharpening nor contrast matters.

    Parameters
    ----------
    volume
        Shape (n, n, n).
    averages
        Shape (classes, m, m); the same box in Å.
    box_angst, diameter_angst
        Size of the box and of the particle.

    Returns
    -------
    Array
        Shape (classes,), at most 1; NaN for a volume with NaN.
    """
    if not np.isfinite(volume).all():
        return np.full(len(averages), np.nan)
    n = 2 * math.ceil(SAMPLING * box_angst / resolution(diameter_angst) / 2)
    n = min(n, volume.shape[0], averages.shape[-1])
    how = Comparison.of(n, box_angst, diameter_angst)
    views = _as_real(how.spectra(_projections(_crop(volume, n, axes=(0, 1, 2)))))
    found = []
    for average in counted(_crop(averages, n, axes=(1, 2)), "comparing class averages"):
        turned = _as_real(how.shifted(how.spectra(_turns(average * how.mask))))
        found.append((views @ turned.T).max())
    return np.array(found, dtype=np.float64)


def _as_real(spectra: NDArray[np.complex128]) -> NDArray[np.float32]:
    # The real part of a complex product is the product of real vectors of twice the length.
    return np.concatenate([spectra.real, spectra.imag], axis=1).astype(np.float32)


def directions() -> Array:
    """Spread views evenly over half a sphere (Fibonacci lattice): rot and tilt in °, (n, 2)."""
    count = round(HALF_SPHERE_DEG2 / STEP_DEG**2)
    index = np.arange(count) + 0.5
    rot = np.degrees(np.pi * (1 + math.sqrt(5)) * index) % 360
    return np.stack([rot, np.degrees(np.arccos(1 - index / count))], axis=1)


def project(volume: Array, turns: Array) -> Array:
    """Project a volume along the last axis after each of several turns.

    Parameters
    ----------
    volume
        Shape (n, n, n).
    turns
        Rotation matrices in the order of the volume's axes, shape (views, 3, 3).

    Returns
    -------
    Array
        Shape (views, n, n).
    """
    seen = counted(turns, "projecting the map", len(turns))
    return np.array([_rotated(volume, turn).sum(axis=2) for turn in seen])


def _projections(volume: Array) -> Array:
    from scipy.spatial.transform import Rotation

    rot, tilt = directions().T
    angles = np.stack([rot, tilt, np.zeros_like(rot)], axis=1)
    # The second rotation tilts the last axis, along which is projected, away from itself.
    front = project(volume, Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix())
    behind = np.roll(front[:, ::-1], 1, axis=1)  # mirrored about pixel n // 2
    return np.concatenate([front, behind])


def _turns(image: Array) -> Array:
    angles = np.radians(np.arange(0, 360, STEP_DEG))
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    return np.array([_rotated(image, turn) for turn in turns])


def _rotated(data: Array, turn: Array) -> Array:
    """Rotate an image or a volume about its centre as RELION counts it, pixel n // 2."""
    from scipy.ndimage import affine_transform

    centre = np.full(data.ndim, data.shape[0] // 2)
    return np.asarray(affine_transform(data, turn, offset=centre - turn @ centre, order=1))


def _crop(data: Array, n: int, axes: tuple[int, ...]) -> Array:
    """Reduce the sampling by cutting out the centre of the Fourier transform."""
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(data, axes), axes=axes), axes)
    for axis in axes:
        start = data.shape[axis] // 2 - n // 2
        transform = np.take(transform, np.arange(start, start + n), axis=axis)
    back = np.fft.ifftn(np.fft.ifftshift(transform, axes), axes=axes).real
    return np.asarray(np.fft.fftshift(back, axes))


def _soft_circle(n: int, angpix: float, diameter_angst: float) -> Array:
    axis = (np.arange(n) - n // 2) * angpix
    radius = np.hypot(axis[:, None], axis[None])
    edge = (diameter_angst / 2 + EDGE_ANGST / 2 - radius) / EDGE_ANGST
    return np.asarray(np.clip(edge, 0, 1))

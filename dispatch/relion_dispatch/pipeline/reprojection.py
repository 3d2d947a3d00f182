"""Does a map look, from all sides, like the 2D class averages of its particles?

2D classification knows nothing of the map, so this is evidence from outside: a wrong map has views
that no particle shows, and lacks some that they do. It is what a person checks by eye.
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

if TYPE_CHECKING:
    from relion_dispatch.pipeline.tables import ClassStatistics

Array = NDArray[np.float64]

#: Å; coarser than any initial model, fine enough to tell a wrong one.
RESOLUTION_ANGST = 25.0
STEP_DEG = 12.0
#: Pixels per resolution: a little more than Nyquist's two, for interpolation.
SAMPLING = 2.6
#: Å; soft edge of the circular mask.
EDGE_ANGST = 12.0
#: px, at the coarse sampling; class averages are not perfectly centred.
MAX_SHIFT = 2
BUTTERWORTH_ORDER = 10
FULL_SPHERE_DEG2 = 4 * math.pi * (180 / math.pi) ** 2
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
    volume, angpix = _read(map_)
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


def _read(path: Path) -> tuple[Array, float]:
    import mrcfile

    try:
        with mrcfile.open(path) as handle:
            return np.asarray(handle.data, dtype=np.float64), float(handle.voxel_size.x)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as MRC: {error}") from error


def _averages(classes: Sequence[ClassStatistics]) -> tuple[Array, float]:
    stacks: dict[str, tuple[Array, float]] = {}
    images = []
    for each in classes:
        number, _, stack = each.image.rpartition("@")
        if stack not in stacks:
            stacks[stack] = _read(Path(stack))
        images.append(stacks[stack][0][int(number or 1) - 1])
    return np.array(images), stacks[stack][1]


def agreement(volume: Array, averages: Array, box_angst: float, diameter_angst: float) -> Array:
    """Correlate each class average with its best projection, over all views, turns and shifts.

    Both are reduced to :data:`RESOLUTION_ANGST`, masked, and given the same flattened (square
    root) radial amplitudes, so that neither sharpening nor contrast matters.

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
        Shape (classes,), at most 1.
    """
    n = 2 * math.ceil(SAMPLING * box_angst / RESOLUTION_ANGST / 2)
    n = min(n, volume.shape[0], averages.shape[-1])
    mask = _soft_circle(n, box_angst / n, diameter_angst)
    rings, weight = _rings(n, box_angst)
    views = np.fft.fft2(_projections(_reduce(volume, n)) * mask)
    views *= (_flatten(views, rings) * weight)[None]
    views /= np.sqrt((np.abs(views) ** 2).sum((1, 2), keepdims=True))
    return np.array(
        [_best(average * mask, views, rings, weight) for average in _reduce2(averages, n)]
    )


def _best(
    average: Array, views: NDArray[np.complex128], rings: NDArray[np.int_], weight: Array
) -> float:
    from scipy.ndimage import rotate

    n = average.shape[0]
    near = np.r_[0 : MAX_SHIFT + 1, -MAX_SHIFT:0]
    best = -1.0
    for angle in np.arange(0, 360, STEP_DEG):
        turned = np.fft.fft2(rotate(average, angle, reshape=False, order=1))
        turned *= _flatten(turned[None], rings) * weight
        turned /= np.sqrt((np.abs(turned) ** 2).sum())
        shifted = np.fft.ifft2(views.conj() * turned).real * n * n
        best = max(best, float(shifted[:, near][:, :, near].max()))
    return best


def directions() -> Array:
    """Spread views evenly over the sphere (Fibonacci lattice); rot and tilt in degrees, (n, 2)."""
    count = round(FULL_SPHERE_DEG2 / STEP_DEG**2)
    index = np.arange(count) + 0.5
    rot = np.degrees(np.pi * (1 + math.sqrt(5)) * index) % 360
    return np.stack([rot, np.degrees(np.arccos(1 - 2 * index / count))], axis=1)


def _projections(volume: Array) -> Array:
    from scipy.ndimage import affine_transform
    from scipy.spatial.transform import Rotation

    centre = np.full(3, volume.shape[0] // 2)
    views = []
    for rot, tilt in directions():
        turn = Rotation.from_euler("ZYZ", [rot, tilt, 0], degrees=True).as_matrix()
        turned = affine_transform(volume, turn, offset=centre - turn @ centre, order=1)
        views.append(turned.sum(axis=0))
    return np.array(views)


def _reduce(volume: Array, n: int) -> Array:
    return _crop(volume, n, axes=(0, 1, 2))


def _reduce2(images: Array, n: int) -> Array:
    return _crop(images, n, axes=(1, 2))


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
    return np.clip((diameter_angst / 2 + EDGE_ANGST / 2 - radius) / EDGE_ANGST, 0, 1)


def _rings(n: int, box_angst: float) -> tuple[NDArray[np.int_], Array]:
    """Give each Fourier pixel's ring, and the low-pass filter (Butterworth, without the mean)."""
    axis = np.fft.fftfreq(n) * n
    radius = np.hypot(axis[:, None], axis[None])
    weight = 1 / (1 + (radius / box_angst * RESOLUTION_ANGST) ** BUTTERWORTH_ORDER)
    weight[0, 0] = 0
    return np.rint(radius).astype(int), weight


def _flatten(transforms: NDArray[np.complex128], rings: NDArray[np.int_]) -> Array:
    """Factor that turns the mean radial amplitude into its square root."""
    power = (np.abs(transforms) ** 2).mean(axis=0)
    mean = np.bincount(rings.ravel(), power.ravel()) / np.bincount(rings.ravel())
    # The fourth root of the power is the square root of the amplitude.
    return np.asarray((np.maximum(mean, 1e-30) ** -0.25)[rings])

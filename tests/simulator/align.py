"""Bring a map into the position of another one, whatever its orientation, shift and hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import affine_transform, map_coordinates
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from .fourier import fourier_resize, lowpass, within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .fourier import Floats

_GRID = 3000  # rotations of the grid for C1: neighbours are about 17 degrees apart
_KEEP = {"C1": 10, "D2": 3}  # of the starts, to refine


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a map lies in relation to the truth.

    The aligned map at ``x`` (z, y, x; Å from the origin) is the map, or its mirror image if
    ``mirrored``, at ``matrix @ (x - shift)``.
    """

    matrix: Floats
    shift: Floats
    mirrored: bool


class _Level(NamedTuple):
    """A pair of maps at one sampling, filtered for one step of the search."""

    volume: Floats
    truth: Floats
    mask: Floats
    angpix: float

    def reduced(self, angpix: float, resolution: float) -> _Level:
        """Return the pair low-passed at ``resolution``, with pixels of about ``angpix`` Å."""
        old = self.volume.shape[0]
        box = min(old, 2 * round(old * self.angpix / angpix / 2))
        sigma = resolution / np.pi  # leaves exp(-2) of the amplitudes there
        return _Level(
            volume=fourier_resize(lowpass(self.volume, self.angpix, sigma), box),
            truth=fourier_resize(lowpass(self.truth, self.angpix, sigma), box),
            mask=fourier_resize(self.mask, box),
            angpix=self.angpix * old / box,
        )


def mirror(volume: Floats) -> Floats:
    """Return the map reflected in the plane z = 0 through its origin at ``n // 2`` (n even)."""
    return np.roll(volume[::-1], 1, axis=0)


def transform(volume: Floats, pose: Pose, angpix: float) -> Floats:
    """Return the map in its pose.

    Interpolated with cubic splines on a grid twice as fine, which loses little up to Nyquist.
    """
    box = volume.shape[0]
    handed = mirror(volume) if pose.mirrored else volume
    fine = fourier_resize(within(handed, angpix, 2 * angpix), 2 * box)
    offset = box - 2 * pose.matrix @ (box // 2 + pose.shift / angpix)
    return np.asarray(affine_transform(fine, 2 * pose.matrix, offset, output_shape=volume.shape))


def correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's correlation of two arrays; 0 if one is constant."""
    one, two = first - first.mean(), second - second.mean()
    norm = np.sqrt(np.sum(one**2) * np.sum(two**2))
    return float(np.sum(one * two) / norm) if norm > 0 else 0.0


def relabellings() -> Floats:
    """Return the six ways to name D2's two-fold axes x, y and z, shape (6, 3, 3).

    One rotation of each coset of D2 in the octahedral group: the others only add a symmetry
    operation of the truth's own.
    """
    permutations = np.eye(3)[np.array(list(itertools.permutations(range(3))))]
    return np.asarray(permutations * np.linalg.det(permutations).round()[:, None, None])


def rotation_grid(count: int) -> Floats:
    """Return rotations spread evenly over all orientations, shape (count, 3, 3).

    Super-Fibonacci spirals: Alexa (2022), Proc. IEEE/CVF CVPR.
    """
    s = np.arange(count) + 0.5
    near, far = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * np.pi * s / np.sqrt(2), 2 * np.pi * s / 1.533751168755204288118041
    quaternions = np.stack(
        [near * np.sin(alpha), near * np.cos(alpha), far * np.sin(beta), far * np.cos(beta)], axis=1
    )
    return np.asarray(Rotation.from_quat(quaternions).as_matrix())


def align(volume: Floats, truth: Floats, mask: Floats, angpix: float, symmetry: str = "C1") -> Pose:
    """Find the pose of a map in relation to the truth.

    Every start (for D2 the relabellings of its axes, else a grid) in both hands, best shift by
    Fourier correlation, at 30 Å; the best ones refined at 20 Å; the best of them at 8 Å.

    Parameters
    ----------
    volume, truth, mask
        Cubic, of one even size, ``angpix`` Å a pixel; the mask is about the truth.
    symmetry
        The specimen's: ``D2`` (the map's axes along x, y and z too) or ``C1``.
    """
    pair = _Level(volume, truth, mask, angpix)
    coarse, middle, full = pair.reduced(10, 30), pair.reduced(7, 20), pair.reduced(angpix, 8)
    starts = relabellings() if symmetry == "D2" else rotation_grid(_GRID)
    scored = sorted(_score_starts(coarse, starts), key=lambda pair: -pair[0])
    found = [_refine(middle, pose, 0.15, 8.0) for _, pose in scored[: _KEEP[symmetry]]]
    return _refine(full, max(found, key=lambda pair: pair[0])[1], 0.03, 2.0)[1]


def _score_starts(level: _Level, rotations: Iterable[Floats]) -> list[tuple[float, Pose]]:
    """Return each rotation in both hands with its best shift, and the correlation there."""
    target = (level.truth - level.truth.mean()) * level.mask
    conjugate = np.fft.rfftn(target).conj() / np.linalg.norm(target)
    scored = []
    hands = ((False, level.volume), (True, mirror(level.volume)))
    for matrix in rotations:
        for mirrored, volume in hands:
            score, shift = _best_shift(volume, matrix, conjugate)
            pose = Pose(matrix=matrix, shift=shift * level.angpix, mirrored=mirrored)
            scored.append((score, pose))
    return scored


def _best_shift(volume: Floats, matrix: Floats, conjugate: Floats) -> tuple[float, Floats]:
    """Return the correlation of a rotated map with the truth at the best shift (voxels)."""
    centre = np.array(volume.shape) // 2
    turned = affine_transform(volume, matrix, centre - matrix @ centre, order=1)
    turned -= turned.mean()
    cross = np.fft.irfftn(np.fft.rfftn(turned) * conjugate)  # the box is even
    peak = np.array(np.unravel_index(np.argmax(cross), volume.shape))
    shift = -((peak + centre) % volume.shape - centre)
    return float(cross.max() / np.linalg.norm(turned)), shift


def _refine(level: _Level, start: Pose, turn: float, step: float) -> tuple[float, Pose]:
    """Return the best correlation near a pose, and the pose there.

    ``turn`` (radians) and ``step`` (Å) are the first moves along each of the six directions.
    """
    volume = mirror(level.volume) if start.mirrored else level.volume
    box = volume.shape[0]
    fine = fourier_resize(volume, 2 * box)  # so fine that linear interpolation is good enough
    inside = np.argwhere(level.mask > 0.5)
    target = level.truth[tuple(inside.T)]
    places = inside - box // 2

    def pose(moves: Floats) -> Pose:
        matrix = start.matrix @ Rotation.from_rotvec(moves[:3] * turn).as_matrix()
        return Pose(matrix=matrix, shift=start.shift + moves[3:] * step, mirrored=start.mirrored)

    def loss(moves: Floats) -> float:
        p = pose(moves)
        where = 2 * (places - p.shift / level.angpix) @ p.matrix.T + box
        return -correlation(map_coordinates(fine, where.T, order=1), target)

    simplex = np.vstack([np.zeros(6), np.eye(6)])
    result = minimize(
        loss,
        np.zeros(6),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxiter": 250, "xatol": 0.02, "fatol": 1e-5},
    )
    return -float(result.fun), pose(result.x)

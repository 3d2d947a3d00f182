"""The specimen: a pseudo-protein of alpha-helices, its projections and its true map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .fourier import half_frequencies, squared_frequencies

if TYPE_CHECKING:
    from numpy.random import Generator

    from .fourier import Floats
    from .settings import Settings

_OPERATORS = {
    "C1": ((1, 1, 1),),
    "D2": ((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)),
}
_CLEARANCE = 8.5  # Å between two helix axes
_RISE, _TURN = 1.5, np.deg2rad(100)  # of an alpha-helix, per residue
_TRIES = 20_000


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Where an asymmetric unit's helices may lie: an ellipsoid, and off the symmetry axes.

    ``semi_axes`` (Å) of the ellipsoid about the origin; ``centre`` (Å) of the cube that proposals
    are drawn from; ``least_xy`` is how far (Å) from the planes x = 0 and y = 0 to stay.
    """

    radius: float
    semi_axes: Floats
    centre: Floats
    least_xy: float

    def holds(self, point: Floats) -> bool:
        """Tell whether a point (x, y, z; Å) lies inside."""
        if np.sum((point / self.semi_axes) ** 2) >= 1:
            return False
        return bool(point[0] > self.least_xy and point[1] > self.least_xy)


class Helix(NamedTuple):
    """One end (Å), direction (a unit vector) and length (Å) of a helix axis."""

    start: Floats
    direction: Floats
    length: float


def envelope(symmetry: str, diameter: float) -> Envelope:
    """Return the envelope of one asymmetric unit of a specimen ``diameter`` Å across."""
    radius = diameter / 2
    if symmetry == "D2":
        return Envelope(
            radius=radius,
            semi_axes=np.array([radius, radius * 0.85, radius * 0.62]),
            centre=np.array([radius * 0.42, radius * 0.36, 0.0]),
            least_xy=3.0,
        )
    return Envelope(
        radius=radius,
        semi_axes=np.array([radius, radius * 0.8, radius * 0.62]),
        centre=np.zeros(3),
        least_xy=-np.inf,
    )


def pseudo_protein(rng: Generator, symmetry: str, diameter: float, helices: int) -> Floats:
    """Return the scatterers of a random bundle of alpha-helices and its symmetry mates.

    Parameters
    ----------
    symmetry
        ``C1`` or ``D2`` (two-fold axes along x, y and z, as RELION sets them).
    diameter
        Longest diameter, Å.
    helices
        How many to place in an asymmetric unit; fewer if no more fit.

    Returns
    -------
    Shape (n, 3): x, y, z in Å about the symmetry's origin. Two scatterers of equal weight a
    residue, backbone and side chain.
    """
    inside = envelope(symmetry, diameter)
    placed: list[Helix] = []
    axes: list[Floats] = []  # points along those placed
    for _ in range(_TRIES):
        if len(placed) == helices:
            break
        helix = _propose(rng, inside)
        axis = helix.start + helix.direction * helix.length * np.linspace(0, 1, 12)[:, np.newaxis]
        if inside.holds(axis[0]) and inside.holds(axis[-1]) and _is_clear(axis, axes):
            placed.append(helix)
            axes.append(axis)
    if not placed:
        raise ValueError(f"no helix fits a specimen {diameter} Å across; enlarge diameter")
    unit = np.concatenate([_scatterers(helix) for helix in placed])
    if symmetry == "C1":
        return np.asarray(unit - unit.mean(0))
    return np.asarray(np.concatenate([unit * np.array(signs) for signs in _OPERATORS[symmetry]]))


def _propose(rng: Generator, inside: Envelope) -> Helix:
    middle = inside.centre + rng.uniform(-inside.radius, inside.radius, 3)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    length = rng.uniform(18, 42)
    return Helix(middle - direction * length / 2, direction, length)


def _is_clear(axis: Floats, others: list[Floats]) -> bool:
    """Tell whether points of a helix axis, shape (n, 3), keep their distance from the others'."""
    gaps = (np.linalg.norm(axis[:, np.newaxis] - other, axis=-1).min() for other in others)
    return all(gap >= _CLEARANCE for gap in gaps)


def _scatterers(helix: Helix) -> Floats:
    """Return backbone (2.3 Å from the axis) and side chain (4.6 Å) of every residue in turn."""
    across = np.cross(helix.direction, [0.0, 0.0, 1.0])
    if np.linalg.norm(across) < 0.1:
        across = np.cross(helix.direction, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    third = np.cross(helix.direction, across)
    residue = np.arange(int(helix.length / _RISE))[:, np.newaxis]
    base = helix.start + helix.direction * _RISE * residue
    phase = _TURN * residue
    backbone = base + 2.3 * (across * np.cos(phase) + third * np.sin(phase))
    side = base + 4.6 * (across * np.cos(phase + 0.35) + third * np.sin(phase + 0.35))
    return np.stack([backbone, side], axis=1).reshape(-1, 3)


def aggregate(rng: Generator, scatterers: int, diameter: float, reach: float) -> Floats:
    """Return junk seen from above, shape (n, 2) in Å: a few blurred blobs near the origin.

    Parameters
    ----------
    scatterers
        About how many to make, for the contrast of a particle.
    reach
        Nothing lies further than this from either axis, Å.
    """
    blobs = int(rng.integers(3, 7))
    centres = rng.normal(0, diameter / 5, (blobs, 2))
    points = np.concatenate(
        [c + rng.normal(0, rng.uniform(6, 16), (scatterers // blobs, 2)) for c in centres]
    )
    return np.asarray(points[np.abs(points).max(axis=1) < reach])


def euler_matrix(rot: float, tilt: float, psi: float) -> Floats:
    """Return RELION's rotation matrix for Euler angles in degrees.

    A point ``r`` of the specimen (x, y, z) appears in the image at the first two elements of
    ``euler_matrix(...) @ r``: ZYZ, as ``Euler_angles2matrix`` in RELION's ``euler.cpp``.
    """
    (ca, cb, cg), (sa, sb, sg) = (
        np.cos(np.deg2rad([rot, tilt, psi])),
        np.sin(np.deg2rad([rot, tilt, psi])),
    )
    cc, cs, sc, ss = cb * ca, cb * sa, sb * ca, sb * sa
    return np.array(
        [
            [cg * cc - sg * sa, cg * cs + sg * ca, -cg * sb],
            [-sg * cc - cg * sa, -sg * cs + cg * ca, sg * sb],
            [sc, ss, cb],
        ]
    )


def splat(points: Floats, size: int, angpix: float) -> Floats:
    """Spread points linearly over the pixels around them.

    Parameters
    ----------
    points
        Shape (n, d) in Å, x first, about the grid's element ``size // 2``.

    Returns
    -------
    Shape (size,) * d with the *last* axis along x. `unblur` undoes the spreading's filter.
    """
    dimensions = points.shape[1]
    place = points / angpix + size // 2
    lower = np.floor(place).astype(int)
    fraction = place - lower
    strides = size ** np.arange(dimensions)
    grid = np.zeros(size**dimensions, dtype=np.float64)
    for corner in np.ndindex(*(2,) * dimensions):
        upper = np.array(corner[::-1], dtype=bool)
        weight = np.where(upper, fraction, 1 - fraction).prod(axis=1)
        index = ((lower + upper) * strides).sum(axis=1)
        grid += np.bincount(index, weight, minlength=grid.size)
    return grid.reshape((size,) * dimensions)


def scatterer_filter(size: int, angpix: float, sigma: float) -> Floats:
    """Return the Fourier transform of a scatterer (a Gaussian) over that of `splat`'s kernel.

    Shape (size, size // 2 + 1), for `rfft2` of a projection; ``sigma`` in Å.
    """
    kx, ky = half_frequencies(size, angpix)
    gaussian = np.exp(-2 * np.pi**2 * sigma**2 * (kx**2 + ky**2))
    return np.asarray(gaussian / (np.sinc(kx * angpix) ** 2 * np.sinc(ky * angpix) ** 2))


def true_map(atoms: Floats, settings: Settings) -> Floats:
    """Return the density of the specimen on the settings' box, shape (box,) * 3, axes z, y, x.

    The exact Fourier sum over all scatterers up to Nyquist: nothing is gridded or aliased.
    """
    s = settings
    along_z, along_y, along_x = (
        np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(s.box, s.angpix), atoms[:, axis]))
        for axis in (2, 1, 0)
    )
    planes = (along_y[:, np.newaxis, :] * along_x).reshape(s.box**2, -1)
    waves = (along_z @ planes.T).reshape((s.box,) * 3)
    gaussian = np.exp(-2 * np.pi**2 * s.atom_sigma**2 * squared_frequencies(s.box, s.angpix))
    return np.fft.fftshift(np.fft.ifftn(waves * gaussian).real)

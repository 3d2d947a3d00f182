"""How good picks and defocus values are, against the true ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fourier import Floats


@dataclass(frozen=True, kw_only=True)
class PickScore:
    """Picks against true particles.

    ``recall`` is the part of the true particles that were picked, ``precision`` the part of the
    picks that are true; the errors are those of the matched picks' positions, Å; ``offset_x`` and
    ``offset_y`` their mean.
    """

    particles: int
    picks: int
    matched: int
    recall: float
    precision: float
    rms_error: float
    median_error: float
    offset_x: float
    offset_y: float


@dataclass(frozen=True, kw_only=True)
class DefocusScore:
    """Estimated against true defocus.

    ``rms_percent`` and ``worst_percent`` are of the mean of U and V, relative to it; ``offset``
    is the mean error of that mean, Å; ``rms_astigmatism`` is the error of astigmatism as a vector
    of length (U-V)/2 and twice the angle, Å: it takes size and angle together.
    """

    micrographs: int
    missing: int
    rms_percent: float
    worst_percent: float
    offset: float
    rms_astigmatism: float


def match(picks: Floats, truth: Floats, tolerance: float) -> Floats:
    """Pair picks and true positions, one to one, nearest in sum, none beyond the tolerance.

    Parameters
    ----------
    picks, truth
        Shapes (n, 2) and (m, 2), in one unit with ``tolerance``.

    Returns
    -------
    Shape (pairs, 2): each matched pick minus its true position.
    """
    difference = picks[:, np.newaxis] - truth
    distance = np.linalg.norm(difference, axis=-1)
    # A pair too far apart costs more than any number of good ones, so it never displaces them.
    cost = np.where(distance <= tolerance, distance, tolerance * (1 + len(truth)) * 10)
    row, column = linear_sum_assignment(cost)
    good = distance[row, column] <= tolerance
    return np.asarray(difference[row, column][good])


def score_picks(
    picks: Mapping[str, Floats], truth: Mapping[str, Floats], tolerance: float
) -> PickScore:
    """Compare picks with the truth, movie by movie.

    Parameters
    ----------
    picks, truth
        Positions by movie, shape (n, 2) each, Å.
    tolerance
        How far from a particle's centre a pick still finds it, Å.
    """
    nothing = np.zeros((0, 2))
    pairs = [match(picks.get(name, nothing), true, tolerance) for name, true in truth.items()]
    errors = np.concatenate([nothing, *pairs])
    lengths = np.linalg.norm(errors, axis=1) if len(errors) else np.array([np.nan])
    offset = errors.mean(0) if len(errors) else np.full(2, np.nan)
    particles, picked = sum(map(len, truth.values())), sum(map(len, picks.values()))
    return PickScore(
        particles=particles,
        picks=picked,
        matched=len(errors),
        recall=len(errors) / max(particles, 1),
        precision=len(errors) / max(picked, 1),
        rms_error=float(np.sqrt(np.mean(lengths**2))),
        median_error=float(np.median(lengths)),
        offset_x=float(offset[0]),
        offset_y=float(offset[1]),
    )


def score_defocus(found: Mapping[str, Floats], truth: Mapping[str, Floats]) -> DefocusScore:
    """Compare estimated with true defocus; both (U, V, angle) by movie, Å and degrees.

    Raises
    ------
    ValueError
        If no movie has an estimate.
    """
    names = [name for name in truth if name in found]
    if not names:
        raise ValueError("no simulated movie has an estimated defocus")
    estimate, true = np.array([found[n] for n in names]), np.array([truth[n] for n in names])
    error = estimate[:, :2].mean(1) - true[:, :2].mean(1)
    percent = 100 * np.abs(error) / true[:, :2].mean(1)
    skew = np.linalg.norm(_astigmatism(estimate) - _astigmatism(true), axis=1)
    return DefocusScore(
        micrographs=len(names),
        missing=len(truth) - len(names),
        rms_percent=float(np.sqrt(np.mean(percent**2))),
        worst_percent=float(percent.max()),
        offset=float(error.mean()),
        rms_astigmatism=float(np.sqrt(np.mean(skew**2))),
    )


def _astigmatism(defocus: Floats) -> Floats:
    """Return astigmatism as vectors, shape (n, 2), Å, from U, V, angle of shape (n, 3)."""
    size, angle = (defocus[:, 0] - defocus[:, 1]) / 2, np.deg2rad(2 * defocus[:, 2])
    return np.stack([size * np.cos(angle), size * np.sin(angle)], axis=1)

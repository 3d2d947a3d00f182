"""The exhaustive search: least squares with background and envelope solved for at every point.

For a given defocus the model of `relion_dispatch.ctf.rings`, with B and S as plain polynomials, is
linear, so each trial costs one small solution of normal equations. Their sums add up over
directions: they are tabulated once for each sector and defocus, and any astigmatism is then a
matter of picking each sector's entry at that sector's defocus. (CTFFIND4 searches the rotational
average first and astigmatism afterwards, or every spectrum pixel in its exhaustive mode; Rohou &
Grigorieff 2015, section 2.4.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relion_dispatch.ctf.model import Floats, Integers, Optics, defocus_phase
from relion_dispatch.ctf.rings import Rings

BACKGROUND_TERMS = 5
SIGNAL_TERMS = 2
DIRECTIONS = 12
# Largest change of the phase, in radians, from one defocus to the next at the highest frequency:
# with larger ones the grid steps over narrow peaks.
PHASE_STEP = 0.8
# Finer grids than these find nothing that refining from them misses, in Å.
FINEST_DEFOCUS_STEP = 100.0
FINEST_ASTIGMATISM_STEP = 250.0
# Without a restraint an exhaustive search goes this far: U - V of twice as much, in Å.
MAX_HALF_ASTIGMATISM = 2000.0
# Peaks lower than this part of the best one are not worth refining.
WORTHWHILE = 0.8


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to look for, in CTFFIND's terms.

    Parameters
    ----------
    min_resolution, max_resolution
        Range of resolutions to fit, in Å (30 and 5, say).
    min_defocus, max_defocus, defocus_step
        Defocus values to try, in Å.
    astigmatism_tolerance
        Expected U - V in Å, a Gaussian restraint; None for no restraint.
    exhaustive
        Search over astigmatism too, rather than only refining it.
    phase_shifts
        Additional phase shifts to try, in radians; one value is taken as known.
    """

    min_resolution: float
    max_resolution: float
    min_defocus: float
    max_defocus: float
    defocus_step: float
    astigmatism_tolerance: float | None = None
    exhaustive: bool = True
    phase_shifts: tuple[float, ...] = (0.0,)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One peak of the search.

    Parameters
    ----------
    defocus
        Mean defocus in Å.
    cos2, sin2
        Parts of the astigmatism in Å.
    phase_shift
        Additional phase shift in radians.
    gain
        How much better than background alone the rings explain the spectrum: the drop of χ².
    """

    defocus: float
    cos2: float
    sin2: float
    phase_shift: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """Sums of the normal equations for each sector and defocus, and those of the background."""

    sums: Floats  # (sectors, defoci, 4 + 2 background terms + 2)
    background: Floats  # (terms, terms)
    background_data: Floats  # (terms,)


def find_candidates(
    rings: Rings, optics: Optics, search: Search, count: int = 3
) -> list[Candidate]:
    """Search defocus, astigmatism and phase shift on a grid.

    Parameters
    ----------
    rings
        The spectrum.
    optics
        The microscope.
    search
        What to try.
    count
        Most peaks to return.

    Returns
    -------
    list of Candidate
        Best first; at least one.
    """
    half = half_astigmatism(search)
    step = _defocus_step(rings, optics, search)
    steps = round((search.max_defocus - search.min_defocus) / step) + 1
    # Astigmatism reaches beyond the range of mean defocus on either side.
    margin = math.ceil(half / step)
    defoci = search.min_defocus + step * np.arange(-margin, steps + margin, dtype=np.float64)
    tried = np.arange(margin, margin + steps)
    found = []
    for phase_shift in search.phase_shifts:
        tables = _tabulate(rings, optics, defoci, phase_shift)
        gain, cos2, sin2 = _best_astigmatism(tables, rings, search, tried, step)
        found += [
            Candidate(
                defocus=float(defoci[tried[i]]),
                cos2=float(cos2[i]),
                sin2=float(sin2[i]),
                phase_shift=phase_shift,
                gain=float(gain[i]),
            )
            for i in _peaks(gain)
        ]
    found.sort(key=lambda candidate: -candidate.gain)
    return [c for c in found if c.gain >= WORTHWHILE * found[0].gain][:count]


def half_astigmatism(search: Search) -> float:
    """Largest half astigmatism to try in Å: four times what is tolerated."""
    if not search.exhaustive:
        return 0.0
    if search.astigmatism_tolerance is None:
        return MAX_HALF_ASTIGMATISM
    return min(2 * search.astigmatism_tolerance, MAX_HALF_ASTIGMATISM)


def _defocus_step(rings: Rings, optics: Optics, search: Search) -> float:
    coarsest = PHASE_STEP / (math.pi * optics.wavelength * rings.band.k_max**2)
    return max(min(search.defocus_step, coarsest), FINEST_DEFOCUS_STEP)


def _tabulate(rings: Rings, optics: Optics, defoci: Floats, phase_shift: float) -> _Tables:
    offset = optics.amplitude_phase + phase_shift
    sums = []
    background = np.zeros((BACKGROUND_TERMS, BACKGROUND_TERMS))
    background_data = np.zeros(BACKGROUND_TERMS)
    basis = rings.basis(BACKGROUND_TERMS)
    for sector in range(rings.bins.sectors):
        inside = rings.bins.sector == sector
        smooth = basis[inside]
        envelope = smooth[:, :SIGNAL_TERMS]
        weighted = smooth * rings.bins.count[inside, None]
        data = rings.scaled[inside]
        gamma = defocus_phase(optics, defoci[:, None], rings.bins.k2[inside]) + offset
        squared = np.sin(gamma) ** 2
        quartic = squared**2 @ _products(weighted[:, :SIGNAL_TERMS], envelope)
        mixed = squared @ _products(weighted, envelope)
        linear = squared @ (weighted[:, :SIGNAL_TERMS] * data[:, None])
        sums.append(np.concatenate([quartic, mixed, linear], axis=1))
        background += weighted.T @ smooth
        background_data += weighted.T @ data
    return _Tables(sums=np.stack(sums), background=background, background_data=background_data)


def _products(left: Floats, right: Floats) -> Floats:
    """All products of two bases at each bin: (m, a) and (m, b) to (m, a b)."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _best_astigmatism(
    tables: _Tables, rings: Rings, search: Search, tried: Integers, step: float
) -> tuple[Floats, Floats, Floats]:
    """Best gain over all astigmatisms for each defocus, and that astigmatism."""
    sectors = rings.bins.sectors
    direction = ((np.arange(sectors) + 0.5) / sectors - 0.5) * np.pi
    best = np.full(len(tried), -np.inf)
    best_cos2, best_sin2 = np.zeros(len(tried)), np.zeros(len(tried))
    for cos2, sin2 in _astigmatisms(search):
        shift = (cos2 * np.cos(2 * direction) + sin2 * np.sin(2 * direction)) / step
        entries = tried + np.rint(shift).astype(np.int64)[:, None]
        entries = np.clip(entries, 0, tables.sums.shape[1] - 1)
        total = np.take_along_axis(tables.sums, entries[:, :, None], axis=1).sum(axis=0)
        gain = _gain(tables, total)
        if search.astigmatism_tolerance is not None:
            ratio = 2 * np.hypot(cos2, sin2) / search.astigmatism_tolerance
            gain -= ratio**2 * rings.dispersion
        better = gain > best
        best[better] = gain[better]
        best_cos2[better], best_sin2[better] = cos2, sin2
    return best, best_cos2, best_sin2


def _astigmatisms(search: Search) -> list[tuple[float, float]]:
    """Astigmatisms to try as (cos2, sin2) in Å: none, then wider and wider circles."""
    tried = [(0.0, 0.0)]
    step = max(search.defocus_step, FINEST_ASTIGMATISM_STEP)
    for ring in range(1, int(half_astigmatism(search) / step) + 1):
        size = ring * step
        angles = [2 * math.pi * i / DIRECTIONS for i in range(DIRECTIONS)]
        tried += [(size * math.cos(angle), size * math.sin(angle)) for angle in angles]
    return tried


def _gain(tables: _Tables, total: Floats) -> Floats:
    """Drop of χ² when rings join the background, 0 where they would have to be negative."""
    quartic = total[:, : SIGNAL_TERMS**2].reshape(-1, SIGNAL_TERMS, SIGNAL_TERMS)
    mixed = total[:, SIGNAL_TERMS**2 : -SIGNAL_TERMS].reshape(-1, BACKGROUND_TERMS, SIGNAL_TERMS)
    linear = total[:, -SIGNAL_TERMS:]
    projected = np.linalg.inv(tables.background) @ mixed
    normal = quartic - mixed.transpose(0, 2, 1) @ projected
    right = linear - tables.background_data @ projected
    scale = np.trace(normal, axis1=1, axis2=2)
    normal += 1e-6 * scale[:, None, None] * np.eye(SIGNAL_TERMS)
    signal = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    gain: Floats = np.sum(signal * right, axis=1)
    return np.where(signal[:, 0] > 0, gain, 0.0)


def _peaks(gain: Floats) -> list[int]:
    """Positions of local maxima, ends included."""
    padded = np.concatenate([[-np.inf], gain, [-np.inf]])
    peak = (gain >= padded[:-2]) & (gain > padded[2:])
    return [int(i) for i in np.flatnonzero(peak)] or [int(np.argmax(gain))]

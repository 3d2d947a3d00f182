"""From a spectrum to an estimate: bin, search, refine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from relion_dispatch.ctf.model import Ctf, Optics
from relion_dispatch.ctf.refine import Refined, refine
from relion_dispatch.ctf.rings import Range, Rings, prepare
from relion_dispatch.ctf.search import Search, find_candidates
from relion_dispatch.ctf.spectrum import Grid, Spectrum, bin_spectrum
from relion_dispatch.errors import InputError

SECTORS = 24
MIN_RINGS = 16
# The last few per cent before Nyquist suffer from interpolation.
NYQUIST_PART = 0.97


@dataclass(frozen=True, kw_only=True)
class Fit:
    """An estimate and what it rests on.

    Parameters
    ----------
    ctf
        The estimate.
    rings
        The spectrum that was fitted.
    refined
        Background, envelope and standard error.
    gain
        How much better than background alone the rings explain the spectrum, in units of the noise:
        noise alone reaches 25.
    """

    ctf: Ctf
    rings: Rings
    refined: Refined
    gain: float


def estimate(spectrum: Spectrum, pixels: Grid, optics: Optics, search: Search) -> Fit:
    """Estimate the CTF.

    Parameters
    ----------
    spectrum, pixels
        A power spectrum and its `grid`.
    optics
        The microscope.
    search
        What to look for.

    Returns
    -------
    Fit
        The most likely of the refined candidates.

    Raises
    ------
    InputError
        When the range of resolutions holds too few pixels of the spectrum, or nothing but zeros.
    """
    nyquist = 0.5 / spectrum.angpix
    k_max = min(1 / search.max_resolution, NYQUIST_PART * nyquist)
    band = Range(k_min=1 / search.min_resolution, k_max=k_max)
    if (band.k_max - band.k_min) / spectrum.step < MIN_RINGS:
        raise InputError(
            f"only {max(band.k_max - band.k_min, 0) / spectrum.step:.0f} rings of the spectrum lie"
            f" between {search.min_resolution:g} and {1 / band.k_max:.3g} Å: "
            "widen the range of resolutions or enlarge the box"
        )
    rings = prepare(bin_spectrum(spectrum, pixels, band.k_min, band.k_max, SECTORS), band)
    candidates = find_candidates(rings, optics, search)
    fits = [refine(rings, optics, search, candidate) for candidate in candidates]
    best = min(fits, key=lambda fit: fit.deviance)
    return Fit(
        ctf=_wrapped(best.ctf, search),
        rings=rings,
        refined=best,
        gain=candidates[0].gain / rings.dispersion,
    )


def _wrapped(ctf: Ctf, search: Search) -> Ctf:
    """Bring a phase shift back into the searched range where adding half turns can."""
    low, high = min(search.phase_shifts), max(search.phase_shifts)
    turns = math.floor((ctf.phase_shift - low) / math.pi)
    wrapped = ctf.phase_shift - turns * math.pi
    return replace(ctf, phase_shift=wrapped) if wrapped <= high else ctf

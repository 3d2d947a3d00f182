"""The model of a power spectrum: smooth background plus Thon rings under a smooth envelope.

``P(k, θ) = E(k) [B(k) + S(k) sin² γ(k, θ)]`` with E a smooth curve through the spectrum that takes
out its orders of magnitude, and B and S exponentials of low polynomials: both stay positive and
follow a real spectrum's decay with few numbers. CTFFIND4 instead removes a moving average first;
fitting background and rings together costs no rings where they are wide and few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relion_dispatch.ctf.model import Floats
from relion_dispatch.ctf.spectrum import Bins
from relion_dispatch.errors import InputError

ENVELOPE_TERMS = 5
# Part of the bins that may be without power; in an image from a microscope, none is.
MAX_EMPTY = 0.05


@dataclass(frozen=True, kw_only=True)
class Range:
    """Range of spatial frequencies that is fitted, in 1/Å."""

    k_min: float
    k_max: float

    def basis(self, k: Floats, terms: int) -> Floats:
        """Chebyshev polynomials over the range, constant beyond it.

        Parameters
        ----------
        k
            Frequencies in 1/Å, shape (m,).
        terms
            Number of polynomials.

        Returns
        -------
        ndarray
            Shape (m, terms).
        """
        t = (k - self.k_min) / (self.k_max - self.k_min) * 2 - 1
        angle = np.arccos(np.clip(t, -1.0, 1.0))
        return np.cos(angle[:, None] * np.arange(terms))


@dataclass(frozen=True, kw_only=True)
class Rings:
    """A binned spectrum made ready for fitting; arrays have one element for each bin.

    Parameters
    ----------
    bins
        The bins.
    band
        Fitted range of frequencies.
    k
        Frequencies in 1/Å.
    scaled
        Power divided by the envelope: about 1 everywhere.
    envelope
        Chebyshev coefficients of the envelope's logarithm.
    dispersion
        Variance of ``scaled`` for a single pixel: 1 for one unaveraged periodogram.
    """

    bins: Bins
    band: Range
    k: Floats
    scaled: Floats
    envelope: Floats
    dispersion: float

    def basis(self, terms: int) -> Floats:
        """Chebyshev polynomials at the bins."""
        return self.band.basis(self.k, terms)


def prepare(bins: Bins, band: Range) -> Rings:
    """Divide the bins by a smooth envelope and measure their noise.

    Parameters
    ----------
    bins
        A binned spectrum.
    band
        The range of frequencies it was binned over.

    Raises
    ------
    InputError
        When parts of the spectrum hold no power.
    """
    k = np.sqrt(bins.k2)
    floor = 1e-9 * float(np.mean(bins.power))
    empty = float(np.mean(bins.power <= floor))
    if empty > MAX_EMPTY:
        raise InputError(
            f"{empty:.0%} of the spectrum between {1 / band.k_min:.3g} and {1 / band.k_max:.3g} Å"
            " are empty: is the image constant, or filtered beyond the maximum resolution?"
        )
    basis = band.basis(k, ENVELOPE_TERMS)
    weight = np.sqrt(bins.count)
    log_power = np.log(np.maximum(bins.power, floor))
    solution = np.linalg.lstsq(basis * weight[:, None], log_power * weight, rcond=None)
    envelope: Floats = solution[0]
    scaled = bins.power / np.exp(basis @ envelope)
    level = float(np.average(scaled, weights=bins.count))
    envelope[0] += np.log(level)
    scaled = scaled / level
    return Rings(
        bins=bins,
        band=band,
        k=k,
        scaled=scaled,
        envelope=envelope,
        dispersion=_dispersion(bins, scaled),
    )


def _dispersion(bins: Bins, scaled: Floats) -> float:
    """Noise from the differences of neighbouring rings, whatever the rings' shape is."""
    next_ring = (np.diff(bins.ring) == 1) & (np.diff(bins.sector) == 0)
    inverse = 1.0 / bins.count
    spread = np.abs(np.diff(scaled)) / np.sqrt(inverse[1:] + inverse[:-1])
    # 0.6745: median of the absolute value of a standard normal variable.
    return float(max((np.median(spread[next_ring]) / 0.6745) ** 2, 1e-9))

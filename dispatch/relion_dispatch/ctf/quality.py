"""How good a fit is, and the pictures of it: score, radial profiles, diagnostic image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relion_dispatch.ctf.estimate import Fit
from relion_dispatch.ctf.model import Floats, Integers, Optics, defocus_phase, equiphase_k2, phase
from relion_dispatch.ctf.rings import Range
from relion_dispatch.ctf.spectrum import Grid, Spectrum

# CTFFIND4 ends the rings where the correlation of profile and fit falls below this.
GOOD_FIT = 0.5
MIN_HALF_WINDOW = 8
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Radial curves; each array has one element for each ring from zero frequency to Nyquist.

    Parameters
    ----------
    k
        Spatial frequency in 1/Å.
    rotational
        Rotational average of the amplitudes over their local median, less 1: it shows ice rings.
    equiphase
        Average along lines of equal phase, background removed, on the scale of ``ctf``.
    ctf
        Fitted CTF².
    quality
        Local correlation of ``equiphase`` and ``ctf``.
    noise
        Two standard deviations of that correlation for noise alone.
    """

    k: Floats
    rotational: Floats
    equiphase: Floats
    ctf: Floats
    quality: Floats
    noise: Floats


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is reported besides the CTF.

    Parameters
    ----------
    score
        Correlation, pixel by pixel, of the amplitudes without their background and |CTF|, over the
        fitted range: CTFFIND4's score (Rohou & Grigorieff 2015, eq. 8), so that thresholds carry
        over roughly. It falls with the noise of the spectrum, however good the fit is.
    max_resolution
        Resolution in Å up to which the rings follow the fit; where they do not even begin to, the
        lowest of the fitted range.
    profiles
        Radial curves.
    image
        Diagnostic image, shape (n, n): left half the fit, right half the spectrum.
    """

    score: float
    max_resolution: float
    profiles: Profiles
    image: Floats


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """The spectrum and the fit's smooth curves at each pixel, all divided by the envelope."""

    scaled: Floats
    level: Floats  # where the spectrum would be halfway between a bright and a dark ring
    signal: Floats
    gamma: Floats


def assess(spectrum: Spectrum, pixels: Grid, optics: Optics, fit: Fit) -> Quality:
    """Judge a fit.

    Parameters
    ----------
    spectrum, pixels
        The spectrum and its `grid`.
    optics
        The microscope.
    fit
        The estimate for this spectrum.
    """
    levels = _levels(spectrum, pixels, optics, fit)
    profiles = _profiles(spectrum, pixels, optics, fit, levels)
    return Quality(
        score=_score(pixels, fit, levels),
        max_resolution=_max_resolution(profiles, fit.rings.band),
        profiles=profiles,
        image=_image(levels),
    )


def _levels(spectrum: Spectrum, pixels: Grid, optics: Optics, fit: Fit) -> _Levels:
    # Tables over the rings instead of polynomials at every pixel.
    ring = np.rint(pixels.k / spectrum.step).astype(np.int64)
    k = np.arange(ring.max() + 1, dtype=np.float64) * spectrum.step
    basis = fit.rings.band.basis(k, max(len(fit.rings.envelope), len(fit.refined.background)))
    envelope, background, signal = (
        np.exp(basis[:, : len(terms)] @ terms)
        for terms in (fit.rings.envelope, fit.refined.background, fit.refined.signal)
    )
    scaled = spectrum.power / envelope[ring]
    level = background + signal / 2
    # The polynomials say nothing outside the fitted range, where a running median has to do.
    outside = (k < fit.rings.band.k_min) | (k > fit.rings.band.k_max)
    typical = _running_median(_ring_means(scaled, pixels.k / spectrum.step, pixels, len(k)))
    level[outside] = np.maximum(typical[outside], 1e-6)
    return _Levels(
        scaled=scaled,
        level=level[ring],
        signal=signal[ring],
        gamma=phase(optics, fit.ctf, pixels.k**2, pixels.cos2, pixels.sin2),
    )


def _score(pixels: Grid, fit: Fit, levels: _Levels) -> float:
    band = fit.rings.band
    inside = (pixels.k >= band.k_min) & (pixels.k <= band.k_max) & pixels.off_axes
    amplitudes = np.sqrt(levels.scaled[inside]) - np.sqrt(levels.level[inside])
    expected = np.abs(np.sin(levels.gamma[inside]))
    amplitudes -= np.mean(amplitudes)
    expected -= np.mean(expected)
    norm = math.sqrt(float(amplitudes @ amplitudes) * float(expected @ expected))
    return float(amplitudes @ expected) / norm if norm > 0 else 0.0


def _profiles(
    spectrum: Spectrum, pixels: Grid, optics: Optics, fit: Fit, levels: _Levels
) -> Profiles:
    mean = fit.ctf.components[0]
    offset = optics.amplitude_phase + fit.ctf.phase_shift
    rings = spectrum.size // 2 + 1
    k = np.arange(rings, dtype=np.float64) * spectrum.step
    symmetric = np.sqrt(equiphase_k2(optics, mean, levels.gamma - offset))
    excess = (levels.scaled - levels.level) / levels.signal
    equiphase = _ring_means(excess, symmetric / spectrum.step, pixels, rings) + 0.5
    rotational = _ring_means(np.sqrt(spectrum.power), pixels.k / spectrum.step, pixels, rings)
    ctf = np.sin(defocus_phase(optics, mean, k**2) + offset) ** 2
    half_window = _half_windows(optics, mean, k, spectrum.step)
    quality, noise = _local_correlation(equiphase, ctf, half_window)
    return Profiles(
        k=k,
        rotational=rotational / np.maximum(_running_median(rotational), _TINY) - 1.0,
        equiphase=equiphase,
        ctf=ctf,
        quality=quality,
        noise=noise,
    )


def _ring_means(values: Floats, radius: Floats, pixels: Grid, rings: int) -> Floats:
    """Mean of pixels off the axes within rings one pixel wide; empty ones are interpolated."""
    inside = pixels.off_axes & (radius < rings - 0.5)
    ring = np.rint(radius[inside]).astype(np.int64)
    count = np.bincount(ring, minlength=rings)
    total = np.bincount(ring, values[inside], minlength=rings)
    filled = np.flatnonzero(count)
    return np.interp(np.arange(rings), filled, total[filled] / count[filled])


def _running_median(profile: Floats) -> Floats:
    """A running median over an eighth of the profile's length."""
    half = max(len(profile) // 16, 1)
    padded = np.pad(profile, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    median: Floats = np.median(windows, axis=1)
    return median


def _half_windows(optics: Optics, mean: float, k: Floats, step: float) -> Integers:
    """Rings on either side to compare over: one and a half periods of CTF², within reason."""
    slope = np.abs(np.gradient(defocus_phase(optics, mean, k**2), step))
    period = np.pi / np.maximum(slope, 1e-9) / step
    return np.clip(np.rint(1.5 * period), MIN_HALF_WINDOW, len(k) // 8).astype(np.int64)


def _local_correlation(
    first: Floats, second: Floats, half_window: Integers
) -> tuple[Floats, Floats]:
    """Correlation of two curves in a window around each point, and its noise."""
    position = np.arange(len(first))
    low = np.maximum(position - half_window, 0)
    high = np.minimum(position + half_window + 1, len(first))
    count = (high - low).astype(np.float64)

    def mean(values: Floats) -> Floats:
        summed = np.concatenate([[0.0], np.cumsum(values)])
        average: Floats = (summed[high] - summed[low]) / count
        return average

    # Centred first, so that the running sums lose no digits.
    first, second = first - np.mean(first), second - np.mean(second)
    covariance = mean(first * second) - mean(first) * mean(second)
    variance = (mean(first**2) - mean(first) ** 2) * (mean(second**2) - mean(second) ** 2)
    quality = covariance / np.sqrt(np.maximum(variance, 1e-30))
    return np.clip(quality, -1.0, 1.0), np.minimum(2 / np.sqrt(count), 1.0)


def _max_resolution(profiles: Profiles, band: Range) -> float:
    good = (profiles.quality >= GOOD_FIT) & (profiles.k >= band.k_min)
    first = int(np.argmax(good))
    # Rings are seen from the low frequencies on; a match that starts further out is chance.
    if not good[first] or profiles.k[first] > (band.k_min + band.k_max) / 2:
        return 1 / band.k_min
    bad_after = np.flatnonzero(~good[first:])
    last = first + int(bad_after[0]) - 1 if len(bad_after) else len(good) - 1
    return float(1 / profiles.k[last])


def _image(levels: _Levels) -> Floats:
    """Put the fit beside the spectrum, both from 0 (no signal) to 1."""
    contrast = _smoothed(np.log(np.maximum(levels.scaled / levels.level, 1e-6)))
    spread = float(np.std(contrast)) or 1.0
    data = np.fft.fftshift(_whole(np.clip(contrast / (4 * spread) + 0.5, 0.0, 1.0)))
    image = np.fft.fftshift(_whole(np.sin(levels.gamma) ** 2))
    centre = data.shape[0] // 2
    image[:, centre:] = data[:, centre:]
    return image


def _smoothed(half_spectrum: Floats) -> Floats:
    """A 3 × 3 binomial filter; the first and last columns only along the other axis."""
    rows = (np.roll(half_spectrum, 1, 0) + np.roll(half_spectrum, -1, 0)) / 4 + half_spectrum / 2
    smooth = rows.copy()
    smooth[:, 1:-1] = (rows[:, :-2] + rows[:, 2:]) / 4 + rows[:, 1:-1] / 2
    return smooth


def _whole(half_spectrum: Floats) -> Floats:
    """Complete the half that `numpy.fft.rfft2` leaves out by Friedel symmetry."""
    mirrored = np.roll(half_spectrum[::-1], 1, axis=0)[:, -2:0:-1]
    return np.concatenate([half_spectrum, mirrored], axis=1)

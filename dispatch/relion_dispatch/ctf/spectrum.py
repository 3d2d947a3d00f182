"""Power spectra: from a micrograph, a movie or RELION's own amplitude spectrum; and their bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relion_dispatch.ctf.model import Booleans, Floats, Integers
from relion_dispatch.errors import InputError

Image = NDArray[np.floating]

# CTFFIND4 and RELION's motion correction both shrink finer images to this pixel size: a box of 512
# then spans enough of the specimen to resolve the rings of a high defocus.
TARGET_ANGPIX = 1.4
# Larger micrographs are cut into tiles of this size, which bounds memory and costs no accuracy.
MAX_TILE = 2048
# Part of a tile's width that fades to zero at each edge: enough against the cross that the edges'
# jump puts into the spectrum, while wider windows lose data.
TAPER = 1 / 32


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """A power spectrum.

    Parameters
    ----------
    power
        Squared amplitudes, shape (n, n // 2 + 1), laid out as `numpy.fft.rfft2` does.
    angpix
        Pixel size in Å of an n × n image with these frequencies.
    """

    power: Floats
    angpix: float

    @property
    def size(self) -> int:
        """The image's edge n in pixels."""
        return int(self.power.shape[0])

    @property
    def step(self) -> float:
        """Distance of neighbouring frequencies in 1/Å."""
        return 1.0 / (self.size * self.angpix)


def from_amplitudes(image: Image, angpix: float) -> Spectrum:
    """Take over an amplitude spectrum as RELION's motion correction writes it.

    Parameters
    ----------
    image
        Amplitudes, shape (n, n), n even, zero frequency at [n / 2, n / 2].
    angpix
        Pixel size in Å that belongs to it.

    Raises
    ------
    InputError
        When the image is not square with an even edge.
    """
    height, width = image.shape
    if height != width or width % 2:
        raise InputError(
            f"an amplitude spectrum is square with an even edge, this one is {width} x {height}"
        )
    half = np.fft.ifftshift(image)[:, : width // 2 + 1]
    return Spectrum(power=np.square(half, dtype=np.float64), angpix=angpix)


def from_frames(frames: list[Image], angpix: float, box: int, max_resolution: float) -> Spectrum:
    """Average the power spectra of images of one field.

    Each image is transformed whole (in large tiles where it is large), the finest frequencies are
    cut off where the pixels are smaller than needed, and the averaged spectrum is resampled to the
    box by shortening its autocorrelation, as RELION's motion correction does
    (src/motioncorr_runner.cpp).

    Parameters
    ----------
    frames
        Images of one shape (ny, nx): one micrograph, or groups of movie frames.
    angpix
        Their pixel size in Å.
    box
        Edge of the spectrum in pixels; less if the images are smaller.
    max_resolution
        Finest resolution in Å that the spectrum must keep.

    Returns
    -------
    Spectrum
        Its pixel size is at least `TARGET_ANGPIX`, unless ``max_resolution`` needs smaller ones.
    """
    tile = _even(min(*frames[0].shape, max(MAX_TILE, box)))
    power = np.zeros((tile, tile // 2 + 1))
    count = 0
    for frame in frames:
        for top in _starts(frame.shape[0], tile):
            for left in _starts(frame.shape[1], tile):
                power += _periodogram(frame[top : top + tile, left : left + tile])
                count += 1
    wanted = max(angpix, min(TARGET_ANGPIX, max_resolution / 2))
    kept = _even(math.ceil(tile * angpix / wanted))
    cropped = _crop_frequencies(power / count, kept)
    return Spectrum(power=_resample(cropped, _even(min(box, kept))), angpix=tile * angpix / kept)


def _even(number: int) -> int:
    return number - number % 2


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover a length evenly, overlapping as little as that allows."""
    count = math.ceil(length / tile)
    if count == 1:
        return [(length - tile) // 2]
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _periodogram(tile: Image) -> Floats:
    size = tile.shape[0]
    window = _taper(size)
    data = tile.astype(np.float32)
    data -= data.mean()
    data *= window[:, None]
    data *= window[None, :]
    transform = np.fft.rfft2(data)
    power: Floats = np.square(transform.real, dtype=np.float64)
    power += np.square(transform.imag, dtype=np.float64)
    return power


def _taper(size: int) -> NDArray[np.float32]:
    edge = max(1, round(size * TAPER))
    rise = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2
    window = np.ones(size, dtype=np.float32)
    window[:edge] = rise
    window[-edge:] = rise[::-1]
    return window


def _crop_frequencies(power: Floats, size: int) -> Floats:
    half = size // 2
    return np.concatenate([power[:half, : half + 1], power[-half:, : half + 1]])


def _resample(power: Floats, box: int) -> Floats:
    """Bring a spectrum to fewer, wider frequencies by cropping its autocorrelation."""
    size = power.shape[0]
    if box == size:
        return power
    # Zero frequency and what leaks from it along the axes would ring through the whole spectrum.
    power[0, :] = power[1, :]
    power[:, 0] = power[:, 1]
    correlation = np.fft.irfft2(power, s=(size, size))
    short = _crop_lags(correlation, box)
    return np.maximum(np.fft.rfft2(short).real, 0.0)


def _crop_lags(correlation: Floats, box: int) -> Floats:
    half = box // 2
    rows = np.concatenate([correlation[:half], correlation[-half:]])
    return np.concatenate([rows[:, :half], rows[:, -half:]], axis=1)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Averages of a spectrum over sectors of its rings; every array has the same length.

    Parameters
    ----------
    power
        Mean power.
    k2
        Mean squared frequency in 1/Å².
    cos2, sin2
        Mean cosine and sine of twice the direction.
    count
        Number of pixels.
    sector, ring
        Which sector and ring a bin belongs to; sectors ascend, rings ascend within each.
    sectors
        Number of sectors; they divide half a turn, from -90 to 90 degrees.
    """

    power: Floats
    k2: Floats
    cos2: Floats
    sin2: Floats
    count: Floats
    sector: Integers
    ring: Integers
    sectors: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Coordinates of every pixel of a half spectrum, each of shape (n, n // 2 + 1).

    Parameters
    ----------
    k
        Spatial frequency in 1/Å.
    cos2, sin2
        Cosine and sine of twice the direction (0 at zero frequency).
    direction
        Direction in radians, -π/2 to π/2.
    off_axes
        False on and right beside both axes, where edges and detector lines leave a cross.
    """

    k: Floats
    cos2: Floats
    sin2: Floats
    direction: Floats
    off_axes: Booleans


def grid(spectrum: Spectrum) -> Grid:
    """Work out the coordinates of a spectrum's pixels."""
    size = spectrum.size
    x = np.arange(size // 2 + 1, dtype=np.float64)[None, :]
    y = np.fft.fftfreq(size, 1 / size)[:, None]
    r2 = x**2 + y**2
    safe = np.maximum(r2, 1.0)
    return Grid(
        k=np.sqrt(r2) * spectrum.step,
        cos2=(x**2 - y**2) / safe,
        sin2=2 * x * y / safe,
        direction=np.arctan2(y, x),
        off_axes=(x > 1) & (np.abs(y) > 1),
    )


def bin_spectrum(
    spectrum: Spectrum, pixels: Grid, k_min: float, k_max: float, sectors: int
) -> Bins:
    """Average a spectrum within sectors of rings one pixel wide.

    Parameters
    ----------
    spectrum, pixels
        The spectrum and its `grid`.
    k_min, k_max
        Range of frequencies in 1/Å.
    sectors
        Number of sectors in half a turn.
    """
    inside = (pixels.k >= k_min) & (pixels.k <= k_max) & pixels.off_axes
    rings = round(k_max / spectrum.step) + 1
    k = pixels.k[inside]
    ring = np.rint(k / spectrum.step).astype(np.int64)
    turn = pixels.direction[inside] / np.pi + 0.5
    label = np.minimum((turn * sectors).astype(np.int64), sectors - 1) * rings + ring
    everywhere = np.bincount(label, minlength=sectors * rings)
    filled = np.flatnonzero(everywhere)
    count = everywhere[filled].astype(np.float64)

    def mean(values: Floats) -> Floats:
        total: Floats = np.bincount(label, values, minlength=sectors * rings)[filled] / count
        return total

    return Bins(
        power=mean(spectrum.power[inside]),
        k2=mean(k * k),
        cos2=mean(pixels.cos2[inside]),
        sin2=mean(pixels.sin2[inside]),
        count=count,
        sector=filled // rings,
        ring=filled % rings,
        sectors=sectors,
    )

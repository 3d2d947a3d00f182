"""Grids and changes of sampling in Fourier space, for images and cubic maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Number = TypeVar("Number", bound=np.generic)
    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]


def half_frequencies(size: int, angpix: float) -> tuple[Floats, Floats]:
    """Return the frequencies (1/Å) of `rfft2` of a square image, ``size`` pixels a side.

    Returns
    -------
    kx, ky
        Shapes (1, size // 2 + 1) and (size, 1), so that they broadcast to the transform's shape.
    """
    kx = np.asarray(np.fft.rfftfreq(size, angpix), dtype=np.float64)
    ky = np.asarray(np.fft.fftfreq(size, angpix), dtype=np.float64)
    return kx[np.newaxis, :], ky[:, np.newaxis]


def shift_phases(size: int, angpix: float, shifts: Floats) -> Complexes:
    """Return the factors that shift a square image whose `rfft2` they multiply.

    Parameters
    ----------
    size, angpix
        The image's width in pixels, and their size in Å.
    shifts
        Shape (n, 2): x and y, Å.

    Returns
    -------
    Shape (n, size, size // 2 + 1). Built from one factor per axis: one exponential for every
    row and column instead of one for every pixel.
    """
    kx, ky = half_frequencies(size, angpix)
    along_x = np.exp(-2j * np.pi * kx * shifts[:, :1])
    along_y = np.exp(-2j * np.pi * ky.T * shifts[:, 1:])
    return np.asarray(along_y[:, :, np.newaxis] * along_x[:, np.newaxis, :])


def squared_frequencies(box: int, angpix: float) -> Floats:
    """Return the squared frequency (1/Å²) at every place of `fftn` of a cubic map."""
    k2 = np.asarray(np.fft.fftfreq(box, angpix), dtype=np.float64) ** 2
    return np.asarray(k2[:, np.newaxis, np.newaxis] + k2[:, np.newaxis] + k2)


def resize_centred(array: NDArray[Number], box: int) -> NDArray[Number]:
    """Crop a cubic array to ``box``, or pad it with zeros; what is at ``n // 2`` stays there."""
    old = array.shape[0]
    if box <= old:
        cut = slice(old // 2 - box // 2, old // 2 - box // 2 + box)
        return array[cut, cut, cut]
    before = box // 2 - old // 2
    return np.pad(array, ((before, box - old - before),) * 3)


def fourier_resize(volume: Floats, box: int) -> Floats:
    """Return the map sampled on ``box`` points a side over the same width, values kept.

    Exact below the coarser of the two Nyquist frequencies. At it some waves are halved; beyond
    it they are lost or stay zero.
    """
    transform = resize_centred(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume))), box)
    values = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(transform)).real)
    return np.asarray(values * (box / volume.shape[0]) ** 3)


def lowpass(volume: Floats, angpix: float, resolution: float) -> Floats:
    """Return the map times ``exp(-k²·resolution²/2)`` in Fourier space (1/e² at ``2/resolution``).

    Parameters
    ----------
    resolution
        Å; at ``1 / resolution`` the amplitudes fall to 0.61.
    """
    falloff = np.exp(-squared_frequencies(volume.shape[0], angpix) * resolution**2 / 2)
    return np.asarray(np.fft.ifftn(np.fft.fftn(volume) * falloff).real)


def within(volume: Floats, angpix: float, finest: float) -> Floats:
    """Return the map without what is finer than ``finest`` Å in any direction.

    With ``finest`` at Nyquist this removes the corners of its transform, which would be aliased
    if the map were turned or sampled anew.
    """
    inside = squared_frequencies(volume.shape[0], angpix) <= 1 / finest**2
    return np.asarray(np.fft.ifftn(np.fft.fftn(volume) * inside).real)

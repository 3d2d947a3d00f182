"""Power spectra and micrographs with Thon rings of known defocus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from relion_dispatch.ctf.model import Ctf, Floats, Optics, phase
from relion_dispatch.ctf.spectrum import Spectrum, grid

KRIOS = Optics(voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.1)


@dataclass(frozen=True, kw_only=True)
class Rings:
    """How strong rings are and how much noise they have."""

    contrast: float = 1.0
    bfactor: float = 80.0
    averages: int = 32


def power_spectrum(
    ctf: Ctf,
    rings: Rings,
    seed: int,
    *,
    optics: Optics = KRIOS,
    size: int = 256,
    angpix: float = 1.4,
) -> Spectrum:
    """Make a spectrum with a falling background, rings that decay, and multiplicative noise."""
    rng = np.random.default_rng(seed)
    pixels = grid(Spectrum(power=np.ones((size, size // 2 + 1)), angpix=angpix))
    gamma = phase(optics, ctf, pixels.k**2, pixels.cos2, pixels.sin2)
    background = 1 + 4 * np.exp(-pixels.k / 0.04)
    signal = rings.contrast * np.exp(-rings.bfactor / 2 * pixels.k**2)
    mean = 3e4 * (background + signal * np.sin(gamma) ** 2) * np.exp(-5 * pixels.k)
    noise = rng.gamma(rings.averages, 1 / rings.averages, mean.shape)
    return Spectrum(power=mean * noise, angpix=angpix)


def micrograph(
    ctf: Ctf,
    seed: int,
    *,
    optics: Optics = KRIOS,
    shape: tuple[int, int] = (640, 640),
    angpix: float = 1.4,
    noise: float = 1.0,
) -> Floats:
    """Make an image of featureless ice: white potential through the CTF, plus shot noise."""
    rng = np.random.default_rng(seed)
    y = np.fft.fftfreq(shape[0], angpix)[:, None]
    x = np.fft.rfftfreq(shape[1], angpix)[None, :]
    k2 = x**2 + y**2
    safe = np.maximum(k2, 1e-12)
    gamma = phase(optics, ctf, k2, (x**2 - y**2) / safe, 2 * x * y / safe)
    ice = np.fft.rfft2(rng.normal(size=shape)) * np.sin(gamma) * np.exp(-20 * k2)
    image: Floats = np.fft.irfft2(ice, s=shape) + noise * rng.normal(size=shape) + 10.0
    return image


def write_mrc(path: Path, image: Floats, angpix: float) -> None:
    """Write an image, or a stack of them, as float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(image.astype(np.float32))
        if image.ndim == 3:
            mrc.set_image_stack()
        mrc.voxel_size = angpix


def amplitude_image(spectrum: Spectrum) -> Floats:
    """Lay a spectrum out as RELION's motion correction does: amplitudes, zero at the centre."""
    half = np.sqrt(spectrum.power)
    size = spectrum.size
    full = np.zeros((size, size))
    full[:, : size // 2 + 1] = half
    mirrored = np.roll(half[::-1], 1, axis=0)
    full[:, size // 2 + 1 :] = mirrored[:, size // 2 - 1 : 0 : -1]
    return np.fft.fftshift(full)

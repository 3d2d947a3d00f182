"""The microscope: contrast transfer function and radiation damage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .fourier import half_frequencies

if TYPE_CHECKING:
    from .fourier import Floats


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """Acceleration voltage (kV), spherical aberration (mm), amplitude contrast (a fraction)."""

    kv: float = 300.0
    cs: float = 2.7
    q0: float = 0.1

    @property
    def wavelength(self) -> float:
        """Relativistic electron wavelength in Å (the constants of RELION's ``ctf.cpp``)."""
        volt = self.kv * 1e3
        return 12.2643247 / math.sqrt(volt * (1 + volt * 0.978466e-6))


MICROSCOPE = Microscope()


@dataclass(frozen=True, kw_only=True)
class Defocus:
    """Underfocus along the two axes of astigmatism (Å), and the first axis' angle to x (degrees).

    RELION's ``rlnDefocusU``, ``rlnDefocusV`` and ``rlnDefocusAngle``.
    """

    u: float
    v: float
    angle: float = 0.0

    def raised(self, height: float) -> Defocus:
        """Return the defocus of something ``height`` Å nearer to the gun."""
        return Defocus(u=self.u + height, v=self.v + height, angle=self.angle)


def ctf(kx: Floats, ky: Floats, defocus: Defocus, microscope: Microscope = MICROSCOPE) -> Floats:
    r"""Return the contrast transfer function at the frequencies ``kx``, ``ky`` (1/Å).

    :math:`\sin(\pi\lambda\,\Delta f(\theta)\,k^2 - \tfrac{\pi}{2}C_s\lambda^3k^4 + \arcsin Q_0)`
    with :math:`\Delta f(\theta) = \tfrac{u+v}{2} + \tfrac{u-v}{2}\cos 2(\theta-\theta_0)`:
    RELION's own convention and sign (``CTF::getCTF`` in ``ctf.h``), +Q0 at zero frequency;
    after Rohou & Grigorieff (2015), J. Struct. Biol. 192, 216.
    """
    k2 = kx**2 + ky**2
    theta = np.arctan2(ky, kx)
    mean, half = (defocus.u + defocus.v) / 2, (defocus.u - defocus.v) / 2
    along = mean + half * np.cos(2 * (theta - np.deg2rad(defocus.angle)))
    wavelength, cs = microscope.wavelength, microscope.cs * 1e7
    phase = np.pi * wavelength * along * k2 - np.pi / 2 * cs * wavelength**3 * k2**2
    return np.asarray(np.sin(phase + np.arcsin(microscope.q0)))


def ctf_image(size: int, angpix: float, defocus: Defocus) -> Floats:
    """Return the CTF for `rfft2` of an image, shape (size, size // 2 + 1)."""
    return ctf(*half_frequencies(size, angpix), defocus)


def dose_filter(k: Floats, dose_before: float, dose_after: float) -> Floats:
    """Return what is left of the amplitudes at ``k`` (1/Å) in a frame, at 300 kV.

    ``exp(-dose / 2 Ne)`` with the critical dose ``Ne = 0.245 k^-1.665 + 2.81`` e/Å² at the
    frame's middle: Grant & Grigorieff (2015), eLife 4, e06980.

    Parameters
    ----------
    dose_before, dose_after
        Electrons per Å² before and after the frame.
    """
    critical = 0.245 * np.maximum(k, 1e-4) ** -1.665 + 2.81
    return np.asarray(np.exp(-(dose_before + dose_after) / 2 / (2 * critical)))

"""The contrast transfer function: optics, defocus, and the phase that makes Thon rings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Optics:
    """What the microscope contributes and nobody has to estimate.

    Parameters
    ----------
    voltage_kv
        Acceleration voltage.
    cs_mm
        Spherical aberration.
    amplitude_contrast
        Fraction of amplitude contrast, 0 to 1 (RELION's Q0).
    """

    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float

    @property
    def wavelength(self) -> float:
        """The electrons' wavelength in Å."""
        return wavelength(self.voltage_kv)

    @property
    def amplitude_phase(self) -> float:
        """Phase in radians that stands for the amplitude contrast: arctan(Q0 / sqrt(1 - Q0²))."""
        return math.asin(self.amplitude_contrast)


def wavelength(voltage_kv: float) -> float:
    """Relativistic wavelength of electrons.

    λ = h / sqrt(2 m e V (1 + e V / (2 m c²))), which is 12.2643 / sqrt(V + 0.978466e-6 V²) Å for V
    in volts (Reimer & Kohl, Transmission Electron Microscopy, 5th edition, chapter 2).

    Parameters
    ----------
    voltage_kv
        Acceleration voltage in kV.

    Returns
    -------
    float
        Wavelength in Å: 0.01969 at 300 kV.
    """
    volts = voltage_kv * 1e3
    return 12.2643247 / math.sqrt(volts * (1.0 + 0.978466e-6 * volts))


@dataclass(frozen=True, kw_only=True)
class Ctf:
    """What is estimated, in CTFFIND's and RELION's convention.

    Parameters
    ----------
    defocus_u, defocus_v
        Larger and smaller defocus in Å, underfocus positive.
    angle_deg
        Direction of ``defocus_u``, from the image's x axis towards its y axis, -90 to 90.
    phase_shift
        Additional phase shift (phase plate) in radians.
    """

    defocus_u: float
    defocus_v: float
    angle_deg: float
    phase_shift: float = 0.0

    @classmethod
    def from_components(
        cls, mean: float, cos2: float, sin2: float, phase_shift: float = 0.0
    ) -> Ctf:
        """Make it from the smooth parameters of the fit.

        Parameters
        ----------
        mean
            Mean defocus in Å.
        cos2, sin2
            Parts of the astigmatism in Å, so that the defocus in direction θ is
            ``mean + cos2 cos 2θ + sin2 sin 2θ``.
        phase_shift
            Additional phase shift in radians.
        """
        half = math.hypot(cos2, sin2)
        return cls(
            defocus_u=mean + half,
            defocus_v=mean - half,
            angle_deg=math.degrees(math.atan2(sin2, cos2)) / 2,
            phase_shift=phase_shift,
        )

    @property
    def components(self) -> tuple[float, float, float]:
        """Mean defocus and both parts of the astigmatism in Å: `from_components` backwards."""
        half = (self.defocus_u - self.defocus_v) / 2
        angle = 2 * math.radians(self.angle_deg)
        mean = (self.defocus_u + self.defocus_v) / 2
        return mean, half * math.cos(angle), half * math.sin(angle)


def defocus_phase(optics: Optics, defocus: Floats | float, k2: Floats) -> Floats:
    """Phase from defocus and spherical aberration alone.

    χ = π λ Δf k² - π/2 Cs λ³ k⁴ (Rohou & Grigorieff 2015, J. Struct. Biol. 192, 216-221, eq. 3).

    Parameters
    ----------
    optics
        The microscope.
    defocus
        Defocus in Å, one or for each element of ``k2``.
    k2
        Squared spatial frequencies in 1/Å².

    Returns
    -------
    ndarray
        Radians, in the shape of both broadcast together.
    """
    lam = optics.wavelength
    aberration = math.pi / 2 * optics.cs_mm * 1e7 * lam**3
    phase: Floats = (math.pi * lam * defocus - aberration * k2) * k2
    return phase


def phase(optics: Optics, ctf: Ctf, k2: Floats, cos2: Floats, sin2: Floats) -> Floats:
    """Whole phase γ of the transfer function, CTF = -sin γ.

    Rohou & Grigorieff 2015, eqs. 2-4: defocus along the direction, spherical aberration, additional
    phase shift, and the amplitude contrast written as a phase.

    Parameters
    ----------
    optics, ctf
        The microscope and the estimate.
    k2
        Squared spatial frequencies in 1/Å².
    cos2, sin2
        Cosine and sine of twice the direction, in the shape of ``k2``.

    Returns
    -------
    ndarray
        Radians.
    """
    mean, along, across = ctf.components
    defocus = mean + along * cos2 + across * sin2
    offset = optics.amplitude_phase + ctf.phase_shift
    return defocus_phase(optics, defocus, k2) + offset


def equiphase_k2(optics: Optics, mean: float, shape_phase: Floats) -> Floats:
    """Squared frequency at which an image without astigmatism has the same phase.

    The inverse of `defocus_phase` on its rising branch; averaging along it gives Thon rings their
    full contrast in spite of astigmatism (equiphase averaging; Zhang 2016, J. Struct. Biol. 193,
    1-12; CTFFIND4's radial profiles do the same).

    Parameters
    ----------
    optics
        The microscope.
    mean
        Mean defocus in Å.
    shape_phase
        Values of `defocus_phase` in radians.

    Returns
    -------
    ndarray
        1/Å²; where no such frequency exists, that of the largest phase.
    """
    lam = optics.wavelength
    linear = math.pi * lam * mean
    aberration = math.pi / 2 * optics.cs_mm * 1e7 * lam**3
    root = np.sqrt(np.maximum(linear**2 - 4 * aberration * shape_phase, 0.0))
    k2: Floats = 2 * np.maximum(shape_phase, 0.0) / np.maximum(linear + root, 1e-30)
    return k2

"""CTFFIND4's results files and log, as RELION reads them back."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np

from relion_dispatch import __version__
from relion_dispatch.atomic import write_text
from relion_dispatch.ctf.dialog import Dialog
from relion_dispatch.ctf.estimate import Fit
from relion_dispatch.ctf.model import Floats
from relion_dispatch.ctf.quality import Profiles, Quality

# The best fit to pure noise gains up to this much.
CERTAIN_GAIN = 25.0


@dataclass(frozen=True, kw_only=True)
class Names:
    """Where the results go."""

    diagnostic: Path
    summary: Path
    profiles: Path


def names(diagnostic: str) -> Names:
    """Derive all names from the diagnostic image's, as CTFFIND4 does."""
    root = os.path.splitext(diagnostic)[0]
    return Names(
        diagnostic=Path(diagnostic),
        summary=Path(f"{root}.txt"),
        profiles=Path(f"{root}_avrot.txt"),
    )


def header(dialog: Dialog, when: str) -> str:
    """Write the four comment lines that both text files begin with.

    RELION takes words 3, 8, 13 and 18 of the third line (pixel size, voltage, spherical aberration,
    amplitude contrast; src/ctffind_runner.cpp, ``getCtffind4Results``).
    """
    optics, search = dialog.optics, dialog.search
    return (
        f"# Output from relion-dispatch-ctffind version {__version__}, run on {when}\n"
        f"# Input file: {dialog.image} ; Number of micrographs: 1\n"
        f"# Pixel size: {dialog.angpix:.4f} Angstroms"
        f" ; acceleration voltage: {optics.voltage_kv:.1f} keV"
        f" ; spherical aberration: {optics.cs_mm:.2f} mm"
        f" ; amplitude contrast: {optics.amplitude_contrast:.2f}\n"
        f"# Box size: {dialog.box} pixels"
        f" ; min. res.: {search.min_resolution:.1f} Angstroms"
        f" ; max. res.: {search.max_resolution:.1f} Angstroms"
        f" ; min. def.: {search.min_defocus:.1f} um; max. def. {search.max_defocus:.1f} um\n"
    )


def summary(fit: Fit, quality: Quality) -> str:
    """Write the line of column names and the line of values of the results file."""
    ctf = fit.ctf
    values = (
        1.0,
        ctf.defocus_u,
        ctf.defocus_v,
        ctf.angle_deg,
        ctf.phase_shift,
        quality.score,
        quality.max_resolution,
    )
    return (
        "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2;"
        " #4 - azimuth of astigmatism; #5 - additional phase shift [radians];"
        " #6 - cross correlation;"
        " #7 - spacing (in Angstroms) up to which CTF rings were fit successfully\n"
        + " ".join(f"{value:.6f}" for value in values)
        + "\n"
    )


def profile_lines(profiles: Profiles) -> str:
    """Write the radial curves: a comment and six lines, in CTFFIND4's order.

    RELION 5 skips five lines, then reads frequencies and the rotational average, whose absolute
    values between 0.25 and 0.28 1/Å it adds up to ``rlnIceRingDensity``.
    """
    curves = (
        profiles.k,
        profiles.rotational,
        profiles.equiphase,
        profiles.ctf,
        profiles.quality,
        profiles.noise,
    )
    return (
        "# 6 lines per micrograph: #1 - spatial frequency (1/Angstroms);"
        " #2 - 1D rotational average of spectrum (assuming no astigmatism);"
        " #3 - 1D rotational average of spectrum; #4 - CTF fit (squared);"
        " #5 - cross-correlation between spectrum and CTF fit;"
        " #6 - 2sigma of expected cross correlation of noise\n"
        + "".join(" ".join(f"{v:.6f}" for v in curve) + "\n" for curve in curves)
    )


def log(fit: Fit, quality: Quality, files: Names) -> str:
    """Write what goes to standard output; RELION looks for the line ``Summary of results``."""
    ctf = fit.ctf
    lines = [
        f"Estimated defocus values        : {ctf.defocus_u:.2f} , {ctf.defocus_v:.2f} Angstroms",
        f"Standard error of mean defocus  : {fit.refined.defocus_error:.2f} Angstroms",
        f"Estimated azimuth of astigmatism: {ctf.angle_deg:.2f} degrees",
        f"Estimated phase shift           : {math.degrees(ctf.phase_shift):.2f} degrees",
        f"Score                           : {quality.score:.5f}",
        f"Thon rings with good fit up to  : {quality.max_resolution:.1f} Angstroms",
        f"Evidence for Thon rings         : {fit.gain:.1f} (noise alone: up to {CERTAIN_GAIN:.0f})",
    ]
    if fit.gain < CERTAIN_GAIN:
        lines.append("WARNING: no Thon rings stand out from the noise; do not trust these values")
    lines += [
        f"Summary of results              : {files.summary}",
        f"Diagnostic image                : {files.diagnostic}",
        f"Detailed results, incl. 1D fits : {files.profiles}",
    ]
    return "\n".join(lines) + "\n"


def write(dialog: Dialog, fit: Fit, quality: Quality, when: str) -> Names:
    """Write the three files, each whole or not at all, the one that RELION looks for last.

    Parameters
    ----------
    dialog
        What was asked.
    fit, quality
        What was found.
    when
        Date and time for the headers.

    Raises
    ------
    OSError
        When a file cannot be written.
    """
    files = names(dialog.diagnostic)
    angpix = 1 / (2 * quality.profiles.k[-1])
    _write_image(files.diagnostic, quality.image, 1 / (len(quality.image) * angpix))
    head = header(dialog, when)
    write_text(files.profiles, head + profile_lines(quality.profiles))
    write_text(files.summary, head + summary(fit, quality))
    return files


def _write_image(path: Path, image: Floats, step: float) -> None:
    """Write a float32 MRC image whose pixels are ``step`` 1/Å wide."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with mrcfile.new(temporary, overwrite=True) as mrc:
            mrc.set_data(image.astype(np.float32))
            mrc.voxel_size = step
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

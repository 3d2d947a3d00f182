"""Box sizes against the particle, the movies and each other; box sizes to suggest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from relion_dispatch.pipeline.check.findings import Finding, error, note, warning
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.commands import micrograph_pixel_size, small_box_size
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.preprocessing import uses_power_spectra

BOX_PER_DIAMETER = 1.4  # of the mask, which is 10-20 % wider than the particle itself
TIGHT, LOOSE = 1.15, 3.0  # box over diameter
LARGEST_FACTOR = 7  # Fourier transforms of sizes with larger prime factors are slow
FEW_PER_MICROGRAPH = 4  # boxes side by side


def suggest_box(diameter: float, angpix: float) -> int:
    """Suggest a box for particles of a mask diameter.

    Parameters
    ----------
    diameter
        Diameter of the mask in Å.
    angpix
        Å per pixel of the micrographs.

    Returns
    -------
    int
        Pixels: even, about 1.4 times the diameter or a little more, and quick to transform.

    Examples
    --------
    >>> suggest_box(140, 3.5), suggest_box(200, 0.83), suggest_box(180, 1.06)
    (56, 350, 240)
    """
    return fast_size(BOX_PER_DIAMETER * diameter / angpix)


def fast_size(least: float) -> int:
    """Find the smallest even size of at least ``least`` pixels without prime factors above 7."""
    size = max(16, 2 * math.ceil(round(least, 6) / 2))
    while largest_factor(size) > LARGEST_FACTOR:
        size += 2
    return size


def largest_factor(number: int) -> int:
    """Largest prime factor."""
    largest, factor = 1, 2
    while factor * factor <= number:
        while number % factor == 0:
            largest, number = factor, number // factor
        factor += 1
    return max(largest, number)


def check_boxes(settings: Settings, images: Images) -> Iterator[Finding]:
    """Check box sizes against the particle's diameter and the size of the micrographs."""
    sample, angpix = settings.sample, micrograph_pixel_size(settings)
    box, diameter = sample.box_size, sample.particle_diameter
    if box is None or not angpix:
        return
    if diameter is not None:
        yield from _box_and_diameter(box, diameter, angpix)
    yield from _sizes(settings, box, angpix)
    if images.typical is not None:
        binning = settings.motion_correction.bin_factor if settings.start == "movies" else 1.0
        side = min(images.typical.width, images.typical.height) / binning
        yield from _box_and_micrograph(settings, box, side)


def _box_and_diameter(box: int, diameter: float, angpix: float) -> Iterator[Finding]:
    ratio = box * angpix / diameter
    if ratio < 1:
        return  # an error of the settings, which say so
    suggested = suggest_box(diameter, angpix)
    if not TIGHT <= ratio <= LOOSE:
        yield warning(
            "box-size",
            "sample.box_size",
            f"{box} px of {angpix:g} Å are {box * angpix:.4g} Å, {ratio:.2g} times"
            f" sample.particle_diameter ({diameter:g} Å)",
            f"about {BOX_PER_DIAMETER} times is usual: {suggested} px; is the diameter in Å?",
        )


def _sizes(settings: Settings, box: int, angpix: float) -> Iterator[Finding]:
    for option in ("box_size", "small_box_size"):
        size = getattr(settings.sample, option)
        if isinstance(size, int) and largest_factor(size) > LARGEST_FACTOR:
            yield note(
                f"{option.replace('_', '-')}-slow",
                f"sample.{option}",
                f"{size} px is slow to transform; {fast_size(size)} would be quicker",
            )
    background = settings.extraction.background_diameter
    if background is not None and background > box:
        yield error(
            "background",
            "extraction.background_diameter",
            f"{background} px is larger than the box ({box} px): RELION would stop",
            "null takes 75 % of the box",
        )
    small_pixel = angpix * box / small_box_size(settings)
    resolution = 2 * small_pixel
    if settings.class3d.enabled and resolution > settings.class3d.ini_high:
        yield warning(
            "small-box-size",
            "sample.small_box_size",
            f"its pixels of {small_pixel:.3g} Å show nothing finer than {resolution:.3g} Å",
            "take a larger small_box_size",
        )


def _box_and_micrograph(settings: Settings, box: int, side: float) -> Iterator[Finding]:
    if box > side:
        yield error(
            "box-size",
            "sample.box_size",
            f"{box} px is larger than the micrographs, which are {side:g} px wide",
            "give the box in pixels of the (binned) micrographs",
        )
    elif box > side / FEW_PER_MICROGRAPH:
        yield warning(
            "box-size",
            "sample.box_size",
            f"{box} px is more than a quarter of the micrographs' width ({side:g} px)",
            "give the box in pixels of the (binned) micrographs; is the pixel size right?",
        )
    tile = settings.ctf.box_size
    if not uses_power_spectra(settings) and tile > side:
        yield warning(
            "ctf-box-size",
            "ctf.box_size",
            f"{tile} px is larger than the micrographs, which are {side:g} px wide",
            f"make it smaller, such as {2 ** (int(side).bit_length() - 1)}",
        )

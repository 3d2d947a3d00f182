"""Numbers of the microscope and the dose: missing, in another unit, or at odds with the files."""

from __future__ import annotations

import math
from collections.abc import Iterator

from relion_dispatch.pipeline.check.findings import Finding, error, named, note, warning
from relion_dispatch.pipeline.check.imagefiles import Image
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.options import Settings

# Outside of these a number is in another unit or mistyped; inside it may still be unusual.
VOLTAGE_KV = (50.0, 1300.0)
USUAL_VOLTAGES_KV = (80.0, 100.0, 120.0, 160.0, 200.0, 300.0)
PIXEL_SIZE_ANGST = (0.2, 15.0)
CS_MM = 10.0
USUAL_CS_MM = (0.0, 4.0)
AMPLITUDE_CONTRAST = (0.02, 0.3)
TOTAL_DOSE = (5.0, 120.0)  # e/Å² of a usual exposure
MAX_DOSE = 300.0  # e/Å²; nothing is left of a protein
# Headers hold the nominal pixel size, which calibration changes by a few percent.
SAME_PIXEL_SIZE = 0.04
OTHER_PIXEL_SIZE = 0.2
MIN_GROUPS = 3  # RELION leaves out movies with fewer (MotioncorrRunner, src/motioncorr_runner.cpp)
SPECTRUM_PX = 512  # its power spectra
SPECTRUM_ANGST = 1.4  # and their pixel size, which is CTFFIND's


def check_optics(settings: Settings) -> Iterator[Finding]:
    """Check voltage, pixel size, Cs and amplitude contrast for mistakes of unit."""
    optics = settings.optics
    if optics.voltage is not None:
        yield from _voltage(optics.voltage)
    if optics.pixel_size is not None:
        yield from _pixel_size(optics.pixel_size)
    if optics.spherical_aberration > CS_MM:
        yield error(
            "spherical-aberration",
            "optics.spherical_aberration",
            f"{optics.spherical_aberration:g} mm is no objective lens's Cs",
            "give it in mm: 2.7 for most microscopes",
        )
    elif not USUAL_CS_MM[0] < optics.spherical_aberration <= USUAL_CS_MM[1]:
        yield warning(
            "spherical-aberration",
            "optics.spherical_aberration",
            f"{optics.spherical_aberration:g} mm is unusual",
            "2.7 for most microscopes, 0.01 with a Cs corrector",
        )
    low, high = AMPLITUDE_CONTRAST
    if not low <= optics.amplitude_contrast <= high:
        yield warning(
            "amplitude-contrast",
            "optics.amplitude_contrast",
            f"{optics.amplitude_contrast:g} is unusual",
            "a fraction: 0.1 for protein in ice (0.07 to 0.1), about 0.2 in negative stain",
        )


def _voltage(voltage: float) -> Iterator[Finding]:
    low, high = VOLTAGE_KV
    if not low <= voltage <= high:
        volts = voltage / 1000 if voltage > high else voltage * 1000
        meant = f"; {volts:g} is meant?" if low <= volts <= high else ""
        yield error(
            "voltage",
            "optics.voltage",
            f"{voltage:g} kV is no electron microscope's",
            f"give it in kV, such as 300 or 200{meant}",
        )
    elif voltage not in USUAL_VOLTAGES_KV:
        yield warning("voltage", "optics.voltage", f"{voltage:g} kV is unusual", "usual: 300, 200")


def _pixel_size(angpix: float) -> Iterator[Finding]:
    low, high = PIXEL_SIZE_ANGST
    if low <= angpix <= high:
        return
    scaled = next((angpix * f for f in (10, 0.01, 0.1) if 0.3 <= angpix * f <= 5), None)
    meant = f"; {scaled:g} is meant?" if scaled else ""
    yield error(
        "pixel-size",
        "optics.pixel_size",
        f"{angpix:g} Å is no pixel size for single particles",
        f"give it in Å per pixel, not in nm or pm{meant}",
    )


def check_header_pixel_size(settings: Settings, images: Images) -> Iterator[Finding]:
    """Compare the configured pixel size with that of the files' headers."""
    given, typical = settings.optics.pixel_size, images.typical
    if typical is None:
        return
    header = typical.angpix
    # Programs that do not know it write 0 or 1.
    if header is None or math.isclose(header, 1.0, abs_tol=1e-6):
        return
    if given is None:
        yield note("header-pixel-size", images.what, f"their headers say {header:.4g} Å per pixel")
        return
    off = abs(header - given) / given
    if off > SAME_PIXEL_SIZE:
        make = error if off > OTHER_PIXEL_SIZE else warning
        yield make(
            "header-pixel-size",
            "optics.pixel_size",
            f"{given:g} Å, but the headers of the {images.what} say {header:.4g} Å"
            f"{_relation(given / header)}",
            "correct it; a super-resolution movie has the small pixel, a binned one the large",
        )


def _relation(ratio: float) -> str:
    for factor, why in ((10.0, "nm for Å?"), (2.0, "super-resolution or binning?")):
        for turned in (factor, 1 / factor):
            if math.isclose(ratio, turned, rel_tol=0.05):
                return f" ({factor:g} times {'more' if ratio < 1 else 'less'}: {why})"
    return ""


def check_dose(settings: Settings, images: Images) -> Iterator[Finding]:
    """Check the dose of all frames, and that there are enough frames."""
    frames = movie_frames(settings, images)
    per_frame = settings.dose.per_frame
    if frames is None:
        return
    used = _used_frames(settings, frames)
    yield from _enough_frames(settings, images, used)
    if per_frame is None:
        return
    total = per_frame * frames
    if total > MAX_DOSE:
        yield error(
            "dose",
            "dose.per_frame",
            f"{per_frame:g} e/Å² times {frames} frames are {total:.4g} e/Å²: more than"
            " any sample survives",
            f"give the dose of one frame: the movie's divided by its {frames} frames"
            + (f"; {per_frame / frames:.3g} is meant?" if per_frame < MAX_DOSE else ""),
        )
    elif not TOTAL_DOSE[0] <= total <= TOTAL_DOSE[1]:
        yield warning(
            "dose",
            "dose.per_frame",
            f"{per_frame:g} e/Å² times {frames} frames are {total:.3g} e/Å²: unusual for single"
            " particles (20 to 80)",
            "the dose is that of one frame; of EER movies, that of one fraction"
            " (motion_correction.eer_grouping hardware frames)",
        )


def movie_frames(settings: Settings, images: Images) -> int | None:
    """Frames of the usual movie as RELION sees it; of EER movies the fractions; None if unknown."""
    typical = images.typical
    if images.what != "movies" or typical is None or typical.frames is None:
        return None
    if typical.kind == "eer":
        return typical.frames // settings.motion_correction.eer_grouping
    return typical.frames


def _used_frames(settings: Settings, frames: int) -> int:
    motion = settings.motion_correction
    last = frames if motion.last_frame < 0 else min(motion.last_frame, frames)
    return max(0, last - motion.first_frame + 1)


def _enough_frames(settings: Settings, images: Images, used: int) -> Iterator[Finding]:
    motion = settings.motion_correction
    grouping = motion.eer_grouping
    if used // motion.group_frames >= MIN_GROUPS:
        yield from _short_movies(settings, images)
        return
    typical = images.typical
    eer = typical is not None and typical.kind == "eer"
    if motion.program == "own":
        yield error(
            "few-frames",
            "motion_correction",
            f"{used} frames in groups of {motion.group_frames}: RELION leaves out movies with"
            f" fewer than {MIN_GROUPS} groups",
            "make motion_correction.group_frames smaller, or first_frame and last_frame wider"
            + (f"; motion_correction.eer_grouping ({grouping}) smaller" if eer else "")
            + "; single images are micrographs: 'start: micrographs'",
        )


def _short_movies(settings: Settings, images: Images) -> Iterator[Finding]:
    motion = settings.motion_correction
    short = []
    for name, image in images.headers.items():
        if image.frames is None or motion.program != "own":
            continue
        frames = image.frames // (motion.eer_grouping if image.kind == "eer" else 1)
        if _used_frames(settings, frames) // motion.group_frames < MIN_GROUPS:
            short.append(name)
    if short:
        yield warning(
            "few-frames",
            short[0],
            f"{len(short)} movies have too few frames, and RELION will leave them out:"
            f" {named(short)}",
            "move them out of the folder",
            files=short,
        )


def check_eer(settings: Settings, images: Images) -> Iterator[Finding]:
    """Check that the program reads EER movies: RELION tells MotionCor2 that they are MRC files.

    (``MotioncorrRunner::executeMotioncor2`` in ``src/motioncorr_runner.cpp``.)
    """
    typical = images.typical
    if settings.motion_correction.program == "motioncor2" and typical and typical.kind == "eer":
        yield error(
            "eer-motioncor2",
            "motion_correction.program",
            "RELION cannot hand EER movies to MotionCor2: it says that they are MRC files",
            "set motion_correction.program: own",
        )


def check_power_spectra(settings: Settings, images: Images) -> Iterator[Finding]:
    """Check that movies are large enough for the power spectra RELION writes."""
    motion, typical = settings.motion_correction, images.typical
    angpix = settings.optics.pixel_size
    if motion.program != "own" or not motion.power_spectra or typical is None or angpix is None:
        return
    if spectrum_side(typical, angpix, motion.bin_factor) < SPECTRUM_PX:
        yield error(
            "small-movies",
            "motion_correction.power_spectra",
            f"{typical.width} x {typical.height} pixels of {angpix:g} Å are too few for RELION's"
            f" power spectra of {SPECTRUM_PX} pixels: motion correction would stop",
            "set motion_correction.power_spectra: false",
        )


def spectrum_side(image: Image, angpix: float, bin_factor: float = 1.0) -> int:
    """Pixels that RELION keeps of a movie's power spectrum before it makes 512 of them.

    It crops spectra of pixels below 1.4 Å to that pixel size, and stops when fewer than 512 are
    left (``MotioncorrRunner::executeOwnMotionCorrection`` in ``src/motioncorr_runner.cpp``).
    """
    side = min(image.width, image.height) / bin_factor
    return math.ceil(side * min(1.0, angpix * bin_factor / SPECTRUM_ANGST))

"""Checks of settings against each other and against RELION's version; they need no file."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from relion_dispatch.errors import InputError
from relion_dispatch.parameters import check_name
from relion_dispatch.pipeline.layout import STEP_NAMES
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import Version

Problems = Iterator[str]

# RELION refuses fast subsets with fewer (MlOptimiser::initialiseGeneral).
MIN_FAST_ITERATIONS = 20


def problems(settings: Settings) -> Problems:
    """Sentences for everything that cannot be as it is set, each with what to change."""
    for check in CHECKS:
        yield from check(settings)


def check_version(settings: Settings, version: Version) -> None:
    """Refuse settings that the installed RELION cannot follow.

    RELION itself only warns of an option that it does not know and goes on without it.

    Raises
    ------
    InputError
        With one line for each such setting.
    """
    asked = {
        "class2d.algorithm: vdam": (settings.class2d.algorithm == "vdam", version.vdam),
        "picking.method: topaz": (settings.picking.method == "topaz", version.topaz),
        "ctf.program: gctf": (settings.ctf.program == "gctf", version.gctf),
        "class3d.blush: true": (settings.class3d.blush, version.blush),
        "refine3d.blush: true": (settings.refine3d.blush, version.blush),
        "extraction.min_figure_of_merit": (
            settings.extraction.min_figure_of_merit is not None,
            version.figure_of_merit,
        ),
    }
    refused = [name for name, (wanted, there) in asked.items() if wanted and not there]
    if refused:
        raise InputError("\n".join(f"{name} is not for RELION {version}" for name in refused))


def _inputs(s: Settings) -> Problems:
    if getattr(s, s.start) is None:
        yield f"{s.start} is missing: start: {s.start} needs to know where they are"
    for name in ("movies", "micrographs"):
        pattern = getattr(s, name)
        if s.start == name and pattern is not None:
            yield from _inside_project(name, pattern)
    if s.picking.method == "coordinates" and s.picking.coordinates is not None:
        yield from _inside_project("picking.coordinates", s.picking.coordinates)


def _inside_project(name: str, pattern: str) -> Problems:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        yield (
            f"{name} must be inside the project, not {pattern!r}: RELION refuses anything else;"
            " make a symbolic link in the project and name that"
        )


def _microscope(s: Settings) -> Problems:
    if s.start == "particles":
        return
    if s.optics.pixel_size is None:
        yield f"optics.pixel_size is missing: the pixel size of the {s.start} in Å"
    if s.optics.voltage is None:
        yield "optics.voltage is missing: the microscope's voltage in kV"
    if s.start == "movies" and s.dose.per_frame is None:
        yield "dose.per_frame is missing: the dose in e/Å² per movie frame"


def _sample(s: Settings) -> Problems:
    sample = s.sample
    if sample.particle_diameter is None:
        yield "sample.particle_diameter is missing: the diameter of the particle's mask in Å"
    if s.start == "particles":
        return
    if sample.box_size is None:
        yield "sample.box_size is missing: the size of the particles' box in pixels"
        return
    if isinstance(sample.small_box_size, int) and sample.small_box_size > sample.box_size:
        yield (
            f"sample.small_box_size ({sample.small_box_size}) must not be larger than"
            f" sample.box_size ({sample.box_size})"
        )
    if sample.particle_diameter is None or s.optics.pixel_size is None:
        return
    box_angst = sample.box_size * s.optics.pixel_size * _binning(s)
    if sample.particle_diameter >= box_angst:
        yield (
            f"sample.particle_diameter ({sample.particle_diameter:g} Å) must be smaller than the"
            f" box: {sample.box_size} pixels are {box_angst:g} Å"
        )


def _binning(s: Settings) -> float:
    return s.motion_correction.bin_factor if s.start == "movies" else 1.0


def _movies(s: Settings) -> Problems:
    motion = s.motion_correction
    if motion.program == "own" and 2 in (motion.patches_x, motion.patches_y):
        yield (
            "motion_correction.patches_x and patches_y must be 1 or at least 3: RELION's own"
            " program leaves local motion out with 2"
        )
    for name in ("motion_correction", "polishing"):
        block = getattr(s, name)
        if 0 < block.last_frame < block.first_frame:
            yield f"{name}.last_frame must not come before {name}.first_frame"


def _ctf(s: Settings) -> Problems:
    ctf = s.ctf
    if ctf.max_resolution >= ctf.min_resolution:
        yield "ctf.max_resolution must be a smaller number of Å than ctf.min_resolution"
    if ctf.min_defocus >= ctf.max_defocus:
        yield "ctf.min_defocus must be less than ctf.max_defocus"
    if ctf.phase_shift.enabled and ctf.phase_shift.min >= ctf.phase_shift.max:
        yield "ctf.phase_shift.min must be less than ctf.phase_shift.max"
    if ctf.use_power_spectra is True and not power_spectra_exist(s):
        yield (
            "ctf.use_power_spectra: true needs power spectra, which only RELION's own motion"
            " correction writes (motion_correction.program: own, power_spectra: true), and which"
            " Gctf cannot read"
        )
    if ctf.use_power_spectra is True and ctf.window != -1:
        yield "ctf.window must be -1 with ctf.use_power_spectra: a power spectrum has no centre"


def power_spectra_exist(s: Settings) -> bool:
    """Whether motion correction writes power spectra that the CTF program can read."""
    motion = s.motion_correction
    written = s.start == "movies" and motion.program == "own" and motion.power_spectra
    return written and s.ctf.program != "gctf"


def _picking(s: Settings) -> Problems:
    picking = s.picking
    if picking.method == "coordinates" and picking.coordinates is None:
        yield 'picking.coordinates is missing: a pattern such as "Movies/*_pick.star"'
    if picking.method == "references" and picking.references.file is None:
        yield "picking.references.file is missing: the references to pick with"
    if picking.method == "topaz":
        yield from _topaz(s)
    low, high = picking.log.min_diameter, picking.log.max_diameter
    if isinstance(low, float) and isinstance(high, float) and low > high:
        yield "picking.log.min_diameter must not be larger than picking.log.max_diameter"


def _topaz(s: Settings) -> Problems:
    topaz = s.picking.topaz
    sources = (topaz.training_coordinates, topaz.training_particles)
    if topaz.train and sources.count(None) != 1:
        yield (
            "picking.topaz.train: true needs either picking.topaz.training_coordinates or"
            " picking.topaz.training_particles"
        )
    if topaz.train and topaz.model is not None:
        yield "picking.topaz.model must be null with picking.topaz.train: true, which makes one"


def _classes(s: Settings) -> Problems:
    for name in ("class2d", "class3d"):
        block = getattr(s, name)
        if block.fast_subsets and block.iterations < MIN_FAST_ITERATIONS:
            yield f"{name}.fast_subsets: true needs at least {MIN_FAST_ITERATIONS} iterations"


def _steps(s: Settings) -> Problems:
    if s.start == "particles" and s.reextraction.enabled is True:
        yield "reextraction.enabled: true needs micrographs; with start: particles it must be auto"
    if s.refine3d.enabled:
        return
    if s.polishing_rounds:
        yield "polishing_rounds must be 0 with refine3d.enabled: false: polishing needs its map"
    if s.local_resolution.enabled:
        yield (
            "local_resolution.enabled must be false with refine3d.enabled: false: it needs the"
            " half maps"
        )


def _refinement(s: Settings) -> Problems:
    if s.refine3d.solvent_corrected_fsc and s.refine3d.mask is None:
        yield "refine3d.solvent_corrected_fsc: true needs refine3d.mask"
    if s.postprocess.auto_bfactor and s.postprocess.adhoc_bfactor is not None:
        yield "postprocess.adhoc_bfactor needs postprocess.auto_bfactor: false"


def _rounds(s: Settings) -> Problems:
    if not s.polishing_rounds:
        return
    if not (s.ctf_refinement.enabled or s.polishing.enabled):
        yield (
            "polishing_rounds must be 0 when neither ctf_refinement.enabled nor polishing.enabled"
            " is true: nothing is left to do in a round"
        )
    if s.ctf_refinement.enabled:
        yield from _ctf_refinement(s)
    if s.polishing.enabled:
        yield from _polishing(s)


def _ctf_refinement(s: Settings) -> Problems:
    fit = s.ctf_refinement
    fits = (fit.defocus, fit.astigmatism, fit.bfactor, fit.phase_shift)
    others = any(name != "none" for name in fits) or fit.beam_tilt or fit.fourth_order
    if fit.magnification and others:
        yield (
            "ctf_refinement.magnification: true cannot go with other fits: set defocus,"
            " astigmatism, bfactor and phase_shift to none, beam_tilt and fourth_order to false"
        )
    if not fit.magnification and not others:
        yield "ctf_refinement fits nothing: choose a fit, or set ctf_refinement.enabled: false"
    if fit.trefoil and not fit.beam_tilt:
        yield "ctf_refinement.trefoil: true needs ctf_refinement.beam_tilt: true"


def _polishing(s: Settings) -> Problems:
    polishing = s.polishing
    if s.start != "movies" and s.corrected_micrographs is None:
        yield (
            f"polishing needs movies: with start: {s.start} name the corrected_micrographs.star of"
            " their motion correction as corrected_micrographs, or set polishing.enabled: false"
        )
    if polishing.train and polishing.parameters_file is not None:
        yield "polishing.parameters_file must be null with polishing.train: true, which makes one"
    box, scaled = polishing.box_size, polishing.scaled_size
    if (box is None) != (scaled is None):
        yield "polishing.box_size and polishing.scaled_size must be given together, or neither"
    if box is not None and scaled is not None and scaled > box:
        yield "polishing.scaled_size must not be larger than polishing.box_size"


def _verdict(s: Settings) -> Problems:
    if s.verdict.stop_agreement > s.verdict.doubt_agreement:
        yield "verdict.stop_agreement must not be larger than verdict.doubt_agreement"


def _extra_arguments(s: Settings) -> Problems:
    for path, text in _texts(vars(s), ""):
        try:
            shlex.split(text)
        except ValueError as error:
            yield f"{path} cannot be read as arguments: {str(error).lower()}"


def _texts(options: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name == "extra_arguments":
            yield prefix + name, value
        elif hasattr(value, "__dataclass_fields__"):
            yield from _texts(vars(value), f"{prefix}{name}.")


def _sizing(s: Settings) -> Problems:
    for step in s.sizing:
        if step not in STEP_NAMES:
            near = difflib.get_close_matches(step, STEP_NAMES, n=1) or STEP_NAMES
            yield f"sizing.{step} is no step; there is: {', '.join(near)}"
        for name in s.sizing[step]:
            yield from _slip(f"sizing.{step}", name)


def _slip(place: str, name: str) -> Problems:
    try:
        check_name(name, {})
    except InputError as error:
        yield f"{place}: {error}"


CHECKS: tuple[Callable[[Settings], Problems], ...] = (
    _inputs,
    _microscope,
    _sample,
    _movies,
    _ctf,
    _picking,
    _classes,
    _steps,
    _refinement,
    _rounds,
    _verdict,
    _extra_arguments,
    _sizing,
)

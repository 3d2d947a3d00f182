"""From a folder of movies and a user's few numbers to everything a new project needs."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import newproject
from relion_dispatch.pipeline.check.geometry import suggest_box
from relion_dispatch.pipeline.check.imagefiles import Image
from relion_dispatch.pipeline.check.microscope import SPECTRUM_PX, spectrum_side
from relion_dispatch.pipeline.gainchoice import Choice, choose
from relion_dispatch.pipeline.newproject import Movies, Source
from relion_dispatch.pipeline.records import beside
from relion_dispatch.pipeline.records.record import Record

EER_GROUPING = 32  # hardware frames of a fraction, the default of motion_correction.eer_grouping
#: What the pipeline cannot start without, and is in no default.
NEEDED = (
    "optics.pixel_size",
    "optics.voltage",
    "dose.per_frame",
    "sample.particle_diameter",
)
#: What has a default that may be wrong for these data.
ASSUMED = ("optics.spherical_aberration", "optics.amplitude_contrast", "sample.symmetry")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user said.

    Parameters
    ----------
    options
        Values of options by path, such as ``optics.voltage``.
    movies
        Folder or pattern; None for the project's own ``Movies``.
    gain
        Gain reference, ``none``, or None to look for one.
    here
        Whether the pipeline will run on this machine, so that its programs are here.
    records
        The microscope's record of an exposure or a folder of them; None to look beside the movies.
    ask
        Asks the user for an option that is still missing; None to ask nothing.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    movies: str | None = None
    gain: str | None = None
    here: bool = True
    records: str | None = None
    ask: Callable[[str], Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A project before it is written.

    Parameters
    ----------
    values
        Options that differ from the defaults, by path.
    links
        Symbolic links inside the project, and what they point to.
    told
        Sentences on what was found and assumed.
    why
        Where values come from, in a few words, by path.
    undecided
        Sentences on what only the user can decide, before anything runs.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def propose(wishes: Wishes, project: Path) -> Draft:
    """Decide everything about a project, without writing anything.

    Raises
    ------
    InputError
        When there are no movies.
    """
    source = newproject.find_movies(wishes.movies or _own_movies(project))
    movies = newproject.bring_in(source, project)
    typical = movies.images.typical
    values = {"movies": movies.pattern, **wishes.options}
    why = dict.fromkeys(wishes.options, "given")
    told = [_movies_sentence(movies), *movies.notes, *_left_out(source)]
    noted = _noted(wishes, source)
    told += [*noted.troubles, *_from_record(noted.record, values, why, typical)]
    told += _pixel_size(values, why, typical)
    _ask(wishes, values, why)
    choice = choose(wishes.gain, source, typical, noted.record)
    gain = _gain(choice, project, typical)
    values |= gain.values
    why |= gain.why
    told += [*gain.told, *_box(values, why), *_small_movies(values, why, typical)]
    told += [*_ctf_program(wishes, values, why), *_assumptions(values, why)]
    links = {**movies.links, **gain.links}
    undecided = (choice.undecided,) if choice.undecided else ()
    return Draft(values=values, why=why, links=links, told=tuple(told), undecided=undecided)


def _noted(wishes: Wishes, source: Source) -> beside.Found:
    """Find what the microscope has noted about the movies."""
    given = None if wishes.records is None else Path(os.path.abspath(wishes.records))
    if given is not None and not given.exists():
        raise InputError(f"{given} is not there: --records names an .mdoc, an .xml or their folder")
    found = beside.look(source.folder, source.names, given)
    if given is not None and found.record is None:
        raise InputError(f"{given} holds no record of these movies: SerialEM's .mdoc or EPU's .xml")
    return found


def _from_record(
    record: Record | None, values: dict[str, Any], why: dict[str, str], typical: Image | None
) -> list[str]:
    """Take over what is noted and not given, and say so."""
    if record is None:
        return []
    taken = {name: value for name, value in _numbers(record, typical).items() if name not in values}
    values |= taken
    why |= dict.fromkeys(taken, record.path.name)
    told = [f"{name}: {value:g}, from {record.path.name}" for name, value in taken.items()]
    if record.uneven_dose:
        told.append(f"{record.path.name} has frames of different dose: their mean is taken")
    if "optics.pixel_size" not in values and record.angpix is not None:
        told.append(
            f"{record.path.name} is about an image of {record.width} pixels, the movies have"
            f" {typical.width if typical else 'other'}: its pixel size is not taken"
        )
    return told


def _numbers(record: Record, typical: Image | None) -> dict[str, float]:
    """Return a record's numbers by option, those of EER movies for fractions."""
    frames = typical.frames if typical is not None else None
    dose = record.dose_of_frame(frames)
    if dose is not None and typical is not None and typical.kind == "eer":
        dose *= EER_GROUPING
    angpix, binning = record.angpix_of(typical.width if typical is not None else 0)
    found: dict[str, float | None] = {
        "optics.voltage": record.voltage_kv,
        "optics.pixel_size": None if angpix is None else round(angpix, 5),
        "dose.per_frame": None if dose is None else round(dose, 5),
        "motion_correction.bin_factor": binning if binning > 1 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _ask(wishes: Wishes, values: dict[str, Any], why: dict[str, str]) -> None:
    """Ask for what is missing, where there is somebody to ask."""
    missing = [option for option in NEEDED if option not in values]
    if wishes.ask is None or not missing:
        return
    for option in (*missing, *(name for name in ("sample.symmetry",) if name not in values)):
        answer = wishes.ask(option)
        if answer is not None:
            values[option], why[option] = answer, "given"


def _assumptions(values: Mapping[str, Any], why: dict[str, str]) -> list[str]:
    """Say which defaults are assumptions about the microscope or the sample."""
    left = [option for option in ASSUMED if option not in values]
    why |= dict.fromkeys(left, "assumed")
    return [f"{', '.join(left)}: the defaults are assumed"] if left else []


def _own_movies(project: Path) -> Path:
    for folder in (project / "Movies", project / "movies"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"where are the movies? Give --movies FOLDER, or put them into {project}/Movies"
    )


def _left_out(source: Source) -> list[str]:
    others = ", ".join(source.left_out)
    return [f"left out: {others}; --movies 'PATTERN' takes others"] if others else []


def _movies_sentence(movies: Movies) -> str:
    images = movies.images
    typical = images.typical
    if typical is None:
        return f"{len(images.names)} movies, none of which can be read"
    frames = f", {typical.frames} frames" if typical.frames else ""
    header = f", {typical.angpix:.4g} Å per pixel in the header" if typical.angpix else ""
    size = f"{typical.width} x {typical.height} pixels"
    return f"{len(images.names)} {typical.kind.upper()} movies: {size}{frames}{header}"


def _pixel_size(values: dict[str, Any], why: dict[str, str], typical: Image | None) -> list[str]:
    header = typical.angpix if typical is not None else None
    if "optics.pixel_size" in values or header is None or math.isclose(header, 1.0, abs_tol=1e-6):
        return []
    values["optics.pixel_size"], why["optics.pixel_size"] = round(header, 4), "movies' headers"
    return [
        f"optics.pixel_size: {header:.4g} Å, from the movies' headers; a calibrated one is better"
    ]


def _gain(choice: Choice, project: Path, typical: Image | None) -> Draft:
    """Bring a gain reference into the project, by a name that RELION takes."""
    path = choice.path
    if path is None:
        return Draft(why={"gain.file": choice.why} if choice.why else {}, told=choice.told)
    name = newproject.plain_name(path.name)
    if path.suffix == ".gain" and typical is not None and typical.kind != "eer":
        name += ".tiff"  # which it is; RELION reads .gain with EER movies only
    inside = path.is_relative_to(project) and path.name == name
    name = str(path.relative_to(project)) if inside else name
    return Draft(
        values={"gain.file": name},
        why={"gain.file": choice.why},
        links={} if inside else {name: path},
        told=choice.told,
    )


def _box(values: dict[str, Any], why: dict[str, str]) -> list[str]:
    angpix = values.get("optics.pixel_size")
    diameter = values.get("sample.particle_diameter")
    if "sample.box_size" in values or not angpix or not diameter:
        return []
    angpix *= values.get("motion_correction.bin_factor", 1)
    box = suggest_box(diameter, angpix)
    values["sample.box_size"], why["sample.box_size"] = box, "1.4 times the diameter"
    return [f"sample.box_size: {box} px = {box * angpix:.4g} Å, 1.4 times the diameter"]


def _small_movies(values: dict[str, Any], why: dict[str, str], typical: Image | None) -> list[str]:
    angpix = values.get("optics.pixel_size")
    if typical is None or not angpix:
        return []
    binning = values.get("motion_correction.bin_factor", 1)
    if spectrum_side(typical, angpix, binning) >= SPECTRUM_PX:
        return []
    values["motion_correction.power_spectra"] = False
    reason = "the movies are too small for those that RELION writes"
    why["motion_correction.power_spectra"] = "small movies"
    return [f"motion_correction.power_spectra: false, because {reason}"]


def _ctf_program(wishes: Wishes, values: dict[str, Any], why: dict[str, str]) -> list[str]:
    if "ctf.program" in values or not wishes.here:
        return []
    if os.environ.get("RELION_CTFFIND_EXECUTABLE"):
        return []
    program = shutil.which("ctffind")
    if program is not None:
        values["ctf.executable"], why["ctf.executable"] = program, "on PATH"
        return [f"ctf.executable: {program}"]
    values["ctf.program"], why["ctf.program"] = "builtin", "CTFFIND4 is not on PATH"
    return ["ctf.program: builtin, because CTFFIND4 is not on PATH"]

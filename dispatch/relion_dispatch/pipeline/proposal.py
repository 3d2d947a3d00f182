"""From a folder of movies and a user's few numbers to everything a new project needs."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import newproject
from relion_dispatch.pipeline.check.geometry import suggest_box
from relion_dispatch.pipeline.check.imagefiles import Image
from relion_dispatch.pipeline.check.microscope import SPECTRUM_PX, spectrum_side
from relion_dispatch.pipeline.newproject import Movies, Source

NO_GAIN = "none"


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
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    movies: str | None = None
    gain: str | None = None
    here: bool = True


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
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)
    told: tuple[str, ...] = ()


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
    told = [_movies_sentence(movies), *movies.notes]
    told += _pixel_size(values, typical)
    gain = _gain(wishes, project, source, typical)
    values |= gain.values
    told += [*gain.told, *_box(values), *_small_movies(values, typical)]
    told += _ctf_program(wishes, values)
    return Draft(values=values, links={**movies.links, **gain.links}, told=tuple(told))


def _own_movies(project: Path) -> Path:
    for folder in (project / "Movies", project / "movies"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"where are the movies? Give --movies FOLDER, or put them into {project}/Movies"
    )


def _movies_sentence(movies: Movies) -> str:
    images = movies.images
    typical = images.typical
    if typical is None:
        return f"{len(images.names)} movies, none of which can be read"
    frames = f", {typical.frames} frames" if typical.frames else ""
    header = f", {typical.angpix:.4g} Å per pixel in the header" if typical.angpix else ""
    size = f"{typical.width} x {typical.height} pixels"
    return f"{len(images.names)} {typical.kind.upper()} movies: {size}{frames}{header}"


def _pixel_size(values: dict[str, Any], typical: Image | None) -> list[str]:
    header = typical.angpix if typical is not None else None
    if "optics.pixel_size" in values or header is None or math.isclose(header, 1.0, abs_tol=1e-6):
        return []
    values["optics.pixel_size"] = round(header, 4)
    return [
        f"optics.pixel_size: {header:.4g} Å, from the movies' headers; a calibrated one is better"
    ]


def _gain(wishes: Wishes, project: Path, source: Source, typical: Image | None) -> Draft:
    if wishes.gain == NO_GAIN or typical is None:
        return Draft()
    if wishes.gain is not None:
        return _use_gain(Path(os.path.abspath(wishes.gain)), project, "as given")
    if not newproject.needs_gain(typical):
        return Draft(told=("the movies hold fractions: they are taken as gain-corrected",))
    found = newproject.gain_candidates(source, typical)
    if len(found) == 1:
        return _use_gain(found[0], project, "found beside the movies")
    if found:
        names = ", ".join(map(str, found))
        return Draft(told=(f"several gain references fit, choose one with --gain: {names}",))
    return Draft(told=("no gain reference found: the movies are taken as gain-corrected",))


def _use_gain(path: Path, project: Path, why: str) -> Draft:
    told = (f"gain.file: {path}, {why}",)
    if path.is_relative_to(project):
        return Draft(values={"gain.file": str(path.relative_to(project))}, told=told)
    name = newproject.plain_name(path.name)
    return Draft(values={"gain.file": name}, links={name: path}, told=told)


def _box(values: dict[str, Any]) -> list[str]:
    angpix = values.get("optics.pixel_size")
    diameter = values.get("sample.particle_diameter")
    if "sample.box_size" in values or not angpix or not diameter:
        return []
    angpix *= values.get("motion_correction.bin_factor", 1)
    box = suggest_box(diameter, angpix)
    values["sample.box_size"] = box
    return [f"sample.box_size: {box} px = {box * angpix:.4g} Å, 1.4 times the diameter"]


def _small_movies(values: dict[str, Any], typical: Image | None) -> list[str]:
    angpix = values.get("optics.pixel_size")
    if typical is None or not angpix:
        return []
    binning = values.get("motion_correction.bin_factor", 1)
    if spectrum_side(typical, angpix, binning) >= SPECTRUM_PX:
        return []
    values["motion_correction.power_spectra"] = False
    why = "the movies are too small for those that RELION writes"
    return [f"motion_correction.power_spectra: false, because {why}"]


def _ctf_program(wishes: Wishes, values: dict[str, Any]) -> list[str]:
    if "ctf.program" in values or not wishes.here:
        return []
    if os.environ.get("RELION_CTFFIND_EXECUTABLE"):
        return []
    program = shutil.which("ctffind")
    if program is not None:
        values["ctf.executable"] = program
        return [f"ctf.executable: {program}"]
    values["ctf.program"] = "builtin"
    return ["ctf.program: builtin, because CTFFIND4 is not on PATH"]

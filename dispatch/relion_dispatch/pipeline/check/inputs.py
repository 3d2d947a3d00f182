"""Files that settings name: are they there, and do they hold what they should."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from relion_dispatch import starscan
from relion_dispatch.pipeline.check import imagefiles
from relion_dispatch.pipeline.check.findings import Finding, error, named, note, warning
from relion_dispatch.pipeline.check.imagefiles import BadImageError
from relion_dispatch.pipeline.check.movies import Images, near_misses
from relion_dispatch.pipeline.check.names import check_file_name, check_names
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.starscan import Block

EMPTY = Block(name="", pairs={}, labels=(), rows=(), n_rows=0)
STACKS = 50  # image stacks whose headers are read
MTF_COLUMNS = ("rlnResolutionInversePixel", "rlnMtfValue")
PARTICLE_COLUMNS = ("rlnImageName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV")
OPTICS_COLUMNS = ("rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnImagePixelSize")


def check_inputs(settings: Settings, images: Images | None, project: Path) -> Iterator[Finding]:
    """Check every file that the steps in use will read, but movies and gain."""
    for option, name in _plain_files(settings).items():
        yield from _exists(option, name, project)
    for option, name in _mtf_files(settings).items():
        yield from _table(option, name, project, "", MTF_COLUMNS)
    for option, name in _maps(settings).items():
        yield from _map(option, name, project, settings.sample.particle_diameter)
    if settings.picking.method == "references" and settings.start != "particles":
        yield from _references(settings, project)
    if settings.picking.method == "coordinates" and settings.start != "particles":
        yield from _coordinates(settings, images, project)
    if settings.start == "particles" and settings.particles is not None:
        yield from _particles(settings, settings.particles, project)
    if settings.corrected_micrographs is not None and settings.start != "movies":
        columns = ("rlnMicrographName", "rlnMicrographMetadata")
        name = settings.corrected_micrographs
        yield from _table("corrected_micrographs", name, project, "micrographs", columns)


def _plain_files(s: Settings) -> Mapping[str, str]:
    """Files of which only the name and being there are checked, by option."""
    topaz = s.picking.topaz
    picks = s.start != "particles"
    named_files = {
        "gain.defects": s.gain.defects if s.start == "movies" else None,
        "polishing.parameters_file": s.polishing.parameters_file if _polishes(s) else None,
    }
    if picks and s.picking.method == "topaz":
        named_files["picking.topaz.model"] = topaz.model
        named_files["picking.topaz.training_coordinates"] = topaz.training_coordinates
        named_files["picking.topaz.training_particles"] = topaz.training_particles
    return _given(named_files)


def _mtf_files(s: Settings) -> Mapping[str, str]:
    used = s.optics.mtf if s.start != "particles" else None
    return _given({"optics.mtf": used, "postprocess.mtf": s.postprocess.mtf})


def _maps(s: Settings) -> Mapping[str, str]:
    return _given(
        {
            "initial_model.reference": s.initial_model.reference,
            "class3d.mask": s.class3d.mask if s.class3d.enabled else None,
            "refine3d.mask": s.refine3d.mask if s.refine3d.enabled else None,
        }
    )


def _polishes(s: Settings) -> bool:
    return bool(s.polishing_rounds) and s.polishing.enabled


def _given(files: Mapping[str, str | None]) -> Mapping[str, str]:
    return {option: os.path.expandvars(name) for option, name in files.items() if name is not None}


def _exists(option: str, name: str, project: Path) -> Iterator[Finding]:
    if not (project / name).is_file():
        there = near_misses(glob.escape(name), project)
        yield error("no-file", option, f"there is no file {name}", there or f"correct {option}")
        return
    yield from check_file_name(option, name)


def _table(
    option: str, name: str, project: Path, block: str, columns: tuple[str, ...]
) -> Iterator[Finding]:
    """Check that a STAR file has the columns, in the block or, when that is empty, anywhere."""
    missing = list(_exists(option, name, project))
    yield from missing
    if missing:
        return
    blocks = _read(project / name)
    found = next((each for each in blocks if block in ("", each.name)), EMPTY)
    yield from _columns(option, name, found, block, columns)


def _read(path: Path) -> tuple[Block, ...]:
    try:
        return starscan.scan(path)
    except OSError:
        return ()


def _columns(
    option: str, name: str, table: Block, block: str, columns: tuple[str, ...]
) -> Iterator[Finding]:
    lacking = [column for column in columns if not table.has(column)]
    if lacking:
        where = f" in its table data_{block}" if block else ""
        yield error(
            "no-columns",
            option,
            f"{name} has no {', '.join(lacking)}{where}",
            "give a STAR file of RELION 3.1 or later that has them",
        )
    elif not table.n_rows and not table.pairs:
        yield error("no-rows", option, f"{name} holds no rows", f"correct {option}")


def _map(option: str, name: str, project: Path, diameter: float | None) -> Iterator[Finding]:
    missing = list(_exists(option, name, project))
    yield from missing
    if missing:
        return
    try:
        image = imagefiles.read(project / name)
    except BadImageError as failure:
        yield error("bad-map", option, f"{name}: {failure}", f"correct {option}")
        return
    if not image.width == image.height == image.frames:
        yield error(
            "bad-map",
            option,
            f"{name} has {image.width} x {image.height} x {image.frames} voxels",
            "RELION takes maps with three equal sides: give a 3D map in a cubic box",
        )
        return
    if image.angpix is None:
        yield error(
            "bad-map",
            option,
            f"the header of {name} has no pixel size",
            "write it with: relion_image_handler --i MAP --o NEW --set_header_angpix SIZE",
        )
    elif diameter is not None and image.width * image.angpix < diameter:
        yield error(
            "bad-map",
            option,
            f"{name} is {image.width} x {image.angpix:.4g} = {image.width * image.angpix:.4g} Å"
            f" wide, less than sample.particle_diameter ({diameter:g} Å)",
            "correct its header's pixel size, or the diameter",
        )


def _references(settings: Settings, project: Path) -> Iterator[Finding]:
    option, refs = "picking.references.file", settings.picking.references
    if refs.file is None:
        return
    name = os.path.expandvars(refs.file)
    if refs.is_map:
        yield from _map(option, name, project, None)
    elif name.endswith(".star"):
        yield from _table(option, name, project, "", ("rlnReferenceImage",))
    else:
        missing = list(_exists(option, name, project))
        yield from missing or _image(option, name, project)


def _image(option: str, name: str, project: Path) -> Iterator[Finding]:
    try:
        imagefiles.read(project / name)
    except BadImageError as failure:
        yield error("bad-map", option, f"{name}: {failure}", f"correct {option}")


def _coordinates(settings: Settings, images: Images | None, project: Path) -> Iterator[Finding]:
    pattern = settings.picking.coordinates
    if pattern is None:
        return
    if "*" not in pattern:
        yield error(
            "coordinates",
            "picking.coordinates",
            f"{pattern!r} has no *, so that RELION cannot tell the ending from the movie's name",
            'give a pattern such as "Movies/*_pick.star"',
        )
        return
    names = sorted(glob.glob(pattern, root_dir=project))
    if not names:
        there = near_misses(pattern, project)
        yield error(
            "coordinates",
            "picking.coordinates",
            f"no file matches {pattern!r}",
            there or "correct picking.coordinates",
        )
        return
    yield from check_names(names, "picking.coordinates")
    if images is not None:
        yield from _belonging(names, pattern, images)


def _belonging(names: list[str], pattern: str, images: Images) -> Iterator[Finding]:
    ending = pattern.rpartition("*")[2]
    picked = {name.removesuffix(ending) for name in names}
    roots = {os.path.splitext(name)[0] for name in images.names}
    alone = sorted(picked - roots)
    if not picked & roots:
        yield error(
            "coordinates",
            "picking.coordinates",
            f"none of the {len(names)} files belongs to one of the {len(roots)} {images.what}:"
            f" {named(names)}",
            "RELION looks for the name and folder of the movie with the ending in place of the"
            f" movie's own, such as {min(roots, default='Movies/movie1')}{ending}",
        )
    elif alone:
        files = [root + ending for root in alone]
        yield warning(
            "coordinates",
            "picking.coordinates",
            f"{len(alone)} files belong to none of the {images.what}: {named(files)}",
            "they are left out",
            files=files,
        )
    elif roots - picked:
        count = len(roots - picked)
        yield note("coordinates", "picking.coordinates", f"{count} {images.what} have none")


def _particles(settings: Settings, name: str, project: Path) -> Iterator[Finding]:
    missing = list(_exists("particles", name, project))
    yield from missing
    if missing:
        return
    blocks = {block.name: block for block in _read(project / name)}
    optics, particles = blocks.get("optics", EMPTY), blocks.get("particles", EMPTY)
    problems = [
        *_columns("particles", name, optics, "optics", OPTICS_COLUMNS),
        *_columns("particles", name, particles, "particles", PARTICLE_COLUMNS),
    ]
    yield from problems
    if problems:
        return
    if particles.n_rows > len(particles.rows):
        yield note(
            "sampled",
            "particles",
            f"{len(particles.rows)} of {particles.n_rows} rows were looked at",
        )
    yield from _stacks(particles, project)
    yield from _particle_box(settings, name, optics)


def _stacks(particles: Block, project: Path) -> Iterator[Finding]:
    stacks = list(dict.fromkeys(v.split("@", 1)[-1] for v in particles.column("rlnImageName")))
    gone = [stack for stack in stacks if not (project / stack).is_file()]
    if gone:
        yield error(
            "no-stack",
            "particles",
            f"{len(gone)} of {len(stacks)} image stacks are not there: {named(gone)}",
            "their names are relative to the project: link the folder that holds them into it",
            files=gone,
        )
        return
    for stack in stacks[:: max(1, len(stacks) // STACKS)]:
        try:
            imagefiles.read(project / stack)
        except BadImageError as failure:
            yield error("unreadable", stack, str(failure), "extract or copy the particles again")
            return


def _particle_box(settings: Settings, name: str, optics: Block) -> Iterator[Finding]:
    diameter = settings.sample.particle_diameter
    sizes, pixels = optics.column("rlnImageSize"), optics.column("rlnImagePixelSize")
    for size, pixel in zip(sizes, pixels, strict=False):
        try:
            box = float(size) * float(pixel)
        except ValueError:
            continue
        if diameter is not None and diameter >= box:
            yield error(
                "diameter",
                "sample.particle_diameter",
                f"{diameter:g} Å is not smaller than the box in {name}: {size} px of {pixel} Å"
                f" are {box:.4g} Å",
                "give the particle's diameter in Å, or particles in a larger box",
            )

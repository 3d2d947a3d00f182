"""The commands of the whole pipeline for given settings, as the tests of commands need them.

``python -m tests.unit.pipeline_chain`` writes the expected command lines of the default settings
anew, for a person to look through before they are committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relion_dispatch.pipeline import commands, settings
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.settings import merge
from relion_dispatch.pipeline.versions import Version
from relion_dispatch.resources import workflow_dir

DATA = Path(__file__).parent / "data"
DEFAULTS = settings.read(workflow_dir() / "config" / "config.yaml")
VERSIONS = ("3.1", "4.0", "5.0")
MINIMUM: Mapping[str, Any] = {
    "optics": {"pixel_size": 0.885, "voltage": 300},
    "dose": {"per_frame": 1.277},
    "sample": {"particle_diameter": 200, "box_size": 360, "symmetry": "D2"},
}


def settings_with(changes: Mapping[str, Any] | None = None) -> Settings:
    """Load the least possible configuration with some changes."""
    return settings.validate(merge(merge(DEFAULTS, MINIMUM), changes or {}))


def chain(s: Settings, v: Version) -> dict[str, tuple[str, ...]]:
    """Give the commands of every step, with those of one round."""
    return dict(_until_classes(s, v)) | dict(_refinement(s, v)) | dict(_round(s, v))


def _until_classes(s: Settings, v: Version) -> Iterator[tuple[str, tuple[str, ...]]]:
    where = Layout(s.first_job)
    imported = where.dir("import")
    if s.start == "particles":
        yield "import", commands.import_particles(s, out=imported)
    else:
        yield "import", commands.import_movies(s, out=imported)
    yield (
        "motion_correction",
        commands.motion_correction(
            s, v, movies=imported + "movies.star", out=where.dir("motion_correction")
        ),
    )
    corrected = where.path("motion_correction", "corrected_micrographs.star")
    yield (
        "ctf",
        commands.ctf(s, micrographs=corrected, out=where.dir("ctf"), builtin="/opt/my ctf"),
    )
    micrographs = where.path("ctf", "micrographs_ctf.star")
    if s.picking.method == "coordinates":
        yield "picking", commands.import_coordinates(s, out=where.dir("import_coordinates"))
    else:
        yield "picking", commands.picking(s, v, micrographs=micrographs, out=where.dir("picking"))
    if v.topaz:
        training = where.dir("topaz_training")
        yield (
            "topaz_training",
            commands.topaz_training(s, v, micrographs=micrographs, out=training),
        )
    picked = "autopick.star" if v.coordinate_lists else "coords_suffix_autopick.star"
    yield (
        "extraction",
        commands.extraction(
            s,
            v,
            micrographs=micrographs,
            coordinates=where.path("picking", picked),
            out=where.dir("extraction"),
        ),
    )
    particles = where.path("extraction", "particles.star")
    yield "class2d", commands.class2d(s, v, particles=particles, out=where.dir("class2d"))
    chosen = where.path("select2d", "particles.star")
    yield (
        "initial_model",
        commands.initial_model(s, v, particles=chosen, out=where.start(2), start=2),
    )
    reference = where.path("rank_starts", "initial_model.mrc")
    yield (
        "class3d",
        commands.class3d(s, v, particles=chosen, reference=reference, out=where.dir("class3d")),
    )


def _refinement(s: Settings, v: Version) -> Iterator[tuple[str, tuple[str, ...]]]:
    where = Layout(s.first_job)
    yield (
        "reextraction",
        commands.reextraction(
            s,
            v,
            micrographs=where.path("ctf", "micrographs_ctf.star"),
            particles=where.path("select3d", "particles.star"),
            out=where.dir("reextraction"),
        ),
    )
    yield (
        "refine3d",
        commands.refine3d(
            s,
            v,
            particles=where.path("reextraction", "particles.star"),
            reference=where.path("select3d", "reference.mrc"),
            out=where.dir("refine3d"),
        ),
    )
    refined = where.path("refine3d", "run_class001.mrc")
    yield "mask", commands.mask(s, map_=refined, threshold=0.0123, out=where.dir("mask"))
    half = where.path("refine3d", "run_half1_class001_unfil.mrc")
    mask = where.path("mask", "mask.mrc")
    yield (
        "postprocess",
        commands.postprocess(s, half_map=half, mask=mask, out=where.dir("postprocess")),
    )
    yield (
        "local_resolution",
        commands.local_resolution(s, half_map=half, mask=mask, out=where.dir("local_resolution")),
    )


def _round(s: Settings, v: Version) -> Iterator[tuple[str, tuple[str, ...]]]:
    where = Layout(s.first_job)
    post = where.path("postprocess", "postprocess.star")
    corrected = where.path("motion_correction", "corrected_micrographs.star")
    yield (
        "ctf_refinement",
        commands.ctf_refinement(
            s,
            particles=where.path("refine3d", "run_data.star"),
            postprocess=post,
            out=where.dir("ctf_refinement", round=1),
        ),
    )
    particles = where.path("ctf_refinement", "particles_ctf_refine.star", round=1)
    yield (
        "polishing_training",
        commands.polishing_training(
            s,
            particles=particles,
            postprocess=post,
            micrographs=corrected,
            out=where.dir("polishing_training", round=1),
        ),
    )
    yield (
        "polishing",
        commands.polishing(
            s,
            v,
            particles=particles,
            postprocess=post,
            micrographs=corrected,
            out=where.dir("polishing", round=1),
        ),
    )
    yield (
        "refine_polished",
        commands.refine_polished(
            s,
            v,
            particles=where.path("polishing", "shiny.star", round=1),
            reference=where.path("refine3d", "run_class001.mrc"),
            mask=where.path("mask", "mask.mrc"),
            out=where.dir("refine3d", round=1),
        ),
    )


def expected_file(version: str) -> Path:
    """Where the command lines of the default settings are kept for a version."""
    return DATA / f"commands_{version}.txt"


def written(version: str) -> str:
    """Write the command lines of the default settings, step by step."""
    steps = chain(settings_with(), Version.parse(version))
    return "\n".join("\n".join([f"# {step}", *lines, ""]) for step, lines in steps.items())


if __name__ == "__main__":
    for known in VERSIONS:
        expected_file(known).write_text(written(known), encoding="utf-8")

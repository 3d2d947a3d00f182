"""The way from movies to map, with counts and resolutions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from relion_dispatch.errors import InputError
from relion_dispatch.report import models, star, tools
from relion_dispatch.report.axes import Axis, axis
from relion_dispatch.report.content import (
    Block,
    Facts,
    Figure,
    Stage,
    Stages,
)
from relion_dispatch.report.parts.verdicts import verdict_files
from relion_dispatch.report.source import Part, Source
from relion_dispatch.report.svg import Chart

LEVELS = ("fine", "doubtful", "stop")


def _rows(source: Source, name: str, label: str) -> int | None:
    """Count the rows of a project's table; None before there is one."""
    try:
        return star.rows(source.file(name), label)
    except InputError:
        return None


def picks(source: Source) -> int | None:
    """Count all picks; None before there are any, or where they are the user's own."""
    name = source.paths.path("picking", "summary.star")
    try:
        table = star.columns(source.file(name), ("rlnGroupNrParticles",))
    except InputError:
        return None
    return int(star.numbers(table["rlnGroupNrParticles"]).sum())


def model_resolution(source: Source, name: str) -> float | None:
    """Return the resolution of a model's best class in Å; None before there is one."""
    try:
        found = models.read_model(source.file(name)).best_resolution_angst
    except InputError:
        return None
    return found if math.isfinite(found) else None


def refined_resolution(source: Source, round_: int) -> float | None:
    """Return where a refinement's corrected FSC falls below 0.143, in Å; None before that."""
    name = source.paths.path("postprocess", "postprocess.star", round_)
    try:
        return models.read_fsc(source.file(name)).resolution_angst
    except InputError:
        return None


def stages(source: Source) -> list[Stage]:
    """Return the stations from movies to map, as far as the project wants to go."""
    refined = (_refined(source, round_) for round_ in source.rounds)
    return [*_images(source), *_classified(source), *refined]


def _stage(
    source: Source,
    name: str,
    directory: str,
    count: int | None,
    unit: str,
    *,
    resolution: float | None = None,
    verdict: str = "",
) -> Stage:
    level = str(source.verdict(verdict).get("verdict", "")) if verdict else ""
    return Stage(
        name=name,
        directory=directory.rstrip("/"),
        count="" if count is None else tools.whole(count),
        unit=unit,
        resolution=tools.angst(resolution) if resolution and math.isfinite(resolution) else "",
        level=level if level in LEVELS else "",
        done=count is not None,
    )


def _images(source: Source) -> Iterator[Stage]:
    paths, start = source.paths, source.settings.start
    folder = paths.layout.dir
    if start == "movies":
        label = "rlnMicrographMovieName"
        count = _rows(source, paths.imported, label)
        yield _stage(source, "Movies", folder("import"), count, "movies")
    if start != "particles":
        label = "rlnMicrographName"
        step = "motion_correction" if start == "movies" else "import"
        count = _rows(source, paths.micrographs, label)
        yield _stage(source, "Micrographs", folder(step), count, "micrographs")
        count = _rows(source, paths.micrographs_with_ctf, "rlnDefocusU")
        yield _stage(source, "CTF", folder("ctf"), count, "with a CTF")
    if start != "particles" and source.settings.picking.method != "coordinates":
        yield _stage(source, "Picks", folder("picking"), picks(source), "picks")
    step = "import" if start == "particles" else "extraction"
    count = _rows(source, paths.extracted, "rlnImageName")
    yield _stage(source, "Particles", folder(step), count, "particles")


def _classified(source: Source) -> Iterator[Stage]:
    paths, chosen = source.paths, source.settings
    folder = paths.layout.dir
    if chosen.class2d.enabled:
        count = _rows(source, paths.chosen_2d, "rlnImageName")
        resolution = model_resolution(source, f"{paths.class2d_last}_model.star")
        yield _stage(source, "2D classes", folder("select2d"), count, "kept", resolution=resolution)
    if paths.starts:
        verdict = paths.path("rank_starts", "verdict.json")
        done = [start for start in paths.starts if source.has(paths.start_model(start))]
        count = len(done) if source.has(verdict) else None
        angst = source.verdict(verdict).get("resolution_angst")
        yield _stage(
            source,
            "Initial model",
            folder("rank_starts"),
            count,
            "starts",
            resolution=angst,
            verdict=verdict,
        )
    if chosen.class3d.enabled:
        count = _rows(source, paths.chosen_3d, "rlnImageName")
        verdict = paths.path("select3d", "verdict.json")
        resolution = model_resolution(source, f"{paths.class3d_last}_model.star")
        yield _stage(
            source,
            "3D classes",
            folder("select3d"),
            count,
            "kept",
            resolution=resolution,
            verdict=verdict,
        )


def _refined(source: Source, round_: int) -> Stage:
    paths = source.paths
    last = round_ == source.rounds[-1]
    name = f"Refined, round {round_}" if round_ else "Refined"
    if last and round_:
        name = f"Final map, round {round_}"
    elif last:
        name = "Final map"
    return _stage(
        source,
        name,
        paths.layout.dir("refine3d", round=round_),
        _rows(source, paths.refined("run_data.star", round_), "rlnImageName"),
        "particles",
        resolution=refined_resolution(source, round_),
        verdict=paths.refined("verdict.json", round_),
    )


def resolutions(found: list[Stage]) -> Figure | None:
    """Draw the resolution at each stage; None with fewer than two."""
    known = [(stage.name, float(stage.resolution[:-2])) for stage in found if stage.resolution]
    if len(known) < 2:
        return None
    values = [value for _, value in known]
    ticks = _ticks([name for name, _ in known])
    drawn = Chart(
        title="Resolution at each stage",
        x=Axis(label="stage", low=-0.4, high=len(known) - 0.6, ticks=ticks),
        y=axis("resolution (Å)", values, zero=True),
    )
    drawn.line([float(at) for at in range(len(values))], values, "s1")
    points = [
        (float(at), value, f"{name}: {value:.1f} Å") for at, (name, value) in enumerate(known)
    ]
    drawn.points(points, "s1")
    for at, value in enumerate(values):
        drawn.note(float(at), value, f"{value:.1f}")
    return Figure(
        svg=drawn.svg(),
        title="Resolution",
        caption="Classes: RELION's estimate. Refinements: the corrected FSC at 0.143.",
    )


def particles(found: list[Stage]) -> Figure | None:
    """Draw how many particles go on at each stage; None with fewer than two."""
    known = [
        (stage.name, float(stage.count.replace("\u202f", "")))
        for stage in found
        if stage.count and stage.unit in ("picks", "particles", "kept")
    ]
    if len(known) < 2:
        return None
    ticks = _ticks([name for name, _ in known])
    counts = [count for _, count in known]
    drawn = Chart(
        title="Particles at each stage",
        x=Axis(label="stage", low=-0.6, high=len(known) - 0.4, ticks=ticks),
        y=axis("particles", [0, max(counts) * 1.05], zero=True, whole=True),
    )
    for at, (name, count) in enumerate(known):
        drawn.bar(at - 0.33, at + 0.33, count, f"{name}: {tools.whole(count)}")
        drawn.note(float(at), count, tools.whole(count))
    share = counts[-1] / counts[0] if counts[0] else 0
    caption = f"{share:.0%} of the {tools.whole(counts[0])} {known[0][0].lower()} go on."
    return Figure(svg=drawn.svg(), title="Particles", caption=caption)


#: Short names of stages for an axis.
SHORT = {"Initial model": "initial", "2D classes": "2D", "3D classes": "3D", "Particles": "all"}


def _ticks(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Return the stages' names as they fit below an axis, at 0, 1, 2, …."""
    crowded = len(names) > 7
    return tuple((float(at), _short(name, crowded=crowded)) for at, name in enumerate(names))


def _short(name: str, *, crowded: bool) -> str:
    if name.startswith("Final map"):
        return "final"
    round_ = re.fullmatch(r"Refined, round (\d+)", name)
    if round_:
        return f"r{round_[1]}" if crowded else f"round {round_[1]}"
    if name == "Refined":
        return "r0" if crowded else "refined"
    return SHORT.get(name, name.lower())


def way(source: Source) -> Iterator[Block]:
    """Make the part that shows the way."""
    found = stages(source)
    yield Stages(title="From movies to map", stages=tuple(found))
    if drawn := resolutions(found):
        yield drawn
    if drawn := particles(found):
        yield drawn
    yield Facts(facts=tuple(facts(source)))


def facts(source: Source) -> Iterator[tuple[str, str]]:
    """Yield what one wants to know first of a data set."""
    chosen = source.settings
    frames, dose = (source.check.get("facts", {}).get(name) for name in ("frames", "dose (e/Å²)"))
    pixel = chosen.optics.pixel_size
    yield "pixel size", f"{pixel:g} Å" if pixel else "–"
    yield "voltage", f"{chosen.optics.voltage:g} kV" if chosen.optics.voltage else "–"
    if frames:
        yield "frames", f"{frames}"
    if dose:
        yield "dose", f"{dose:g} e/Å²"
    yield "symmetry", chosen.sample.symmetry
    diameter = chosen.sample.particle_diameter
    yield "particle diameter", f"{diameter:g} Å" if diameter else "–"
    if box := source.paths.full_box:
        yield "box", f"{box[0]} px, {box[0] * box[1]:.0f} Å"
    yield "RELION", str(source.paths.version)


def _way_files(source: Source) -> tuple[str, ...]:
    paths = source.paths
    names = [paths.imported, paths.micrographs, paths.micrographs_with_ctf, paths.extracted]
    names += [paths.path("picking", "summary.star"), paths.chosen_2d, paths.chosen_3d]
    names += [f"{paths.class2d_last}_model.star", f"{paths.class3d_last}_model.star"]
    for round_ in source.rounds:
        names += [
            paths.refined("run_data.star", round_),
            paths.path("postprocess", "postprocess.star", round_),
        ]
    return (*names, *verdict_files(source).values())


WAY = Part(name="way", title="From movies to map", files=_way_files, build=way)

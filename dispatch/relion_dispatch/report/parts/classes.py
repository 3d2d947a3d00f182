"""2D classes as a wall of pictures; initial models and 3D classes as maps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.tables import ClassStatistics, Model
from relion_dispatch.report import images, models, star, tools
from relion_dispatch.report.content import Block, Picture, Pictures, Table, Text
from relion_dispatch.report.parts import maps
from relion_dispatch.report.source import Part, Source

#: Px of a class average in the page, at most.
AVERAGE_PX = 96
#: So many classes are shown, the fullest first.
SHOWN = 120


def counts(data: Path) -> Counter[int]:
    """Count the particles of each class."""
    found = star.tally(data, "rlnClassNumber")
    return Counter({int(float(text)): count for text, count in found.items()})


def kept(source: Source, step: str) -> set[str] | None:
    """Images or maps of the classes that a selection kept; None before it has."""
    name = source.paths.path(step, "class_averages.star")
    if not source.has(name):
        return None
    table = star.columns(source.file(name), ("rlnReferenceImage",))
    return {same(image) for image in table["rlnReferenceImage"]}


def same(image: str) -> str:
    """Write the name of an image in a stack in one way: RELION pads its number or not."""
    number, at, file = image.partition("@")
    return f"{int(number)}@{file}" if at and number.isdigit() else image


def _state(image: str, chosen: set[str] | None) -> str:
    if chosen is None:
        return ""
    return "kept" if same(image) in chosen else "rejected"


# ------------------------------------------------------------------------------------------ 2D


def wall(source: Source) -> Iterator[Block]:
    """Make the part of 2D classification."""
    root = source.paths.class2d_last
    model = models.read_model(source.need(f"{root}_model.star"))
    found = counts(source.need(f"{root}_data.star"))
    chosen = kept(source, "select2d")
    ordered = sorted(model.classes, key=lambda each: (-found[each.number], each.number))
    pictures = [
        _average(source, each, found[each.number], _state(each.image, chosen))
        for each in ordered[:SHOWN]
    ]
    yield Pictures(
        title=f"{len(model.classes)} class averages, the fullest first",
        pictures=tuple(pictures),
        caption=_sum(model, found, chosen),
        size="small",
    )


def _average(source: Source, each: ClassStatistics, count: int, state: str) -> Picture:
    number, _, file = each.image.partition("@")
    image = images.read_image(source.file(file), int(number) - 1)
    image = images.smaller(image, max(1, -(-len(image) // AVERAGE_PX)))
    pixels = images.grey(images.larger(image, AVERAGE_PX), 4)
    resolution = tools.angst(each.resolution_angst)
    return Picture(
        uri=images.uri(pixels),
        width=AVERAGE_PX,
        height=AVERAGE_PX,
        alt=f"average of 2D class {each.number}",
        label=f"{tools.whole(count)} · {resolution}",
        note=f"class {each.number}",
        state=state,
    )


def _sum(model: Model, found: Counter[int], chosen: set[str] | None) -> str:
    total = sum(found.values())
    words = "Below each class: its particles and its estimated resolution."
    if (more := len(model.classes) - SHOWN) > 0:
        words += f" Smaller classes that are not shown: {tools.whole(more)}."
    if chosen is None:
        return f"{words} Nothing has been chosen yet."
    good = [each for each in model.classes if same(each.image) in chosen]
    particles = sum(found[each.number] for each in good)
    share = f" ({particles / total:.0%})" if total else ""
    return (
        f"{words} {tools.many(len(good), 'class')} with {tools.many(particles, 'particle')}{share}"
        " kept."
    )


# ------------------------------------------------------------------------------------------ 3D


def starts(source: Source) -> Iterator[Block]:
    """Make the part of the initial model."""
    paths = source.paths
    found: dict[int, Model] = {}
    for start in paths.starts:
        with suppress(InputError):
            found[start] = models.read_model(source.need(paths.start_model(start)))
    if found:
        yield ranking(source, found)
    source.need(paths.model)
    yield from maps.views(source, paths.model, "The map that 3D steps begin with")
    others = [start for start in found if source.has(paths.start_map(start))]
    if len(others) > 1:
        pictures = [
            maps.surface_picture(source, paths.start_map(start), f"start {start}")
            for start in others
        ]
        yield Pictures(title="All starts", pictures=tuple(pictures), size="small")


def ranking(source: Source, found: dict[int, Model]) -> Table:
    """List the starts, the likeliest first."""
    score = {start: each.log_likelihood / each.particles for start, each in found.items()}
    best = max(score.values())
    rows = [
        (
            str(start),
            tools.signed(score[start] - best, 2) if score[start] < best else "best",
            f"{found[start].pmax:.2f}",
            tools.angst(found[start].best_resolution_angst),
            source.paths.layout.start(start).rstrip("/"),
        )
        for start in sorted(score, key=lambda start: -score[start])
    ]
    missing = len(source.paths.starts) - len(found)
    return Table(
        title=f"{tools.many(len(found), 'start')}, ranked by their likelihood on all particles",
        head=("start", "log-likelihood per particle", "Pmax", "resolution", "directory"),
        rows=tuple(rows),
        right=(0, 1, 2, 3),
        caption=f"{tools.many(missing, 'start')} not finished." if missing else "",
    )


def classes_3d(source: Source) -> Iterator[Block]:
    """Make the part of 3D classification."""
    root = source.paths.class3d_last
    model = models.read_model(source.need(f"{root}_model.star"))
    found = counts(source.need(f"{root}_data.star"))
    chosen = kept(source, "select3d")
    for each in model.classes:
        state = _state(each.image, chosen)
        word = f", {state}" if state else ""
        title = (
            f"Class {each.number}: {tools.many(found[each.number], 'particle')}"
            f" ({each.fraction:.0%}), {tools.angst(each.resolution_angst)}{word}"
        )
        if found[each.number] == 0 or math.isinf(each.resolution_angst):
            yield Text(text=f"{title}.")
            continue
        yield from maps.views(source, each.image, title)


CLASS2D = Part(
    name="class2d",
    title="2D classes",
    files=lambda source: (
        f"{source.paths.class2d_last}_model.star",
        f"{source.paths.class2d_last}_data.star",
        source.paths.path("select2d", "class_averages.star"),
    ),
    build=wall,
    applies=lambda source: source.settings.class2d.enabled,
)
STARTS = Part(
    name="initial-model",
    title="Initial model",
    files=lambda source: (
        source.paths.model,
        *(source.paths.start_model(start) for start in source.paths.starts),
    ),
    build=starts,
)
CLASS3D = Part(
    name="class3d",
    title="3D classes",
    files=lambda source: (
        f"{source.paths.class3d_last}_model.star",
        f"{source.paths.class3d_last}_data.star",
        source.paths.path("select3d", "class_averages.star"),
    ),
    build=classes_3d,
    applies=lambda source: source.settings.class3d.enabled,
)

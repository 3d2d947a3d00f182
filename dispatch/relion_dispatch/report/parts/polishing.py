"""Each round's CTF refinement and polishing: defocus, tracks of particles, B-factors of frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from relion_dispatch import starscan
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import commands
from relion_dispatch.report import images, star, svg, tools
from relion_dispatch.report.axes import axis, number
from relion_dispatch.report.content import Block, Figure, Text
from relion_dispatch.report.parts.particles import histogram, shown
from relion_dispatch.report.source import Part, Source
from relion_dispatch.report.svg import Chart
from relion_dispatch.report.tools import Values

#: Tracks are drawn so that the longest has this share of the micrograph's width.
LONGEST = 0.07
#: The defocus of at most so many particles is looked at.
MOST = 200_000
#: So many tracks can be told apart.
MOST_TRACKS = 150
SHIFTS = ("rlnOriginXAngst", "rlnOriginYAngst")


def defocus(source: Source, round_: int) -> Figure:
    """Draw by how much CTF refinement has changed the particles' defocus."""
    before = _defocus(source.need(source.paths.refined("run_data.star", round_ - 1)))
    after = _defocus(source.need(source.paths.ctf_refined(round_)))
    shared = sorted(before.keys() & after.keys())
    if not shared:
        raise InputError("particles of CTF refinement cannot be found in the refinement before")
    change = np.array([after[name] - before[name] for name in shared])
    drawn = histogram("Change of defocus", "change of defocus (Å)", change, "particles")
    spread = number(float(np.std(change)))
    return Figure(
        svg=drawn.svg,
        title=drawn.title,
        caption=f"{tools.many(len(shared), 'particle')}; standard deviation {spread} Å.",
    )


def _defocus(path: Path) -> dict[str, float]:
    labels = ("rlnImageName", "rlnDefocusU", "rlnDefocusV")
    table = star.columns(path, labels, most=MOST)
    u, v = (star.numbers(table[label]) for label in labels[1:])
    return dict(zip(table["rlnImageName"], ((u + v) / 2).tolist(), strict=True))


def bfactors(source: Source, round_: int) -> Figure:
    """Draw the B-factor of each frame."""
    file = source.need(source.paths.path("polishing", "bfactors.star", round_))
    labels = ("rlnMovieFrameNumber", "rlnBfactorUsedForSharpening")
    table = star.columns(file, labels)
    frames, values = (star.numbers(table[label]) for label in labels)
    first = source.settings.polishing.first_frame
    order = frames + first  # RELION counts from 0 here
    drawn = Chart(
        title="B-factor of each frame",
        x=axis("frame", [0, *order], whole=True),
        y=axis("B-factor (Å²)", values, zero=True),
    )
    drawn.line(order.tolist(), values.tolist(), "s1")
    points = zip(order.tolist(), values.tolist(), strict=True)
    drawn.points([(x, y, f"frame {x:.0f}: {y:.0f} Å²") for x, y in points], "s1")
    best = int(order[int(np.argmax(values))])
    return Figure(
        svg=drawn.svg(),
        title="B-factors of the frames",
        caption=f"Frame {best} counts most at high resolution; the lower, the less a frame does.",
    )


def tracks_of(path: Path) -> list[tuple[Values, Values]]:
    """Read a movie's tracks: for each particle its shifts in x and y per frame, in Å.

    Raises
    ------
    InputError
        When there are none.
    """
    blocks = [block for block in starscan.scan(path) if block.has(SHIFTS[0])]
    if not blocks:
        raise InputError(f"{path}: has no tracks")
    return [
        (star.numbers(block.column(SHIFTS[0])), star.numbers(block.column(SHIFTS[1])))
        for block in blocks
    ]


def tracks(source: Source, round_: int) -> Figure:
    """Draw the tracks of one movie's particles over its micrograph, magnified."""
    labels = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")
    table = star.columns(source.need(source.paths.ctf_refined(round_)), labels)
    folder = source.file(source.paths.layout.dir("polishing", round=round_))
    files = {path.name.removesuffix("_tracks.star"): path for path in _track_files(folder)}
    by_name: dict[str, list[tuple[float, float]]] = {}
    for name, x, y in zip(*(table[label] for label in labels), strict=True):
        by_name.setdefault(name, []).append((float(x), float(y)))
    known = [name for name in by_name if PurePosixPath(name).stem in files]
    if not known:
        raise InputError("polishing has left no tracks")
    name = sorted(known, key=lambda each: len(by_name[each]))[len(known) // 2]
    moves = tracks_of(files[PurePosixPath(name).stem])
    return _drawn(source, name, by_name[name], moves)


def _track_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/*_tracks.star"))


def _drawn(
    source: Source,
    name: str,
    places: list[tuple[float, float]],
    moves: list[tuple[Values, Values]],
) -> Figure:
    pixel = commands.micrograph_pixel_size(source.settings)
    title = f"Tracks of the particles of {PurePosixPath(name).stem}"
    try:
        image, factor = shown(images.read_image(source.file(name)), pixel, source)
    except InputError as error:
        raise InputError(f"no micrograph to draw tracks on: {error}") from error
    height, width = image.shape
    longest = max((float(np.hypot(np.ptp(x), np.ptp(y))) for x, y in moves), default=0.0)
    magnified = LONGEST * width / (longest / pixel / factor) if longest else 1.0
    uri = images.uri(images.grey(image, 2.5))
    body = [f'<image x="0" y="0" width="{width}" height="{height}" href="{uri}" class="faint"/>']
    for at in tools.thinned(min(len(places), len(moves)), most=MOST_TRACKS).tolist():
        (x, y), (dx, dy) = places[at], moves[at]
        across = x / factor + (dx - dx[0]) / pixel / factor * magnified
        down = y / factor + (dy - dy[0]) / pixel / factor * magnified
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
        body.append(f'<polyline class="track" points="{points}"/>')
        body.append(f'<circle class="begin" cx="{across[0]:.1f}" cy="{down[0]:.1f}" r="2.6"/>')
    caption = (
        f"{tools.many(len(moves), 'particle')}{_some(len(moves))}, from the dot on; magnified"
        f" {magnified:.0f} times, the longest is {number(longest)} Å."
    )
    drawing = svg.wrap(body, title=title, width=width, height=height)
    return Figure(svg=drawing, title=title, caption=caption, large=True)


def _some(count: int) -> str:
    return ", some of them drawn" if count > MOST_TRACKS else ""


def build(source: Source, round_: int) -> Iterator[Block]:
    """Make the part of one round."""
    refined = source.settings.ctf_refinement.enabled
    changes: list[Block] = [defocus(source, round_)] if refined else []
    if not source.settings.polishing.enabled:
        yield from changes
        return
    if not source.has(source.paths.path("polishing", "shiny.star", round_)):
        yield from changes
        yield Text(text="Polishing has not finished yet.", kind="missing")
        return
    missing: list[Block] = []
    for drawing, what in ((tracks, "tracks"), (bfactors, "B-factors")):
        try:
            yield drawing(source, round_)
        except InputError as error:
            missing.append(Text(text=f"No {what}: {error}", kind="missing"))
    yield from [*changes, *missing]


def _files(source: Source, round_: int) -> tuple[str, ...]:
    paths = source.paths
    return (
        paths.ctf_refined(round_),
        paths.polished(round_),
        paths.path("polishing", "bfactors.star", round_),
    )


def part(round_: int) -> Part:
    """Return the part of one round's CTF refinement and polishing."""
    return Part(
        name=f"round-{round_}",
        title=f"Polishing, round {round_}",
        files=partial(_files, round_=round_),
        build=partial(build, round_=round_),
        applies=lambda source: round_ in source.rounds,
    )

"""The particles on one micrograph, how many there are on each, and how good they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import commands
from relion_dispatch.report import images, star, svg, tools
from relion_dispatch.report.axes import axis
from relion_dispatch.report.content import Block, Figure
from relion_dispatch.report.images import Image
from relion_dispatch.report.parts.micrographs import Measure, chart
from relion_dispatch.report.source import Part, Source
from relion_dispatch.report.svg import Chart

#: Px of a micrograph in the page, at most.
MICROGRAPH_PX = 560
NAME = "rlnImageName"
#: Figures of merit of at most so many particles are looked at.
MOST = 100_000
#: How far a particle has come: class of its circle, and what that means.
WAYS = {
    "kept": "kept for refinement",
    "no3d": "left out by 3D classification",
    "no2d": "left out by 2D classification",
    "new": "not classified yet",
}


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A particle on a micrograph: where it is, in px of the micrograph, and how far it has come."""

    x: float
    y: float
    way: str


def build(source: Source) -> Iterator[Block]:
    """Make the part."""
    extracted = source.need(source.paths.extracted)
    counts = star.tally(extracted, "rlnMicrographName")
    name = typical(counts)
    yield micrograph(source, name)
    order = list(counts)
    yield chart(
        Measure(
            title="Particles per micrograph",
            label="particles",
            values=np.array([float(counts[each]) for each in order]),
            names=order,
            unit="particles",
            low=True,
        )
    )
    labels = (NAME, "rlnAutopickFigureOfMerit")
    merits = star.numbers(star.columns(extracted, labels, most=MOST).get(labels[1], []))
    merits = merits[np.isfinite(merits) & (merits > -900)]  # -999 where a person has picked
    if merits.size and np.ptp(merits) > 0:
        yield histogram("Figure of merit of the picks", "figure of merit", merits, "particles")


def typical(counts: Counter[str]) -> str:
    """Choose the micrograph whose number of particles is in the middle."""
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    return ordered[len(ordered) // 2]


def histogram(title: str, label: str, values: tools.Values, noun: str) -> Figure:
    """Draw how often values occur."""
    bins = int(np.clip(np.sqrt(values.size), 8, 40))
    heights, edges = np.histogram(values, bins=bins)
    drawn = Chart(
        title=title,
        x=axis(label, edges),
        y=axis(noun, heights.astype(float), zero=True, whole=True),
    )
    drawn.bars(edges.tolist(), heights.astype(float).tolist(), "s1")
    return Figure(svg=drawn.svg(), title=title, caption=f"{tools.whole(values.size)} {noun}.")


def picks(source: Source, name: str) -> list[Pick]:
    """Read the particles of a micrograph and how far each has come."""
    labels = (NAME, "rlnCoordinateX", "rlnCoordinateY", "rlnMicrographName")
    table = star.columns(source.file(source.paths.extracted), labels, containing=name)
    after_2d = _names(source, source.paths.chosen_2d, name)
    after_3d = _names(source, source.paths.chosen_3d, name)
    found = []
    for image, x, y, where in zip(*(table[label] for label in labels), strict=True):
        if where == name:
            way = _way(image, after_2d, after_3d)
            found.append(Pick(x=float(x), y=float(y), way=way))
    return found


def _way(image: str, after_2d: set[str] | None, after_3d: set[str] | None) -> str:
    if after_2d is None:
        return "new"
    if image not in after_2d:
        return "no2d"
    return "no3d" if after_3d is not None and image not in after_3d else "kept"


def _names(source: Source, file: str, name: str) -> set[str] | None:
    """Names of a micrograph's particles in a selection; None before there is one."""
    if file == source.paths.extracted or not source.has(file):
        return None
    return set(star.columns(source.file(file), (NAME,), containing=name)[NAME])


def micrograph(source: Source, name: str) -> Figure:
    """Draw a micrograph with its particles in circles of the particle's diameter."""
    pixel = commands.micrograph_pixel_size(source.settings)
    title = f"Particles on {PurePosixPath(name).name}"
    found = picks(source, name)
    try:
        image, factor = shown(images.read_image(source.file(name)), pixel, source)
    except InputError:
        image, factor = None, 1.0
    width, height = _size(image, found, factor)
    diameter = source.settings.sample.particle_diameter or 0
    radius = max(4.0, diameter / pixel / factor / 2)
    body = [_image(image)] if image is not None else []
    body += [
        f'<circle class="pick {pick.way}" cx="{pick.x / factor:.1f}"'
        f' cy="{pick.y / factor:.1f}" r="{radius:.1f}"/>'
        for pick in found
    ]
    drawing = svg.wrap(body, title=title, width=width, height=height)
    caption = f"{_legend(found)} Circles: {diameter:g} Å." if diameter else _legend(found)
    return Figure(svg=drawing, title=title, caption=caption, large=True)


def shown(image: Image, pixel: float, source: Source) -> tuple[Image, float]:
    """Make a micrograph small and smooth, so that particles can be seen; also by what factor."""
    factor = max(1, -(-max(image.shape) // MICROGRAPH_PX))
    binned = images.smaller(image, factor)
    sigma = (source.settings.sample.particle_diameter or 100) / 25 / (pixel * factor)
    return smooth(binned, sigma), float(factor)


def smooth(image: Image, sigma_px: float) -> Image:
    """Blur an image with a Gaussian."""
    rows, columns = (np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1]))
    frequency2 = rows[:, None] ** 2 + columns[None, :] ** 2
    damped = np.fft.rfft2(image) * np.exp(-2 * (np.pi * sigma_px) ** 2 * frequency2)
    return np.asarray(np.fft.irfft2(damped, s=image.shape), dtype=np.float32)


def _image(image: Image) -> str:
    height, width = image.shape
    uri = images.uri(images.grey(image, 2.5))
    return f'<image x="0" y="0" width="{width}" height="{height}" href="{uri}"/>'


def _size(image: Image | None, found: list[Pick], factor: float) -> tuple[float, float]:
    if image is not None:
        return float(image.shape[1]), float(image.shape[0])
    reach = [max((getattr(pick, side) for pick in found), default=100.0) for side in ("x", "y")]
    return reach[0] / factor * 1.05, reach[1] / factor * 1.05


def _legend(found: list[Pick]) -> str:
    counts = Counter(pick.way for pick in found)
    lines = {"kept": "solid", "no3d": "dotted", "no2d": "dashed", "new": "solid"}
    words = [f"{counts[way]} {WAYS[way]} ({lines[way]})" for way in WAYS if counts[way]]
    return f"{tools.many(len(found), 'particle')}: {', '.join(words)}."


PART = Part(
    name="particles",
    title="Particles",
    files=lambda source: (
        source.paths.extracted,
        source.paths.chosen_2d,
        source.paths.chosen_3d,
    ),
    build=build,
    applies=lambda source: source.settings.start != "particles",
)

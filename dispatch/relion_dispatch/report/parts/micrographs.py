"""Each micrograph's drift, defocus, astigmatism and resolution, and which ones stand out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from relion_dispatch.errors import InputError
from relion_dispatch.report import star, tools
from relion_dispatch.report.axes import axis, number
from relion_dispatch.report.content import Block, Figure, Table, Text
from relion_dispatch.report.source import Part, Source
from relion_dispatch.report.svg import Chart
from relion_dispatch.report.tools import Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Tracks of so many micrographs are drawn over each other.
TRACKS = 40
SHOWN_OUTLIERS = 20
#: Room around the tracks, so that an Å across is as long as one up.
SQUARE = (114.0, 72.0, 12.0, 44.0)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Something measured on each micrograph.

    Attributes
    ----------
    title, label
        Above its figure, and beside the axis, with the unit.
    values
        One per micrograph.
    names
        The micrographs.
    low, high
        Whether small or large values are suspicious.
    unit
        Of the values.
    """

    title: str
    label: str
    values: Values
    names: Sequence[str]
    unit: str
    low: bool = False
    high: bool = True

    @property
    def outliers(self) -> NDArray[np.bool_]:
        """Which values are far from the others."""
        return tools.outliers(self.values, low=self.low, high=self.high)


def chart(measure: Measure) -> Figure:
    """Draw a measure of all micrographs in the order in which they were recorded."""
    far = measure.outliers
    order = np.arange(1, len(measure.values) + 1)
    drawn = Chart(
        title=f"{measure.title}, one point per micrograph",
        x=axis("micrograph", [0, *order], whole=True),
        y=axis(measure.label, measure.values, zero=True),
    )
    chosen = tools.thinned(len(order), far)
    tip = "{}: {} {}".format
    points = [
        (at, (order[at], measure.values[at], tip(*_of(measure, int(at)))))
        for at in map(int, chosen)
    ]
    drawn.points([point for at, point in points if not far[at]], "s1")
    drawn.points([point for at, point in points if far[at]], "out")
    middle = tools.median(measure.values)
    if np.isfinite(middle):
        drawn.level(middle)
    caption = f"Dashed: the median, {number(middle)} {measure.unit}. "
    caption += _caption(far, len(order) - len(chosen))
    return Figure(svg=drawn.svg(), title=measure.title, caption=caption)


def _of(measure: Measure, at: int) -> tuple[str, str, str]:
    return _base(measure.names[at]), number(float(measure.values[at])), measure.unit


def _caption(far: NDArray[np.bool_], left_out: int) -> str:
    count = int(far.sum())
    words = f"{tools.many(count, 'outlier')} (diamonds)." if count else "No outliers."
    if left_out:
        words += f" {tools.whole(left_out)} more points are not drawn."
    return words


def measures(source: Source) -> list[Measure]:
    """Read what is known of each micrograph.

    Raises
    ------
    MissingFileError
        When there are no micrographs yet.
    """
    return [*_motion(source), *_ctf(source)]


def _motion(source: Source) -> Iterator[Measure]:
    if source.settings.start != "movies":
        return
    labels = ("rlnMicrographName", "rlnAccumMotionTotal")
    found = star.columns(source.file(source.paths.micrographs), labels)
    total = star.numbers(found.get("rlnAccumMotionTotal", []))
    if total.size:
        yield Measure(
            title="Drift",
            label="total motion (Å)",
            values=total,
            names=found["rlnMicrographName"],
            unit="Å",
        )


def _ctf(source: Source) -> Iterator[Measure]:
    name = source.paths.micrographs_with_ctf
    if not source.has(name):
        return
    labels = ("rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnCtfMaxResolution")
    found = star.columns(source.file(name), (*labels, "rlnCtfFigureOfMerit", "rlnPhaseShift"))
    names = found["rlnMicrographName"]
    u, v = (star.numbers(found.get(label, [])) for label in labels[1:3])
    if u.size and u.size == v.size:
        yield Measure(
            title="Defocus",
            label="defocus (µm)",
            values=(u + v) / 2e4,
            names=names,
            unit="µm",
            low=True,
        )
        yield Measure(
            title="Astigmatism", label="|U − V| (Å)", values=np.abs(u - v), names=names, unit="Å"
        )
    if "rlnCtfMaxResolution" in found:
        yield Measure(
            title="Resolution of the CTF fit",
            label="rings fit to (Å)",
            values=star.numbers(found["rlnCtfMaxResolution"]),
            names=names,
            unit="Å",
        )
    if "rlnPhaseShift" in found:
        shift = star.numbers(found["rlnPhaseShift"])
        if np.any(shift != 0):
            yield Measure(
                title="Phase shift",
                label="phase shift (°)",
                values=shift,
                names=names,
                unit="°",
                low=True,
            )


def tracks(source: Source) -> Figure | None:
    """Draw how the frames of some movies have moved; None where RELION has left no tracks."""
    found = star.columns(
        source.file(source.paths.micrographs), ("rlnMicrographName", "rlnMicrographMetadata")
    )
    files = found.get("rlnMicrographMetadata", [])
    chosen = [
        files[int(at)] for at in np.linspace(0, len(files) - 1, min(TRACKS, len(files))).astype(int)
    ]
    paths = {name: track for name in chosen if (track := _track(source, name)) is not None}
    if not paths:
        return None
    across = [value for track in paths.values() for value in track[0]]
    up = [value for track in paths.values() for value in track[1]]
    reach = max(map(abs, (*across, *up)), default=1.0) or 1.0
    drawn = Chart(
        title="Motion of the frames of some movies, from the first frame on",
        x=axis("x (Å)", [-reach, reach]),
        y=axis("y (Å)", [-reach, reach]),
        margins=SQUARE,
    )
    for at, (name, (xs, ys)) in enumerate(paths.items()):
        drawn.line(list(xs), list(ys), f"s{at % 6 + 1} track-line", tip=_base(name))
    caption = f"From the first frame at the centre; {tools.many(len(paths), 'movie')}."
    return Figure(svg=drawn.svg(), title="Motion of the frames", caption=caption)


def _track(source: Source, name: str) -> tuple[Values, Values] | None:
    """Read the shifts of a movie's frames in Å."""
    labels = ("rlnMicrographShiftX", "rlnMicrographShiftY")
    try:
        shifts = star.columns(source.file(name), labels, table="global_shift")
        items = star.columns(source.file(name), ("rlnMicrographOriginalPixelSize",))
    except InputError:
        return None
    angpix = float(star.numbers(items["rlnMicrographOriginalPixelSize"])[0])
    x, y = (star.numbers(shifts[label]) * angpix for label in labels)
    return x - x[0], y - y[0]


def outlier_table(found: Sequence[Measure]) -> Table | None:
    """List the micrographs that stand out, the farthest first; None without any."""
    rows: list[tuple[float, tuple[str, ...]]] = []
    for measure in found:
        middle, far = tools.median(measure.values), np.abs(tools.deviations(measure.values))
        for at in map(int, np.flatnonzero(measure.outliers)):
            value = float(measure.values[at])
            words = (measure.names[at], measure.title, f"{number(value)} {measure.unit}")
            rows.append((float(far[at]), (*words, f"{number(middle)} {measure.unit}")))
    if not rows:
        return None
    ordered = [row for _, row in sorted(rows, key=lambda row: -row[0])]
    more = len(ordered) - SHOWN_OUTLIERS
    return Table(
        title="Micrographs to look at",
        head=("micrograph", "what stands out", "value", "median of all"),
        rows=tuple(ordered[:SHOWN_OUTLIERS]),
        right=(2, 3),
        caption=f"{more} more are not listed." if more > 0 else "",
    )


def _base(name: str) -> str:
    return PurePosixPath(name).name


def build(source: Source) -> Iterator[Block]:
    """Make the part."""
    found = measures(source)
    if not found:
        yield Text(text="RELION has not written anything about single micrographs yet.")
        return
    yield from map(chart, found)
    if source.settings.start == "movies" and (drawn := tracks(source)):
        yield drawn
    if table := outlier_table(found):
        yield table
    else:
        yield Text(
            text="No micrograph stands out: none is more than 5 (scaled) median deviations"
            " from the median of all."
        )


PART = Part(
    name="micrographs",
    title="Micrographs",
    files=lambda source: (source.paths.micrographs, source.paths.micrographs_with_ctf),
    build=build,
    applies=lambda source: source.settings.start != "particles",
)

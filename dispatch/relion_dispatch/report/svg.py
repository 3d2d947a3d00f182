"""Figures as inline SVG, coloured by the page's style sheet so that they follow its scheme.

No figure has a style of its own: the page's security policy forbids it. A class says what an
element is (``s1`` is the first series), and the style sheet gives it its colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from relion_dispatch.report.axes import Axis

WIDTH, HEIGHT = 380.0, 250.0
#: So many points may be drawn larger.
FEW = 60
#: Room for the axes' texts: left, right, top, bottom.
MARGINS = (60.0, 18.0, 12.0, 44.0)


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """Write a text element; ``kind`` is its class."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, *, kind: str, tip: str) -> str:
    """Write a rectangle with the text that shows when one points at it."""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {size}><title>{escape(tip)}</title></rect>'


def wrap(body: Iterable[str], *, title: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """Put elements into one drawing that a screen reader calls by its title."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" class="figure"'
        f' aria-label="{escape(title)}" preserveAspectRatio="xMidYMid meet">'
        f"{''.join(body)}</svg>"
    )


@dataclass(kw_only=True)
class Chart:
    """A figure with two axes.

    Attributes
    ----------
    title
        What it shows, for those who cannot see it.
    x, y
        Its axes; y goes up.
    width, height
        In the drawing's own units, about pixels at its usual size.
    margins
        Room for texts: left, right, top, bottom.
    """

    title: str
    x: Axis
    y: Axis
    width: float = WIDTH
    height: float = HEIGHT
    margins: tuple[float, float, float, float] = MARGINS
    _body: list[str] = field(default_factory=list)
    _key: list[tuple[str, str]] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data lies in the drawing."""
        left, right, top, bottom = self.margins
        across = left + self.x.fraction(x) * (self.width - left - right)
        return across, self.height - bottom - self.y.fraction(y) * (self.height - top - bottom)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], kind: str, label: str = "", tip: str = ""
    ) -> None:
        """Draw a line through points; a gap where a value is not a number."""
        for piece in _pieces(xs, ys):
            points = " ".join("{:.1f},{:.1f}".format(*self.at(*point)) for point in piece)
            self._add(f'<polyline class="line {kind}" points="{points}"', "polyline", tip or label)
        if label:
            self._key.append((kind, label))

    def points(
        self, points: Iterable[tuple[float, float, str]], kind: str, label: str = ""
    ) -> None:
        """Draw points, each with the text that shows when one points at it.

        Points of the class ``out`` are diamonds, so that they stand out without colour too.
        """
        known = [each for each in points if math.isfinite(each[0]) and math.isfinite(each[1])]
        radius = 3.4 if len(known) <= FEW else 2.4
        for x, y, tip in known:
            across, down = self.at(x, y)
            if kind == "out":
                diamond = f"M{across:.1f} {down - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"
                self._add(f'<path class="mark out" d="{diamond}"', "path", tip)
            else:
                middle = f'cx="{across:.1f}" cy="{down:.1f}"'
                self._add(f'<circle class="mark {kind}" {middle} r="{radius}"', "circle", tip)
        if label:
            self._key.append((kind, label))

    def bars(self, edges: Sequence[float], heights: Sequence[float], kind: str) -> None:
        """Draw a histogram; there is one edge more than there are bars."""
        for low, high, value in zip(edges, edges[1:], heights, strict=False):
            self.bar(low, high, value, f"{low:.4g} to {high:.4g}: {value:g}", kind)

    def bar(self, low: float, high: float, value: float, tip: str, kind: str = "s1") -> None:
        """Draw one bar from the axis up."""
        left, top = self.at(low, value)
        right, bottom = self.at(high, max(0.0, min(self.y.low, self.y.high)))
        if bottom - top > 0.05:
            width = max(0.5, right - left - 1)
            self._body.append(
                box(left + 0.5, top, width, bottom - top, kind=f"bar {kind}", tip=tip)
            )

    def level(self, y: float, label: str = "") -> None:
        """Draw a horizontal line with a text at its left end."""
        (left, height), (right, _) = self.at(self.x.low, y), self.at(self.x.high, y)
        self._body.append(_straight(left, height, right, height, "guide"))
        if label:
            self._body.append(text(left + 4, height - 4, label, "note"))

    def crossing(self, x: float, y: float, label: str) -> None:
        """Mark a point and draw a line from it down to the axis."""
        across, down = self.at(x, y)
        _, bottom = self.at(x, min(self.y.low, self.y.high))
        self._body.append(_straight(across, down, across, bottom, "guide strong"))
        self._body.append(f'<circle class="spot" cx="{across:.1f}" cy="{down:.1f}" r="4.5"/>')
        end = across > self.width * 0.82
        place = across - 8 if end else across + 8
        self._body.append(text(place, down - 8, label, "note strong", "end" if end else "start"))

    def note(self, x: float, y: float, words: str) -> None:
        """Write a few words above a point."""
        across, down = self.at(x, y)
        self._body.append(text(across, down - 8, words, "note", "middle"))

    def image(self, uri: str, title: str) -> None:
        """Fill the room between the axes with an image."""
        (left, bottom), (right, top) = (
            self.at(self.x.low, self.y.low),
            self.at(self.x.high, self.y.high),
        )
        box = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
        self._body.append(
            f'<image {box} preserveAspectRatio="none" href="{uri}" class="exact">'
            f"<title>{escape(title)}</title></image>"
        )

    def svg(self) -> str:
        """Return the figure."""
        return wrap(
            (*self._frame(), *self._body, *self._legend()),
            title=self.title,
            width=self.width,
            height=self.height,
        )

    def _add(self, start: str, element: str, tip: str) -> None:
        inside = f"><title>{escape(tip)}</title></{element}>" if tip else "/>"
        self._body.append(start + inside)

    def _frame(self) -> Iterable[str]:
        left, right, top, bottom = self.margins
        foot, end = self.height - bottom, self.width - right
        for value, words in self.y.ticks:
            _, down = self.at(self.x.low, value)
            yield _straight(left, down, end, down, "grid")
            yield text(left - 6, down + 4, words, "tick", "end")
        for value, words in self.x.ticks:
            across, _ = self.at(value, self.y.low)
            yield _straight(across, foot, across, foot + 4, "axis")
            yield text(across, foot + 19, words, "tick", "middle")
        yield _straight(left, foot, end, foot, "axis")
        yield text((left + end) / 2, self.height - 6, self.x.label, "label", "middle")
        middle = (top + foot) / 2
        yield (
            f'<text transform="translate(13 {middle:.1f}) rotate(-90)" class="label"'
            f' text-anchor="middle">{escape(self.y.label)}</text>'
        )

    def _legend(self) -> Iterable[str]:
        _, right, top, _ = self.margins
        shown = self._key if len(self._key) > 1 else []
        width = 6.5 * max((len(label) for _, label in shown), default=0)
        start = self.width - right - width - 30
        for row, (kind, label) in enumerate(shown):
            down = top + 12 + 16 * row
            yield _straight(start, down - 4, start + 18, down - 4, f"line {kind}")
            yield text(start + 24, down, label, "legend")


def _straight(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _pieces(xs: Sequence[float], ys: Sequence[float]) -> Iterable[list[tuple[float, float]]]:
    piece: list[tuple[float, float]] = []
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            piece.append((float(x), float(y)))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece

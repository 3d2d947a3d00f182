"""What a part of the report consists of, as plain values that survive a trip through JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    svg
        An ``<svg>`` element made by :mod:`relion_dispatch.report.svg`, in which all text of the
        data is escaped.
    title, caption
        Above and below it.
    large
        Whether it takes twice the room of others.
    """

    svg: str
    title: str
    caption: str = ""
    large: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image.

    Attributes
    ----------
    uri
        A ``data:`` URI.
    width, height
        Of the image in px.
    alt
        What it shows, in words.
    label, note
        Two short lines below it.
    state
        ``kept``, ``rejected`` or empty; shown as a frame and a word.
    """

    uri: str
    width: int
    height: int
    alt: str
    label: str = ""
    note: str = ""
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images side by side; ``size`` is ``small``, ``medium`` or ``large``."""

    title: str
    pictures: tuple[Picture, ...]
    caption: str = ""
    size: str = "medium"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; columns whose numbers are in ``right`` are aligned to the right.

    A folded one shows its title alone until it is opened.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Text that is shown as it is, such as a command; folded behind its title unless open."""

    title: str
    text: str
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A judgement in words; ``level`` is ``fine``, ``doubtful``, ``stop`` or ``unknown``."""

    level: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Judgements of one step."""

    title: str
    level: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A station on the way from movies to map.

    Attributes
    ----------
    name, directory
        The step and where it is.
    count, unit
        How many there are of what, such as ``330`` ``particles``.
    resolution
        In words, or empty.
    level
        Of its verdict, or empty.
    done
        Whether it has come so far.
    """

    name: str
    directory: str
    count: str = ""
    unit: str = ""
    resolution: str = ""
    level: str = ""
    done: bool = True


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The way from movies to map."""

    title: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Numbers to read at a glance, each with its name."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; ``kind`` is empty, ``missing``, ``failed`` or ``copy`` (to be copied)."""

    text: str
    kind: str = ""


Block = (
    Figure | Pictures | Table | Listing | Findings | Stages | Facts | Text
)  # what a section is made of
_KINDS: dict[str, type[Any]] = {
    each.__name__: each
    for each in (Figure, Pictures, Table, Listing, Findings, Stages, Facts, Text)
}
_INNER: dict[str, tuple[str, type[Any]]] = {
    "Pictures": ("pictures", Picture),
    "Findings": ("findings", Finding),
    "Stages": ("stages", Stage),
}


def to_json(blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
    """Return blocks as values for :mod:`json`."""
    return [{"block": type(block).__name__, **asdict(block)} for block in blocks]


def from_json(values: list[dict[str, Any]]) -> tuple[Block, ...]:
    """Return the blocks that :func:`to_json` has written.

    Raises
    ------
    KeyError, TypeError
        When the values are of another version of this package.
    """
    return tuple(_block(dict(value)) for value in values)


def _block(value: dict[str, Any]) -> Block:
    kind = value.pop("block")
    if kind in _INNER:
        name, inner = _INNER[kind]
        value[name] = tuple(inner(**each) for each in value[name])
    fields = {name: _frozen(each) for name, each in value.items()}
    block: Block = _KINDS[kind](**fields)
    return block


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value

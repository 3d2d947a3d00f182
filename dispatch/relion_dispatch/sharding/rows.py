"""Rows of RELION's STAR files, chosen by name; everything else stays byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relion_dispatch.errors import InputError
from relion_dispatch.starscan import tokens

#: Columns that name what a row is about, in the order in which they are looked for.
LABELS = ("rlnMicrographMovieName", "rlnMicrographName")


def keep(text: str, wanted: Callable[[str], bool], source: str) -> str:
    """Leave out rows of a list of movies or micrographs.

    Parameters
    ----------
    text
        The STAR file.
    wanted
        Tells by a movie's or a micrograph's name whether its row stays.
    source
        The file's name, for messages.

    Raises
    ------
    InputError
        When it has no table of movies or micrographs.
    """
    lines = text.splitlines(keepends=True)
    column, first, last = _table(lines, source)
    return "".join(
        line
        for number, line in enumerate(lines)
        if not first <= number < last or wanted(tokens(line)[column])
    )


def names(text: str, source: str) -> list[str]:
    """Read the names of a list of movies or micrographs.

    Raises
    ------
    InputError
        As `keep` does.
    """
    lines = text.splitlines()
    column, first, last = _table(lines, source)
    return [tokens(line)[column] for line in lines[first:last]]


def count(text: str) -> int:
    """Count the movies or micrographs of a list; RELION writes an empty list as no table at all."""
    for labels, first, last in _tables(text.splitlines()):
        if any(label in labels for label in LABELS):
            return last - first
    return 0


def _table(lines: list[str], source: str) -> tuple[int, int, int]:
    """Find the table: the column with the names, its first line and the one behind its last."""
    for labels, first, last in _tables(lines):
        for label in LABELS:
            if label in labels:
                return labels.index(label), first, last
    raise InputError(f"{source}: no list of movies or micrographs; it has no {LABELS[0]}")


def _tables(lines: list[str]) -> Iterator[tuple[list[str], int, int]]:
    number = 0
    while number < len(lines):
        number += 1
        if not lines[number - 1].startswith("loop_"):
            continue
        labels: list[str] = []
        while number < len(lines) and lines[number].startswith("_"):
            labels.append(lines[number].split()[0][1:])
            number += 1
        first = number
        while number < len(lines) and lines[number].strip():
            number += 1
        yield labels, first, number


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Read all tables of a small list as text, a row a mapping, by the name behind ``data_``."""
    lines = text.splitlines()
    found: dict[str, list[dict[str, str]]] = {}
    for labels, first, last in _tables(lines):
        heads = (line for line in reversed(lines[:first]) if line.startswith("data_"))
        name = next(heads, "data_")[5:].strip()
        found[name] = [dict(zip(labels, tokens(line), strict=False)) for line in lines[first:last]]
    return found

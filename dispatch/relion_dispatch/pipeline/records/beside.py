"""Finds the records of movies and puts them together."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.pipeline.records import epu, mdoc
from relion_dispatch.pipeline.records.record import Record

#: How many movies' records are read.
SAMPLE = 5
#: How many files of a folder are looked into for a movie without a record of its own name.
SHARED = 5
SAME = 0.01  # a part of the value
#: What EPU puts behind an exposure's name for its movie.
_FRACTIONS = re.compile(r"[_-](?:fractions?|eer|frames?|movie)$", re.IGNORECASE)
_READERS: dict[str, Callable[[Path], tuple[Record, ...]]] = {".mdoc": mdoc.read, ".xml": epu.read}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the records of some movies say together.

    Attributes
    ----------
    record
        One of them, for what they agree on; None without any.
    troubles
        What they do not agree on, in sentences.
    """

    record: Record | None = None
    troubles: tuple[str, ...] = ()


def look(folder: Path, names: Sequence[str], given: Path | None = None) -> Found:
    """Look for records of movies.

    Parameters
    ----------
    folder, names
        Where the movies are, and their names below it.
    given
        A record, or a folder that holds records; None to look beside the movies.
    """
    count = min(SAMPLE, len(names))
    sample = [names[len(names) * at // count] for at in range(count)]
    records = [found for name in sample if (found := _of(folder / name, folder, given))]
    return together(records)


def _of(movie: Path, folder: Path, given: Path | None) -> Record | None:
    for path in _candidates(movie, folder, given):
        try:
            records = _READERS[path.suffix.lower()](path)
        except OSError:
            continue
        own = [each for each in records if not each.movie or each.movie == movie.name]
        # Others may be maps' and atlases'; one of the movie's own name may name an older one.
        named = path == given or path.name in _own_names(movie)
        if own or (named and len(records) == 1):
            return (own or list(records))[0]
    return None


def _candidates(movie: Path, folder: Path, given: Path | None) -> Iterator[Path]:
    """Yield the files that can be a movie's record, the most likely first."""
    if given is not None and given.is_file():
        if given.suffix.lower() in _READERS:
            yield given
        return
    own = _own_names(movie)
    places = _below(given) if given is not None else _upwards(movie.parent, folder)
    shared = []
    for place in places:
        yield from (place / name for name in own if (place / name).is_file())
        shared += sorted(place.glob("*.mdoc"))[:SHARED]
    yield from shared


def _own_names(movie: Path) -> tuple[str, ...]:
    stem = _FRACTIONS.sub("", movie.stem)
    return f"{movie.name}.mdoc", f"{movie.stem}.mdoc", f"{stem}.xml", f"{movie.stem}.xml"


def _upwards(start: Path, top: Path) -> Iterator[Path]:
    yield start
    if start != top and top in start.parents:
        yield from _upwards(start.parent, top)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(folder):
        folders.sort()
        yield Path(place)


def together(records: Sequence[Record]) -> Found:
    """Put records together: numbers in which they differ count for nothing, and are told."""
    if not records:
        return Found()
    first, troubles = records[0], []
    changed: dict[str, None] = {}
    for name, words in _COMPARED.items():
        values = [value for each in records if (value := getattr(each, name)) is not None]
        if values and not all(math.isclose(value, values[0], rel_tol=SAME) for value in values):
            changed[name] = None
            low, high = min(values), max(values)
            troubles.append(
                f"the records differ in {words}: {low:.5g} to {high:.5g}; none is taken"
            )
    values_ = {name: getattr(first, name) for name in Record.__dataclass_fields__}
    return Found(record=Record(**{**values_, **changed}), troubles=tuple(troubles))


_COMPARED = {"voltage_kv": "voltage", "angpix": "pixel size"}

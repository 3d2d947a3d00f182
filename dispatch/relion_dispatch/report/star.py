"""Columns of RELION's STAR files, read without the rest.

A report looks at a few columns of tables that may have millions of rows. Rows are split one by one,
so that memory grows with what is asked for, and of very long tables every so many rows will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import starscan
from relion_dispatch.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MissingFileError(InputError):
    """A file that the project has not made yet.

    Parameters
    ----------
    path
        The file, as the message shows it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not there yet")
        self.path = path


def columns(
    path: Path,
    labels: Sequence[str],
    *,
    table: str | None = None,
    containing: str = "",
    most: int | None = None,
) -> dict[str, list[str]]:
    """Read columns of a table, or items of a block that is none.

    Parameters
    ----------
    path
        The STAR file.
    labels
        Columns, without leading underscore. The first must be there.
    table
        Name of the block; None: the first that has the first label.
    containing
        Take only rows that have this text somewhere.
    most
        Take evenly spread rows, about so many at most.

    Returns
    -------
    dict
        Values as text, by label; labels that the table lacks are left out.

    Raises
    ------
    MissingFileError
        When there is no such file.
    InputError
        When it cannot be read or has no such table.
    """
    stride = 1 if most is None else max(1, -(-rows(path, labels[0]) // most))
    found: dict[str, list[str]] = {}
    for present, words in _values(path, labels, table, containing, stride):
        if not found:
            found = {label: [] for label in present}
        for label, word in zip(present, words, strict=True):
            found[label].append(word)
    return found or {label: [] for label in labels}  # of a table without rows


def tally(path: Path, label: str) -> Counter[str]:
    """Count how often each value of a column occurs.

    Raises
    ------
    MissingFileError
        When there is no such file.
    InputError
        When it cannot be read or has no such column.
    """
    return Counter(word for _, (word,) in _values(path, (label,)))


def numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Turn texts into numbers; what is none becomes NaN."""
    import numpy as np

    return np.array([_number(text) for text in texts], dtype=np.float64)


def rows(path: Path, label: str) -> int:
    """Count the rows of the first table that has a label; of huge tables to about a hundredth.

    Raises
    ------
    MissingFileError
        When there is no such file.
    InputError
        When it has no such table.
    """
    try:
        found = next((each for each in starscan.scan(path) if each.has(label)), None)
    except FileNotFoundError:
        raise MissingFileError(str(path)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if found is None:
        raise InputError(f"{path}: has no {label}")
    return found.n_rows if found.labels else 1


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _values(
    path: Path,
    labels: Sequence[str],
    table: str | None = None,
    containing: str = "",
    stride: int = 1,
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield, row by row, which of the labels there are and their values."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as handle:
            lines = iter(handle)
            present = _find(lines, labels[0], table)
            if present is None:
                raise InputError(f"{path}: has no {labels[0]}")
            head, first = present
            known = [label for label in labels if label in head]
            if isinstance(head, dict):
                yield known, [head[label] for label in known]
                return
            places = [head.index(label) for label in known]
            for words in _take(_rows(first, lines), places, containing, stride):
                yield known, words
    except FileNotFoundError:
        raise MissingFileError(str(path)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _find(
    lines: Iterator[str], label: str, table: str | None
) -> tuple[list[str] | dict[str, str], str] | None:
    """Go to the table; return its labels and first row, or all of its items."""
    line = next(lines, "")
    while line:
        if not line.startswith("data_"):
            line = next(lines, "")
            continue
        name = line[5:].strip()
        head, line = _head(lines)
        if label in head and (table is None or name == table):
            return head, line
    return None


def _head(lines: Iterator[str]) -> tuple[list[str] | dict[str, str], str]:
    """Read the labels of a block's table with its first row, or the items of one without."""
    labels: list[str] = []
    items: dict[str, str] = {}
    in_table = False
    for line in lines:
        words = starscan.tokens(line)
        if line.startswith("data_"):
            return (labels or items), line
        if not words:
            if items:
                return items, line
        elif words[0] == "loop_":
            in_table = True
        elif words[0].startswith("_") and in_table:
            labels.append(words[0][1:])
        elif words[0].startswith("_") and len(words) > 1:
            items[words[0][1:]] = words[1]
        elif in_table and not words[0].startswith("#"):
            return labels, line
    return (labels or items), ""


def _rows(first: str, lines: Iterator[str]) -> Iterator[str]:
    line = first
    while line.strip() and not line.startswith("data_"):
        yield line
        line = next(lines, "")


def _take(
    lines: Iterator[str], places: Sequence[int], containing: str, stride: int
) -> Iterator[list[str]]:
    longest = max(places)
    for number, line in enumerate(lines):
        if number % stride or containing not in line:
            continue
        words = starscan.tokens(line)
        if len(words) > longest:
            yield [words[place] for place in places]

"""A light look into RELION's STAR files: labels, first rows, and how many rows there are.

A large particle file is counted, not parsed: rows beyond the first ones are only looked at for
their line ends, and those of a very large one only here and there. A table ends at the first
empty line, as for RELION (``MetaDataTable::readStarLoop`` in ``src/metadata_table.cpp``). To read
or write whole tables, use `starfile`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from relion_dispatch.frozen import dataclass

KEPT_ROWS = 1000
"""How many rows of each table are kept."""

LARGE = 1 << 24
"""Of tables that go on for more bytes than these behind the kept rows, the rows are estimated."""

_CHUNK = 1 << 20
_SAMPLE, _SAMPLES = 1 << 15, 17
_LONGEST_LINE = 1 << 20
_TOKEN = re.compile(r"""(["'])(.*?)(?<!\a)\1(?=\s|$)|(\S+)""")
_END = re.compile(rb"[ \t\r]*(?:\n|\Z)|data_")
_NEXT_END = re.compile(rb"\n(?=[ \t\r]*\n|data_)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A data block of a STAR file.

    Parameters
    ----------
    name
        Its name behind ``data_``; often empty before RELION 3.1.
    pairs
        Label and value of each item, for a block that is no table.
    labels
        The labels of the columns, for a table; all labels are without leading underscore.
    rows
        The first rows of the table, at most `KEPT_ROWS`, as they stand in the file.
    n_rows
        How many rows the table has; to about one in a hundred where it is very large.
    """

    name: str
    pairs: dict[str, str]
    labels: tuple[str, ...]
    rows: tuple[bytes, ...]
    n_rows: int

    def has(self, label: str) -> bool:
        """Tell whether the block has an item or a column of this label."""
        return label in self.pairs or label in self.labels

    def column(self, label: str) -> tuple[str, ...]:
        """Read a column's values in the kept rows, or the one value of an item."""
        if label in self.pairs:
            return (self.pairs[label],)
        if label not in self.labels:
            return ()
        place = self.labels.index(label)
        rows = (tokens(_text(row)) for row in self.rows)
        return tuple(row[place] for row in rows if len(row) > place)

    def first(self, label: str) -> str | None:
        """Read an item's value, or a column's in the first row; None when there is none."""
        if label in self.labels and self.rows:
            row = tokens(_text(self.rows[0]))
            return row[self.labels.index(label)] if len(row) > self.labels.index(label) else None
        return self.pairs.get(label)


def scan(path: str | os.PathLike[str], *, until: str | None = None) -> tuple[Block, ...]:
    """Look through a STAR file.

    Parameters
    ----------
    path
        The file.
    until
        Stop behind the block of this name: what follows is not read.

    Returns
    -------
    tuple of Block
        In order; none when the file is no STAR file.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    blocks: list[Block] = []
    with open(path, "rb") as handle:
        for block in _blocks(handle):
            blocks.append(block)
            if block.name == until:
                break
    return tuple(blocks)


def _blocks(handle: BinaryIO) -> Iterator[Block]:
    line = handle.readline(_LONGEST_LINE)
    while line:
        if line.startswith(b"data_"):
            block, line = _block(_text(line)[5:].strip(), handle)
            yield block
        else:
            line = handle.readline(_LONGEST_LINE)


def _block(name: str, handle: BinaryIO) -> tuple[Block, bytes]:
    """Read a block; returns it with the line that ended it."""
    pairs: dict[str, str] = {}
    line = handle.readline(_LONGEST_LINE)
    while line and not line.startswith(b"data_"):
        if line.startswith(b"loop_"):
            labels, rows, n_rows = _table(handle)
            block = Block(name=name, pairs=pairs, labels=labels, rows=rows, n_rows=n_rows)
            return block, handle.readline(_LONGEST_LINE)
        words = tokens(_text(line))
        if len(words) > 1 and words[0].startswith("_"):
            pairs[words[0][1:]] = words[1]
        line = handle.readline(_LONGEST_LINE)
    return Block(name=name, pairs=pairs, labels=(), rows=(), n_rows=0), line


def _table(handle: BinaryIO) -> tuple[tuple[str, ...], tuple[bytes, ...], int]:
    """Read a table behind its ``loop_``; leaves the file behind the table's rows."""
    labels: list[str] = []
    rows: list[bytes] = []
    place = handle.tell()
    while line := handle.readline(_LONGEST_LINE):
        if line.lstrip().startswith(b"_") and not rows:
            labels.append(tokens(_text(line))[0][1:])
        elif rows or line.strip()[:1] not in (b"", b"#", b";"):
            if _END.match(line):
                handle.seek(place)
                return tuple(labels), tuple(rows), len(rows)
            if len(rows) == KEPT_ROWS:
                handle.seek(place)
                return tuple(labels), tuple(rows), len(rows) + _count_rows(handle)
            rows.append(line)
        place = handle.tell()
    return tuple(labels), tuple(rows), len(rows)


def _count_rows(handle: BinaryIO) -> int:
    """Count rows from here to the table's end, and go there; estimate those of a large last one."""
    left = os.fstat(handle.fileno()).st_size - handle.tell()
    if left > LARGE and (estimate := _estimated_rows(handle, left)):
        handle.seek(0, os.SEEK_END)
        return estimate
    count = 0
    while chunk := handle.read(_CHUNK):
        chunk += handle.readline(_LONGEST_LINE)
        if _END.match(chunk):
            handle.seek(-len(chunk), os.SEEK_CUR)
            return count
        if end := _NEXT_END.search(chunk):
            handle.seek(end.end() - len(chunk), os.SEEK_CUR)
            return count + chunk.count(b"\n", 0, end.end())
        unended = chunk[chunk.rfind(b"\n") + 1 :]
        count += chunk.count(b"\n") + bool(unended.strip())
    return count


def _estimated_rows(handle: BinaryIO, left: int) -> int:
    """Estimate the rows from here to the file's end by samples; 0 where anything follows them.

    Goes back to where it was.
    """
    start, newlines, looked_at = handle.tell(), 0, 0
    for sample in range(_SAMPLES):
        handle.seek(start + (left - _SAMPLE) * sample // (_SAMPLES - 1))
        chunk = handle.read(_SAMPLE)
        if _NEXT_END.search(chunk.rstrip() + b"\n"):
            newlines = 0
            break
        newlines, looked_at = newlines + chunk.count(b"\n"), looked_at + len(chunk)
    handle.seek(start)
    return round(newlines * left / looked_at) if looked_at else 0


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="surrogateescape")


def tokens(line: str) -> list[str]:
    r"""Split a line as ``nextTokenInSTAR`` in ``src/strings.cpp``: ``\a`` escapes a quote."""
    if '"' not in line and "'" not in line and "#" not in line:
        return line.split()
    words: list[str] = []
    for match in _TOKEN.finditer(line):
        if match[3] is not None and match[3].startswith("#"):
            break
        words.append(match[3] if match[3] is not None else match[2].replace("\a", ""))
    return words

"""The small STAR files of RELION's own book-keeping, read and written without loss.

RELION's side is ``MetaDataTable::write`` in ``src/metadata_table.cpp`` and ``nextTokenInSTAR`` in
``src/strings.cpp``. Nothing is left out: tables, columns and rows that this package knows nothing
of are written back as they were. The files have hundreds of rows at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from relion_dispatch.errors import InputError

_VERSION = "# version "
_BLANK = " \t\r\n"
#: RELION writes a quote inside a quoted text with this character in front.
_ESCAPE = "\a"
#: What a value at the beginning of a line must not look like.
_SPECIAL = ('"', "'", "#", "_", "data_", "loop_")

Row = dict[str, str]


@dataclass
class Table:
    """One table of a STAR file.

    Attributes
    ----------
    name
        Behind ``data_``.
    labels
        Its columns, without the underscore in front.
    rows
        Its rows, by label.
    loop
        Whether it is written as a loop; a list (one value a line) has exactly one row.
    """

    name: str
    labels: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    loop: bool = True


@dataclass
class Star:
    """A STAR file.

    Attributes
    ----------
    tables
        In the order of the file.
    version
        The format's number that RELION writes in front of each table; 0 for none.
    """

    tables: list[Table] = field(default_factory=list)
    version: int = 0

    def table(self, name: str) -> Table | None:
        """Return the table of that name; None when there is none."""
        return next((table for table in self.tables if table.name == name), None)


def parse(text: str) -> Star:
    """Read a STAR file.

    Raises
    ------
    InputError
        When a row has more or fewer values than its table has columns, or a value stands outside
        any table.
    """
    star = Star()
    table: Table | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip(_BLANK)
        if stripped.startswith(_VERSION):
            star.version = _number(stripped.removeprefix(_VERSION))
        elif stripped.startswith("data_"):
            table = Table(name=stripped.removeprefix("data_"), loop=False)
            star.tables.append(table)
        elif table is None and stripped and not stripped.startswith("#"):
            raise InputError(f"line {number} of the STAR file is outside any table")
        elif table is not None and stripped == "loop_":
            table.loop = True
        elif table is not None and stripped and not stripped.startswith("#"):
            _take(table, stripped, number)
    return star


def _take(table: Table, line: str, number: int) -> None:
    """Add a line of a table: a column's name, a value of a list, or a row."""
    words = list(tokens(line))
    label = words[0][1:] if line.startswith("_") and not (table.loop and table.rows) else ""
    if label and table.loop:
        table.labels.append(label)
    elif label and len(words) == 2:
        table.labels.append(label)
        table.rows = table.rows or [{}]
        table.rows[0][label] = words[1]
    elif table.loop and len(words) == len(table.labels):
        table.rows.append(dict(zip(table.labels, words, strict=True)))
    else:
        raise InputError(f"line {number} of the STAR file does not fit table '{table.name}'")


def tokens(line: str) -> Iterator[str]:
    """Yield the values of a line, quotes taken off as RELION takes them off.

    Examples
    --------
    >>> list(tokens('name "two words" "" # comment'))
    ['name', 'two words', '']
    """
    at, length = 0, len(line)
    while True:
        while at < length and line[at] in _BLANK:
            at += 1
        if at >= length or line[at] == "#":
            return
        if line[at] in "\"'":
            end = _closing(line, at)
            yield line[at + 1 : end].replace(_ESCAPE, "")
            at = end + 1
        else:
            start = at
            while at < length and line[at] not in _BLANK:
                at += 1
            yield line[start:at]


def _closing(line: str, start: int) -> int:
    """Find the quote that ends a text: it has a blank or nothing behind it, no escape before."""
    for at in range(start + 1, len(line)):
        ends = at + 1 == len(line) or line[at + 1] in _BLANK
        if line[at] == line[start] and line[at - 1] != _ESCAPE and ends:
            return at
    raise InputError(f"a quote is left open in the STAR file: {line.strip()[:60]}")


def escape(value: str) -> str:
    """Write a value as RELION does.

    Examples
    --------
    >>> escape(""), escape("two words"), escape("plain"), escape("a#b")
    ('""', '"two words"', 'plain', 'a#b')
    """
    value = " ".join(value.splitlines())
    plain = value and not value.startswith(_SPECIAL)
    if plain and not any(blank in value for blank in " \t"):
        return value
    quoted = [
        f"{_ESCAPE}{char}" if char == '"' and value[at + 1 : at + 2] in ("", " ", "\t") else char
        for at, char in enumerate(value)
    ]
    return f'"{"".join(quoted)}"'


def write(star: Star) -> str:
    """Write a STAR file as RELION does; empty tables are left out."""
    return "".join(_table(table, star.version) for table in star.tables if table.rows)


def _table(table: Table, version: int) -> str:
    head = f"\n{_VERSION}{version}\n" if version else ""
    if not table.loop:
        row = table.rows[0]
        body = "".join(f"_{name:<26} {escape(row.get(name, '')):>18}\n" for name in table.labels)
        return f"{head}\ndata_{table.name}\n\n{body} \n"
    names = "".join(f"_{name} #{at} \n" for at, name in enumerate(table.labels, start=1))
    rows = "".join(_row(table.labels, row) for row in table.rows)
    return f"{head}\ndata_{table.name}\n\nloop_ \n{names}{rows} \n"


def _row(labels: list[str], row: Row) -> str:
    return "".join(f"{escape(row.get(name, '')):>10} " for name in labels) + "\n"


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0

"""STAR files as RELION writes them, to the byte; see ``MetaDataTable::write`` in its sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Value = str | int | float

_VALUE_WIDTH = 12
_COLUMN_WIDTH = 10


def text_of(value: Value) -> str:
    """Write a value: numbers in twelve characters, with the fewer decimals where there is a sign.

    Source: ``MetaDataTable::getValueToString`` in ``src/metadata_table.cpp``.

    Examples
    --------
    >>> text_of(0.5), text_of(-0.5), text_of(3), text_of(1e-5)
    ('    0.500000', '    -0.50000', '           3', '1.000000e-05')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:{_VALUE_WIDTH}d}"
    decimals = 5 if value < 0 else 6
    kind = "e" if 0 < abs(value) < 1e-3 or abs(value) > 1e5 else "f"
    return f"{value:{_VALUE_WIDTH}.{decimals}{kind}}"[:_VALUE_WIDTH]


def items(name: str, values: Mapping[str, Value], version: str) -> str:
    """Write a block of single values, the labels without their underscore.

    Parameters
    ----------
    name
        Of the block, behind ``data_``.
    values
        By label, in order.
    version
        The number behind ``# version`` in the file's own comments.
    """
    widest = max(_COLUMN_WIDTH, *map(len, values))
    lines = [
        f"_{label}{'':{_VALUE_WIDTH + widest - len(label)}}{text_of(value)}\n"
        for label, value in values.items()
    ]
    return _head(name, version) + "".join(lines) + " \n"


def table(name: str, labels: Sequence[str], rows: Iterable[Sequence[Value]], version: str) -> str:
    """Write a table; nothing when it has no rows."""
    lines = ["".join(f"{text_of(value):>{_COLUMN_WIDTH}} " for value in row) + "\n" for row in rows]
    if not lines:
        return ""
    columns = [f"_{label} #{number} \n" for number, label in enumerate(labels, start=1)]
    return _head(name, version) + "".join(["loop_ \n", *columns, *lines]) + " \n"


def _head(name: str, version: str) -> str:
    return f"\n# version {version}\n\ndata_{name}\n\n"

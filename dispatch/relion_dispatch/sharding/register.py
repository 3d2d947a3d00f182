"""Which movie belongs to which shard: noted once, never changed.

A table in the project, a line a movie in the order in which they were first seen. New movies make
new shards, so what is finished stays finished.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from relion_dispatch import atomic
from relion_dispatch.errors import InputError

FILE = Path(".relion_dispatch") / "shards.tsv"
_HEADER = "shard\tname"


@dataclass(frozen=True, kw_only=True)
class Register:
    """The shards of a project.

    Attributes
    ----------
    shards
        Names of movies (or micrographs), relative to the project, by the shard's number as it
        stands in file names: ``0001``, ``0002``, ….
    """

    shards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Every name that has a shard."""
        return frozenset(name for names in self.shards.values() for name in names)

    def with_new(self, names: Iterable[str], size: int) -> Register:
        """Put names that have no shard yet into new shards, in alphabetical order.

        Parameters
        ----------
        names
            What is there now; names with a shard keep it.
        size
            Most names of a shard. Several new shards get equal shares.
        """
        new = sorted(set(names) - self.names)
        count = -(-len(new) // size)
        last = max(map(int, self.shards), default=0)
        bounds = [len(new) * number // count for number in range(count + 1)] if count else [0]
        made = {
            f"{last + number:04d}": tuple(new[start:stop])
            for number, (start, stop) in enumerate(pairwise(bounds), start=1)
        }
        return Register(shards={**self.shards, **made})

    def present(self, names: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Give the shards with only those of their names that are there; none without any."""
        there = frozenset(names)
        kept = {
            shard: tuple(name for name in members if name in there)
            for shard, members in self.shards.items()
        }
        return {shard: members for shard, members in kept.items() if members}

    def to_text(self) -> str:
        """Write the table."""
        lines = [f"{shard}\t{name}" for shard, names in self.shards.items() for name in names]
        return "\n".join([_HEADER, *lines]) + "\n"


def parse(text: str, source: str = str(FILE)) -> Register:
    """Read a table.

    Raises
    ------
    InputError
        When a line is none of it, or a name comes twice.
    """
    header, *lines = text.split("\n")
    if header != _HEADER or not lines or lines.pop():
        raise InputError(f"{source}: is not the list of shards; {_ADVICE}")
    shards: dict[str, list[str]] = {}
    known: set[str] = set()
    for number, line in enumerate(lines, start=2):
        shard, tab, name = line.partition("\t")
        if not (tab and name and shard.isascii() and shard.isdigit()) or name in known:
            raise InputError(f"{source}, line {number}: {line!r} cannot be read; {_ADVICE}")
        known.add(name)
        shards.setdefault(shard, []).append(name)
    return Register(shards={shard: tuple(names) for shard, names in shards.items()})


_ADVICE = (
    "remove the file to have the movies shared out anew, which processes again what changes its"
    " place"
)


def read(project: str | os.PathLike[str] = ".") -> Register:
    """Read a project's shards; none where nothing is noted yet.

    Raises
    ------
    InputError
        When the file cannot be read or is none of ours.
    """
    path = Path(project) / FILE
    try:
        return parse(path.read_text(encoding="utf-8", errors="surrogateescape"), str(path))
    except FileNotFoundError:
        return Register()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def write(register: Register, project: str | os.PathLike[str] = ".") -> None:
    """Note a project's shards; nothing is written where the same is noted already.

    Raises
    ------
    InputError
        When the file cannot be written or what is there is none of ours.
    """
    if read(project) == register:
        return
    path = Path(project) / FILE
    try:
        atomic.write_text(path, register.to_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error

"""Which movies take part in a run, and in which shard each is.

A run takes all there are; the ones without a shard get one, which is noted when the run really
starts, and not in a dry run. A run inside another (a job that is Snakemake again) and one that
`relion-dispatch watch` has started take only what is noted: other movies may be incomplete.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from relion_dispatch.sharding import register
from relion_dispatch.sharding.register import Register

#: Set by `relion-dispatch watch` for the runs that it starts.
VARIABLE = "RELION_DISPATCH_ONLY_NOTED"

_pending: list[Register] = []


def take(names: Iterable[str], size: int, *, only_noted: bool) -> Mapping[str, Sequence[str]]:
    """Share movies out.

    Parameters
    ----------
    names
        Those that are there.
    size
        Most movies of a shard.
    only_noted
        Leave out those without a shard.

    Returns
    -------
    Mapping
        The names in each shard.

    Raises
    ------
    InputError
        When the list of shards cannot be read.
    """
    there = list(names)
    known = register.read()
    if not (only_noted or os.environ.get(VARIABLE)):
        known = known.with_new(there, size)
        _pending[:] = [known]
    return known.present(there)


def taking_part(names: Sequence[str], project: str | os.PathLike[str] = ".") -> list[str]:
    """Give the images that a run looks at: in a session all others may be incomplete.

    Raises
    ------
    InputError
        When the list of shards cannot be read.
    """
    if not os.environ.get(VARIABLE):
        return list(names)
    known = register.read(project).names
    return [name for name in names if name in known]


def note() -> None:
    """Note the shards that the last `take` has made, now that they are going to be used.

    Raises
    ------
    InputError
        When they cannot be written.
    """
    for shards in _pending:
        register.write(shards)
    _pending.clear()

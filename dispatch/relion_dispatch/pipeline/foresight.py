"""What can be said of a job's size before its data exist."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from relion_dispatch.data import DataFacts

#: Data as small, and as large, as they may turn out to be. What a job gets is the same for all
#: data in between where it is the same for these.
EXTREMES = (
    DataFacts(
        box=32,
        angpix=1.0,
        n_particles=1,
        n_micrographs=1,
        n_frames=1,
        movie_shape=(1024, 1024),
        n_optics_groups=1,
    ),
    DataFacts(
        box=1024,
        angpix=1.0,
        n_particles=3_000_000,
        n_micrographs=50_000,
        n_frames=1000,
        movie_shape=(11520, 8184),
        n_optics_groups=100,
    ),
)

#: Facts of the images that a project begins with, which hold for some of its steps.
OF_MOVIES = ("n_micrographs", "n_frames", "movie_shape", "movie_format")

Stamp = tuple[tuple[int, int] | None, ...]


def missing(files: Iterable[str], project: Path = Path()) -> str:
    """Return the first of some files that does not exist; empty where all do."""
    return next((str(each) for each in files if not os.path.exists(project / str(each))), "")


def of_images(names: Sequence[str]) -> dict[str, Any]:
    """Return what the first of some movies or micrographs, and their number, say of all of them."""
    from relion_dispatch.datafiles import DataFiles
    from relion_dispatch.starfacts import movie_facts

    header = DataFiles(Path()).header(names[0]) if names else None
    if header is None:
        return {"n_micrographs": len(names)} if names else {}
    facts = movie_facts(header).over(DataFacts(n_micrographs=len(names)))
    known = {name: getattr(facts, name) for name in OF_MOVIES}
    return {name: value for name, value in known.items() if value is not None}


def stamp(commands: Sequence[str]) -> Stamp:
    """Return what changes when a file that some commands name is made, or changes."""
    return tuple(_of_file(path) for path in _named(tuple(commands)))


@lru_cache(maxsize=1000)
def _named(commands: tuple[str, ...]) -> tuple[str, ...]:
    """Return all words of some commands that may be paths."""
    found: dict[str, None] = {}
    for line in commands:
        try:
            words = shlex.split(line)
        except ValueError:
            words = line.split()
        found.update(dict.fromkeys(word for word in words if "/" in word or "." in word))
    return tuple(found)


def _of_file(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_size

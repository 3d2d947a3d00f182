"""What of a project is still needed, and by whom: what a clean-up must leave alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline.expected import Expected, expected
from relion_dispatch.project import star
from relion_dispatch.sharding import register
from relion_dispatch.status import recorded

#: A file in a job's directory that keeps it from harsh cleans, as for RELION's window.
NO_HARSH_CLEAN = "NO_HARSH_CLEAN"

#: Steps that read what motion correction has written for each movie.
_READ_MOVIES = frozenset(
    {"ctf", "picking", "topaz_training", "extraction", "reextraction", "polishing_training"}
    | {"polishing"}
)
#: Steps whose jobs of some movies each are joined to one.
_JOINED = frozenset({"motion_correction", "ctf", "picking", "extraction"})


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What refers to what in a project.

    Attributes
    ----------
    files
        Paths, relative to the project, that the pipeline, RELION's window or the configuration
        name.
    users
        Jobs that read the data of a job, by directory.
    growing
        Directories of jobs that RELION joins anew with those of new movies: it reads what they
        have left for each of the old ones.
    """

    files: frozenset[str]
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    growing: frozenset[str] = frozenset()

    def of(self, folder: str) -> frozenset[str]:
        """Return the paths below a directory that something refers to, relative to it."""
        start = f"{folder}/"
        return frozenset(each[len(start) :] for each in self.files if each.startswith(start))


def needs(project: Path) -> Needs:
    """Find out what refers to what in a project.

    Raises
    ------
    DispatchError
        When its configuration or RELION's list of jobs cannot be read: nobody knows then what is
        needed.
    """
    steps, named = _configured(project)
    window = _window(project)
    files = {*(made for made, _ in recorded.files(project)), *named, *window.files}
    users: dict[str, set[str]] = {each.folder: set(_users(each, steps)) for each in steps}
    for folder, others in window.users.items():
        users.setdefault(folder, set()).update(others)
    return Needs(
        files=frozenset(files),
        users={folder: frozenset(others) for folder, others in users.items()},
        growing=frozenset(_growing(project, steps)),
    )


def _configured(project: Path) -> tuple[tuple[Expected, ...], set[str]]:
    """Return the pipeline's jobs, and every text of the configuration: it may name a file."""
    path = project / "config.yaml"
    if not path.is_file():
        return (), set()
    from relion_dispatch.pipeline import settings

    config = settings.read(path)
    return expected(settings.load(config, source="config.yaml")), set(_texts(config))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield os.path.normpath(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _users(job: Expected, steps: Sequence[Expected]) -> Iterator[str]:
    """Yield the jobs that read images or movies' by-products of a job of the pipeline.

    Classes and maps are no such data: none of their files that a later step reads is ever removed.
    """
    behind = steps[steps.index(job) + 1 :]
    if job.step == "motion_correction":
        yield from (each.folder for each in behind if each.step in _READ_MOVIES)
    elif job.step == "extraction":
        again = [each.step for each in behind]
        until = again.index("reextraction") + 1 if "reextraction" in again else len(behind)
        yield from (each.folder for each in behind[:until])
    elif job.step in ("reextraction", "polishing"):
        yield from (each.folder for each in behind)


def _growing(project: Path, steps: Sequence[Expected]) -> Iterator[str]:
    if (project / register.FILE).exists():
        yield from (each.folder for each in steps if each.step in _JOINED)


def _window(project: Path) -> Needs:
    """Read which files RELION's window lists, and which jobs follow from which."""
    try:
        text = (project / "default_pipeline.star").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return Needs(files=frozenset())
    except OSError as error:
        raise DispatchError(f"{project}/default_pipeline.star cannot be read: {error}") from None
    listed = star.parse(text)
    files = {os.path.normpath(each) for each in _column(listed, "nodes", "rlnPipeLineNodeName")}
    direct: dict[str, set[str]] = {}
    nodes = _column(listed, "input_edges", "rlnPipeLineEdgeFromNode")
    jobs = _column(listed, "input_edges", "rlnPipeLineEdgeProcess")
    for node, job in zip(nodes, jobs, strict=False):
        folder = "/".join(node.split("/")[:2])
        direct.setdefault(folder, set()).add(job.rstrip("/"))
    users = {folder: frozenset(_all_behind(folder, direct)) for folder in direct}
    return Needs(files=frozenset(files), users=users)


def _all_behind(folder: str, direct: Mapping[str, Iterable[str]]) -> set[str]:
    """Follow the jobs that depend on a job, and on those, to the end."""
    found: set[str] = set()
    left = list(direct.get(folder, ()))
    while left:
        job = left.pop()
        if job not in found:
            found.add(job)
            left += direct.get(job, ())
    return found - {folder}


def _column(listed: star.Star, table: str, label: str) -> list[str]:
    found = listed.table(f"pipeline_{table}")
    return [row.get(label, "") for row in found.rows] if found else []

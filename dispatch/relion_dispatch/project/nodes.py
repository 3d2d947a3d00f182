"""The folder ``.Nodes``, from which the window's *Browse* offers files, and the jobs' aliases.

RELION's side is ``PipeLine::touchTemporaryNodeFile`` and ``setAliasJob`` in ``src/pipeliner.cpp``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from relion_dispatch.project.flavours import SCHEDULED
from relion_dispatch.project.joblist import JobList
from relion_dispatch.project.records import Record

FOLDER = ".Nodes"


def update(project: Path, record: Record, listed: JobList) -> None:
    """Offer what a job has made, or will make when it is scheduled; take back what it has not.

    Raises
    ------
    OSError
        When ``.Nodes`` cannot be written.
    """
    alias = listed.alias(record.name)
    if alias:
        _link(project, record.name, alias)
    scheduled = listed.state(record.name) == SCHEDULED
    made = {*listed.outputs(record.name), *(file for file, _ in record.outputs)}
    given = {file for file, _ in record.inputs if not listed.is_output(file)}
    for file in made | given:
        kind = listed.kind(file)
        own = file.startswith(record.name)
        if not kind or not (own or (file in given and _is_inside(file))):
            continue
        shown = file.replace(record.name, alias, 1) if own and alias else file
        offered = project / FOLDER / _type(kind, words=listed.flavour.words) / shown
        if (own and scheduled) or (project / file).exists():
            offered.parent.mkdir(parents=True, exist_ok=True)
            offered.touch()
        else:
            offered.unlink(missing_ok=True)


def _is_inside(file: str) -> bool:
    """Whether a path of the user's lies in the project: RELION makes a folder for each part."""
    return not file.startswith("/") and ".." not in file.split("/")


def take_back(project: Path, record: Record) -> None:
    """Offer nothing more of a job."""
    alias = record.job.alias if record.step else record.name
    for file, kind in record.outputs:
        type_ = _type(kind, words=record.flavour.words)
        for name in {file, file.replace(record.name, alias, 1)}:
            (project / FOLDER / type_ / name).unlink(missing_ok=True)


def _type(kind: str, *, words: bool) -> str:
    return kind.partition(".")[0] if words else kind


def _link(project: Path, name: str, alias: str) -> None:
    """Make the alias's link, unless something has its name."""
    link = project / alias.rstrip("/")
    if not link.is_symlink() and not link.exists():
        with contextlib.suppress(FileExistsError):
            link.symlink_to(f"../{name}")

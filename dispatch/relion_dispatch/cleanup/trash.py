"""Takes files away: into the project's ``Trash/`` as RELION does, back from there, or for good."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.submit import MARKERS

#: RELION's own folder for what it has cleaned up or deleted.
TRASH = "Trash"


def take(project: Path, paths: Iterable[str], *, delete: bool = False) -> None:
    """Take files of a project away.

    Parameters
    ----------
    project
        Its directory.
    paths
        The files, relative to it.
    delete
        Remove them; otherwise they go to the same place below ``Trash``, over what is there.

    Raises
    ------
    OSError
        When a file cannot be moved or removed; those before it are gone.
    """
    folders = set()
    for name in paths:
        source = project / name
        if delete:
            source.unlink(missing_ok=True)
        else:
            _move(source, project / TRASH / name)
        folders.add(source.parent)
    _remove_empty(folders)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except FileNotFoundError:  # gone meanwhile
        return
    except OSError:  # the job's directory is on another disk
        shutil.move(source, target)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that have become empty, but for jobs' own."""
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or gone with a folder in it
            for each in (folder, *folder.parents):
                if each.name.startswith("job"):
                    break
                each.rmdir()


def restore(project: Path, folders: Collection[str]) -> tuple[int, list[str]]:
    """Bring back from the trash what is not there any more.

    Parameters
    ----------
    project
        Its directory.
    folders
        Job directories; none for everything that the trash has of jobs that still exist.

    Returns
    -------
    tuple
        How many files are back, and the jobs whose files are not: they have run since.

    Raises
    ------
    OSError
        When a file cannot be moved.
    """
    count, left = 0, []
    for job in _jobs_in_trash(project, folders):
        if _has_run_since(project, job):
            left.append(job)
            continue
        for name in _files_in_trash(project, job):
            if not os.path.lexists(project / name):
                _move(project / TRASH / name, project / name)
                count += 1
    for folder, _, _ in os.walk(project / TRASH, topdown=False):
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(folder)
    return count, left


def _jobs_in_trash(project: Path, folders: Collection[str]) -> Iterator[str]:
    for job in sorted((project / TRASH).glob("*/job*")):
        name = str(job.relative_to(project / TRASH))
        if (name in folders or not folders) and (project / name).is_dir():
            yield name


def _files_in_trash(project: Path, job: str) -> Iterator[str]:
    for folder, _, files in os.walk(project / TRASH / job):
        for each in files:
            yield os.path.relpath(os.path.join(folder, each), project / TRASH)


def _has_run_since(project: Path, job: str) -> bool:
    """Tell whether a job has run, or begun to, after the last of its files went to the trash."""
    trashed = project / TRASH / job
    went = max(os.lstat(each).st_ctime for each in (trashed, *trashed.rglob("*")))
    try:
        return (project / job / MARKERS[0]).stat().st_mtime > went
    except FileNotFoundError:
        return True


def empty(project: Path) -> int:
    """Remove the trash for good; return the bytes that it took on the disk.

    Raises
    ------
    InputError
        When it is a link: what it leads to may be more than this project's trash.
    OSError
        When it cannot be removed.
    """
    trash = project / TRASH
    if trash.is_symlink():
        raise InputError(f"{trash} is a link to {trash.readlink()}: empty that by hand")
    if not trash.is_dir():
        return 0
    size = sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512
        for folder, _, names in os.walk(trash)
        for name in names
    )
    shutil.rmtree(trash)
    return size

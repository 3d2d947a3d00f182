"""Takes files away: into the project's ``Trash/`` as RELION does, back from there, or for good."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

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
        for each in (folder, *folder.parents):
            if each.name.startswith("job") or any(each.iterdir()):
                break
            each.rmdir()


def restore(project: Path, folders: Iterable[str]) -> int:
    """Bring back from the trash what is not there any more; return how many files.

    Parameters
    ----------
    project
        Its directory.
    folders
        Job directories; none for everything that the trash has of jobs that still exist.

    Raises
    ------
    OSError
        When a file cannot be moved.
    """
    count = 0
    for name in _in_trash(project, list(folders)):
        target = project / name
        if not os.path.lexists(target):
            _move(project / TRASH / name, target)
            count += 1
    for folder, _, _ in os.walk(project / TRASH, topdown=False):
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(folder)
    return count


def _in_trash(project: Path, folders: list[str]) -> Iterator[str]:
    trash = project / TRASH
    for job in sorted(trash.glob("*/job*")):
        name = str(job.relative_to(trash))
        if (name in folders or not folders) and (project / name).is_dir():
            for folder, _, files in os.walk(job):
                yield from (os.path.relpath(os.path.join(folder, each), trash) for each in files)


def empty(project: Path) -> int:
    """Remove the trash for good; return the bytes that it took on the disk.

    Raises
    ------
    OSError
        When it cannot be removed.
    """
    trash = project / TRASH
    if trash.is_symlink() or not trash.is_dir():
        return 0
    size = sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512
        for folder, _, names in os.walk(trash)
        for name in names
    )
    shutil.rmtree(trash)
    return size

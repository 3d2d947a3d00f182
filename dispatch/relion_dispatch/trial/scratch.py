"""Small projects inside a project: some of its micrographs, and a configuration of their own."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.init import MODULE
from relion_dispatch.pipeline.check.names import bad_characters
from relion_dispatch.trial.variants import changed, spread

#: Folder of all trials in a project; their jobs are deeper in it than RELION looks for jobs.
FOLDER = "Try"
#: Files of at least so many bytes are linked into a variant's copy: no later step writes to them.
_LARGE = 1 << 20

SNAKEFILE = f"""\
# Part of a trial, which relion-dispatch makes and runs.
from relion_dispatch.pipeline.check import check_first
{MODULE}

onstart:
    check_first(config)
"""


def new_folder(project: Path) -> Path:
    """Make the folder of a new trial, ``Try/001`` and so forth."""
    above = project / FOLDER
    above.mkdir(exist_ok=True)
    number = max((int(path.name) for path in _trials(above)), default=0) + 1
    while True:
        folder = above / f"{number:03d}"
        try:
            folder.mkdir()
        except FileExistsError:  # another trial has just begun
            number += 1
        else:
            return folder


def latest(project: Path) -> Path:
    """Return the folder of the latest trial.

    Raises
    ------
    InputError
        When there is none.
    """
    found = max(_trials(project / FOLDER), default=None, key=lambda path: int(path.name))
    if found is None:
        raise InputError(f"{project} has no trial yet: relion-dispatch try --step … --set …")
    return found


def _trials(above: Path) -> Iterator[Path]:
    return (path for path in above.glob("[0-9]*") if path.name.isdigit() and path.is_dir())


def images(project: Path, config: Mapping[str, Any], count: int) -> list[str]:
    """Choose the movies or micrographs of a trial.

    Raises
    ------
    InputError
        When the pipeline starts from particles, or nothing matches its pattern.
    """
    start = config.get("start", "movies")
    if start not in ("movies", "micrographs"):
        raise InputError("the project starts from particles: there is nothing to try")
    pattern = config.get(start) or ""
    names = sorted(glob.glob(pattern, root_dir=project))
    names = [name for name in names if not bad_characters(name, unquoted=True)]
    if not names:
        raise InputError(f"no file matches {start}: {pattern!r} of config.yaml")
    return spread(names, count)


def make(folder: Path, project: Path, config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Write a small project.

    Parameters
    ----------
    folder
        Where; it is made.
    project
        The project that it is part of.
    config
        Its configuration.
    names
        Its movies or micrographs, relative to the project.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    import yaml

    whole = changed(config, {"preprocessing.movies_per_job": None, "first_job": 1})
    others = [name for name in _files(config) if (project / name).is_file()]
    sites = [name for name in ("dispatch.yaml", "dispatch.json") if (project / name).is_file()]
    for name in dict.fromkeys([*names, *others, *sites]):
        link(folder / name, project / name)
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    atomic.write_text(folder / "config.yaml", text)
    atomic.write_text(folder / "Snakefile", SNAKEFILE)


def link(path: Path, target: Path) -> None:
    """Make a link to a file; RELION takes only absolute ones for what they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        path.symlink_to(os.path.abspath(target))


def _files(value: Any) -> Iterator[str]:
    """Yield every text of a configuration: it may name a file inside the project."""
    if isinstance(value, str) and not os.path.isabs(value) and not glob.has_magic(value):
        if value and ".." not in Path(value).parts:
            yield os.path.normpath(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _files(each)


def copy(base: Path, folder: Path) -> None:
    """Copy a small project with its finished jobs; large images are linked.

    Raises
    ------
    OSError
        When it cannot be written.
    """

    def copied(source: str, target: str) -> str:
        if os.path.getsize(source) >= _LARGE and not os.path.islink(source):
            try:
                os.link(source, target)
            except OSError:  # a file system without links
                shutil.copy2(source, target)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
        return target

    ignored = shutil.ignore_patterns("log", "locks", "incomplete", "default_pipeline.star")
    shutil.copytree(base, folder, symlinks=True, copy_function=copied, ignore=ignored)

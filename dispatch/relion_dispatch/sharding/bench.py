"""A folder in which RELION sees the project, but with one shard's movies and an empty job.

Links lead from it to everything in the project; real are only the lists that say what is to be
done, and the job's own directory. A program that is started there with the command line for all
movies writes the same files, with the same names in them, as if it did all movies: afterwards they
are moved into the project's job directory, each at once, and the list of them last of all.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.begin import KEPT, start_clean
from relion_dispatch.sharding.places import FOLDER, NOTHING

#: Files of a job's directory, beside those of single movies, that belong to all shards alike.
COMMON = ("gain.mrc",)
#: What stays of a finished bench beside its list, the logs and the notes.
LEFT = ("logfile.pdf", "RELION_JOB_EXIT_*", "run.*")


def lay(bench: Path, out: str, lists: Mapping[str, str], project: Path = Path()) -> None:
    """Make a shard's bench, anew if there is one.

    Parameters
    ----------
    bench
        The shard's directory.
    out
        The job's directory, relative to the project.
    lists
        Files of the bench that differ from the project's, by path, with their content.
    project
        The project's directory.

    Raises
    ------
    OSError
        When a folder or link cannot be made.
    """
    start_clean(bench)
    files = frozenset(map(PurePosixPath, lists))
    folders = {PurePosixPath(out), *PurePosixPath(out).parents}
    folders |= {parent for path in files for parent in path.parents}
    root = Path(os.path.abspath(project))
    for folder in sorted(folders):
        (bench / folder).mkdir(exist_ok=True)
        if folder != PurePosixPath(out):
            _link(bench / folder, root, folder, files | folders)
    for path, text in lists.items():
        atomic.write_text(bench / path, text)
    # RELION's control files are the shard's, and lie where its script looks for them.
    own = bench / out / FOLDER / bench.name
    own.parent.mkdir()
    own.symlink_to(os.path.abspath(bench))


def _link(into: Path, root: Path, folder: PurePosixPath, real: Collection[PurePosixPath]) -> None:
    """Link the content of a folder of the project, but for what is real."""
    for entry in os.scandir(root / folder):
        if folder / entry.name not in real:
            (into / entry.name).symlink_to(entry.path)


def publish(bench: Path, out: str, result: str, project: Path = Path()) -> None:
    """Move a bench's results into the project's job directory, and clear the bench away.

    Parameters
    ----------
    bench, out, project
        As for `lay`.
    result
        Name of the list that RELION wrote of the results. It is moved to the shard's directory
        itself, when everything else is in place.

    Raises
    ------
    InputError
        When there is no such list: RELION has not finished.
    OSError
        When something cannot be moved.
    """
    made = bench / out
    if (bench / NOTHING).exists():
        os.replace(bench / NOTHING, made / result)
    if not (made / result).is_file():
        raise InputError(f"{made / result}: RELION has not written it; see {bench}/run.err")
    for folder, _, files in os.walk(made):
        below = os.path.relpath(folder, made)
        if below.split(os.sep)[0] == FOLDER:
            continue
        target = project / out / below
        for name in files if below != "." else set(files).intersection(COMMON):
            target.mkdir(parents=True, exist_ok=True)
            _move(Path(folder, name), target / name, bench, project)
    if (made / "logfile.pdf").is_file():
        os.replace(made / "logfile.pdf", bench / "logfile.pdf")
    os.replace(made / result, bench / result)
    start_clean(bench, (*KEPT, *LEFT, result))


def _move(source: Path, target: Path, bench: Path, project: Path) -> None:
    """Move a file; a link that RELION made from its working directory leads from the project."""
    if source.is_symlink():
        leads = os.readlink(source)
        place = os.path.realpath(bench) + os.sep
        if leads.startswith(place):
            source.unlink()
            source.symlink_to(os.path.join(os.path.realpath(project), leads[len(place) :]))
    os.replace(source, target)

"""What a clean-up of a project would take, job by job, and why it leaves a job alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.cleanup.needs import NO_HARSH_CLEAN, Needs, needs
from relion_dispatch.cleanup.rules import RULES, doomed
from relion_dispatch.errors import InputError
from relion_dispatch.status.model import State
from relion_dispatch.submit import MARKERS

#: Seconds by which a job's own files may be newer than the marker that it left at its end.
_SLACK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job with what goes of it.

    Attributes
    ----------
    folder
        Its directory, relative to the project.
    files
        What goes, by path in its directory, with the bytes that each takes on the disk.
    kept
        Why some or all of it stays that could go otherwise; empty for no reason.
    """

    folder: str
    files: Mapping[str, int]
    kept: str = ""

    @property
    def size(self) -> int:
        """Bytes that go."""
        return sum(self.files.values())


def plan(
    project: Path, states: Mapping[str, State], *, harsh: bool, only: Collection[str] = ()
) -> list[Job]:
    """Decide what goes of a project.

    Parameters
    ----------
    project
        Its directory.
    states
        What each job does, by directory; others have not begun.
    harsh
        Whether data go too that only a rerun can bring back.
    only
        Directories of the jobs that are cleaned; none for all.

    Raises
    ------
    InputError
        When there is no such job.
    DispatchError
        When nobody can know what is needed.
    """
    found = needs(project)
    unknown = [each for each in only if each not in states]
    if unknown:
        raise InputError(f"{project} has no job {unknown[0]}: it has {', '.join(sorted(states))}")
    return [
        _job(project, folder, states, found, harsh=harsh)
        for folder in (only or states)
        if folder.partition("/")[0] in RULES and states[folder] is not State.WAITING
    ]


def _job(
    project: Path, folder: str, states: Mapping[str, State], found: Needs, *, harsh: bool
) -> Job:
    path = project / folder
    if why := _untouched(path, states[folder], harsh=harsh):
        return Job(folder=folder, files={}, kept=why)
    kind, known = folder.partition("/")[0], found.of(folder)
    sizes = dict(_own_files(path, project))
    gentle = doomed(kind, sizes, harsh=False, known=known)
    chosen = doomed(kind, sizes, harsh=True, known=known) if harsh else gentle
    if folder in found.growing and kind == "Extract":
        gentle = []
    why = _wanted(folder, states, found) if len(chosen) > len(gentle) else ""
    return Job(
        folder=folder, files={each: sizes[each] for each in (gentle if why else chosen)}, kept=why
    )


def _untouched(path: Path, state: State, *, harsh: bool) -> str:
    """Say why a whole job is left alone; empty when it may be cleaned."""
    if state is not State.FINISHED or not (path / MARKERS[0]).exists():
        return f"it is {state}" if state is not State.FINISHED else "it has no marker of success"
    if path.is_symlink() or path.parent.is_symlink():
        return "it is a link"
    if "tomo" in _job_type(path):
        return "it is a job of tomography"
    if harsh and (path / NO_HARSH_CLEAN).exists():
        return f"it has a file {NO_HARSH_CLEAN}"
    return ""


def _job_type(path: Path) -> str:
    """Return RELION's label of the job's type; empty where it has left none."""
    from relion_dispatch import starscan

    try:
        blocks = starscan.scan(path / "job.star", until="job")
    except OSError:
        return ""
    return next((block.first("rlnJobTypeLabel") or "" for block in blocks), "")


def _wanted(folder: str, states: Mapping[str, State], found: Needs) -> str:
    """Say who still needs a job's data; empty for nobody."""
    if folder in found.growing:
        return "new movies would be joined to it"
    users = sorted(found.users.get(folder, ()))
    left = [each for each in users if states.get(each) is not State.FINISHED]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        return f"its data are needed by {', '.join(left[:3])}{more}"
    return ""


def _own_files(path: Path, project: Path) -> Iterator[tuple[str, int]]:
    """Yield the files that a job has written itself, with their sizes on the disk.

    Left out are hidden folders, files that are newer than the job's end, and links to what is
    outside the project: a job has made none of these.
    """
    until = (path / MARKERS[0]).stat().st_mtime + _SLACK_S
    inside = os.path.realpath(project) + os.sep
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = os.path.join(folder, name)
            stat = os.lstat(file)
            if stat.st_mtime > until:
                continue
            if os.path.islink(file) and not os.path.realpath(file).startswith(inside):
                continue
            yield os.path.relpath(file, path), stat.st_blocks * 512


def total(jobs: Iterable[Job]) -> tuple[int, int]:
    """Return how many files go of jobs, and their bytes."""
    jobs = list(jobs)
    return sum(len(job.files) for job in jobs), sum(job.size for job in jobs)

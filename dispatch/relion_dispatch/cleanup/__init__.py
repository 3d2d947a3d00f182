"""``relion-dispatch clean``: takes intermediate files of finished jobs away, as RELION does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import InputError
from relion_dispatch.meter import counted

if TYPE_CHECKING:
    from relion_dispatch.cleanup.plan import Job

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relion-dispatch clean``."""
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="the project")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--gentle", action="store_true", help="intermediate files only (the default)")
    how.add_argument("--harsh", action="store_true", help="also data that only a rerun brings back")
    how.add_argument("--restore", action="store_true", help="bring back what is in Trash/")
    how.add_argument("--empty-trash", action="store_true", help="remove Trash/ for good")
    parser.add_argument(
        "--job",
        action="append",
        default=[],
        metavar="TYPE/jobNNN",
        help="only this job; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would go")
    parser.add_argument("--delete", action="store_true", help="remove instead of moving to Trash/")
    parser.add_argument(
        "--profile", default="", help="default: $RELION_DISPATCH_PROFILE, else Slurm if it is here"
    )


def main(args: argparse.Namespace) -> int:
    """Run ``relion-dispatch clean``.

    Raises
    ------
    InputError
        When there is no such project or job, or a file cannot be taken away.
    """
    project = Path(args.folder)
    if not project.is_dir():
        raise InputError(f"{project} is no folder: give a project's directory")
    only = [os.path.normpath(each) for each in args.job]
    try:
        if args.restore or args.empty_trash:
            return _trash(project, only, empty=args.empty_trash)
        return _clean(project, args, only)
    except OSError as error:
        raise InputError(f"stopped: {error}") from None


def _trash(project: Path, only: Sequence[str], *, empty: bool) -> int:
    from relion_dispatch.cleanup import trash

    if empty:
        _write(f"Trash/ is gone: {size_text(trash.empty(project))} freed.\n")
    else:
        count, left = trash.restore(project, only)
        _write(f"{count} files are back.\n")
        for job in left:
            _write(f"{job}  left in Trash/: it has run, or begun to, since it was cleaned up\n")
    return 0


def _clean(project: Path, args: argparse.Namespace, only: Sequence[str]) -> int:
    from relion_dispatch import status
    from relion_dispatch.cleanup import trash
    from relion_dispatch.cleanup.plan import plan, total
    from relion_dispatch.status.collect import overview

    seen = overview(project, status.desk_for(args.profile, project))
    states = {job.folder: job.state for job in seen.jobs}
    jobs = plan(project, states, harsh=args.harsh, only=only)
    _write(table(jobs, every_file=args.dry_run))
    count, size = total(jobs)
    if args.dry_run:
        _write(f"{count} files, {size_text(size)} would go.\n")
        return 0
    paths = [f"{job.folder}/{name}" for job in jobs for name in job.files]
    trash.take(project, counted(paths, "taking files away"), delete=args.delete)
    _write(f"{count} files, {size_text(size)} {_where(delete=args.delete, count=count)}")
    if args.harsh and count:
        back = "--forcerun of what made it" if args.delete else "clean --restore"
        _write(
            f"Before a step that reads such data runs again, bring what it needs back: {back}.\n"
        )
    return 0


def _where(*, delete: bool, count: int) -> str:
    if delete or not count:
        return "freed.\n"
    return "moved to Trash/; relion-dispatch clean --empty-trash frees them.\n"


def table(jobs: Sequence[Job], *, every_file: bool) -> str:
    """Write what goes of each job and what stays for a reason."""
    width = max((len(job.folder) for job in jobs), default=0)
    lines = []
    for job in jobs:
        if job.files:
            amount = f"{len(job.files)} files, {size_text(job.size)}"
            lines.append(f"{job.folder.ljust(width)}  {amount}")
            lines += [f"  {job.folder}/{name}" for name in job.files] if every_file else []
        if job.kept:
            lines.append(f"{job.folder.ljust(width)}  left alone: {job.kept}")
    return "".join(f"{line}\n" for line in lines)


def size_text(size: float) -> str:
    """Write a number of bytes as people say it."""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {_UNITS[-1]}"


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", errors="surrogateescape"))
    sys.stdout.flush()

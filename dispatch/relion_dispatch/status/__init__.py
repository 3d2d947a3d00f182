"""``relion-dispatch status``: what a project's jobs are doing, once or live."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import InputError

if TYPE_CHECKING:
    from relion_dispatch.status.scheduler import Desk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relion-dispatch status``."""
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="the project")
    parser.add_argument(
        "--profile", default="", help="default: $RELION_DISPATCH_PROFILE, else Slurm if it is here"
    )
    parser.add_argument("--watch", action="store_true", help="show it live; Ctrl-C ends")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="S", help="seconds between two looks"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Run ``relion-dispatch status``.

    Raises
    ------
    InputError
        When there is no such project, or the arguments do not go together.
    """
    from relion_dispatch.project import enter
    from relion_dispatch.status import table
    from relion_dispatch.status.collect import overview
    from relion_dispatch.status.model import State

    project = Path(args.folder)
    if not project.is_dir():
        raise InputError(f"{project} is no folder: give a project's directory")
    if args.json and args.watch:
        raise InputError("--json shows one moment: leave out --watch")
    desk = desk_for(args.profile, project)
    if args.watch:
        from relion_dispatch.status.watching import watch

        every_s = max(0.1, args.every)
        watch(lambda: overview(project, desk), colour=_colours(), every_s=every_s)
        return 0
    seen = overview(project, desk, quiet=False)
    enter.settled(project, [job.folder for job in seen.jobs if job.state is State.FAILED])
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    told = table.text(seen, width=width, colour=_colours())
    text = f"{json.dumps(seen.to_json(), indent=1)}\n" if args.json else told
    sys.stdout.buffer.write(text.encode("utf-8", errors="surrogateescape"))
    sys.stdout.flush()
    return 0


def desk_for(profile: str, project: Path) -> Desk:
    """Return the scheduler of a profile, to be asked."""
    from relion_dispatch.profiles import VARIABLE, load_profile
    from relion_dispatch.schedulers import SLURM, definition_for
    from relion_dispatch.status.scheduler import Desk

    if not profile and not os.environ.get(VARIABLE):
        return Desk(SLURM if shutil.which(SLURM.status[0]) else None)
    cluster = load_profile(profile or None, project=project).cluster
    return Desk(None if cluster.local else definition_for(cluster.scheduler))


def _colours() -> bool:
    """Whether colours are welcome: on a terminal, unless ``NO_COLOR`` is set (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain

"""What a job's script runs to enter itself into RELION's job list, as it begins and as it ends.

The first command of a job of the pipeline does the same in passing; a job without one calls this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def begun(job_dir: str, commands: Sequence[str] = (), *, by_shell: bool = False) -> None:
    """Enter a job as running; whatever hinders that is told, and the job goes on.

    With ``by_shell`` the job's own shell has started this process: its memory is noted from now on.
    """
    _try("begin", job_dir, commands)
    if by_shell:
        from relion_dispatch.project import process

        _told(lambda _: process.watch(Path(), f"{job_dir.rstrip('/')}/"))


def shared(job_dir: str) -> None:
    """Enter a job as running of which a part begins; whatever hinders that is told."""
    _try("share", job_dir)


def ended(job_dir: str) -> None:
    """Enter how a job has ended; whatever hinders that is told."""
    _try("end", job_dir)


def working(job_dir: str) -> None:
    """Enter a job as running of which the caller does a share; whatever hinders that is told."""
    _try("work", job_dir)


def settled(project: Path, failed: Iterable[str] = ()) -> None:
    """Put right what RELION's job list says of jobs that ended without a word."""
    _told(lambda register: register.settle(project, failed))


def _try(what: str, job_dir: str, *more: Sequence[str]) -> None:
    name = f"{job_dir.rstrip('/')}/"
    _told(lambda register: getattr(register, what)(Path(), name, *more))


def _told(act: Callable[[Any], object]) -> None:
    from relion_dispatch.errors import InputError
    from relion_dispatch.project import register

    try:
        act(register)
    except (InputError, OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"relion-dispatch: RELION's job list stays as it is: {error}\n")


def read_commands() -> tuple[str, ...]:
    """Read a job's commands from standard input, where its script has them, a line each."""
    return tuple(line for line in sys.stdin.read().splitlines() if line.strip())


def main(argv: Sequence[str] | None = None) -> int:
    """Enter a job."""
    parser = argparse.ArgumentParser(prog="enter", description=__doc__, allow_abbrev=False)
    parser.add_argument("what", choices=("begin", "end"))
    parser.add_argument("job_dir", metavar="DIR", help="the job's directory")
    parser.add_argument("--commands", action="store_true", help="its commands are on stdin")
    args = parser.parse_args(argv)
    commands = read_commands() if args.commands else ()
    if args.what == "end":
        ended(args.job_dir)
    else:
        begun(args.job_dir, commands, by_shell=argv is None)
    return 0


if __name__ == "__main__":
    sys.exit(main())

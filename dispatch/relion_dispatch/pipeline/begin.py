"""The first command of a job: makes room in its directory, or ready to go on where it stopped.

It runs on the node, before RELION, so it imports as little as it can. A job goes on when what its
directory holds was made by the same commands from the same files (`healing.continuing`), and has
not come to a good end: then what is whole is kept. It starts clean otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from relion_dispatch.healing import attempts, directory
from relion_dispatch.project import enter

#: What stays in a job's directory when it starts again: the window's own files, the logs, and what
#: is noted about the job.
KEPT = (
    "run.out",
    "run.err",
    "run_submit.script*",
    "run.jobid",
    "run.heal",
    "job.star",
    "job_pipeline.star",
    "note.txt",
    "attempts.jsonl",
)


def start_clean(job_dir: Path, kept: Iterable[str] = KEPT) -> None:
    """Empty a job's directory but for what ``kept`` matches; make it where there is none.

    Raises
    ------
    OSError
        When something cannot be removed.
    """
    job_dir.mkdir(parents=True, exist_ok=True)
    patterns = tuple(kept)
    for path in job_dir.iterdir():
        if any(fnmatchcase(path.name, pattern) for pattern in patterns):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def begin(args: argparse.Namespace) -> None:
    """Make ready to start, or to go on.

    Raises
    ------
    OSError
        When the directory cannot be read or written.
    """
    from relion_dispatch.atomic import write_text

    folder: Path = args.job_dir
    now = directory.fingerprint(args.science, args.input) if args.science else ""
    goes_on = bool(now) and directory.unfinished_science(folder) == now
    (folder / directory.CONTINUE_FILE).unlink(missing_ok=True)
    if args.clean and not goes_on:
        start_clean(folder)
    behind = _ready_to_go_on(args) if goes_on else None
    if now and not goes_on:
        write_text(folder / directory.SCIENCE_FILE, f"{now}\n")
    _note(folder, now, goes_on=goes_on, behind=behind)


def _ready_to_go_on(args: argparse.Namespace) -> int | None:
    """Leave the file that makes a job's script go on; return the iteration behind which."""
    from relion_dispatch.atomic import write_text
    from relion_dispatch.healing import iterations, unfinished

    path = args.job_dir / directory.CONTINUE_FILE
    since = (args.job_dir / directory.SCIENCE_FILE).stat().st_mtime
    if args.unfinished:
        removed = unfinished.remove_broken(args.job_dir, since=since)
        write_text(path, "# Only what is not finished is done.\n")
        print(f"relion-dispatch: goes on; {len(removed)} unfinished files were removed")
        return unfinished.count(args.job_dir)
    if args.root and (found := iterations.newest(args.root, since=since)):
        write_text(path, iterations.for_continuing(found))
        print(f"relion-dispatch: goes on behind iteration {found.number}")
        return found.number
    return None


def _note(folder: Path, science: str, *, goes_on: bool, behind: int | None) -> None:
    """Note the start of the attempt that was submitted, or of another one by the same script."""
    history = attempts.read(folder)
    last = history[-1] if history else None
    values: dict[str, object] = {"continued": behind, "node": _node()}
    values |= {"science": science} if science else {}
    if last is None:
        number = 1
    elif last.started is None:
        number = last.number
    else:
        number = last.number + 1 if goes_on else 1
        logs = attempts.lengths(Path(), last.logs)
        values |= {"asked": dict(last.asked), "changes": dict(last.changes), "logs": logs}
        if os.environ.get("SLURM_RESTART_COUNT"):  # requeued: it is the same job
            values["job_id"] = last.job_id
    attempts.note(folder, number, attempts.STARTED, **values)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def main(argv: Sequence[str] | None = None) -> int:
    """Make room for a job, or make it ready to go on."""
    parser = argparse.ArgumentParser(prog="begin", description=__doc__, allow_abbrev=False)
    parser.add_argument("job_dir", type=Path, metavar="DIR", help="the job's directory")
    parser.add_argument("--clean", action="store_true", help="empty DIR before a new start")
    parser.add_argument("--science", default="", help="fingerprint of what the job computes")
    parser.add_argument("--input", nargs="+", default=[], help="files that it computes from")
    parser.add_argument("--root", default="", help="what a refinement's files begin with")
    parser.add_argument("--unfinished", action="store_true", help="it leaves out what is finished")
    parser.add_argument("--commands", action="store_true", help="its commands are on stdin")
    args = parser.parse_args(argv)
    try:
        begin(args)
    except OSError as error:
        print(f"error: {args.job_dir}: {error}", file=sys.stderr)
        return 1
    commands = enter.read_commands() if args.commands else ()
    enter.begun(str(args.job_dir), commands, by_shell=argv is None)
    return 0


if __name__ == "__main__":
    sys.exit(main())

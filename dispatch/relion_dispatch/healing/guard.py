"""Watches a refinement from beside it, and stops it before its images outgrow its GPUs.

Runs inside the job, in the background; what it leaves makes the job's script stop RELION's programs
by RELION's own means, and the job goes on with fewer workers on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.healing import stages
from relion_dispatch.healing.directory import SCIENCE_FILE, STOPPED_FILE
from relion_dispatch.healing.iterations import newest, numbered

_LAST = b"entering last iteration"
_TAIL_BYTES = 1 << 15
_ABORT = "RELION_JOB_ABORT_NOW"


def reason_to_stop(args: argparse.Namespace) -> str:
    """Say why a job has to stop now; empty when it need not."""
    if _enters_last(args.out, args.start):
        return _reason("the whole box in the last iteration", args)
    latest = max((number for number, _ in numbered(args.root)), default=0)
    if latest == args.seen:
        return ""
    since = _modified(args.job_dir / SCIENCE_FILE)
    found = newest(args.root, since=max(since, args.since))
    if found is None or found.number != latest:
        return ""  # it is being written
    args.seen = latest
    size = stages.size_behind(found.optimiser) or 0
    if size <= args.largest:
        return ""
    return _reason(f"images of {size} pixels behind iteration {latest}", args)


def _reason(what: str, args: argparse.Namespace) -> str:
    return f"GPU memory would not suffice for {what}: it does up to {args.largest}"


def _enters_last(path: Path, start: int) -> bool:
    """Whether RELION says that the last iteration has begun."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(size - _TAIL_BYTES, start if start <= size else 0))
            return _LAST in handle.read()
    except OSError:
        return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Watch until there is a reason to stop."""
    parser = argparse.ArgumentParser(prog="guard", description=__doc__, allow_abbrev=False)
    parser.add_argument("job_dir", type=Path, metavar="DIR")
    parser.add_argument("--root", required=True, help="what the refinement's files begin with")
    parser.add_argument("--out", type=Path, required=True, help="where RELION writes what it does")
    parser.add_argument("--largest", type=int, required=True, help="images that fit, in pixels")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks")
    args = parser.parse_args(argv)
    # What is there already is what the job was sized for.
    args.seen = -1
    args.since, args.start = time.time(), args.out.stat().st_size if args.out.exists() else 0
    while not (reason := reason_to_stop(args)):
        time.sleep(args.every)
    (args.job_dir / STOPPED_FILE).write_text(f"{reason}\n", encoding="utf-8")
    (args.job_dir / _ABORT).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())

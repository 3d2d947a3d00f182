"""The first command of every job of the pipeline: makes room in the job's directory.

It runs on the node, before RELION, so it imports next to nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

#: What stays in a job's directory when it starts again: the window's own files, the logs, and what
#: is noted about the job.
KEPT = (
    "run.out",
    "run.err",
    "run_submit.script*",
    "run.jobid",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Make room for a job."""
    parser = argparse.ArgumentParser(prog="begin", description=__doc__, allow_abbrev=False)
    parser.add_argument("job_dir", type=Path, metavar="DIR", help="the job's directory")
    args = parser.parse_args(argv)
    try:
        start_clean(args.job_dir)
    except OSError as error:
        print(f"error: {args.job_dir}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

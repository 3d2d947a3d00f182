"""What a job's directory says about healing; a module that is imported in a moment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

#: There when a job can go on: for a refinement what ``--continue`` is given.
CONTINUE_FILE = "continue.star"

#: What the files in the directory were made by: a fingerprint, until the job has succeeded.
SCIENCE_FILE = "run.science"

#: There while somebody looks after the job should it fail: it then leaves no marker of failure.
HEAL_FILE = "run.heal"

#: The journal of attempts; `attempts` writes and reads it.
JOURNAL = "attempts.jsonl"

#: The state of an attempt that has come to a good end.
SUCCEEDED = "succeeded"

#: There when a job has asked RELION to stop, and why.
STOPPED_FILE = "run.stopped"

#: The exit code of a job that stopped by itself to go on in another one (``EX_TEMPFAIL``).
STOPPED = 75

#: What a job writes into ``run.err`` when it stops by itself; what follows is the reason.
STOPPED_LINE = "relion-dispatch: stopped: "


def fingerprint(science: str, files: Iterable[str]) -> str:
    """Return a fingerprint of a computation and of its input files, as they are now."""
    parts = [science]
    for name in files:
        try:
            stat = os.stat(name)
            parts.append(f"{name} {stat.st_size} {int(stat.st_mtime)}")
        except OSError:
            parts.append(name)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def unfinished_science(job_dir: Path) -> str:
    """Return the fingerprint of what a job's directory holds, until it has succeeded."""
    try:
        return (job_dir / SCIENCE_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""

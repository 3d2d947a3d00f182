"""What Snakemake keeps of finished jobs: files that it has made, and the scripts that made them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = re.compile(r"\brelion_\w+")
_RANKS = re.compile(r"\b(?:mpirun|mpiexec|srun)\b.*? -n[ =]?(\d+)")
_THREADS = re.compile(r" --j (\d+)")


def files(project: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that Snakemake has made, relative to the project, with its records of them.

    The records' names are those of the files in base 64; a longer one goes on in folders that begin
    with ``@`` (``persistence/file.py`` of Snakemake).
    """
    above = project / ".snakemake" / "metadata"
    for place, _, names in os.walk(above):
        start = "".join(part.removeprefix("@") for part in Path(place).relative_to(above).parts)
        for name in names:
            try:
                made = base64.b64decode(start + name, altchars=b"-_").decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
            yield os.path.normpath(made), Path(place, name)


def records(project: Path) -> dict[str, Path]:
    """Find a record of each job directory that Snakemake has finished a step in."""
    return {os.path.dirname(made): path for made, path in files(project)}


def size(path: Path) -> dict[str, int]:
    """Return the ranks and threads of a job from its record; nothing when it has none."""
    try:
        script = str(json.loads(path.read_text(encoding="utf-8")).get("shellcmd") or "")
    except (OSError, ValueError, AttributeError):
        return {}
    lines = [line for line in script.splitlines() if _PROGRAM.search(line)]
    if not lines:
        return {}
    ranks = [int(each) for line in lines for each in _RANKS.findall(line)]
    threads = [int(each) for line in lines for each in _THREADS.findall(line)]
    return {"ntasks": max(ranks, default=1), "cpus_per_task": max(threads, default=1)}

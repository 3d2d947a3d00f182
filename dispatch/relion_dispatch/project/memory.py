"""Notes how much memory a job's programs hold, on a machine where no scheduler does.

A process of its own looks at the job's shell and everything that this has started, once a second,
until the shell is gone. What they hold is the sum of their resident memory, as it is in Slurm's
``MaxRSS``, and at least the most that the kernel knows of one of them (``VmHWM``).
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from relion_dispatch.procfs import started, stat

#: Any of these in the environment: a scheduler measures.
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_FIRST_LOOK_S, _LOOK_S, _SLOWER = 0.05, 1.0, 1.2
#: Growth that is worth a note.
_MORE = 1.02
_MIB = 1 << 20


def watch(file: Path) -> None:
    """Begin to note in a file what the caller's parent, a job's shell, and its programs hold."""
    from relion_dispatch.processes import start
    from relion_dispatch.this_python import argv

    file.unlink(missing_ok=True)
    if not any(os.environ.get(name) for name in SCHEDULERS):
        parent = os.getppid()
        words = (str(file), str(parent), started(parent))
        start(argv(__name__, *words), log=Path(os.devnull))


def noted_mb(file: Path) -> int | None:
    """Return the most memory that a job held, in MiB; None where nobody has noted it."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def held(shell: int) -> int:
    """Return what a process and all that come from it hold at this moment, in bytes."""
    children: dict[int, list[int]] = {}
    resident: dict[int, int] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if words := stat(int(entry)):
            children.setdefault(int(words[1]), []).append(int(entry))
            resident[int(entry)] = int(words[21])
    family = [shell]
    for pid in family:
        family += children.get(pid, [])
    together = os.sysconf("SC_PAGE_SIZE") * sum(resident.get(pid, 0) for pid in family)
    return max(together, *map(_most, family))


def _most(pid: int) -> int:
    """Return the most that one process has held so far, in bytes."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def main(file: str, shell: str, since: str) -> int:
    """Look until the shell is gone."""
    from relion_dispatch.atomic import write_text

    most, wait_s = 0, _FIRST_LOOK_S
    while started(int(shell)) == since:
        now = held(int(shell))
        if now > _MORE * most:
            most = now
            write_text(file, f"{most // _MIB}\n")
        time.sleep(wait_s)
        wait_s = min(_SLOWER * wait_s, _LOOK_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

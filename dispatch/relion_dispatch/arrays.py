"""Job arrays: many like jobs handed to Slurm in one call.

Each job keeps its own script, logs, exit file and entry in the ledger; the array's script only
finds the job that its task stands for. To Slurm a task is ``123_7``, and to us its name is that of
the array with the task's number in brackets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TypeVar

from relion_dispatch.frozen import dataclass

#: Options that belong to one job alone, and change nothing about what it is given.
_OWN = re.compile(r"#SBATCH\s+(--(job-name|output|error|open-mode|comment)\b|-[Joe]\b)")
_TASK = re.compile(r"\d+_(\d+)")
_TASKS = re.compile(r"(\d+)_\[(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)(?:%\d+)?\]")

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One job of an array: its number, its script, and where its output goes."""

    number: int
    script: Path
    outfile: str
    errfile: str


def member_name(name: str, number: int) -> str:
    """Return a job's name from that of its array."""
    return f"{name}[{number}]"


def task_of(name: str) -> tuple[str, str]:
    """Return array and number of a task by its name; nothing twice for a job of its own."""
    found = re.fullmatch(r"(.+)\[(\d+)\]", name)
    return (found[1], found[2]) if found else ("", "")


def reported_name(job_id: str, name: str) -> str:
    """Return the name of a reported job: for a task of an array with its number."""
    found = _TASK.fullmatch(job_id)
    return member_name(name, int(found[1])) if found else name


def expanded(job_id: str) -> list[str]:
    """Return the ids of all tasks where Slurm's records put some together: ``7_[2-4,9%5]``."""
    found = _TASKS.fullmatch(job_id)
    if not found:
        return [job_id]
    numbers: list[int] = []
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return [f"{found[1]}_{number}" for number in numbers]


def header(script: str) -> tuple[str, ...]:
    """Return the ``#SBATCH`` lines of a script that say what the job is given."""
    lines = []
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break  # Slurm reads no further
        if line.startswith("#SBATCH") and not _OWN.match(line):
            lines.append(line)
    return tuple(lines)


def batches(
    items: Sequence[Item], alike: Callable[[Item], Hashable], *, least: int, most: int
) -> Iterator[list[Item]]:
    """Yield jobs that go to the scheduler together, in lists of one or of ``least`` to ``most``.

    Parameters
    ----------
    alike
        What has to be equal for jobs of one array.
    least, most
        Bounds of an array's size; none are made where ``least`` is 0.
    """
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(alike(item), []).append(item)
    for group in groups.values():
        for start in range(0, len(group), most):
            chunk = group[start : start + most]
            if 0 < least <= len(chunk) and len(chunk) > 1:
                yield chunk
            else:
                yield from ([item] for item in chunk)


def script(lines: Sequence[str], tasks: Sequence[Task], log: Path) -> str:
    """Return the script of an array.

    Parameters
    ----------
    lines
        The header that its jobs have in common.
    tasks
        Its jobs.
    log
        Where Slurm itself writes about a task; ``%a`` is the task's number.
    """
    numbers = ",".join(str(task.number) for task in tasks)
    cases = [
        f"{task.number}) script={quote(os.path.join('.', task.script))}"
        f" out={quote(task.outfile)} err={quote(task.errfile)} ;;"
        for task in tasks
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            f"#SBATCH --array={numbers}",
            f"#SBATCH --output={log}",
            f"#SBATCH --error={log}",
            "#SBATCH --open-mode=append",
            'case "$SLURM_ARRAY_TASK_ID" in',
            *cases,
            "esac",
            'exec "$script" >>"$out" 2>>"$err"',
            "",
        ]
    )

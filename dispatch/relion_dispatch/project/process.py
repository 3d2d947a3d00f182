"""The process that runs a job on its machine and what it has used, noted beside the record."""

from __future__ import annotations

import os
import time
from pathlib import Path

from relion_dispatch.atomic import write_text
from relion_dispatch.procfs import started, stat
from relion_dispatch.project import memory, records


def note(project: Path, name: str) -> None:
    """Note which process of which machine runs a job: the shell that has started this one."""
    write_text(_file(project, name), _whose(os.getppid()))


def note_end(project: Path, name: str) -> None:
    """Note what a job has used, if it is the job's own shell that has started this process.

    That is what the programs have used for which the shell has waited: all of them on this machine,
    none on another one.
    """
    parent = os.getppid()
    whose = _whose(parent)
    if _lines(project, name)[:1] == whose.splitlines():
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
        words = stat(parent)
        cpu_s = tick_s * sum(map(int, words[13:15]))
        elapsed_s = time.clock_gettime(time.CLOCK_BOOTTIME) - tick_s * int(words[19])
        write_text(_file(project, name), f"{whose}{cpu_s:.2f} {elapsed_s:.2f}\n")


def watch(project: Path, name: str) -> None:
    """Begin to note a job's memory, on behalf of the shell that has started this process."""
    if is_noted(project, name):
        memory.watch(_memory_file(project, name))


def used(project: Path, name: str) -> dict[str, float]:
    """Return what a job has used, by the names of `healing.attempts`; empty where none is noted."""
    words = " ".join(_lines(project, name)[1:]).split()
    found = dict(zip(("cpu_s", "elapsed_s"), map(float, words), strict=True)) if words else {}
    most_mb = memory.noted_mb(_memory_file(project, name))
    return found if most_mb is None else {**found, "mem_mb": most_mb}


def forget(project: Path, name: str) -> None:
    """Let a job's life be that of no single process."""
    for file in (_file, _memory_file):
        file(project, name).unlink(missing_ok=True)


def is_noted(project: Path, name: str) -> bool:
    """Tell whether a job has one process of its own, as all have but those of shards."""
    return _file(project, name).exists()


def is_gone(project: Path, name: str) -> bool:
    """Tell whether a job's process was one of this machine, and is no more."""
    words = " ".join(_lines(project, name)[:1]).split()
    if len(words) != 3 or words[0] != os.uname().nodename or not words[1].isdigit():
        return False
    return started(int(words[1])) != words[2]


def _whose(pid: int) -> str:
    return f"{os.uname().nodename} {pid} {started(pid)}\n"


def _lines(project: Path, name: str) -> list[str]:
    try:
        text = _file(project, name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()


def _file(project: Path, name: str) -> Path:
    return records.path(project, name).with_suffix(".process")


def _memory_file(project: Path, name: str) -> Path:
    return records.path(project, name).with_suffix(".memory")

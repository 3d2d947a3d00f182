"""Which jobs of a project run on this machine, without a scheduler."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
# How a job's own directory stands on the command lines of RELION and of our job scripts.
_OWN = re.compile(
    rb"(?:--o\0|--o |--pipeline.control[\0 ]|job=|pipeline\.begin[\0 ])([A-Z]\w+/job\d+)/"
)


def running(project: Path, proc: Path = PROC) -> dict[str, float]:
    """Return the jobs that run here and when they began, in seconds since the epoch.

    Processes count that run in the project's directory and name a job's directory as their own.
    Empty on systems without ``/proc``.
    """
    here = os.path.realpath(project)
    boot, tick = _boot_time(proc), os.sysconf("SC_CLK_TCK")
    found: dict[str, float] = {}
    for process, folders in _candidates(proc):
        try:
            if os.path.realpath(process / "cwd") != here:
                continue
            stat = (process / "stat").read_text()
        except OSError:  # ended meanwhile, or another user's
            continue
        start = boot + int(stat.rpartition(")")[2].split()[19]) / tick
        for folder in folders:
            found[folder] = min(start, found.get(folder, start))
    return found


def _candidates(proc: Path) -> Iterator[tuple[Path, set[str]]]:
    try:
        names = os.listdir(proc)
    except OSError:
        return
    for name in names:
        if not name.isdigit():
            continue
        try:
            line = (proc / name / "cmdline").read_bytes()
        except OSError:
            continue
        folders = {each.decode() for each in _OWN.findall(line)}
        if folders:
            yield proc / name, folders


def _boot_time(proc: Path) -> float:
    try:
        found = re.search(r"^btime (\d+)", (proc / "stat").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return float(found[1]) if found else 0.0

"""What the scheduler says about a project's jobs: one question for all of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from typing import Any

from relion_dispatch import processes
from relion_dispatch.client import Client
from relion_dispatch.errors import SchedulerError
from relion_dispatch.reports import Report
from relion_dispatch.schedulers import Definition

_SACCT = (
    "sacct",
    "--noheader",
    "--parsable2",
    "--format=JobIDRaw,ElapsedRaw,MaxRSS,TotalCPU,AllocCPUS,Start",
)
_UNITS_MB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "": 1 / 1024**2}


class Desk:
    """Asks one scheduler; what it has said about ended jobs is kept.

    Parameters
    ----------
    definition
        The scheduler; None for none.
    """

    def __init__(self, definition: Definition | None) -> None:
        self.definition = definition
        self._used: dict[str, dict[str, Any]] = {}

    def reports(self, job_ids: Collection[str]) -> dict[str, Report]:
        """Return what the scheduler and its records say about jobs, by id.

        Raises
        ------
        SchedulerError
            When there is no answer.
        """
        if self.definition is None or not job_ids:
            return {}
        client = Client(self.definition)
        reports = client.status(list(job_ids))
        return reports | client.history([each for each in job_ids if each not in reports])

    def used(self, job_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return what ended jobs took, where Slurm keeps accounts: one question, asked once."""
        slurm = self.definition is not None and self.definition.name == "slurm"
        new = sorted(set(job_ids) - self._used.keys())
        if slurm and new and shutil.which("sacct"):
            self._used |= {each: {} for each in new} | _ask(new)
        return {each: self._used[each] for each in job_ids if self._used.get(each)}


def _ask(job_ids: list[str]) -> dict[str, dict[str, Any]]:
    argv = [*_SACCT, f"--jobs={','.join(job_ids)}"]
    try:
        done = processes.run(argv, timeout_s=20, error=SchedulerError, shielded=True)
    except SchedulerError:  # a site without accounting, or a slow one: a number less to show
        return {}
    return read_accounts(done.stdout) if done.returncode == 0 else {}


def read_accounts(text: str) -> dict[str, dict[str, Any]]:
    """Read lines of ``id|elapsed s|MaxRSS|CPU time|CPUs|start``, jobs and their steps."""
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        cells = [*line.split("|"), "", "", "", "", ""][:6]
        job = found.setdefault(cells[0].partition(".")[0], {})
        if "." not in cells[0]:
            job |= _of_job(cells)
        memory = mem_mb(cells[2])
        if memory is not None:
            job["mem_mb"] = max(memory, job.get("mem_mb", 0))
    return found


def _of_job(cells: list[str]) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    if cells[1].isdigit():
        values["elapsed_s"] = int(cells[1])
    cpu = cpu_s(cells[3])
    if cpu is not None:
        values["cpu_s"] = cpu
    return values


def mem_mb(text: str) -> int | None:
    """Read Slurm's ``MaxRSS``, such as ``12345K``; None for nothing."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.strip())
    return round(float(found[1]) * _UNITS_MB[found[2]]) if found else None


def cpu_s(text: str) -> int | None:
    """Read Slurm's ``TotalCPU``: ``1-02:03:04``, ``02:03:04`` or ``03:04.567``; None else."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?", text.strip())
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

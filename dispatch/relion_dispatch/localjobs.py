"""What is known of the jobs that run on this machine without a scheduler: a file for each."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from relion_dispatch import atomic
from relion_dispatch.frozen import dataclass

#: Age in seconds at which the file of a job that is over is of no use to anybody.
FORGOTTEN_S = 30 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Attributes
    ----------
    job_id, name, script, cores
        As it was submitted.
    word
        Its state, in Slurm's words.
    pid, born
        The process that answers for it, and when that one began; 0 before there is one.
    child, child_born
        The same for its script.
    code
        Its exit code; None before it is over.
    """

    job_id: str
    name: str
    script: str
    cores: int
    word: str = "PENDING"
    pid: int = 0
    born: str = ""
    child: int = 0
    child_born: str = ""
    code: int | None = None


def folder() -> Path:
    """Return the user's folder for this machine's jobs; it may be seen by other machines too."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "relion-dispatch", f"queue-{os.uname().nodename}")


class Jobs:
    """The jobs of one user on one machine.

    Parameters
    ----------
    folder
        Where their files are; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, *, name: str, script: str, cores: int) -> Job:
        """Note a new job; its id is higher than all that are noted."""
        known = self._ids()
        self._forget(known[:-1])
        number = max(known, default=0) + 1
        while True:
            job = Job(job_id=str(number), name=name, script=script, cores=cores)
            try:
                self._path(job.job_id).touch(exist_ok=False)
            except FileExistsError:
                number += 1
                continue
            atomic.write_text(self._path(job.job_id), json.dumps(asdict(job)))
            return job

    def read(self, job_id: str) -> Job:
        """Return what is noted of a job.

        Raises
        ------
        FileNotFoundError
            When there is no such job, or none yet: its file is still empty then.
        """
        try:
            return Job(**json.loads(self._path(job_id).read_text(encoding="utf-8")))
        except ValueError:
            raise FileNotFoundError(f"nothing is noted of job {job_id}") from None

    def note(self, job_id: str, **values: Any) -> Job:
        """Note something more of a job; only the process that answers for it does."""
        job = replace(self.read(job_id), **values)
        atomic.write_text(self._path(job_id), json.dumps(asdict(job)))
        return job

    def some(self, job_ids: Sequence[str]) -> Iterator[Job]:
        """Yield those of the given jobs that there are; without ids all."""
        for job_id in job_ids or map(str, self._ids()):
            with contextlib.suppress(FileNotFoundError):
                yield self.read(job_id)

    def _path(self, job_id: str) -> Path:
        return self.folder / f"{job_id}.json"

    def _ids(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit())

    def _forget(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            path = self._path(str(number))
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()
                    path.with_suffix(".log").unlink(missing_ok=True)

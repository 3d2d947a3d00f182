"""What is known of a project's jobs: their times, sizes, attempts and commands."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from relion_dispatch.command import Command
from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.healing import attempts
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.status import desk_for
from relion_dispatch.status import model as status
from relion_dispatch.status.collect import overview
from relion_dispatch.status.model import State
from relion_dispatch.status.scheduler import Desk

METADATA = ".snakemake/metadata"
#: The command after which a job's own commands follow, now and in earlier versions.
_BEGIN = re.compile(r"relion_dispatch\.\w+\.begin |^find .* -delete$")
_RANKS = re.compile(r"(?:-n|-np|--ntasks)[= ](\d+)")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the project that has begun.

    Attributes
    ----------
    now
        What it is doing, and what it asked for and took, as ``relion-dispatch status`` shows it.
    commands
        Its command lines as they were run.
    attempts
        Its attempts, as far as they were noted.
    began, ended
        In seconds since the epoch; None where nobody knows.
    """

    now: status.Job
    commands: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    began: float | None
    ended: float | None

    @property
    def step(self) -> str:
        """Its rule, or the alias or directory of a job from RELION's window."""
        return self.now.step or self.now.alias or self.now.folder

    @property
    def directory(self) -> str:
        """Where it is, without a slash at the end."""
        return self.now.folder

    @property
    def state(self) -> State:
        """What it is doing, or how it ended."""
        return self.now.state

    @cached_property
    def elapsed_s(self) -> float | None:
        """How long it ran, all attempts together; None where nobody knows."""
        spans = [each.ended - each.started for each in self.attempts if each.started and each.ended]
        if len(spans) > 1:
            return sum(spans)
        known = self.began is not None and self.ended is not None
        return self.ended - self.began if known else None  # type: ignore[operator] # both known

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The size of its last attempt, by the names of `healing.attempts`."""
        return self.now.asked or _size(self.commands)

    @property
    def used(self) -> Mapping[str, Any]:
        """What its last attempt took, by the same names."""
        return self.now.used

    @property
    def cores(self) -> int:
        """Cores that it had: ranks times threads."""
        return int(self.asked.get("ntasks") or 1) * int(self.asked.get("cpus_per_task") or 1)

    @property
    def gpus(self) -> int:
        """GPUs that it had, on all nodes."""
        return int(self.asked.get("gpus") or 0)


def read(root: Path) -> list[Job]:
    """Return the jobs that have begun, in the order in which they did.

    A scheduler that gives no answer hinders nothing: what it alone knows is missing.
    """
    records = _records(root)
    begun = (job for job in _overview(root).jobs if job.state is not State.WAITING)
    found = [_job(root, job, records.get(job.folder, {})) for job in begun]
    return sorted(found, key=lambda job: (job.began or 0, job.directory[-3:]))


def _overview(root: Path) -> status.Overview:
    try:
        return overview(root, desk_for("", root))
    except DispatchError:
        return overview(root, Desk(None))


def _job(root: Path, now: status.Job, record: Mapping[str, Any]) -> Job:
    noted = attempts.read(root / now.folder)
    # Snakemake's own record counts parts of a second, which the files' times do not.
    exact = record.get("starttime") and record.get("endtime") and len(noted) < 2
    began, ended = (record["starttime"], record["endtime"]) if exact else (now.started, now.ended)
    return Job(
        now=now,
        commands=_commands(str(record.get("shellcmd") or "")),
        attempts=noted,
        began=began,
        ended=ended,
    )


def _records(root: Path) -> dict[str, dict[str, Any]]:
    """Read Snakemake's own records of finished jobs, by job directory."""
    found: dict[str, dict[str, Any]] = {}
    for file in _files(root / METADATA):
        output, record = _output(root, file), _record(file)
        directory = "/".join(Path(output).parts[:2])
        if f"{directory}/run.out" in (record.get("log") or ()):
            found[directory] = record
    return found


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _output(root: Path, file: Path) -> str:
    """Return the output that a record is about: its name is the record's, in base 64.

    Snakemake splits long names into folders, each of which begins with an ``@``.
    """
    parts = file.relative_to(root / METADATA).parts
    coded = "".join(part.removeprefix("@") for part in parts)
    try:
        return base64.b64decode(coded).decode("utf-8", errors="surrogateescape")
    except (binascii.Error, ValueError):
        return ""


def _record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _commands(shell: str) -> tuple[str, ...]:
    """Take a job's own commands out of its script."""
    lines = shell.strip().splitlines()
    begins = [at for at, line in enumerate(lines) if _BEGIN.search(line)]
    return tuple(line for line in lines[begins[-1] + 1 :] if line.strip()) if begins else ()


def _size(commands: Sequence[str]) -> dict[str, int]:
    """Read ranks and threads off command lines, where nobody has noted them."""
    ranks, threads = 0, 0
    for line in commands:
        try:
            command = Command.parse(line)
        except InputError:
            continue
        if command.program is None or not command.relion:
            continue
        said = _RANKS.search(" ".join(command.launcher))
        given = command.value("j") or ""
        ranks = max(ranks, int(said[1]) if said else 1)
        threads = max(threads, int(given) if given.isdigit() else 1)
    return {"ntasks": ranks, "cpus_per_task": threads} if ranks else {}

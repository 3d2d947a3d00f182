"""What is known of a project's jobs: their times, sizes, attempts and commands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from relion_dispatch.command import Command
from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.healing import attempts
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.sharding.places import FOLDER as SHARDS
from relion_dispatch.status import desk_for
from relion_dispatch.status import model as status
from relion_dispatch.status.collect import overview
from relion_dispatch.status.model import State
from relion_dispatch.status.scheduler import Desk

METADATA = ".snakemake/metadata"
LOG = "run.out"
#: When something began and ended, in seconds since the epoch.
Span = tuple[float, float]
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
    shards
        The parts that it was split into; their attempts and commands are among its own.
    """

    now: status.Job
    commands: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    began: float | None
    ended: float | None
    shards: tuple[Span, ...] = ()

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
        """How long it ran, all attempts and shards together; None where nobody knows."""
        if self.shards:
            return sum(end - start for start, end in self.shards)
        spans = [each.ended - each.started for each in self.attempts if each.started and each.ended]
        if len(spans) > 1:
            return sum(spans)
        known = self.began is not None and self.ended is not None
        return self.ended - self.began if known else None  # type: ignore[operator] # both known

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The size of its last attempt, by the names of `healing.attempts`."""
        noted = next((each.asked for each in reversed(self.attempts) if each.asked), {})
        return noted or self.now.asked or _size(self.commands)

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
        of_node, nodes = (int(self.asked.get(name) or 0) for name in ("gpus_per_node", "nodes"))
        return int(self.asked.get("gpus") or of_node * max(1, nodes))


def read(root: Path) -> list[Job]:
    """Return the jobs that have begun, in the order in which they did.

    A scheduler that gives no answer hinders nothing: what it alone knows is missing.
    """
    records = _records(root)
    begun = (job for job in _overview(root).jobs if job.state is not State.WAITING)
    found = [_job(root, job, records) for job in begun]
    return sorted(found, key=lambda job: (job.began or 0, job.directory[-3:]))


def _overview(root: Path) -> status.Overview:
    try:
        return overview(root, desk_for("", root))
    except DispatchError:
        return overview(root, Desk(None))


def _job(root: Path, now: status.Job, records: Mapping[str, Mapping[str, Any]]) -> Job:
    """Put a job together from Snakemake's records of it and of its shards."""
    shards = [name for name in sorted(records) if name.startswith(f"{now.folder}/{SHARDS}/")]
    own = records.get(now.folder, {})
    noted = [each for name in (*shards, now.folder) for each in attempts.read(root / name)]
    spans = [span for name in shards if (span := _span(records[name]))]
    # Snakemake's own record counts parts of a second, which the files' times do not.
    exact = _span(own) if len(noted) < 2 or shards else None
    began, ended = exact or (now.started, now.ended)
    lines = [line for name in shards[:1] for line in _commands(records[name])]
    return Job(
        now=now,
        commands=(*lines, *_commands(own)),
        attempts=tuple(noted),
        began=min([start for start, _ in spans], default=began),
        ended=ended,
        shards=tuple((*spans, exact) if spans and exact else spans),
    )


def _span(record: Mapping[str, Any]) -> Span | None:
    start, end = record.get("starttime"), record.get("endtime")
    return (float(start), float(end)) if start and end else None


def _records(root: Path) -> dict[str, dict[str, Any]]:
    """Read Snakemake's own records of finished jobs, by the directory of the job's log."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(path for path in (root / METADATA).rglob("*") if path.is_file()):
        record = read_json(file)
        for log in record.get("log") or ():
            directory, _, name = str(log).rpartition("/")
            if name == LOG:
                found[directory] = record
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _commands(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Take a job's own commands out of its script."""
    lines = str(record.get("shellcmd") or "").strip().splitlines()
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

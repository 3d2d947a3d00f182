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
from relion_dispatch.errors import InputError
from relion_dispatch.healing import attempts
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.pipeline.layout import MAX_ROUNDS, MAX_STARTS, ROUND_STEPS, STEPS, Layout
from relion_dispatch.submit import MARKERS

METADATA = ".snakemake/metadata"
_STATES = dict(zip(MARKERS, ("succeeded", "failed", "aborted"), strict=True))
#: The command after which a job's own commands follow, now and in earlier versions.
_BEGIN = re.compile(r"relion_dispatch\.pipeline\.begin |^find .* -delete$")
_TOOK = re.compile(r"relion-dispatch: exit code (\d+) after (\d+) s")
_RANKS = re.compile(r"(?:-n|-np|--ntasks)[= ](\d+)")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the pipeline.

    Attributes
    ----------
    step, directory
        What it is, and where, without a slash at the end.
    state
        ``succeeded``, ``failed``, ``aborted`` or ``not ended``.
    began, ended
        In seconds since the epoch; None where nobody knows.
    elapsed_s
        How long it ran, all attempts together; None where nobody knows.
    commands
        Its command lines as they were run.
    attempts
        Its attempts, as far as they were noted.
    """

    step: str
    directory: str
    state: str
    began: float | None
    ended: float | None
    elapsed_s: float | None
    commands: tuple[str, ...]
    attempts: tuple[Attempt, ...]

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The size of its last attempt, by the names of `healing.attempts`."""
        noted = self.attempts[-1].asked if self.attempts else {}
        return noted or _size(self.commands)

    @property
    def cores(self) -> int:
        """Cores that it had: ranks times threads."""
        return int(self.asked.get("ntasks") or 1) * int(self.asked.get("cpus_per_task") or 1)

    @property
    def gpus(self) -> int:
        """GPUs that it had, on all nodes."""
        return int(self.asked.get("gpus") or 0)


def steps(layout: Layout) -> dict[str, str]:
    """Return the step of each directory that the pipeline may use, without a slash at the end."""
    found = {layout.dir(step): step for step in STEPS}
    found |= {layout.start(start): f"initial_model_{start}" for start in range(1, MAX_STARTS + 1)}
    for round_ in range(1, MAX_ROUNDS + 1):
        found |= {layout.dir(step, round=round_): f"{step}_{round_}" for step in ROUND_STEPS}
    return {directory.rstrip("/"): step for directory, step in found.items()}


def read(root: Path, layout: Layout) -> list[Job]:
    """Return the jobs that have begun, in the order in which they did."""
    known, records = steps(layout), _records(root)
    found = [
        _job(root, directory, step, records.get(directory, {}))
        for directory, step in known.items()
        if (root / directory / "run.out").exists()
    ]
    return sorted(found, key=lambda job: (job.began or 0, job.directory[-3:]))


def _job(root: Path, directory: str, step: str, record: Mapping[str, Any]) -> Job:
    folder = root / directory
    noted = attempts.read(folder)
    began, ended = record.get("starttime"), record.get("endtime")
    spans = [each.ended - each.started for each in noted if each.started and each.ended]
    if noted and noted[0].started:
        began, ended = noted[0].started, noted[-1].ended or ended
    elapsed = sum(spans) if spans else _elapsed(folder, began, ended)
    state = next((word for name, word in _STATES.items() if (folder / name).exists()), "not ended")
    return Job(
        step=step,
        directory=directory,
        state=state,
        began=began,
        ended=ended,
        elapsed_s=elapsed,
        commands=_commands(str(record.get("shellcmd") or "")),
        attempts=noted,
    )


def _elapsed(folder: Path, began: float | None, ended: float | None) -> float | None:
    if began is not None and ended is not None:
        return ended - began
    try:
        tail = (folder / "run.out").read_bytes()[-400:].decode("utf-8", errors="replace")
    except OSError:
        return None
    said = _TOOK.findall(tail)
    return float(said[-1][1]) if said else None


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

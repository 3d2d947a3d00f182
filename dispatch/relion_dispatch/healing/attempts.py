"""The attempts of a job: a journal in its directory, one JSON object a line.

Every line tells something that happened to an attempt, by the attempt's ``number``::

    {"number": 1, "event": "submitted", "time": 1790000000.0, "asked": {"mem_mb": 57300, …}}
    {"number": 1, "event": "taken", "time": 1790000000.1, "job_id": "71"}
    {"number": 1, "event": "started", "time": 1790000042.5, "node": "m3h002", "science": "9f2c…"}
    {"number": 1, "event": "ended", "time": 1790003642.5, "state": "out of time", "failure": "time",
     "evidence": ["CANCELLED AT 2026-11-22T13:00:00 DUE TO TIME LIMIT"], "iteration": 11}
    {"number": 1, "event": "decided", "time": 1790003643.0, "decision": "Goes on behind iteration
     11.", "changes": {"runtime": 120}}
    {"number": 2, "event": "submitted", …}

The submitting process, the job itself and whoever finds it ended append lines, each with one
write: lines never mix, and one that is cut short by a crash is left out when they are read. A line
without a number, as a job's shell writes it, is about the attempt before it. An attempt number 1
that begins again is a new run of the job; `read` returns the attempts of the latest run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.frozen import dataclass
from relion_dispatch.healing import directory

if TYPE_CHECKING:
    from relion_dispatch.plan import Plan

#: The journal's name in a job's directory.
JOURNAL = directory.JOURNAL

#: Events, in the order in which they happen to an attempt. It begins with the first, or, where
#: nobody submits it, with the third.
SUBMITTED, TAKEN, STARTED = "submitted", "taken", "started"
ENDED, DECIDED = "ended", "decided"


#: What of a plan is noted in an attempt as ``asked``.
ASKED = (
    "partition",
    "nodes",
    "ntasks",
    "cpus_per_task",
    "gpus_per_node",
    "mem_mb",
    "runtime_min",
    "gpu_mem_mb_per_rank",
)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a job; what is not known is None or empty.

    Attributes
    ----------
    number
        Counted from 1.
    submitted, started, ended
        When, in seconds since the epoch.
    job_id, node
        The scheduler's id, and the node or nodes that it ran on.
    asked
        The size that was asked for: partition, nodes, ntasks, cpus_per_task, gpus, mem_mb,
        runtime_min, ….
    used
        What it took, where the scheduler's records tell: mem_mb, ….
    science
        Fingerprint of what it computes, and of which input.
    continued
        The iteration behind which it began; None for one from the start.
    iteration
        The newest complete iteration when it had ended.
    state
        How it ended, in a word or two of `reports.State`; empty while it has not.
    exit_code
        The job's exit code.
    failure
        Class of failure, see `healing.classes`; empty for none.
    evidence
        The lines that tell the class, as they were written.
    decision
        What was done about it, and why: a sentence.
    changes
        Job parameters that the next attempt gets, over those that a person asked for.
    again
        Whether there is a next attempt; None before that is decided.
    logs
        How long the logs were when it was submitted, in bytes: what comes behind is its own.
    lost_s
        Seconds of work that nobody has anything of: since the newest complete iteration.
    """

    number: int
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    job_id: str = ""
    node: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    used: Mapping[str, Any] = field(default_factory=dict)
    science: str = ""
    continued: int | None = None
    iteration: int | None = None
    state: str = ""
    exit_code: int | None = None
    failure: str = ""
    evidence: tuple[str, ...] = ()
    decision: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    again: bool | None = None
    logs: Mapping[str, int] = field(default_factory=dict)
    lost_s: float | None = None


def read(job_dir: str | os.PathLike[str]) -> tuple[Attempt, ...]:
    """Return the attempts of a job's latest run, in order; none where there is no journal."""
    try:
        lines = Path(job_dir, JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return replay(lines)


def replay(lines: Iterable[str]) -> tuple[Attempt, ...]:
    """Put the lines of a journal together; lines that cannot be read count for nothing."""
    found: dict[int, Attempt] = {}
    for line in lines:
        record = _record(line)
        if record is None:
            continue
        number, event = record.get("number", max(found, default=1)), record.get("event")
        if number == 1 and _begins_anew(found.get(1), event):
            found = {}
        found[number] = _advance(found.get(number) or Attempt(number=number), record)
    return tuple(found[number] for number in sorted(found))


def note(job_dir: str | os.PathLike[str], number: int, event: str, **values: object) -> None:
    """Append what happened to an attempt.

    Parameters
    ----------
    job_dir
        The job's directory.
    number
        The attempt.
    event
        ``submitted``, ``taken``, ``started``, ``ended`` or ``decided``.
    values
        Attributes of `Attempt`, by their names.

    Raises
    ------
    OSError
        When the journal cannot be written.
    TypeError
        When `Attempt` has no such attribute.
    """
    if unknown := values.keys() - Attempt.__dataclass_fields__:
        raise TypeError(f"an attempt has no {', '.join(sorted(unknown))}")
    record = {"number": number, "event": event, "time": round(time.time(), 3), **values}
    text = f"{json.dumps(record)}\n".encode()
    file = os.open(Path(job_dir, JOURNAL), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, b"\n" + text if _cut_short(file) else text)
    finally:
        os.close(file)


def _cut_short(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    known = isinstance(record, dict) and isinstance(record.get("number", 1), int)
    return record if known else None


def _begins_anew(attempt: Attempt | None, event: object) -> bool:
    """Whether an attempt that has happened already begins once more."""
    if attempt is None:
        return False
    return event == SUBMITTED or (event == STARTED and attempt.started is not None)


def _advance(attempt: Attempt, record: Mapping[str, Any]) -> Attempt:
    known = {name: record[name] for name in Attempt.__dataclass_fields__ if name in record}
    evidence = known.pop("evidence", None)
    if isinstance(evidence, list):
        known["evidence"] = tuple(map(str, evidence))
    if record.get("event") in (SUBMITTED, STARTED, ENDED):
        known[record["event"]] = record.get("time")
    return replace(attempt, **known)


def lengths(project: Path, logs: Iterable[str]) -> dict[str, int]:
    """Return how long logs are in bytes, by their names: 0 for those that there are not yet."""
    return {name: _length(project / name) for name in logs}


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def asked(plan: Plan) -> dict[str, Any]:
    """Return the size that a plan asks for, as it is noted in an attempt."""
    return {name: getattr(plan, name) for name in ASKED} | {"workers_per_gpu": _workers(plan)}


def _workers(plan: Plan) -> int | None:
    return (plan.ntasks - 1) // plan.gpus if plan.gpus and plan.ntasks > 1 else None

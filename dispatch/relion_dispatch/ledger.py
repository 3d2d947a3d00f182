"""The ledger of submissions: what was handed to the scheduler, on disk before it happens and after.

A journal of one JSON object a line, only ever appended to, so that a head process that is killed
at any moment leaves every submission behind either with its id, or with the unique name under
which the scheduler may know it. Nothing here talks to a scheduler.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from relion_dispatch import atomic
from relion_dispatch.frozen import dataclass

#: The journal's name inside the folder that a project keeps for this package.
JOURNAL = "ledger.jsonl"
FORMAT = 1


class Phase(enum.StrEnum):
    """How far a submission has come, as far as its head knows."""

    INTENDED = "intended"  # may or may not have reached the scheduler
    SUBMITTED = "submitted"
    REFUSED = "refused"  # never reached the queue
    CANCELLED = "cancelled"  # asked to end; it may take its time
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        """Whether the scheduler may still hold or run the job."""
        return self in {Phase.INTENDED, Phase.SUBMITTED, Phase.CANCELLED}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One submission.

    Attributes
    ----------
    key
        What the job is: the same for every submission of the same work.
    token
        This submission alone.
    name
        The job's name at the scheduler, which holds the token.
    fingerprint
        What the job does, and of which input: another one makes the submission out of date.
    phase, job_id
        How far it has come; its id at the scheduler, empty while unknown.
    exit_file
        Where the job leaves its exit code.
    time
        When it was intended, in seconds since the epoch.
    step
        The step of the workflow that it is of.
    """

    key: str
    token: str
    name: str
    fingerprint: str
    phase: Phase = Phase.INTENDED
    job_id: str = ""
    exit_file: str = ""
    time: float = 0.0
    step: str = ""


def new_token() -> str:
    """Return a word that no other submission has; it begins with a letter, as names must."""
    return f"j{secrets.token_hex(5)}"


def replay(lines: Iterable[str]) -> dict[str, Entry]:
    """Return the latest submission of every job.

    Parameters
    ----------
    lines
        The journal. Lines that cannot be read, such as a last one cut short by a crash, are left
        out: what they told can be found again by the submission's name.
    """
    by_token: dict[str, Entry] = {}
    latest: dict[str, str] = {}
    for line in lines:
        record = _record(line)
        if record is None:
            continue
        token = str(record["token"])
        if "key" in record:
            entry = _entry(record)
            by_token[token], latest[entry.key] = entry, token
        elif token in by_token:
            by_token[token] = _advance(by_token[token], record)
    return {key: by_token[token] for key, token in latest.items()}


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and "token" in record else None


def _entry(record: Mapping[str, Any]) -> Entry:
    known = Entry.__dataclass_fields__
    values = {name: value for name, value in record.items() if name in known}
    return Entry(**{**values, "phase": Phase(values.get("phase", Phase.INTENDED))})


def _advance(entry: Entry, record: Mapping[str, Any]) -> Entry:
    try:
        phase = Phase(record.get("phase", entry.phase))
    except ValueError:  # written by a newer version: as open as can be
        phase = entry.phase
    return replace(entry, phase=phase, job_id=str(record.get("job_id", entry.job_id)))


class Ledger:
    """The journal of one project, held by one head process at a time (see `headlock`).

    Threads may share it.

    Parameters
    ----------
    folder
        The project's own folder for this package; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        lines = _lines(self._path)
        self._entries = replay(lines)
        if len(lines) > 4 * len(self._entries) + 200:
            self._compact()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._cut_short = bool(lines) and not lines[-1].endswith("\n")

    def find(self, key: str) -> Entry | None:
        """Return the latest submission of a job."""
        return self._entries.get(key)

    def open_entries(self) -> list[Entry]:
        """Return the submissions that the scheduler may still hold or run."""
        return [entry for entry in self._entries.values() if entry.phase.open]

    def intend(self, entries: Iterable[Entry]) -> None:
        """Note submissions that are about to happen, on disk before this returns."""
        entries = list(entries)
        self._append([{"format": FORMAT, **asdict(entry)} for entry in entries], sync=True)
        self._entries.update({entry.key: entry for entry in entries})

    def note(self, entry: Entry, phase: Phase, job_id: str = "") -> Entry:
        """Note how far a submission has come, and return it as it is now.

        Not forced to disk, and left out where it cannot be written, as on a full disk: what it
        tells is found again by the submission's name, as after a crash.
        """
        entry = replace(entry, phase=phase, job_id=job_id or entry.job_id)
        record = {"token": entry.token, "phase": entry.phase, "job_id": entry.job_id}
        with contextlib.suppress(OSError):
            self._append([record], sync=False)
        current = self._entries.get(entry.key)
        if current is not None and current.token == entry.token:
            self._entries[entry.key] = entry
        return entry

    def close(self) -> None:
        """Close the journal."""
        os.close(self._file)
        self._file = -1

    def _append(self, records: Iterable[Mapping[str, object]], *, sync: bool) -> None:
        text = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        with self._lock:
            if self._cut_short:
                text = b"\n" + text  # what follows must not continue a line cut short
            self._cut_short = True
            written = os.write(self._file, text)
            while written < len(text):
                written += os.write(self._file, text[written:])
            self._cut_short = False
            if sync:
                os.fsync(self._file)

    def _compact(self) -> None:
        records = [{"format": FORMAT, **asdict(entry)} for entry in self._entries.values()]
        atomic.write_text(self._path, "".join(f"{json.dumps(record)}\n" for record in records))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []

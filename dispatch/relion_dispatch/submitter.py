"""Hands scripts to the scheduler, in threads, and notes each before and after it happens.

In threads, so that a slow scheduler holds nothing up, and so that Ctrl-C, which reaches the main
thread alone, never cuts a submission short.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.client import BusyError, Client
from relion_dispatch.errors import DispatchError, SchedulerError
from relion_dispatch.ledger import Entry, Ledger, Phase
from relion_dispatch.reports import Report

_THREADS = 4
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A script on its way to the scheduler.

    Attributes
    ----------
    entry
        Its place in the ledger.
    command
        The submit command; empty for the scheduler's own.
    script
        The script.
    taken
        Told the entry with its id, once the scheduler has it.
    refused
        Told why not, when the scheduler will not have it.
    """

    entry: Entry
    command: Sequence[str]
    script: Path
    taken: Callable[[Entry], None]
    refused: Callable[[str], None]


class Submitter:
    """Submits what it is given.

    Parameters
    ----------
    client
        The scheduler.
    ledger
        Where submissions are noted.
    per_s
        Most submissions in a second; 0: as fast as it goes.
    say
        Told, in sentences, what a user should know.
    """

    def __init__(
        self, client: Client, ledger: Ledger, per_s: float, say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._say = say
        self._gate = _Gate(per_s)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="submit")
        self._stopping = threading.Event()
        self._mutex = threading.Lock()
        self._intended: dict[str, Entry] = {}
        self._begun: dict[str, Entry] = {}

    def intend(self, entries: Sequence[Entry]) -> None:
        """Note submissions to come, on disk; their exit files must not exist any more."""
        self._ledger.intend(entries)
        with self._mutex:
            self._intended.update({entry.token: entry for entry in entries})

    def withdraw(self, entry: Entry) -> None:
        """Note that an intended submission will not happen."""
        self._ledger.note(entry, Phase.REFUSED)
        with self._mutex:
            self._intended.pop(entry.token, None)

    def submit(self, submission: Submission) -> None:
        """Hand a script to the scheduler soon."""
        self._pool.submit(self._submit, submission)

    def stop(self) -> list[Entry]:
        """Submit nothing more.

        Returns
        -------
        list of Entry
            Submissions that have begun and got no answer: they may have reached the scheduler.
        """
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._mutex:
            never, self._intended = list(self._intended.values()), {}
            hanging = list(self._begun.values())
        for entry in never:
            self._ledger.note(entry, Phase.REFUSED)
        return hanging

    def _submit(self, submission: Submission) -> None:
        if not self._gate.passed(self._stopping):
            return
        entry = submission.entry
        with self._mutex:
            self._begun[entry.token] = self._intended.pop(entry.token, entry)
        try:
            job_id = self._until_taken(submission)
            if job_id is None:
                return
            entry = self._ledger.note(entry, Phase.SUBMITTED, job_id)
            submission.taken(entry)
        except (DispatchError, OSError) as error:
            self._ledger.note(entry, Phase.REFUSED)
            submission.refused(str(error))
        except Exception as error:  # noqa: BLE001 - in a thread nobody else would hear of it
            submission.refused(f"{type(error).__name__}: {error}")
        with self._mutex:
            self._begun.pop(entry.token, None)

    def _until_taken(self, submission: Submission) -> str | None:
        """Return the id; None when everything stops before the scheduler has said anything."""
        name = submission.entry.name
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                return self._client.submit(submission.command, submission.script, name)
            except BusyError as error:
                self._say(f"submitting {name} again in {wait_s:g} s: {error}")
            # It may have been taken all the same: no second try before that is known.
            found = self._find(name, wait_s)
            if found is None:
                return None
            if found:
                return found[name].job_id
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)

    def _find(self, name: str, wait_s: float) -> dict[str, Report] | None:
        """Wait, and look for a job until the scheduler answers; None when everything stops."""
        while not self._stopping.wait(wait_s):
            with contextlib.suppress(SchedulerError):
                return self._client.find([name])
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)
        return None


class _Gate:
    """Lets submissions through one after the other, no faster than allowed."""

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s if per_s > 0 else 0.0
        self._next = 0.0
        self._mutex = threading.Lock()

    def passed(self, stopping: threading.Event) -> bool:
        """Wait for one's turn; False when there is none any more."""
        with self._mutex:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
        return not stopping.wait(turn - now)

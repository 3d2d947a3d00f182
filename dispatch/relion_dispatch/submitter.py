"""Hands scripts to the scheduler, in threads, and notes each before and after it happens.

In threads, so that a slow scheduler holds nothing up, and so that Ctrl-C, which reaches the main
thread alone, never cuts a submission short.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relion_dispatch.client import BusyError, Client
from relion_dispatch.errors import DispatchError, SchedulerError
from relion_dispatch.frozen import dataclass
from relion_dispatch.ledger import Entry, Ledger, Phase
from relion_dispatch.reports import Report
from relion_dispatch.throttle import Gate, Room

_THREADS = 4
_FIRST_RETRY_S = 1.0
_LOOK_S = 0.2
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


@dataclass(frozen=True, kw_only=True)
class Together:
    """Submissions that are handed over in one call, as a job array.

    Attributes
    ----------
    name
        The array's name; the entries have those of its tasks.
    command, script
        The submit command, and the array's script.
    members
        The submissions by their tasks' numbers.
    """

    name: str
    command: Sequence[str]
    script: Path
    members: Mapping[int, Submission]


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
    queued
        Most jobs in the scheduler's hands at once; 0: any number.
    say
        Told, in sentences, what a user should know.
    """

    def __init__(
        self,
        client: Client,
        ledger: Ledger,
        say: Callable[[str], None],
        *,
        per_s: float = 0.0,
        queued: int = 0,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._say = say
        self._gate = Gate(per_s)
        self.room = Room(queued)
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
        with contextlib.suppress(RuntimeError):  # everything stops
            self._pool.submit(self._submit, submission)

    def submit_together(self, together: Together) -> None:
        """Hand an array of scripts to the scheduler soon."""
        with contextlib.suppress(RuntimeError):  # everything stops
            self._pool.submit(self._submit_together, together)

    def on_their_way(self) -> list[Entry]:
        """Return the submissions that the scheduler has not taken yet."""
        with self._mutex:
            return [*self._intended.values(), *self._begun.values()]

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
        entry = submission.entry
        if not self._may_begin([entry]):
            return
        try:
            job_id = self._until_taken(submission)
            if job_id is None:
                return
            self._note_taken(submission, job_id)
        except (DispatchError, OSError) as error:
            self._ledger.note(entry, Phase.REFUSED)
            self.room.leave()
            submission.refused(str(error))
        except Exception as error:  # noqa: BLE001 - in a thread nobody else would hear of it
            submission.refused(f"{type(error).__name__}: {error}")
        with self._mutex:
            self._begun.pop(entry.token, None)

    def _submit_together(self, together: Together) -> None:
        """Submit an array, or its jobs one by one where the scheduler will not have it."""
        members = together.members
        if not self._may_begin([each.entry for each in members.values()]):
            return
        try:
            ids = self._taken_together(together)
        except (DispatchError, OSError) as error:
            self._say(f"submitting {len(members)} jobs one by one: {error}")
            self.room.leave(len(members))
            for submission in members.values():
                self._submit(submission)
            return
        if ids is None:
            return
        for number, submission in members.items():
            try:
                self._note_taken(submission, ids[number])
            except Exception as error:  # noqa: BLE001 - in a thread nobody else would hear of it
                submission.refused(f"{type(error).__name__}: {error}")
        with self._mutex:
            for submission in members.values():
                self._begun.pop(submission.entry.token, None)

    def _may_begin(self, entries: Sequence[Entry]) -> bool:
        """Wait for a turn and for room, and note that submissions have begun; False for never."""
        if not self.room.entered(len(entries), self._stopping):
            return False
        if not self._gate.passed(self._stopping):
            return False
        with self._mutex:
            for entry in entries:
                self._begun[entry.token] = self._intended.pop(entry.token, entry)
        return True

    def _note_taken(self, submission: Submission, job_id: str) -> None:
        entry = self._ledger.note(submission.entry, Phase.SUBMITTED, job_id)
        submission.taken(entry)

    def _taken_together(self, together: Together) -> dict[int, str] | None:
        """Return the tasks' ids; None when everything stops before anything is known.

        Raises
        ------
        SchedulerError
            When the array has not been taken, for certain.
        """
        began = time.monotonic()
        try:
            job_id = self._client.submit(together.command, together.script, together.name)
        except SchedulerError as error:
            names = [member.entry.name for member in together.members.values()]
            found = self._find(names, max(_LOOK_S, time.monotonic() - began))
            if found is None:
                return None
            if not found:
                raise
            self._say(f"{together.name} has been taken all the same: {error}")
            job_id = next(iter(found.values())).job_id.partition("_")[0]
        return {number: f"{job_id}_{number}" for number in together.members}

    def _until_taken(self, submission: Submission) -> str | None:
        """Return the id; None when everything stops before the scheduler has said anything.

        Raises
        ------
        SchedulerError
            When the scheduler will not have the job, and does not know it either.
        """
        name = submission.entry.name
        wait_s = _FIRST_RETRY_S
        while True:
            began = time.monotonic()
            try:
                return self._client.submit(submission.command, submission.script, name)
            except SchedulerError as error:
                # It may have been taken all the same: no second try before that is known. The
                # scheduler may be as far behind as its answer was late.
                busy = isinstance(error, BusyError)
                look_s = max(wait_s if busy else _LOOK_S, time.monotonic() - began)
                if busy:
                    self._say(f"submitting {name} again in {look_s:.0f} s: {error}")
                found = self._find([name], look_s)
                if found == {} and not busy:
                    raise
            if found is None:
                return None
            if found:
                return found[name].job_id
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)

    def _find(self, names: Iterable[str], wait_s: float) -> dict[str, Report] | None:
        """Wait, and look for jobs until the scheduler answers; None when everything stops."""
        while not self._stopping.wait(wait_s):
            with contextlib.suppress(SchedulerError):
                return self._client.find(names)
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)
        return None

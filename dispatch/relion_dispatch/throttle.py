"""How hard the scheduler may be pressed: jobs in a second, and jobs at once."""

from __future__ import annotations

import threading
import time


class Gate:
    """Lets submissions through one after the other, no faster than allowed.

    Parameters
    ----------
    per_s
        Most in a second; 0: as fast as they come.
    """

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


class Room:
    """Counts the jobs in the scheduler's hands, and keeps them below a limit.

    Parameters
    ----------
    limit
        Most jobs; 0: any number.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._jobs = 0
        self._changed = threading.Condition()

    def entered(self, count: int, stopping: threading.Event) -> bool:
        """Wait until there is room for so many jobs more; False when there is none any more.

        More than the limit at once get in when there is nobody else.
        """
        with self._changed:
            while self.limit and self._jobs and self._jobs + count > self.limit:
                if stopping.is_set():
                    return False
                self._changed.wait(0.2)
            self._jobs += count
        return True

    def enter_anyway(self) -> None:
        """Count a job that is in the scheduler's hands already."""
        with self._changed:
            self._jobs += 1

    def leave(self, count: int = 1) -> None:
        """Note that jobs are not in the scheduler's hands any more."""
        with self._changed:
            self._jobs -= count
            self._changed.notify_all()

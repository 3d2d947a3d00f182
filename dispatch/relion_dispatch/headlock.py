"""One head process a project: a lock that dies with its holder and with what it has started.

The lock file is locked with ``flock``. Processes that the head starts to submit jobs inherit the
open file, so that after a ``kill -9`` the next head gets the lock only when no submission is on
its way any more. Where the file system cannot lock, and between machines on those that lock for
each machine alone, the file's content and its age decide: its holder touches it all the time, also
while it waits for a scheduler.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relion_dispatch.errors import DispatchError

#: Name of the lock file in a head's folder.
NAME = "lock"
#: Age in seconds of a lock file's last sign of life after which another machine's head is dead.
STALE_S = 120.0
#: Seconds between two signs of life.
BEAT_S = 10.0
#: Seconds to wait for the last submissions of a head that is dead already.
DRAIN_S = 90.0

_UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class HeadLock:
    """The lock of one project; see the module.

    Parameters
    ----------
    path
        The lock file; its folder must exist.
    say
        Told, in a sentence, what is waited for.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._acquire()
        except BaseException:
            os.close(self._fd)
            raise
        self._write({"host": socket.gethostname(), "pid": os.getpid(), "started": time.time()})
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="head lock", daemon=True)
        self._heart.start()

    @property
    def fd(self) -> int:
        """The open lock file, for processes that must keep it locked."""
        return self._fd

    def release(self) -> None:
        """Give the lock up; twice is no harm."""
        if self._fd >= 0:
            self._over.set()
            self._heart.join()
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def _beat(self) -> None:
        """Show that the holder lives."""
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self._fd)

    def _acquire(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        said = False
        while not self._locked():
            holder = _read(self._fd)
            if _alive_here(holder) or time.monotonic() > deadline:
                raise DispatchError(_taken(self._path, holder))
            if not said:
                dead = holder.get("host") == socket.gethostname()
                last = "the last submissions of a head process that died"
                self._say(f"waiting for {last if dead else _owner(holder)}")
            said = True
            time.sleep(0.1)
        self._outwait_another_machine()

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return not _alive_here(_read(self._fd))
        return True

    def _outwait_another_machine(self) -> None:
        """Make sure that the holder named in the file is gone, if only its machine could tell."""
        holder = _read(self._fd)
        if not holder or holder.get("host") == socket.gethostname():
            return
        first_beat = os.fstat(self._fd).st_mtime
        said = False
        while time.time() - first_beat < STALE_S:
            if not said:
                self._say(
                    f"waiting {STALE_S:g} s for a sign of life of the head on {holder['host']}"
                )
            said = True
            time.sleep(1.0)
            if not _read(self._fd):
                return
            if os.fstat(self._fd).st_mtime != first_beat:
                raise DispatchError(_taken(self._path, holder))

    def _write(self, record: dict[str, object]) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(record).encode(), 0)
        os.fsync(self._fd)  # for other machines


def _read(fd: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def check_free(path: Path) -> None:
    """Make sure that no head has a project, before somebody else runs its jobs.

    Parameters
    ----------
    path
        The lock file; there may be none.

    Raises
    ------
    DispatchError
        When a head other than this process holds the lock.
    """
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
        holder = _read(handle.fileno())
        if holder.get("pid") == os.getpid():
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DispatchError(_taken(path, holder)) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise


def _alive_here(holder: dict[str, Any]) -> bool:
    """Whether the holder is a process of this machine that still lives."""
    if not holder or holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(holder["pid"]) != os.getpid()


def _taken(path: Path, holder: dict[str, Any]) -> str:
    return (
        f"{_owner(holder)} already runs this project's jobs: wait for it or end it first"
        f" (if it is certain that there is none, remove {path})"
    )


def _owner(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} on {holder['host']}" if holder else "another process"

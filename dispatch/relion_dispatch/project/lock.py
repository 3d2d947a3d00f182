"""RELION's own lock on a project, held while its job list is read and written.

RELION makes the folder ``.relion_lock`` and a file in it that says what for, and removes both
(``PipeLine::read`` and ``write`` in ``src/pipeliner.cpp``). It waits two minutes for somebody
else's lock (RELION 5 one), then gives up and asks the user to remove it; so does this module. A
lock that a process of this package left behind, killed in those few milliseconds, is removed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.procfs import started

LOCK = ".relion_lock"
FILE = "lock_default_pipeline.star"
PATIENCE_S = 120.0
_OWN = "relion-dispatch"
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


class LockedError(InputError):
    """Somebody else holds the lock and does not let go."""


@contextlib.contextmanager
def locked(project: Path, purpose: str, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold RELION's lock on a project.

    Parameters
    ----------
    project
        RELION's project directory.
    purpose
        What for; RELION's users see it when they look into the lock.
    patience_s
        How long to wait for somebody else's lock.

    Raises
    ------
    LockedError
        When the lock stays.
    OSError
        When the project cannot be written.
    """
    folder = project / LOCK
    _acquire(folder, patience_s)
    try:
        (folder / FILE).write_text(f"{_OWN}: {purpose}\n{_OWN} {_whoami()}\n", encoding="utf-8")
        yield
    finally:
        (folder / FILE).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _acquire(folder: Path, patience_s: float) -> None:
    deadline, wait_s = time.monotonic() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            _remove_if_left_behind(folder)
        else:
            return
        # One that is older than any patience is not going to go away meanwhile.
        if time.monotonic() > deadline or _age_s(folder) > max(PATIENCE_S, patience_s):
            raise LockedError(
                f"{folder} is there: another program works on RELION's job list. If none does,"
                f" remove {folder / FILE} and then the folder"
            )
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _age_s(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove_if_left_behind(folder: Path) -> None:
    """Remove a lock of this package whose process is gone, on this machine."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    last = text.splitlines()[-1:]
    words = last[0].split() if last else []
    if len(words) != 4 or words[:2] != [_OWN, os.uname().nodename] or _alive(*words[2:]):
        return
    # Renamed first: of several processes that find it, one removes it. Should another have done
    # so meanwhile, and a third locked anew, the lock goes back.
    gone = folder.with_name(f"{folder.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        if (gone / FILE).read_text(encoding="utf-8", errors="replace") == text:
            (gone / FILE).unlink()
            gone.rmdir()
        else:
            gone.rename(folder)


def _whoami() -> str:
    return f"{os.uname().nodename} {os.getpid()} {started(os.getpid())}"


def _alive(pid: str, since: str) -> bool:
    return not pid.isdigit() or started(int(pid)) == since

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_dispatch import headlock
from relion_dispatch.errors import DispatchError
from relion_dispatch.headlock import HeadLock


def silent(_: str) -> None:
    pass


def test_a_second_head_is_told_who_has_the_project(tmp_path: Path) -> None:
    holder = (
        "import sys, pathlib\n"
        "from relion_dispatch.headlock import HeadLock\n"
        "lock = HeadLock(pathlib.Path(sys.argv[1]), print)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(DispatchError, match=f"process {process.pid} on "):
            HeadLock(tmp_path / "lock", silent)
        with pytest.raises(DispatchError, match=f"process {process.pid} on "):
            headlock.check_free(tmp_path / "lock")
        process.kill()
        process.communicate()
    HeadLock(tmp_path / "lock", silent).release()


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    headlock.check_free(tmp_path / "lock")
    lock = HeadLock(tmp_path / "lock", silent)
    headlock.check_free(tmp_path / "lock")  # it is ours
    lock.release()
    lock.release()
    headlock.check_free(tmp_path / "lock")
    HeadLock(tmp_path / "lock", silent).release()


def test_submissions_of_a_dead_head_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    record = {"host": socket.gethostname(), "pid": 2**22 + 1}  # more than any process id
    path.write_text(json.dumps(record))
    with open(path, "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with subprocess.Popen(["sleep", "0.3"], pass_fds=[handle.fileno()]):
            handle.close()
            said: list[str] = []
            start = time.monotonic()
            HeadLock(path, said.append).release()
            assert time.monotonic() - start > 0.2
    assert said == ["waiting for the last submissions of a head process that died"]


def test_a_head_on_another_machine_that_lives_keeps_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7}))
    monkeypatch.setattr(time, "sleep", lambda _: os.utime(path))
    with pytest.raises(DispatchError, match="process 7 on elsewhere already runs"):
        HeadLock(path, silent)


def test_the_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headlock, "BEAT_S", 0.01)
    lock = HeadLock(tmp_path / "lock", silent)
    os.utime(tmp_path / "lock", (0, 0))
    deadline = time.monotonic() + 10
    while os.stat(tmp_path / "lock").st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lock.release()


def test_a_head_on_another_machine_without_a_sign_of_life_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7}))
    old = time.time() - headlock.STALE_S - 1
    os.utime(path, (old, old))
    HeadLock(path, silent).release()
    assert path.read_text() == ""


def test_without_locks_the_file_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid()}))
    with pytest.raises(DispatchError, match=f"process {os.getppid()} on "):
        HeadLock(path, silent)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    HeadLock(path, silent).release()

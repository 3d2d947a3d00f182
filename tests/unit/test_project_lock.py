from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_dispatch.project import lock
from relion_dispatch.project.lock import LockedError, locked

LOCK_FILE = Path(".relion_lock/lock_default_pipeline.star")


def test_the_lock_is_relions(tmp_path: Path) -> None:
    with locked(tmp_path, "a test"):
        assert (tmp_path / LOCK_FILE).read_text().startswith("relion-dispatch: a test\n")
        assert (tmp_path / ".relion_lock").stat().st_mode & 0o777 == 0o700
        with pytest.raises(LockedError, match="remove"), locked(tmp_path, "b", patience_s=0.05):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "a test"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_lock_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).parent.mkdir()
    (tmp_path / LOCK_FILE).write_text("mainGUI constructor\n")
    script = f"sleep 0.2; rm -r {tmp_path}/.relion_lock"
    with subprocess.Popen(["sh", "-c", script]), locked(tmp_path, "a test"):
        assert "a test" in (tmp_path / LOCK_FILE).read_text()


def test_an_old_lock_of_somebody_else_is_not_waited_for_and_stays(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).parent.mkdir()
    (tmp_path / LOCK_FILE).write_text("mainGUI constructor\n")
    old = time.time() - 2 * lock.PATIENCE_S
    os.utime(tmp_path / ".relion_lock", (old, old))

    with pytest.raises(LockedError, match="another program"), locked(tmp_path, "a test"):
        pass
    assert (tmp_path / LOCK_FILE).exists()


def test_a_lock_of_our_own_that_was_left_behind_is_removed(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from relion_dispatch.project.lock import locked\n"
        f"with locked(Path({str(tmp_path)!r}), 'x'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / LOCK_FILE).exists()

    with locked(tmp_path, "a test"):
        assert "a test" in (tmp_path / LOCK_FILE).read_text()
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_dispatch import atomic


def test_the_umask_which_all_threads_share_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    with monkeypatch.context() as patched:
        patched.delattr(os, "umask")
        atomic.write_text(tmp_path / "new folder/script", "true\n", mode=0o755)

    assert (tmp_path / "new folder/script").stat().st_mode & 0o777 == 0o755 & ~mask


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic.write_text(tmp_path / "folder", "text")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

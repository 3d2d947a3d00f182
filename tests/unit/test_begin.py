"""The first command of a job: what stays in its directory, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import processes
from relion_dispatch.pipeline import begin
from relion_dispatch.pipeline.jobs import python_command

if TYPE_CHECKING:
    import pytest

KEPT = {
    "run.out",
    "run.err",
    "run_submit.script",
    "run_submit.script.run",
    "run.jobid",
    "job.star",
    "job_pipeline.star",
    "note.txt",
    "attempts.jsonl",
}
LEFT = {"run_it025_data.star", "RELION_JOB_EXIT_FAILURE", "verdict.json", ".hidden", "run.exit"}


def test_a_job_starts_clean_but_keeps_its_logs(tmp_path: Path) -> None:
    out = tmp_path / "my project/Class3D/job032"
    (out / "Movies/deep").mkdir(parents=True)
    for name in (*KEPT, *LEFT, "Movies/a.mrc", "Movies/deep/b.star"):
        (out / name).touch()
    (out / "link").symlink_to(tmp_path)
    done = processes.run(["bash", "-c", python_command("begin", f"{out}/")], timeout_s=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == KEPT
    assert tmp_path.is_dir()


def test_a_directory_is_made(tmp_path: Path) -> None:
    assert begin.main([str(tmp_path / "Class3D/job032/")]) == 0
    assert (tmp_path / "Class3D/job032").is_dir()


def test_what_cannot_be_emptied_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert begin.main([str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err

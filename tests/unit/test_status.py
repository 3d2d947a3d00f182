"""A project's jobs from markers and from the scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch import cli, status
from relion_dispatch.profiles import load_profile

SQUEUE = """#!/bin/sh
echo '11|RUNNING|None|m3h000||a'
echo '12|PENDING|Resources|||a'
echo '13|OUT_OF_MEMORY|OutOfMemory|m3h001||a'
echo '14|COMPLETED|None|m3h001||a'
"""
SACCT = """#!/bin/sh
case "$*" in *15*) echo '15|NODE_FAIL|None|m3h002|0:0|a' ;; esac
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path


def job(project: Path, name: str, *, job_id: int | None = None, marker: str = "") -> Path:
    path = project / name
    path.mkdir(parents=True)
    (path / "run.out").touch()
    if job_id is not None:
        (path / "run.jobid").write_text(f"Submitted batch job {job_id}\n")
    if marker:
        (path / f"RELION_JOB_EXIT_{marker}").touch()
    return path


def states(project: Path, profile: str = "m3") -> dict[str, str]:
    found = status.jobs(project, load_profile(profile).cluster)
    return {str(each.path.relative_to(project)): each.state for each in found}


def test_markers_come_first_then_the_scheduler(project: Path) -> None:
    job(project, "Class2D/job001", job_id=11, marker="SUCCESS")
    job(project, "Class2D/job002", job_id=11, marker="ABORTED")
    job(project, "Class2D/job003", marker="FAILURE")
    job(project, "Class3D/job004", job_id=11)
    job(project, "Class3D/job005", job_id=12)
    job(project, "Import/job006")
    (project / "Import/job007").mkdir()

    assert states(project) == {
        "Class2D/job001": "succeeded",
        "Class2D/job002": "aborted",
        "Class2D/job003": "failed",
        "Class3D/job004": "running",
        "Class3D/job005": "pending",
        "Import/job006": "not ended",
    }


@pytest.mark.parametrize(
    "job_id, reason",
    [(13, "OUT_OF_MEMORY"), (15, "NODE_FAIL"), (16, "unknown to the scheduler")],
)
def test_a_job_that_died_without_a_word_is_marked(project: Path, job_id: int, reason: str) -> None:
    path = job(project, "Refine3D/job008", job_id=job_id)
    (project / "default_pipeline.star").touch()

    assert states(project) == {"Refine3D/job008": "failed"}
    assert (path / "RELION_JOB_EXIT_FAILURE").exists()
    assert (project / ".pipeline_has_changed").exists()
    assert reason in (path / "run.err").read_text()


def test_a_job_that_ended_well_is_not_marked_as_failed(project: Path) -> None:
    path = job(project, "Refine3D/job008", job_id=14)

    assert states(project) == {"Refine3D/job008": "succeeded"}
    assert not (path / "run.err").exists()


def test_without_a_scheduler_nobody_is_asked(project: Path) -> None:
    job(project, "Import/job001")

    assert states(project, "local") == {"Import/job001": "not ended"}


def test_the_command_prints_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--profile", "m3", str(project)]) == 0
    assert "has no jobs yet" in capsys.readouterr().out
    job(project, "Class3D/job005", job_id=12)
    job(project, "Import/job001", marker="SUCCESS")

    assert cli.main(["status", "--profile", "m3", str(project)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Class3D/job005  pending    12  Resources",
        "Import/job001   succeeded",
    ]

"""The first command of a job: what stays in its directory, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_dispatch import processes
from relion_dispatch.healing import attempts
from relion_dispatch.pipeline import begin
from relion_dispatch.starscan import scan
from relion_dispatch.this_python import python_command
from tests.unit.iterations_files import iteration, mrc

ROOT = "Refine3D/job019/run"
KEPT = {
    "run.out",
    "run.err",
    "run_submit.script",
    "run_submit.script.run",
    "run.jobid",
    "run.heal",
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
    done = processes.run(
        ["bash", "-c", python_command("pipeline.begin", f"{out}/", "--clean")], timeout_s=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == KEPT
    assert not (out / "run.science").exists()
    assert tmp_path.is_dir()


def test_a_directory_is_made(tmp_path: Path) -> None:
    assert begin.main([str(tmp_path / "Class3D/job032/"), "--clean"]) == 0
    assert (tmp_path / "Class3D/job032").is_dir()


def test_what_cannot_be_emptied_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert begin.main([str(tmp_path / "file"), "--clean"]) == 1
    assert "file" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- going on


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's directory, seen from its project."""
    monkeypatch.chdir(tmp_path)
    path = Path("Refine3D/job019")
    path.mkdir(parents=True)
    Path("a.star").write_text("1")
    return path


def started(folder: Path, *words: str, science: str = "abc", root: str = ROOT) -> bool:
    """Begin a refinement; return whether it goes on."""
    given = ["--root", root] if root else ["--unfinished"]
    argv = [f"{folder}/", *given, "--science", science, "--input", "a.star", *words]
    assert begin.main(argv) == 0
    return (folder / "continue.star").exists()


def test_a_stopped_refinement_goes_on_behind_its_newest_iteration(folder: Path) -> None:
    assert not started(folder, "--clean")
    for number in (0, 1, 2):
        iteration(ROOT, number)
    assert started(folder, "--clean")
    assert scan(folder / "continue.star")[0].pairs["rlnCurrentIteration"] == "2"
    first, second = attempts.read(folder)
    assert (first.continued, second.continued) == (None, 2)
    assert first.science == second.science != ""


def test_what_was_written_before_a_job_was_requeued_is_not_of_this_attempt(folder: Path) -> None:
    log = folder / "run.err"
    attempts.note(folder, 1, attempts.SUBMITTED, logs={str(log): 0})
    started(folder, "--clean")
    log.write_text("CANCELLED AT … DUE TO NODE FAILURE\n")
    started(folder, "--clean")
    first, second = attempts.read(folder)
    assert (first.logs, second.logs) == ({str(log): 0}, {str(log): log.stat().st_size})


@pytest.mark.parametrize("requeued", [True, False])
def test_a_requeued_job_keeps_its_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch, requeued: bool
) -> None:
    attempts.note(folder, 1, attempts.SUBMITTED)
    attempts.note(folder, 1, attempts.TAKEN, job_id="71")
    started(folder)
    if requeued:
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    started(folder)
    assert [each.job_id for each in attempts.read(folder)] == ["71", "71" if requeued else ""]


def test_a_start_before_the_first_iteration_is_a_start(folder: Path) -> None:
    started(folder, "--clean")
    assert not started(folder, "--clean")
    assert [each.number for each in attempts.read(folder)] == [1, 2]


@pytest.mark.parametrize("change", ["parameters", "input", "success"])
def test_other_science_and_success_mean_a_clean_start(folder: Path, change: str) -> None:
    started(folder, "--clean")
    iteration(ROOT, 1)
    if change == "input":
        Path("a.star").write_text("12")
    if change == "success":  # as the job's script does
        (folder / "run.science").unlink()
    assert not started(folder, "--clean", science="x" if change == "parameters" else "abc")
    assert not (folder / "run_it001_optimiser.star").exists()
    assert [each.number for each in attempts.read(folder)] == [1]


def test_a_job_of_the_window_loses_nothing_and_takes_nothing_old_for_its_own(folder: Path) -> None:
    for path in iteration(ROOT, 9):
        os.utime(path, (1000, 1000))
    assert not started(folder)
    assert (folder / "run_it009_optimiser.star").exists()
    assert not started(folder)
    iteration(ROOT, 1)
    assert started(folder)
    assert attempts.read(folder)[-1].continued == 1


def test_finished_micrographs_are_kept_and_broken_ones_are_not(folder: Path) -> None:
    started(folder, "--clean", root="")
    (folder / "Movies").mkdir()
    for name in ("a", "b", "c", "c_2"):
        mrc(folder / f"Movies/{name}.mrc", cut=5 if name == "b" else 0)
        (folder / f"Movies/{name}.star").write_text("data_x\n\n_rlnX 1\n \n")
    (folder / "Movies/b.log").touch()
    (folder / "Movies/c_2.star").write_text("data_x\n\n_rl")
    (folder / "corrected_micrographs.star").write_text("data_")
    assert started(folder, "--clean", root="")
    left = sorted(path.name for path in (folder / "Movies").iterdir())
    assert left == ["a.mrc", "a.star", "c.mrc", "c.star"]
    assert attempts.read(folder)[-1].continued == 4


def test_what_was_submitted_is_what_starts(folder: Path) -> None:
    attempts.note(folder, 3, attempts.SUBMITTED, job_id="7", asked={"mem_mb": 100})
    started(folder, "--clean")
    (only,) = attempts.read(folder)
    assert (only.number, only.job_id, only.asked) == (3, "7", {"mem_mb": 100})
    assert only.started is not None
    started(folder, "--clean")  # the scheduler, or a person, has run the script again
    assert attempts.read(folder)[-1].asked == {"mem_mb": 100}
    assert attempts.read(folder)[-1].number == 4

"""RELION's real window: 'Run!' submits through the hook, and the window shows how jobs ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relion_dispatch.project import forms, planning
from relion_dispatch.project.flavours import RELION_3_1
from relion_dispatch.project.forms.words import Step
from relion_dispatch.project.records import Record
from tests.cluster.project import PROFILE, lines, wait_until
from tests.cluster.slurm_cluster import Cluster
from tests.cluster.window import Window, opened, save_settings, write_particles

pytestmark = [pytest.mark.slurm, pytest.mark.relion, pytest.mark.gui]

IMPORT = {
    "do_raw": "No",
    "do_other": "Yes",
    "fn_in_other": "particles.star",
    "node_type": "Particles STAR file (.star)",
}
# The science, and the fields that a user may decide: queue, MPI procs, time limit, GPUs.
CLASS2D = {
    "fn_img": "Import/job001/particles.star",
    "do_ctf_correction": "No",
    "nr_classes": 1,
    "psi_sampling": 24,
    "offset_range": 2,
    "offset_step": 2,
    "particle_diameter": 100,
    "queuename": "m3h",
    "nr_mpi": 2,
    "qsub_extra1": "2h",
    "qsub_extra2": "1",
}


@pytest.fixture
def folder(slurm: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A project directory with particles; whatever it leaves in the queue is cancelled."""
    version = subprocess.run(["relion", "--version"], capture_output=True, text=True, check=False)
    if "3.1" not in version.stdout + version.stderr:
        pytest.skip("the places of buttons are those of RELION 3.1's window")
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / ".gui_projectdir").touch()
    write_particles(folder)
    save_settings(folder, "Import", IMPORT)
    yield folder
    subprocess.run(["scancel", "--user=root"], check=False)


def import_and_classify(window: Window) -> str:
    """Run an Import job, which RELION's window never sends to a queue, and start the next one."""
    marker = window.project / window.run("Import", 1) / "RELION_JOB_EXIT_SUCCESS"
    wait_until(marker.exists)
    return window.run("Class2D", 2)


def job_id(window: Window, job: str) -> str:
    """Wait for a job's submission and return its number at Slurm."""
    path = window.project / job / "run.jobid"
    wait_until(path.exists)
    wait_until(lambda: bool(path.read_text()))
    return path.read_text().split()[-1]


def test_a_job_is_submitted_sized_and_shown_as_finished(folder: Path, tmp_path: Path) -> None:
    save_settings(folder, "Class2D", {**CLASS2D, "nr_iter": 1})
    with opened(folder, PROFILE) as window:
        job = import_and_classify(window)
        number = job_id(window, job)
        queued = lines(["squeue", "-t", "all", "-h", "-j", number, "-o", "%j|%P|%D|%C|%l|%b|%m"])
        window.wait_for(job, "Succeeded")
        assert window.status("Import/job001/") == "Succeeded"
        window.screenshot(tmp_path / "finished.png")

    size, _, memory = queued[0].rpartition("|")
    assert size == "Class2D-job002|m3h|1|8|2:00:00|gres:gpu:1"
    planned = f"2 ranks of 4 threads, 1 GPU a node, {memory.removesuffix('M')} MB a node"
    assert planned in (folder / job / "run.out").read_text()
    wait_until(lambda: ended(number) == ["COMPLETED|0:0"])
    assert (folder / job / "run_it001_classes.mrcs").exists()
    assert (tmp_path / "finished.png").stat().st_size > 5000


def test_a_job_killed_by_the_scheduler_is_shown_as_failed(folder: Path, tmp_path: Path) -> None:
    save_settings(folder, "Class2D", {**CLASS2D, "nr_iter": 50})
    with opened(folder, PROFILE) as window:
        job = import_and_classify(window)
        number = job_id(window, job)
        out = folder / job / "run.out"
        wait_until(lambda: out.exists() and "Expectation iteration" in out.read_text())
        assert window.status(job) == "Running"
        subprocess.run(["scancel", number], check=True)
        window.wait_for(job, "Failed")
        window.screenshot(tmp_path / "failed.png")

    reasons = (folder / job / "run.err").read_text().splitlines()
    assert "relion-dispatch: exit code 143 (cancelled, or out of time)" in reasons
    assert not (folder / job / "RELION_JOB_EXIT_SUCCESS").exists()
    assert (tmp_path / "failed.png").stat().st_size > 5000


def test_a_job_that_is_not_submitted_is_shown_as_failed(folder: Path) -> None:
    save_settings(folder, "Class2D", {**CLASS2D, "qsub_extra5": "no-such-profile"})
    with opened(folder, PROFILE) as window:
        job = import_and_classify(window)
        window.wait_for(job, "Failed")

    assert "no profile 'no-such-profile'" in (folder / job / "run.err").read_text()
    assert not (folder / job / "run.jobid").exists()


def test_a_copy_of_a_job_of_the_pipeline_is_submitted(folder: Path, tmp_path: Path) -> None:
    """The pipeline's job is clicked on, then its type on the left, then 'Run!'."""
    enter_finished_classes(folder)
    with opened(folder, PROFILE) as window:
        window.select_finished(0)
        copy = window.run("Class2D", 101)
        number = job_id(window, copy)
        queued = lines(["squeue", "-t", "all", "-h", "-j", number, "-o", "%j"])
        window.wait_for(copy, "Succeeded")
        window.screenshot(tmp_path / "copied.png")

    assert queued == ["Class2D-job101"]
    assert window.status("Class2D/job006/") == "Succeeded"
    assert (folder / copy / "run_it002_model.star").exists()
    note = (folder / copy / "note.txt").read_text()
    assert "--particle_diameter 100" in note
    assert "--random_seed 7" in note


def enter_finished_classes(folder: Path) -> None:
    """Enter a 2D classification of the pipeline as finished into the project's job list."""
    out = "Class2D/job006/"
    command = (
        f"`which relion_refine` --o {out}run --iter 2 --i particles.star --pad 2 --tau2_fudge 2"
        " --particle_diameter 100 --K 1 --flatten_solvent --zero_mask --oversampling 1"
        " --psi_step 48 --offset_range 2 --offset_step 4 --norm --scale --random_seed 7"
        f" --pipeline_control {out}"
    )
    step = Step(folder="Class2D", out=out, lines=(command,), flavour=RELION_3_1)
    filled = forms.fill(step)
    record = Record(
        name=out,
        step="class2d",
        version="3.1",
        type=RELION_3_1.job_type("Class2D"),
        options=filled.options,
        inputs=tuple((file, RELION_3_1.kind(kind)) for file, kind in filled.inputs),
        outputs=tuple((file, RELION_3_1.kind(kind)) for file, kind in filled.outputs),
        commands=step.lines,
    )
    (folder / out).mkdir(parents=True)
    for name in ("RELION_JOB_EXIT_SUCCESS", *(Path(file).name for file, _ in record.outputs)):
        (folder / out / name).touch()
    planning.enter(folder, [record], 101)


def ended(number: str) -> list[str]:
    return lines(["sacct", "-X", "-n", "-P", "-j", number, "-o", "State,ExitCode"])

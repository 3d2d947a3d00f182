"""Stages of a refinement: sized for early iterations, watched, and stopped in time."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.cluster import Partition
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Request, plan
from relion_dispatch.healing import guard, stages
from relion_dispatch.plan import Plan
from relion_dispatch.profiles import load_profile
from tests.unit.iterations_files import iteration

ROOT = "Refine3D/job019/run"
COMMAND = (
    f"`which relion_refine_mpi` --o {ROOT} --auto_refine --split_random_halves --i a.star"
    " --ref a.mrc --ini_high 50 --pad 2 --j 1 --pipeline_control Refine3D/job019/"
)


def planned(gpu_mem_mb: int = 16000, **overrides: Any) -> Plan:
    profile = load_profile("slurm")
    gpus = Partition(cores=28, mem_mb=240_000, gpus_per_node=2, gpu_mem_mb=gpu_mem_mb)
    profile = replace(profile, cluster=replace(profile.cluster, partitions={"gpu": gpus}))
    facts = DataFacts(box=400, angpix=1.0, n_particles=10**5)
    return plan(Request(commands=(COMMAND,), data=facts, overrides=overrides), profile)


def workers(made: Plan) -> int:
    return (made.ntasks - 1) // made.gpus


def test_a_stage_has_more_workers_than_the_whole() -> None:
    whole, stage = planned(), planned(staged=True)
    assert workers(whole) < workers(stage)
    assert "healing.guard Refine3D/job019/ --root Refine3D/job019/run" in stage.body
    assert "healing.guard" not in whole.body
    assert any(note.startswith("A stage, for images of 116 pixels") for note in stage.notes)


def test_later_stages_have_ever_fewer_workers() -> None:
    found = [workers(planned(staged=True, current_size=size)) for size in (100, 300, 360, 400)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] == workers(planned())


def test_what_fits_as_a_whole_is_no_stage() -> None:
    assert "healing.guard" not in planned(gpu_mem_mb=80_000, staged=True).body


@pytest.mark.parametrize(
    "resolution, fast, size", [(50, False, 36), (50, True, 116), (4, False, 220), (2, True, 400)]
)
def test_sizes_are_relions(resolution: float, fast: bool, size: int) -> None:
    assert stages.next_size(400, 1.0, resolution, fast=fast) == size


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """A refinement behind its third iteration, which works at 8 Å."""
    monkeypatch.chdir(tmp_path)
    optimiser, model, *_ = iteration(ROOT, 3)
    model.write_text(
        model.read_text().replace(
            "_rlnCurrentImageSize 20\n",
            "_rlnCurrentImageSize 20\n_rlnOriginalImageSize 400\n_rlnPixelSize 1.0\n"
            "_rlnCurrentResolution 8.0\n_rlnAveragePmax 0.5\n",
        )
    )
    assert stages.size_behind(optimiser) == 2 * (50 + 10)
    out = tmp_path / "run.out"
    out.write_text("Expectation iteration 4\n")
    job_dir = Path("Refine3D/job019")
    return argparse.Namespace(
        job_dir=job_dir, root=ROOT, out=out, largest=120, since=0.0, start=0, seen=-1
    )


def test_a_refinement_goes_on_while_it_fits(watched: argparse.Namespace) -> None:
    assert guard.reason_to_stop(watched) == ""
    assert watched.seen == 3


def test_a_refinement_is_stopped_before_it_outgrows_its_gpus(watched: argparse.Namespace) -> None:
    watched.largest = 118
    assert "GPU memory would not suffice for images of 120 pixels" in guard.reason_to_stop(watched)


def test_the_last_iteration_takes_the_whole_box(watched: argparse.Namespace) -> None:
    with watched.out.open("a") as log:
        log.write("Refinement has converged, entering last iteration where two halves\n")
    assert "the whole box" in guard.reason_to_stop(watched)
    watched.start = watched.out.stat().st_size
    assert guard.reason_to_stop(watched) == ""


def test_iterations_before_this_attempt_are_no_reason(watched: argparse.Namespace) -> None:
    watched.largest, watched.since = 10, 4e9
    assert guard.reason_to_stop(watched) == ""


def test_the_guard_leaves_what_the_script_and_relion_look_for(watched: argparse.Namespace) -> None:
    words = [str(watched.job_dir), "--root", ROOT, "--out", "run.out", "--largest", "10"]
    process = subprocess.Popen(
        [sys.executable, "-m", "relion_dispatch.healing.guard", *words, "--every", "0.1"]
    )
    (watched.job_dir / "run.science").touch()
    while process.poll() is None:
        iteration_again(watched)
    assert process.returncode == 0
    assert "GPU memory" in (watched.job_dir / "run.stopped").read_text()
    assert (watched.job_dir / "RELION_JOB_ABORT_NOW").exists()


def iteration_again(watched: argparse.Namespace) -> None:
    """Finish the iteration once more, a moment later."""
    for path in watched.job_dir.glob("run_it003_*"):
        path.touch()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "5"], timeout=0.1, check=False)

"""The state of a project while real RELION works in it, and after."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from relion_dispatch.status.collect import overview
from relion_dispatch.status.model import Job, State
from relion_dispatch.status.scheduler import Desk
from tests.pipeline.conftest import LOCAL, Finished

pytestmark = pytest.mark.relion

CLASS2D = "Class2D/job006"


def look(project: Path) -> dict[str, Job]:
    return {job.folder: job for job in overview(project, Desk(None)).jobs}


def test_a_finished_project_is_told_in_full(finished: Finished) -> None:
    jobs = look(finished.project)
    assert {job.state for job in jobs.values()} == {State.FINISHED}
    assert [job.step for job in jobs.values()][:3] == ["relion_import", "motion_correction", "ctf"]
    assert jobs[CLASS2D].iteration == 10
    refined = jobs["Refine3D/job044"]
    assert refined.verdict in {"fine", "doubtful"}
    assert refined.resolution is not None
    assert 6 < refined.resolution < 20
    assert jobs["PostProcess/job046"].resolution is not None
    assert all((job.elapsed_s(time.time()) or 0) < 3600 for job in jobs.values())


def test_a_running_step_is_told_as_it_goes(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    words = ["--profile", LOCAL, "--forcerun", "class2d", "--until", "class2d"]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words], cwd=project, stdout=log, stderr=log
        )
        seen: list[Job] = []
        while run.poll() is None:
            seen.append(look(project)[CLASS2D])
            time.sleep(0.3)
    assert run.returncode == 0, (tmp_path / "log").read_text()
    running = [job for job in seen if job.state is State.RUNNING]
    counted = [job for job in running if job.iterations == 10]
    assert counted, {(job.state, job.iteration) for job in seen}
    numbers = [job.iteration or 0 for job in counted]
    assert numbers == sorted(numbers)
    assert all(job.job_id == "" for job in running)
    elapsed = [job.elapsed_s(time.time()) for job in running]
    assert all(each is not None for each in elapsed)
    done = look(project)[CLASS2D]
    assert (done.state, done.iteration) == (State.FINISHED, 10)

"""The pipeline's project in RELION's real window, on a screen that nobody sees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_dispatch.project import star
from relion_dispatch.project.flavours import RELION_3_1, RUNNING, SUCCEEDED
from relion_dispatch.project.joblist import FILE, JobList
from tests.cluster.window import Window, opened
from tests.pipeline.conftest import LOCAL, Finished

pytestmark = [pytest.mark.relion, pytest.mark.gui]

MAP = "PostProcess/job046/"
CLASSES = "Class2D/job006/"
#: The jobs of the demo's pipeline, and the numbers that the window counts from.
JOBS = 26
FIRST_OWN = 101


@pytest.fixture
def project(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished project, as the run has left it."""
    version = subprocess.run(["relion", "--version"], capture_output=True, text=True, check=False)
    if "3.1" not in version.stdout + version.stderr:
        pytest.skip("the places of buttons are those of RELION 3.1's window")
    return finished.copy(tmp_path / "project")


def listed(project: Path) -> JobList:
    return JobList.read((project / FILE).read_text(), RELION_3_1)


def fields(project: Path, job: str) -> dict[str, str]:
    table = star.parse((project / job / "job.star").read_text()).table("joboptions_values")
    assert table is not None
    return {row["rlnJobOptionVariable"]: row["rlnJobOptionValue"] for row in table.rows}


def commands(project: Path, job: str) -> str:
    """What the job's note says that it has run, the job's own directory left out."""
    text = (project / job / "note.txt").read_text().replace(job, "JOB/")
    found = re.findall(r"with the following command\(s\): \n(.*?)\n \+\+\+\+", text, re.DOTALL)
    return re.sub(r"\s+", " ", found[-1])


def test_a_finished_run_is_in_the_job_list(finished: Finished) -> None:
    jobs = listed(finished.project)

    assert len(jobs.names) == JOBS
    assert {jobs.state(name) for name in jobs.names} == {SUCCEEDED}
    assert jobs.counter == FIRST_OWN
    assert jobs.inputs(MAP) == (
        "MaskCreate/job045/mask.mrc",
        "Refine3D/job044/run_half1_class001_unfil.mrc",
    )
    for name in jobs.names:
        assert jobs.outputs(name), name
        assert all((finished.project / file).exists() for file in jobs.outputs(name)), name
        assert all(jobs.kind(file) for file in jobs.inputs(name)), name
        assert commands(finished.project, name), name
        assert (finished.project / name / "job_pipeline.star").exists()
    assert float(fields(finished.project, "MaskCreate/job045/")["inimask_threshold"]) != 0.02


def test_the_window_and_a_run_share_the_job_list(project: Path, tmp_path: Path) -> None:
    """The window is open all the time, while jobs run from both sides."""
    before = listed(project)
    arguments = ["--profile", LOCAL, "--forcerun", "class2d", "--until", "select2d"]
    said = tmp_path / "snakemake.log"
    with opened(project, Path(LOCAL)) as window, said.open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=project,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        window.wait_for(CLASSES, RUNNING)
        window.wait_for_refresh()
        assert window.status("Import/job001/") == SUCCEEDED
        window.select_running(0)
        window.screenshot(tmp_path / "running.png")
        copy = run_again(window, row=1)
        window.wait_for(copy, SUCCEEDED)
        assert run.wait(timeout=600) == 0, said.read_text()
        window.wait_for(CLASSES, SUCCEEDED)
        window.screenshot(tmp_path / "finished.png")

    after = listed(project)
    assert after.names == (*before.names, copy)
    assert {after.state(name) for name in after.names} == {SUCCEEDED}
    for name in before.names:
        assert after.inputs(name) == before.inputs(name)
        assert after.outputs(name) == before.outputs(name)
    assert after.inputs(copy) == before.inputs(MAP)
    assert after.counter == FIRST_OWN + 1
    assert_same_job(project, copy)


def run_again(window: Window, row: int) -> str:
    """Copy a finished job as users do: select it, choose its type on the left, press 'Run!'."""
    window.select_finished(row)
    return window.run("PostProcess", FIRST_OWN)


def assert_same_job(project: Path, copy: str) -> None:
    """The copy ran through the hook, with the same fields and command, to the same result."""
    assert "relion-dispatch: exit code 0" in (project / copy / "run.out").read_text()
    ours, theirs = fields(project, MAP), fields(project, copy)
    assert {name: theirs[name] for name in ours} == ours
    words = [sorted(commands(project, job).split()) for job in (MAP, copy)]
    assert words[0] == words[1]
    maps = [mrcfile.read(project / job / "postprocess.mrc") for job in (MAP, copy)]
    np.testing.assert_array_equal(*maps)

"""Jobs that heal themselves: real RELION on a real Slurm, and faults that really happen."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from relion_dispatch.healing import attempts
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.starscan import scan
from tests.cluster import faults
from tests.cluster.project import Project, queue, wait_until
from tests.cluster.slurm_conf import Cluster

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def healed(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A workflow to all of whose jobs something has happened, and what its head said."""
    project = Project(tmp_path_factory.mktemp("faults"))
    try:
        return project, faults.run_faults(project, slurm)
    finally:
        project.kill_heads()


def test_a_full_gpu_leads_to_fewer_workers_then_other_gpus_then_none(
    healed: tuple[Project, str],
) -> None:
    # Its last attempt may come to the node that is killed meanwhile.
    history = faults.history(healed[0], "Class3D/job001")
    tried = [each for each in history if each.failure != "node"]
    sizes = [(each.asked["partition"], each.asked["workers_per_gpu"]) for each in tried]
    assert sizes == [
        ("m3c", 4),
        ("m3c", 2),
        ("m3c", 1),
        ("m3g", 1),
        ("m3h", 1),
        ("comp", None),
    ]
    assert [each.failure for each in tried] == ["gpu_memory"] * 5 + [""]
    assert "ran out of memory on the GPU" in " ".join(tried[0].evidence)
    assert tried[-1].state == "succeeded"


def test_memory_that_did_not_suffice_grows(healed: tuple[Project, str]) -> None:
    tried = faults.history(healed[0], "Class3D/job002")
    memories = [each.asked["mem_mb"] for each in tried]
    assert memories[0] == 30
    assert memories == sorted(memories)
    assert memories[-1] > memories[0]
    killed = [each for each in tried if each.failure == "host_memory"]
    assert killed
    assert all("memory limit" in " ".join(each.evidence) for each in killed)
    assert tried[-1].state == "succeeded"


def test_a_wrong_parameter_fails_once(healed: tuple[Project, str]) -> None:
    project, output = healed
    (only,) = faults.history(project, "Class3D/job003")
    assert only.failure == "bad_input"
    assert "Data/nothing.star" in " ".join(only.evidence)
    assert only.again is False
    assert "Not tried again: the input is wrong" in output
    assert "Trying to restart" not in output
    assert (project.path / "Class3D/job003/RELION_JOB_EXIT_FAILURE").exists()


def test_a_job_of_a_killed_node_goes_on_elsewhere(healed: tuple[Project, str]) -> None:
    project, _ = healed
    first, *_, last = faults.history(project, "Class3D/job004")
    assert first.failure == "node"
    assert last.state == "succeeded"
    assert last.node != first.node
    assert last.continued is not None
    assert last.continued >= 3
    script = (project.path / "Class3D/job004/run_submit.script.run").read_text()
    assert f"#SBATCH --exclude={first.node}" in script


def test_what_is_healed_is_told(healed: tuple[Project, str]) -> None:
    project, output = healed
    assert "has failed and is tried again: GPU memory: 4 workers on a GPU did not fit" in output
    for job in faults.JOBS:
        assert not (project.path / job.folder / "run.heal").exists()
        text = (project.path / job.folder / "run.err").read_text()
        decisions = [each.decision for each in faults.history(project, job.folder) if each.failure]
        assert all(f"relion-dispatch: {decision}\n" in text for decision in decisions)


def iterations(log: Path) -> Counter[int]:
    """Count how often each iteration was begun."""
    return Counter(map(int, re.findall(r"Auto-refine: Iteration= (\d+)", log.read_text())))


def shells(project: Project, folder: str) -> int:
    """Return a refinement's final resolution, in Fourier shells."""
    general = scan(project.path / folder / "run_model.star")[0].pairs
    return round(faults.BOX * faults.ANGPIX / float(general["rlnCurrentResolution"]))


def refine_in_slices(project: Project, whole: str, sliced: str) -> tuple[Attempt, ...]:
    """Refine without a limit, and with one of a third of the time that this took."""
    took_s = faults.uninterrupted(project, whole)
    faults.limit_time(project, min(max(round(took_s / 3), 12), 50))
    said = faults.submit(project, sliced, faults.sure_refinement(sliced), ngpu=0)
    assert said.startswith("Submitted batch job")
    folder = project.path / sliced
    markers = {"RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE"}
    faults.wait_for(lambda: any((folder / name).exists() for name in markers))
    return attempts.read(folder)


def test_a_refinement_that_needs_three_times_its_limit_finishes_by_itself(
    project: Project,
) -> None:
    faults.prepare(project)
    for number in (1, 3, 5, 7, 9):
        whole, sliced = f"Refine3D/job{number:03d}", f"Refine3D/job{number + 1:03d}"
        tried = refine_in_slices(project, whole, sliced)
        # Beside other work the same takes longer or shorter than before: too long for even one
        # iteration, or short enough for two slices.
        if len(tried) >= 3:
            break
    folder = project.path / sliced
    names = {path.name for path in folder.iterdir()}
    assert "RELION_JOB_EXIT_FAILURE" not in names, tried[-1].decision
    assert len(tried) >= 3
    assert {each.failure for each in tried[:-1]} == {"time"}
    begun = iterations(folder / "run.out")
    again = {number for number, times in begun.items() if times > 1}
    cut_off = {(each.iteration or 0) + 1 for each in tried[:-1]}
    assert again <= cut_off
    assert all(each.continued == before.iteration for before, each in pairwise(tried))
    # What RELION writes and reads again is rounded: at the edge a curve may fall a shell apart.
    assert shells(project, sliced) >= 5
    assert abs(shells(project, sliced) - shells(project, whole)) <= 1
    assert {"run_class001.mrc", "run_data.star", "run_half1_class001_unfil.mrc"} <= names
    assert not any("_ct" in name for name in names)
    wait_until(lambda: not queue())


def test_a_job_of_the_window_that_cannot_be_healed_fails_at_once(
    project: Project,
) -> None:
    faults.prepare(project)
    command = faults.classification("Class3D/job005", 1, "--i Data/nothing.star")
    faults.submit(project, "Class3D/job005", command, ngpu=0)
    folder = project.path / "Class3D/job005"
    faults.wait_for(lambda: any(each.again is not None for each in attempts.read(folder)))
    assert faults.ended(project, "Class3D/job005") == "RELION_JOB_EXIT_FAILURE"
    (only,) = attempts.read(folder)
    assert (only.failure, only.again) == ("bad_input", False)
    assert "Not tried again" in (folder / "run.err").read_text()


def test_a_job_of_the_window_that_a_person_cancels_stays_so(project: Project) -> None:
    faults.prepare(project)
    folder = "Refine3D/job007"
    faults.submit(project, folder, faults.refinement(folder), ngpu=0)
    faults.wait_for((project.path / folder / "run_it000_optimiser.star").exists)
    (running,) = faults.history(project, folder)
    subprocess.run(["scancel", running.job_id], check=True, timeout=240)
    faults.wait_for(lambda: faults.history(project, folder)[-1].again is not None)
    (only,) = faults.history(project, folder)
    assert (only.failure, only.again) == ("cancelled", False)
    assert faults.ended(project, folder) == "RELION_JOB_EXIT_FAILURE"


def test_a_refinement_in_stages_begins_with_more_workers(project: Project) -> None:
    faults.prepare(project)
    # RELION's formula: a worker of one thread needs 201 MB at first, 203 MB from 30 pixels on.
    faults.stage(project, box=48, gpu_mem_mb=4 * 202)
    folder = "Refine3D/job006"
    command = faults.refinement(folder).replace("--pad 1", "--pad 2")
    faults.submit(project, folder, command, staged=True, nthread=1, partition="m3h")
    assert faults.ended(project, folder) == "RELION_JOB_EXIT_SUCCESS"
    first, second = faults.history(project, folder)
    assert (first.asked["workers_per_gpu"], second.asked["workers_per_gpu"]) == (4, 2)
    assert (first.failure, first.exit_code) == ("gpu_memory", 75)
    assert "GPU memory would not suffice for images of 3" in first.evidence[0]
    assert second.continued == first.iteration
    assert (first.iteration or 0) >= 1

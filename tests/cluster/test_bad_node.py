"""A node that cannot start jobs: real RELION on a real Slurm, whose prolog fails there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from relion_dispatch.healing import attempts
from tests.cluster import faults, slurm_cluster
from tests.cluster.project import PROFILE, Project, lines, queue, relion_dispatch, wait_until
from tests.cluster.slurm_conf import Cluster, NodeGroup

pytestmark = pytest.mark.slurm

BAD = "comp000"
PROLOG = f"""#!/bin/sh
echo "$SLURM_JOB_ID $SLURMD_NODENAME" >>"${{0%/*}}/started"
[ "$SLURMD_NODENAME" != {BAD} ]
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Path]:
    """A cluster whose first node cannot start jobs; the file tells where each was started."""
    if reason := slurm_cluster.missing(accounting=True):
        pytest.skip(reason)
    root = tmp_path / "slurm"
    root.mkdir()
    prolog = root / "prolog"
    prolog.write_text(PROLOG)
    prolog.chmod(0o755)
    group = NodeGroup(partition="comp", count=2, cpus=3, mem_mb=8000)
    cluster = Cluster(root=root, groups=(group,), accounting=True, requeue=True, prolog=str(prolog))
    with slurm_cluster.running(cluster), pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        yield root / "started"


@pytest.fixture
def ours(started: Path, tmp_path: Path) -> Iterator[Project]:
    """A project on that cluster."""
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    faults.prepare(project)
    yield project
    project.kill_heads()


def healed_elsewhere(project: Project, folder: str, started: Path) -> None:
    """Make sure that a job's first attempt was started on the bad node, its second on another."""
    first, second = attempts.read(project.path / folder)
    assert (first.failure, first.node, first.again) == ("node", BAD, True)
    assert first.started is None
    assert second.node != BAD
    nodes = dict(line.split() for line in started.read_text().splitlines())
    assert nodes[first.job_id] == BAD
    assert nodes[second.job_id] == second.node
    script = (project.path / folder / "run_submit.script.run").read_text()
    assert f"#SBATCH --exclude={BAD}" in script


def test_the_pipeline_goes_on_elsewhere(ours: Project, started: Path) -> None:
    folder = "Class3D/job001"
    job = faults.Job(
        "one", folder, faults.classification(folder, 1), "run_it001_model.star", '{"ngpu": 0}'
    )
    faults.write_workflow(ours, [job])
    run = ours.run()
    assert run.returncode == 0, run.output
    assert "has failed and is tried again: The node failed: next not on comp000." in run.output
    healed_elsewhere(ours, folder, started)
    assert "launch failed requeued held" in " ".join(attempts.read(ours.path / folder)[0].evidence)
    assert queue() == []


def test_a_job_of_the_window_that_slurm_holds_is_healed_by_hand(
    ours: Project, started: Path
) -> None:
    folder = "Class3D/job001"
    faults.submit(ours, folder, faults.classification(folder, 1), ngpu=0)
    wait_until(lambda: "launch failed requeued held" in lines(["squeue", "-h", "-o", "%r"]))
    wait_until(lambda: lines(["sacct", "-n", "-X", "-P", "-j1", "-o", "NodeList"]) == [BAD])
    done = relion_dispatch(
        *("heal", "--profile", str(PROFILE), "--set=ngpu=0", folder),
        cwd=ours.path,
        environment=ours.environment,
    )
    assert done.returncode == 0, done.stderr
    assert faults.ended(ours, folder) == "RELION_JOB_EXIT_SUCCESS"
    # The job that was to look after the first attempt finds that this has been done.
    wait_until(lambda: not queue())
    healed_elsewhere(ours, folder, started)


def test_a_job_of_the_window_that_slurm_may_not_requeue_heals_by_itself(
    ours: Project, started: Path
) -> None:
    path = ours.path / "dispatch.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["cluster"]["scheduler"] = {"submit": ["sbatch", "--no-requeue"]}
    path.write_text(yaml.safe_dump(settings))
    folder = "Class3D/job001"
    faults.submit(ours, folder, faults.classification(folder, 1), ngpu=0)
    assert faults.ended(ours, folder) == "RELION_JOB_EXIT_SUCCESS"
    healed_elsewhere(ours, folder, started)
    first = attempts.read(ours.path / folder)[0]
    assert "Error running slurm prolog" in " ".join(first.evidence)

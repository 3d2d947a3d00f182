"""The whole pipeline with real RELION as jobs of a real Slurm, through ``snakemake --profile``."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from relion_dispatch.ledger import JOURNAL, Phase, replay
from relion_dispatch.profiles import load_profile
from tests.cluster import slurm_cluster
from tests.cluster.slurm_conf import Cluster, NodeGroup
from tests.demo import runner
from tests.pipeline.conftest import Finished
from tests.pipeline.test_demo import FINAL, REQUIRED_ANGST

# The fixtures are two runs of the whole pipeline, each of them long where others use the machine.
pytestmark = [pytest.mark.relion, pytest.mark.slurm, pytest.mark.timeout(3600)]

PROFILE = str(Path(__file__).with_name("slurm_profile"))
M3 = str(runner.ROOT / "profiles" / "m3")
NODES = NodeGroup(partition="cpu", count=2, cpus=3, mem_mb=64000)
#: Two runs of RELION on other numbers of cores give maps this much alike, in Å at FSC 0.5.
ALIKE_ANGST = 1.0
#: RELION's job directories.
JOBS = "[!.]*/job[0-9]*"
#: Steps that compute on GPUs where there are any: rule, and a file that it makes.
GPU_STEPS = {
    "class2d": "Class2D/job006/run_it010_data.star",
    "class3d": "Class3D/job032/run_it006_data.star",
    "refine3d": "Refine3D/job035/run_data.star",
}


@dataclass(frozen=True, kw_only=True)
class OnSlurm(Finished):
    """A pipeline that ran on Slurm; of every job its name, state and node, as Slurm tells."""

    jobs: tuple[tuple[str, str, str], ...]


@pytest.fixture(scope="module")
def on_slurm(data: Path, tmp_path_factory: pytest.TempPathFactory) -> OnSlurm:
    """The demo's project, run on a cluster of two nodes with this machine's few cores."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    project = runner.make_project(tmp_path_factory.mktemp("on slurm") / "demo", data / "Movies")
    cluster = Cluster(
        root=tmp_path_factory.mktemp("slurm_cpu"), groups=(NODES,), min_job_age_s=7200
    )
    with slurm_cluster.running(cluster) as started:
        run = runner.snakemake(project, "--profile", PROFILE, environ=started.env)
        told = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%j|%T|%N"],
            env={**os.environ, **started.env},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    jobs = [line.split("|") for line in told.splitlines()]
    return OnSlurm(
        data=data, project=project, run=run, jobs=tuple((name, at, on) for name, at, on in jobs)
    )


def test_the_map_is_as_good_as_without_a_cluster(on_slurm: OnSlurm, finished: Finished) -> None:
    assert on_slurm.run.returncode == 0, on_slurm.run.output
    for map_ in (FINAL, "PostProcess/job046/postprocess.mrc"):
        assert on_slurm.score(map_) <= REQUIRED_ANGST
        assert abs(on_slurm.score(map_) - finished.score(map_)) <= ALIKE_ANGST


def test_every_step_was_one_job_and_all_nodes_had_work(
    on_slurm: OnSlurm, finished: Finished
) -> None:
    folders = {str(path.relative_to(on_slurm.project)) for path in on_slurm.project.glob(JOBS)}
    assert folders == {
        str(path.relative_to(finished.project)) for path in finished.project.glob(JOBS)
    }
    steps = [name.partition(".")[0] for name, *_ in on_slurm.jobs]
    assert {name.replace("/", "-") for name in folders} <= set(steps)
    assert len(steps) == len(set(steps))
    assert {state for _, state, _ in on_slurm.jobs} == {"COMPLETED"}
    assert {node for *_, node in on_slurm.jobs} == set(NODES.names)


def test_the_ledger_holds_every_job_as_done(on_slurm: OnSlurm) -> None:
    text = (on_slurm.project / ".relion_dispatch" / JOURNAL).read_text()
    entries = replay(text.splitlines())
    assert {entry.phase for entry in entries.values()} == {Phase.SUCCEEDED}
    assert {entry.name for entry in entries.values()} == {name for name, *_ in on_slurm.jobs}


def test_a_second_run_submits_nothing(on_slurm: OnSlurm) -> None:
    run = runner.snakemake(on_slurm.project, "--profile", PROFILE, "-n")
    assert "Nothing to be done" in run.output


@pytest.fixture(scope="module")
def scripts(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The GPU steps' scripts for M3: made for the finished data, and refused by its ``sbatch``."""
    folder = tmp_path_factory.mktemp("m3")
    programs = folder / "bin"
    programs.mkdir()
    for name, text in {"sbatch": "exit 1", "squeue": "exit 0", "scancel": "exit 0"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    project = finished.copy(folder / "demo")
    # The last step first: what was refused has lost its files, which later steps would miss.
    for made in reversed(GPU_STEPS.values()):
        run = runner.snakemake(
            project,
            *("--profile", M3, "--force", "--", made),
            environ={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        )
        assert run.returncode != 0
        assert run.output.count("not submitted: 'sbatch' (exit code 1)") == 1
    files = {rule: project / Path(made).parent for rule, made in GPU_STEPS.items()}
    return {rule: (path / "run_submit.script.run").read_text() for rule, path in files.items()}


@pytest.mark.parametrize("rule", GPU_STEPS)
def test_gpu_steps_have_the_right_size_on_m3(scripts: dict[str, str], rule: str) -> None:
    """A leader, and the same number of workers on every GPU of a node that has room for them."""
    script = scripts[rule]
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.MULTILINE))
    partition = load_profile(M3).cluster.partitions[asked["partition"]]
    nodes, ntasks, threads = (int(asked[k]) for k in ("nodes", "ntasks", "cpus-per-task"))
    gpus = partition.gpus_per_node
    assert asked["gres"] == f"gpu:{gpus}"
    workers_per_gpu, rest = divmod(ntasks - 1, nodes * gpus)
    assert rest == 0
    assert 2 <= workers_per_gpu <= 8
    assert isinstance(partition.cores, int)
    assert (workers_per_gpu * gpus + 1) * threads <= partition.cores
    # Every rank needs some memory, and the node has what is asked for.
    assert isinstance(partition.mem_mb, int)
    assert 100 * (workers_per_gpu * gpus + 1) < int(asked["mem"].rstrip("M")) <= partition.mem_mb
    # The command may stand there twice: once for what looks whether an earlier run can go on.
    (command,) = set(re.findall(r"^mpirun (.*relion_refine_mpi.*)$", script, re.MULTILINE))
    assert command.startswith(f"-n {ntasks} ")
    assert command.endswith(f" --j {threads} --gpu {gpu_map(nodes, gpus, workers_per_gpu)}")


def gpu_map(nodes: int, gpus: int, workers_per_gpu: int) -> str:
    """RELION shares one node's GPUs out evenly by itself; over several it has to be told."""
    if nodes == 1:
        return '""'
    return ":".join(str(gpu) for gpu in range(gpus) for _ in range(workers_per_gpu))

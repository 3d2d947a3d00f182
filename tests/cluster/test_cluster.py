"""The cluster that other tests trust: nodes, GPUs, accounting, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import slurm_cluster
from tests.cluster.project import PATIENCE_S, lines, wait_until
from tests.cluster.slurm_conf import Cluster

pytestmark = pytest.mark.slurm


def sbatch(folder: Path, *options: str, wrap: str) -> str:
    """Run one job to its end and return its output."""
    output = folder / "job.out"
    argv = ["sbatch", "--wait", f"--output={output}", *options, "--wrap", wrap]
    subprocess.run(argv, check=True, capture_output=True, cwd=folder, timeout=PATIENCE_S)
    return output.read_text()


def test_partitions_look_like_m3(slurm: Cluster) -> None:
    sinfo = ["sinfo", "-h", "-o", "%R %D %c %m %G"]
    shown = subprocess.run(sinfo, check=True, capture_output=True, text=True).stdout
    assert sorted(shown.splitlines()) == [
        "comp 2 36 184000 (null)",
        "m3c 2 24 240000 gpu:K80:4",
        "m3g 2 36 370000 gpu:V100:3",
        "m3h 4 28 240000 gpu:P100:2",
    ]


def test_a_job_sees_the_gpus_it_asked_for(slurm: Cluster, tmp_path: Path) -> None:
    shown = sbatch(tmp_path, "-p", "m3c", "--gres=gpu:4", wrap="echo $CUDA_VISIBLE_DEVICES")
    assert shown == "0,1,2,3\n"


def test_a_job_may_span_nodes(slurm: Cluster, tmp_path: Path) -> None:
    shown = sbatch(
        tmp_path,
        "-p",
        "m3h",
        "-N",
        "3",
        "--ntasks-per-node=2",
        wrap="srun printenv SLURMD_NODENAME",
    )
    assert len(shown.split()) == 6
    assert len(set(shown.split())) == 3


def test_accounting_knows_an_ended_job(slurm: Cluster, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        sbatch(tmp_path, "--job-name=three", wrap="exit 3")
    sacct = ["sacct", "-n", "-X", "-P", "--name=three", "--format=State,ExitCode"]
    wait_until(lambda: lines(sacct) == ["FAILED|3:0"])  # the record travels through slurmdbd


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_dies(tmp_path: Path, how: signal.Signals) -> None:
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    owner = (
        "import os, pathlib, subprocess, time\n"
        "from tests.cluster.slurm_cluster import running\n"
        "from tests.cluster.slurm_conf import Cluster\n"
        f"with running(Cluster(root=pathlib.Path({str(tmp_path)!r}))) as cluster:\n"
        "    sbatch = ['sbatch', '-o', '/dev/null', '--wrap', f'sleep 1000 #{cluster.root}']\n"
        "    os.environ.update(cluster.env)\n"
        "    subprocess.run(sbatch)\n"
        "    print('up', flush=True)\n"
        "    time.sleep(1000)\n"
    )
    root = Path(slurm_cluster.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", owner], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "up\n":
            assert process.poll() is None
        assert len(of_cluster(tmp_path)) > len(Cluster(root=tmp_path).nodes)
        os.kill(process.pid, how)
    wait_until(lambda: not of_cluster(tmp_path))


def of_cluster(root: Path) -> list[str]:
    """Command lines of the processes whose environment or arguments name the cluster's folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            arguments = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        needle = str(root).encode() + b"/"
        if needle in arguments or needle in environment:
            found.append(arguments.replace(b"\0", b" ").decode())
    return found

"""Where the ranks of MPI programs run on several nodes, and which GPUs they are given.

A small MPI program stands in the place of RELION's, whose GPU build is not to be had: it is the
first on PATH by RELION's name, is started by the script that the dispatcher submits to Slurm, and
says where each rank is. What device RELION gives to a rank follows from that, and from ``--gpu``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.submitting import particles
from tests.cluster.gui_job import Gui
from tests.cluster.project import queue, wait_until
from tests.cluster.slurm_cluster import Cluster

pytestmark = pytest.mark.slurm

SAID = re.compile(r"^where (\d+) (\d+) (\d+) (\S+) (\S+) (\d+) \[(.*)\]$", re.MULTILINE)
REFINE3D = (
    "mpirun `which relion_refine_mpi` --o Refine3D/job001/run --auto_refine --split_random_halves"
    ' --i particles.star --ref map.mrc --ctf --healpix_order 2 --sym C1 --j 1 --gpu ""'
)
#: The header that the guide of MASSIVE gives for three nodes of two GPUs.
GUIDE = """#!/bin/bash
#SBATCH --partition=m3h --gres=gpu:2 --mem=2000M --output=guide.out
#SBATCH --ntasks=25 --ntasks-per-node=9 --cpus-per-task=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl=self,tcp OMPI_MCA_mpi_yield_when_idle=1
mpirun where --gpu ""
"""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A rank of a job, as it says itself."""

    number: int
    ranks: int
    total: int
    node: str
    devices: tuple[int, ...]
    cpus: int
    map: str

    @classmethod
    def all(cls, text: str) -> list[Rank]:
        """Read what all ranks have said, in their order."""
        found = [
            cls(
                number=int(number),
                ranks=int(ranks),
                total=int(total),
                node=node,
                devices=tuple(map(int, devices.replace("-", "").split(","))),
                cpus=int(cpus),
                map=map_,
            )
            for number, ranks, total, node, devices, cpus, map_ in SAID.findall(text)
        ]
        return sorted(found, key=lambda rank: rank.number)


def complete(ranks: list[Rank]) -> bool:
    """Whether these are all ranks of one program, which have spoken to each other."""
    numbers = list(range(len(ranks)))
    told = {(rank.ranks, rank.total) for rank in ranks}
    return [rank.number for rank in ranks] == numbers and told == {(len(ranks), sum(numbers))}


def gpus_of_workers(ranks: list[Rank]) -> Counter[tuple[str, int]]:
    """Count the workers on each GPU of each node, as RELION lays them out.

    With a map, worker after worker takes its next entry, over and over; without one, the workers
    of a node share its devices out among them, in blocks (``MlOptimiserMpi::initialise``).
    """
    workers = ranks[1:]
    on_node = Counter(rank.node for rank in workers)
    found: Counter[tuple[str, int]] = Counter()
    for at, rank in enumerate(workers):
        entries = rank.map.split(":") if rank.map else []
        many = on_node[rank.node]
        place = len(rank.devices) * (at % many) // many
        device = int(entries[at % len(entries)]) if entries else place
        found[rank.node, rank.devices[device]] += 1
    return found


@pytest.fixture
def gui(slurm: Cluster, tmp_path: Path, where: Path) -> Gui:
    made = Gui(tmp_path)
    for name in ("relion_refine_mpi", "relion_run_motioncorr_mpi"):
        (made.bin / name).symlink_to(where)
    return made


def ran(gui: Gui, folder: str, *lines: str, **wishes: object) -> list[Rank]:
    """Send a job through the whole engine, and hear what its ranks say."""
    said = gui.submit(folder, *lines, profile="m3", **wishes)
    assert "Submitted batch job" in said
    marker = gui.end(folder)
    logs = gui.text(f"{folder}/run.out", f"{folder}/run.err")
    assert marker == "RELION_JOB_EXIT_SUCCESS", logs
    ranks = Rank.all(logs)
    assert complete(ranks), logs
    return ranks


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_every_gpu_of_every_node_gets_the_same_workers(gui: Gui, nodes: int) -> None:
    particles(gui.project / "particles.star", rows=100)
    ranks = ran(gui, "Refine3D/job001", REFINE3D, nodes=nodes, nthread=1, workers_per_gpu=4)

    workers = gpus_of_workers(ranks)
    names = sorted({rank.node for rank in ranks})
    assert set(workers) == {(name, device) for name in names for device in (0, 1)}
    assert set(workers.values()) == {4}
    assert len(names) == nodes
    assert ranks[0].node == names[0]
    assert [rank.node for rank in ranks] == sorted(rank.node for rank in ranks)
    assert len(ranks) % 2 == 1, "two equal halves of workers"


def test_no_rank_is_bound_to_less_than_its_threads_need(gui: Gui) -> None:
    line = "`which relion_refine_mpi` --o Class3D/job001/run --i particles.star --ref map.mrc --K 2"
    ranks = ran(gui, "Class3D/job001", line, nproc=2, nthread=4)

    # Left to itself, Open MPI binds each of two ranks to one core.
    assert len(ranks) == 2
    assert {rank.cpus for rank in ranks} == {len(os.sched_getaffinity(0))}


def test_the_guides_plain_script_is_not_even(
    slurm: Cluster, tmp_path: Path, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{where.parent}:{os.environ['PATH']}")
    (tmp_path / "guide.sh").write_text(GUIDE)
    subprocess.run(["sbatch", "guide.sh"], cwd=tmp_path, check=True, capture_output=True)
    wait_until(lambda: not queue())
    text = (tmp_path / "guide.out").read_text()
    ranks = Rank.all(text)

    assert complete(ranks), text
    assert list(Counter(rank.node for rank in ranks).values()) == [9, 9, 9]
    assert len(ranks) == 27, "25 were asked for"
    assert len(set(gpus_of_workers(ranks).values())) > 1


def test_each_rank_of_motioncor2_has_a_gpu_of_its_own(gui: Gui) -> None:
    line = (
        "mpirun `which relion_run_motioncorr_mpi` --i movies.star --o MotionCorr/job002/"
        ' --use_motioncor2 --motioncor2_exe MotionCor2 --gpu "0"'
    )
    ranks = ran(gui, "MotionCorr/job002", line, nodes=3, modules="")

    # Every rank works, and looks up its own entry of the map.
    entries = [rank.map.split(":") for rank in ranks]
    assert {len(each) for each in entries} == {len(ranks)}
    taken = Counter(
        (rank.node, rank.devices[int(each[rank.number])])
        for rank, each in zip(ranks, entries, strict=True)
    )
    assert len(taken) == 6
    assert set(taken.values()) == {1}


def test_srun_can_start_the_ranks(slurm: Cluster, tmp_path: Path) -> None:
    # A shell script: Debian's Open MPI cannot be started by srun on pretended nodes.
    launcher = 'srun -n {ntasks} --distribution=arbitrary --nodelist "{rank_hosts}"'
    gui = Gui(tmp_path, multinode_launcher=launcher)
    gui.program(
        "relion_refine",
        "#!/bin/bash\n"
        "while [ $1 != --gpu ]; do shift; done\n"
        "given=$CUDA_VISIBLE_DEVICES\n"
        'echo "where $SLURM_PROCID $SLURM_NTASKS 300 $SLURMD_NODENAME $given 1 [$2]"\n',
    )
    ranks = ran(gui, "Refine3D/job001", REFINE3D, nodes=3, nthread=1)

    assert "srun -n 25 --distribution=arbitrary" in gui.text(
        "Refine3D/job001/run_submit.script.run"
    )
    assert ranks[0].node == min(rank.node for rank in ranks)
    assert len(gpus_of_workers(ranks)) == 6
    assert set(gpus_of_workers(ranks).values()) == {4}

"""Which rank gets which GPU: maps are long enough, and no GPU is asked for that nobody uses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.cluster import Partition
from relion_dispatch.engine import Request, plan
from relion_dispatch.gpu_layouts import gpu_layout
from relion_dispatch.memory import Problem
from relion_dispatch.needs import Need, Room, Size, Unfit
from relion_dispatch.profiles import load_profile

rooms = st.builds(
    lambda gpus, cores, workers: Room(
        name="gpu",
        partition=Partition(nodes=8, gpus_per_node=gpus, gpu_mem_mb=16_280),
        cores=cores,
        mem_mb=10**6,
        workers_per_gpu=workers,
    ),
    st.integers(1, 8),
    st.integers(1, 64),
    st.integers(1, 4),
)
nodes_asked = st.one_of(st.none(), st.integers(1, 5))


def laid_out(need: Need, room: Room) -> Size | None:
    try:
        return gpu_layout(need, room)
    except Unfit:
        return None


@given(
    room=rooms,
    nodes=nodes_asked,
    halves=st.booleans(),
    box=st.one_of(st.none(), st.integers(32, 600)),
    nthread=st.one_of(st.none(), st.integers(1, 8)),
)
def test_all_gpus_of_all_nodes_work_alike(
    room: Room, nodes: int | None, halves: bool, box: int | None, nthread: int | None
) -> None:
    need = Need(
        ranks="halves" if halves else "workers",
        threads=True,
        gpu="shared",
        problem=Problem(box=box),
        nodes=nodes,
        nthread=nthread,
    )
    if (found := laid_out(need, room)) is None:
        return
    assert found.nodes == (nodes or 1)
    workers = [found.ranks_on[0] - 1, *found.ranks_on[1:]]
    assert len(set(workers)) == 1
    assert sum(workers) % (2 if halves else 1) == 0
    # One after the other, the workers take the map's entries over and over; without a map, the
    # devices in blocks, as there is one node.
    entries = [int(entry) for entry in (found.gpu_map or "").split(":") if entry]
    devices = entries or [at * found.gpus_per_node // workers[0] for at in range(workers[0])]
    assert len(devices) == workers[0]
    on_device = Counter(devices)
    assert set(on_device) == set(range(found.gpus_per_node))
    assert len(set(on_device.values())) == 1
    assert bool(entries) == (found.nodes > 1)


@given(
    room=rooms,
    nodes=nodes_asked,
    most=st.one_of(st.none(), st.integers(1, 50)),
    ngpu=st.one_of(st.none(), st.integers(1, 8)),
)
def test_programs_with_a_gpu_to_each_rank_have_a_map_for_all_ranks(
    room: Room, nodes: int | None, most: int | None, ngpu: int | None
) -> None:
    need = Need(ranks="every", gpu="one_rank_each", nodes=nodes, max_ranks=most, ngpu=ngpu)
    if (found := laid_out(need, room)) is None:
        return
    entries = (found.gpu_map or "").split(":")
    assert len(entries) == found.ntasks == found.gpus_per_node * found.nodes
    assert found.ntasks <= (most or found.ntasks)
    on_node = [str(device) for device in range(found.gpus_per_node)]
    assert entries == on_node * found.nodes


@pytest.mark.parametrize("nthread, gpus", [(1, 1), (2, 2), (8, 4), (None, 4)])
def test_one_process_uses_no_more_gpus_than_it_has_threads(nthread: int | None, gpus: int) -> None:
    room = Room(
        name="gpu", partition=Partition(gpus_per_node=4), cores=32, mem_mb=10**5, workers_per_gpu=4
    )
    need = Need(threads=True, gpu="one_process", nthread=nthread)

    assert gpu_layout(need, room).gpus_per_node == gpus
    wished = replace(need, ngpu=4, wished=frozenset({"ngpu"}))
    assert gpu_layout(wished, room).gpus_per_node == 4


def test_srun_is_told_the_node_of_every_rank() -> None:
    profile = load_profile("m3")
    launcher = 'srun -n {ntasks} -c {cpus_per_task} -m arbitrary -w "{rank_hosts}"'
    cluster = replace(profile.cluster, multinode_launcher=launcher)
    line = "`which relion_refine_mpi` --o Class3D/job001/run --ref map.mrc --K 2"
    made = plan(
        Request(commands=(line,), overrides={"nodes": 3, "nthread": 2}),
        replace(profile, cluster=cluster),
    )

    assert made.command.startswith('srun -n 25 -c 2 -m arbitrary -w "$rank_hosts" `which')
    assert "rank_hosts=$(scontrol show hostnames" in made.script
    assert "NR == 1 ? 9 : 8" in made.script

"""The size of a job on a cluster: pure functions of what it needs and what there is.

The rules per program are RELION's own and those of sites that measured them (the M3 guide of
MASSIVE; RELION's maintainers in the project's issues):

- ``relion_refine`` has a leader that computes nothing: ranks = workers + 1, and no GPU for it.
- ``--split_random_halves`` needs two equal halves of workers: an odd number of ranks, at least 3
  (src/ml_optimiser_mpi.cpp, ``initialiseWorkLoad``).
- Every GPU of every node gets the same number of workers: the first node 1 + w*g ranks, the
  others w*g.
- MotionCor2 and Gctf want a GPU for themselves: one rank on each.
- The initial model, VDAM, training and reverting have no MPI version.

Among the partitions that fit, the cheapest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.cpu_layouts import cpu_layout
from relion_dispatch.duration import SAFETY, minutes
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.gpu_layouts import gpu_layout
from relion_dispatch.memory import gpu_mem_mb
from relion_dispatch.needs import (
    Need,
    Room,
    Size,
    Unfit,
    memory_reason,
    node_mem_mb,
    rank_mem_mb,
)


def size(need: Need, cluster: Cluster) -> Size:
    """Choose everything for a job.

    Raises
    ------
    DoesNotFitError
        When no partition can run it; the message says what is missing in each and what would make
        it fit.
    """
    if need.hoped_nproc is None or need.nproc is not None:
        return _chosen(need, cluster)
    hoped = replace(need, nproc=need.hoped_nproc)
    try:
        return _chosen(hoped, cluster)
    except DoesNotFitError:
        note = f"{need.hoped_nproc} ranks, as in the command, cannot be laid out here: not heeded."
        found = _chosen(need, cluster)
        return replace(found, notes=(note, *found.notes))


def _chosen(need: Need, cluster: Cluster) -> Size:
    need, notes = _without_gpus(need, cluster)
    fits: list[Size] = []
    refusals: dict[str, str] = {}
    for name, partition in _candidates(need, cluster):
        try:
            fits.append(_fit(need, _room(need, cluster, name, partition), cluster))
        except Unfit as reason:
            refusals[name] = str(reason)
    if not fits:
        raise DoesNotFitError(_does_not_fit(need, cluster, refusals))
    best = min(fits, key=lambda each: _price(each, cluster.partitions[each.partition]))
    others = [each for each in fits if each is not best]
    return replace(best, notes=(*notes, *best.notes, *_why_not(best, others, refusals, cluster)))


def _without_gpus(need: Need, cluster: Cluster) -> tuple[Need, tuple[str, ...]]:
    """Turn a step that could use GPUs into one on CPUs, where there are or shall be none."""
    reason = _no_gpus(need, cluster)
    if need.gpu == "none" or not reason:
        return need, ()
    if need.needs_gpu:
        raise DoesNotFitError(f"this program runs on GPUs only, but {reason}")
    return replace(need, gpu="none", ngpu=None), (f"It runs on CPUs: {reason}.",)


def _no_gpus(need: Need, cluster: Cluster) -> str:
    """Return why there are no GPUs for a job; empty where there are."""
    asked = cluster.partitions.get(need.partition or "")
    if need.ngpu == 0:
        return "no GPUs were asked for"
    if asked is not None and not asked.gpus_per_node:
        return f"partition {need.partition} has no GPUs"
    if not any(each.gpus_per_node for each in cluster.partitions.values()):
        return "no partition of the profile has GPUs"
    return ""


def _candidates(need: Need, cluster: Cluster) -> Iterator[tuple[str, Partition]]:
    """Yield the partitions to try: the one asked for, or all with GPUs, or all without."""
    if need.partition is not None:
        if need.partition not in cluster.partitions:
            known = ", ".join(cluster.partitions) or "none"
            raise DoesNotFitError(f"there is no partition '{need.partition}'; known are {known}")
        yield need.partition, cluster.partitions[need.partition]
        return
    with_gpus = {n: p for n, p in cluster.partitions.items() if p.gpus_per_node}
    without = {n: p for n, p in cluster.partitions.items() if not p.gpus_per_node}
    yield from (with_gpus if need.gpu != "none" else without or with_gpus).items()


def _room(need: Need, cluster: Cluster, name: str, partition: Partition) -> Room:
    cores, mem_mb = partition.cores, partition.mem_mb
    if isinstance(cores, str) or isinstance(mem_mb, str):
        raise TypeError(f"partition {name} still says 'auto'")
    # A scheduler finds each job a place of its own; on one machine they share it.
    share = need.concurrent if cluster.local else 1
    return Room(
        name=name,
        partition=partition,
        cores=max(cores // share, 1),
        mem_mb=max((mem_mb - cluster.reserve_mem_mb) // share, 1),
        local=cluster.local,
        gpu_model=cluster.gpu_memory_model,
        workers_per_gpu=partition.workers_per_gpu or cluster.workers_per_gpu,
        max_workers_per_gpu=partition.max_workers_per_gpu or cluster.max_workers_per_gpu,
    )


def _fit(need: Need, room: Room, cluster: Cluster) -> Size:
    """Lay a job out on a partition, with memory and time."""
    found = cpu_layout(need, room) if need.gpu == "none" else gpu_layout(need, room)
    if found.nodes > room.partition.nodes:
        raise Unfit(f"{found.nodes} nodes were asked for, a job may use {room.partition.nodes}")
    mem_mb = need.mem_mb or _node_memory(need, room, found)
    if mem_mb > room.mem_mb and not room.local:
        raise Unfit(f"it needs {mem_mb} MB of memory on a node, which has {room.mem_mb} MB to give")
    runtime_min, time_notes = _runtime(need, room.partition, cluster, found)
    notes = (*found.notes, *_memory_notes(need, room, found, mem_mb), *time_notes)
    mem_mb = min(mem_mb, room.mem_mb)
    return replace(found, mem_mb=mem_mb, runtime_min=runtime_min, notes=notes)


def _node_memory(need: Need, room: Room, found: Size) -> int:
    """Memory of the fullest node in MiB, by half more at each attempt, in round numbers."""
    needed = node_mem_mb(need, max(found.ranks_on), found.cpus_per_task)
    grown = math.ceil(needed * 1.5 ** (need.attempt - 1))
    return max(needed, min(-(-grown // 100) * 100, room.mem_mb))


def _memory_notes(need: Need, room: Room, found: Size, mem_mb: int) -> Iterator[str]:
    if need.mem_mb is None:
        per_rank = rank_mem_mb(need, found.cpus_per_task)
        reason = memory_reason(need, found.cpus_per_task)
        yield (
            f"Memory of a node: {mem_mb} MB, for {max(found.ranks_on)} ranks of {per_rank} MB"
            f"{f', {reason}' if reason else ''}."
        )
    if mem_mb > room.mem_mb:
        yield f"This machine has only {room.mem_mb} MB to give: it may become slow, or not suffice."


def _runtime(
    need: Need, partition: Partition, cluster: Cluster, found: Size
) -> tuple[int | None, tuple[str, ...]]:
    """Time limit in minutes, doubled at each attempt, and what it comes from."""
    limit = partition.max_runtime_min
    if limit is not None and "runtime" in need.wished and (need.runtime_min or 0) > limit:
        raise Unfit(f"{need.runtime_min} minutes were asked for, its limit is {limit}")
    wanted, notes = need.runtime_min, tuple[str, ...]()
    if wanted is None:
        wanted, notes = _estimated(need, partition, cluster, found)
    if wanted is None:
        return limit, notes
    grown: int = wanted * 2 ** (need.attempt - 1)
    return (min(grown, limit) if limit else grown), notes


def _estimated(
    need: Need, partition: Partition, cluster: Cluster, found: Size
) -> tuple[int | None, tuple[str, ...]]:
    """The profile's usual limit, or more where the data ask for it."""
    usual = cluster.default_runtime_min
    speed = found.gpus_per_node * found.nodes * partition.gpu_speed
    estimate = minutes(need.time, need.problem, speed, found.ntasks * found.cpus_per_task)
    if usual is None or estimate is None:
        return usual, ()
    factor = need.factors.of_time(need.time, need.job_type, found.partition, SAFETY)
    estimate = math.ceil(estimate / SAFETY * factor.value)
    if estimate <= usual:
        return usual, ()
    reason = factor.reason or "by a rough estimate"
    return estimate, (f"It may take up to {estimate} minutes, {reason}.",)


def _price(each: Size, partition: Partition) -> tuple[float, float]:
    """Cheapest first; of equally cheap ones the fastest."""
    on_node = each.gpus_per_node * partition.gpu_speed or each.ntasks * each.cpus_per_task
    return partition.cost * each.nodes, -on_node * each.nodes


def _why_not(
    best: Size, others: Sequence[Size], refusals: Mapping[str, str], cluster: Cluster
) -> Iterator[str]:
    def cost(each: Size) -> str:
        return f"cost {cluster.partitions[each.partition].cost * each.nodes:g}"

    if others or refusals:
        yield f"Partition {best.partition} is the cheapest that fits ({cost(best)})."
    for each in others:
        yield f"Partition {each.partition} would fit as well ({cost(each)})."
    for name, reason in refusals.items():
        yield f"Partition {name} does not fit: {reason}."


def _does_not_fit(need: Need, cluster: Cluster, refusals: Mapping[str, str]) -> str:
    reasons = [f"  {name}: {reason}" for name, reason in refusals.items()]
    if not reasons:
        return "the profile has no partitions: add some to its cluster file"
    head = "the job fits no partition of the profile:"
    return "\n".join([head, *reasons, _advice(need, cluster)])


def _advice(need: Need, cluster: Cluster) -> str:
    """Say what would make a job fit."""
    model, problem = cluster.gpu_memory_model, need.problem
    if need.gpu == "none" or problem.box is None:
        return "Ask for less, or add a larger partition to the profile."
    smaller = problem.box * 2 // 3 // 2 * 2
    ideas = {
        f"a box of {smaller} pixels": replace(problem, box=smaller),
        f"--pad 1 instead of {problem.pad:g}": replace(problem, pad=1),
        f"one class instead of {problem.classes}": replace(problem, classes=1),
    }
    now = gpu_mem_mb(model, problem) or 0
    would = {text: gpu_mem_mb(model, each) or 0 for text, each in ideas.items()}
    helps = [f"{needed} MB with {text}" for text, needed in would.items() if needed < now]
    return f"A worker would need {', '.join(helps)}; on CPUs (ngpu: 0) it needs no GPU memory."

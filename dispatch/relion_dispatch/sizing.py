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

Among the partitions that fit, the cheapest is taken; one whose time limit is shorter than the
estimate only where all are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from relion_dispatch import advice, partition_choice
from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.cpu_layouts import cpu_layout
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.gpu_layouts import gpu_layout
from relion_dispatch.image_copies import preread, scratch, without_preread
from relion_dispatch.memory import gpu_mem_mb
from relion_dispatch.needs import (
    Need,
    Room,
    Size,
    Unfit,
    count,
    leader_of,
    memory_factor,
    node_mem_mb,
    rank_mem_mb,
)
from relion_dispatch.time_limits import time_limit


def size(need: Need, cluster: Cluster) -> Size:
    """Choose everything for a job.

    Raises
    ------
    DoesNotFitError
        When no partition can run it; the message says what is missing in each and what would make
        it fit.
    """
    if need.hoped_nproc is None or need.nproc is not None:
        wished = need.nproc if "nproc" in need.wished else None
        return _compared(_chosen(need, cluster), wished)
    hoped = replace(need, nproc=need.hoped_nproc)
    try:
        return _compared(_chosen(hoped, cluster), need.hoped_nproc)
    except DoesNotFitError:
        note = f"{need.hoped_nproc} ranks, as in the command, cannot be laid out here: not heeded."
        found = _chosen(need, cluster)
        return replace(found, notes=(note, *found.notes))


def _compared(found: Size, asked: int | None) -> Size:
    """Say where a job gets other ranks than asked for: its program or its data want it so."""
    if asked is None or asked == found.ntasks:
        return found
    note = f"{count(asked, 'rank')} asked for, but this job takes {found.ntasks}."
    return replace(found, notes=(note, *found.notes))


def warnings(need: Need, found: Size, cluster: Cluster) -> tuple[str, ...]:
    """Say what is to be feared of a job of a size: want of memory, and of time."""
    partition = cluster.partitions.get(found.partition)
    if partition is None:
        return ()
    fears = (_lacking(need, cluster, found, partition), partition_choice.too_long(found, partition))
    return tuple(text for text in fears if text)


def _lacking(need: Need, cluster: Cluster, found: Size, partition: Partition) -> str:
    """Say that memory may not suffice: a job on this machine is never refused for that."""
    needed = node_mem_mb(need, max(found.ranks_on), found.cpus_per_task)
    room = _room(need, cluster, found.partition, partition)
    given = min(need.mem_mb or room.mem_mb, room.mem_mb)
    if needed <= given or "preread_images" in found.left_out:
        return ""
    return f"It may need {needed} MB of memory on a node, and gets {given} MB."


def _chosen(need: Need, cluster: Cluster) -> Size:
    need, notes = _without_gpus(need, cluster)
    fits, refusals = _fits(need, cluster)
    if not fits:
        fits, note = _below_nyquist(need, cluster)
        notes = (*notes, *note)
        found = {each.partition for each in fits}
        refusals = {name: why for name, why in refusals.items() if name not in found}
    if not fits and cluster.local and need.gpu != "none" and not need.needs_gpu and not need.ngpu:
        reason = "; ".join(refusals.values())
        there = _chosen(replace(need, gpu="none", ngpu=None), cluster)
        return replace(there, notes=(f"It runs on CPUs: {reason}.", *there.notes))
    if not fits:
        model = cluster.gpu_memory_model
        raise DoesNotFitError(
            advice.message(need, refusals, model, lambda other: _would_fit(other, cluster))
        )
    best, why = partition_choice.cheapest(fits, refusals, cluster.partitions)
    return replace(best, notes=(*notes, *best.notes, *why))


def _fits(need: Need, cluster: Cluster) -> tuple[list[Size], dict[str, str]]:
    """Return how a job runs in each partition that it fits, and why not in the others."""
    fits: list[Size] = []
    refusals: dict[str, str] = {}
    for name, partition in _candidates(need, cluster):
        try:
            fits.append(_fit(need, _room(need, cluster, name, partition), cluster))
        except Unfit as reason:
            refusals[name] = str(reason)
    return fits, refusals


def _below_nyquist(need: Need, cluster: Cluster) -> tuple[list[Size], tuple[str, ...]]:
    """Fit a classification whose references are too large at a resolution it will hardly reach.

    ("During classifications, resolution is typically lower", src/error.h.) One worker has a GPU
    for itself then; refinements of halves do reach full resolution.
    """
    box = need.problem.box
    model = cluster.gpu_memory_model
    if need.gpu not in ("shared", "one_process") or need.problem.halves or box is None:
        return [], ()
    if model != "relion" or need.problem.current_size is not None:
        return [], ()
    alone = replace(need, workers_per_gpu=1, wished=need.wished | {"workers_per_gpu"})
    reached = need.gpu_current_size or box
    for percent in (90, 80, 70, 60, 50):
        tried = replace(alone, gpu_current_size=min(box * percent // 100, reached))
        if fits := _fits(tried, cluster)[0]:
            needed = gpu_mem_mb(model, need.problem, need.nthread or 1)
            note = (
                f"At full resolution a worker would need {needed} MB of GPU memory, more than there"
                f" is: this suffices up to {percent} % of it, as far as classifications usually go."
            )
            return fits, (note,)
    return [], ()


def _would_fit(need: Need, cluster: Cluster) -> bool:
    try:
        need, _ = _without_gpus(need, cluster)
        return bool(_fits(need, cluster)[0])
    except DoesNotFitError:
        return False


def _without_gpus(need: Need, cluster: Cluster) -> tuple[Need, tuple[str, ...]]:
    """Turn a step that could use GPUs into one on CPUs, where there are or shall be none."""
    reason = _no_gpus(need, cluster)
    if need.gpu == "none" and need.ngpu and "ngpu" in need.wished:
        return need, (f"{count(need.ngpu, 'GPU')} asked for, but this program uses none.",)
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
    bare = without_preread(need)
    found = cpu_layout(bare, room) if need.gpu == "none" else gpu_layout(bare, room)
    if found.nodes > room.partition.nodes:
        raise Unfit(f"{found.nodes} nodes were asked for, a job may use {room.partition.nodes}")
    kept, read = preread(need, max(found.ranks_on), found.cpus_per_task, room.mem_mb)
    mem_mb = need.mem_mb or _node_memory(kept, room, found)
    if mem_mb > room.mem_mb and not room.local:
        raise Unfit(f"it needs {mem_mb} MB of memory on a node, which has {room.mem_mb} MB to give")
    time = time_limit(need, room.partition, cluster, found)
    said = [text for text in (read, scratch(kept)) if text]
    notes = (*found.notes, *_memory_notes(kept, room, found, mem_mb), *said, *time.notes)
    return replace(
        found,
        mem_mb=min(mem_mb, room.mem_mb),
        runtime_min=time.runtime_min,
        estimate_min=time.estimate_min,
        left_out=() if kept.problem == need.problem else ("preread_images",),
        notes=notes,
    )


def _node_memory(need: Need, room: Room, found: Size) -> int:
    """Memory of the fullest node in MiB, by half more at each attempt, in round numbers."""
    needed = node_mem_mb(need, max(found.ranks_on), found.cpus_per_task)
    grown = math.ceil(needed * 1.5 ** (need.attempt - 1))
    return max(needed, min(-(-grown // 100) * 100, room.mem_mb))


def _memory_notes(need: Need, room: Room, found: Size, mem_mb: int) -> Iterator[str]:
    if need.mem_mb is None:
        leader, ranks = leader_of(need), max(found.ranks_on)
        per_rank = rank_mem_mb(need, found.cpus_per_task)
        reason = memory_factor(need, found.cpus_per_task).reason
        text = f"{count(ranks, 'rank')} of {per_rank} MB"
        if leader:
            text = f"a leader of {leader} MB and {count(ranks - 1, 'worker')} of {per_rank} MB"
        yield f"Memory of a node: {mem_mb} MB, for {text}{f', {reason}' if reason else ''}."
    if mem_mb > room.mem_mb:
        yield f"This machine has only {room.mem_mb} MB to give: it may become slow, or not suffice."

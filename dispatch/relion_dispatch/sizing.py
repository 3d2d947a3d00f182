"""Ranks, threads, GPUs, memory and nodes of a job: pure functions of the job and the cluster.

The rules per program are RELION's own and those of sites that measured them (the M3 guide of
MASSIVE; RELION's maintainers in the project's issues):

- ``relion_refine`` has a leader that computes nothing: ranks = workers + 1, and no GPU for it.
- ``--split_random_halves`` needs two equal halves of workers: an odd number of ranks, at least 3
  (src/ml_optimiser_mpi.cpp, ``initialiseWorkLoad``).
- Every GPU of every node gets the same number of workers: the first node 1 + w*g ranks, the
  others w*g.
- MotionCor2 and Gctf want a GPU for themselves: one rank on each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.jobtypes import Gpu, Ranks
from relion_dispatch.memory import Problem, gpu_model, host_mem_mb

#: Threads of a rank that shares its GPU with few others, by workers on the GPU: about eight
#: worker threads keep a GPU busy, more than four in one rank gain little (M3 guide).
GPU_THREADS = {1: 4, 2: 4, 3: 2, 4: 2}

#: Threads of a worker on CPUs, in the order in which they are tried: few ranks with many threads
#: need less memory.
CPU_THREADS = (2, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a step is and what was asked for it.

    Attributes
    ----------
    ranks, threads, gpu
        How the program runs, as in a job type.
    problem
        What decides about memory.
    memory
        Name of the model of host memory.
    max_ranks, max_threads
        More ranks, or more threads of a rank, have nothing to do.
    nproc, nthread, ngpu, nodes
        Numbers that were asked for; ngpu is the GPUs of a node.
    wished
        Which of them a user asked for: these are kept or refused, the others may be adjusted.
    mem_mb, mem_mb_per_rank
        Memory of a node that was asked for, and of a rank where the model knows nothing.
    workers_per_gpu
        Workers on one GPU that the job type prefers.
    gpu_mem_mb
        Memory of a GPU in MiB, where the job type knows better than the partition.
    partition, runtime_min
        Where and for how long.
    concurrent
        Jobs like this that share a node.
    attempt
        Which try this is: memory and time grow with it.
    """

    ranks: Ranks = "single"
    threads: bool = False
    gpu: Gpu = "none"
    problem: Problem = field(default_factory=Problem)
    memory: str = "flat"
    max_ranks: int | None = None
    max_threads: int | None = None
    nproc: int | None = None
    nthread: int | None = None
    ngpu: int | None = None
    nodes: int | None = None
    wished: frozenset[str] = frozenset()
    mem_mb: int | None = None
    mem_mb_per_rank: int = 1000
    workers_per_gpu: int | None = None
    gpu_mem_mb: int | None = None
    partition: str | None = None
    runtime_min: int | None = None
    concurrent: int = 1
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Size:
    """How a job runs.

    Attributes
    ----------
    ranks_on
        Ranks on each node, the leader's node first.
    cpus_per_task
        Threads of a rank.
    gpus_per_node
        GPUs of each node.
    gpu_map
        Value of ``--gpu``; None on CPUs.
    gpu_mem_mb_per_rank
        Predicted device memory of a rank in MiB.
    mem_mb
        Host memory of a node in MiB.
    partition, runtime_min
        Where and for how long.
    notes
        Every decision with its reason, a sentence each.
    """

    ranks_on: tuple[int, ...] = (1,)
    cpus_per_task: int = 1
    gpus_per_node: int = 0
    gpu_map: str | None = None
    gpu_mem_mb_per_rank: int | None = None
    mem_mb: int
    partition: str
    runtime_min: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def ntasks(self) -> int:
        """MPI ranks of the whole job."""
        return sum(self.ranks_on)

    @property
    def nodes(self) -> int:
        """Nodes of the job."""
        return len(self.ranks_on)


class Unfit(Exception):
    """Why a job does not fit a partition, as a sentence's end."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A node of a partition as one job sees it.

    Attributes
    ----------
    name, partition
        The partition.
    cores, mem_mb
        What one of the concurrent jobs may use of a node.
    crowded
        More ranks than cores may run: a leader needs no core of its own.
    """

    name: str
    partition: Partition
    cores: int
    mem_mb: int
    crowded: bool


def size(need: Need, cluster: Cluster) -> Size:
    """Choose everything for a job.

    Raises
    ------
    DoesNotFitError
        When no partition can run it; the message says what is missing in each and what would make
        it fit.
    """
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
    reasons = _why_not(best, fits, refusals, cluster)
    return replace(best, notes=(*notes, *best.notes, *reasons))


def _without_gpus(need: Need, cluster: Cluster) -> tuple[Need, tuple[str, ...]]:
    """Turn a step that could use GPUs into one on CPUs, where there are none or none are wanted."""
    if need.gpu == "none":
        return need, ()
    on_cpu = replace(need, gpu="none", ngpu=None)
    if need.ngpu == 0:
        return on_cpu, ("It runs on CPUs, because no GPUs were asked for.",)
    asked = cluster.partitions.get(need.partition or "")
    if asked is not None and not asked.gpus_per_node:
        return on_cpu, (f"It runs on CPUs, because partition {need.partition} has no GPUs.",)
    if not any(each.gpus_per_node for each in cluster.partitions.values()):
        return on_cpu, ("It runs on CPUs: no partition has GPUs.",)
    return need, ()


def _candidates(need: Need, cluster: Cluster) -> Iterator[tuple[str, Partition]]:
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
        raise TypeError(f"partition {name} still says 'auto': resolve it first")
    return Room(
        name=name,
        partition=partition,
        cores=max(cores // need.concurrent, 1),
        mem_mb=max((mem_mb - cluster.reserve_mem_mb) // need.concurrent, 1),
        crowded=cluster.local,
    )


def _fit(need: Need, room: Room, cluster: Cluster) -> Size:
    if need.gpu != "none":
        shape = _gpu_shape(need, room, cluster)
    else:
        shape = _cpu_shape(need, room)
    return _finish(need, room, cluster, shape)


def _price(each: Size, partition: Partition) -> tuple[float, float]:
    """Cheapest first; of equally cheap ones the fastest."""
    speed = each.gpus_per_node * partition.gpu_speed or each.ntasks * each.cpus_per_task
    return partition.cost * each.nodes, -speed * each.nodes


# --- on CPUs -------------------------------------------------------------------------------------


def _cpu_shape(need: Need, room: Room) -> Size:
    shapes: dict[str, Callable[[Need, Room], Size]] = {
        "single": _single,
        "every": _every,
        "workers": _cpu_workers,
        "halves": _cpu_workers,
    }
    return shapes[need.ranks](need, room)


def _single(need: Need, room: Room) -> Size:
    threads = _threads(need, room.cores)
    note = f"One process with {_count(threads, 'thread')}: the program has no MPI version here."
    return _shape(room, (1,), threads, note)


def _every(need: Need, room: Room) -> Size:
    """Ranks that all work: as many as cores, memory and data give, then threads."""
    nodes = need.nodes or 1
    threads = _threads(need, 1) if need.nthread else 1
    by_cores = max(room.cores // threads, 1)
    by_memory = _by_memory(need, room, threads)
    by_data = -(-need.max_ranks // nodes) if need.max_ranks else by_cores
    per_node = min(by_cores, by_memory, by_data)
    if need.nproc is not None:
        per_node = _asked_ranks(need, -(-need.nproc // nodes), min(by_cores, by_memory))
    if not need.nthread:
        threads = _threads(need, room.cores // per_node)
    limit = {by_data: "data", by_memory: "memory", by_cores: "cores"}[min(by_data, by_memory, by_cores)]
    note = (
        f"{_count(per_node, 'rank')} of {_count(threads, 'thread')} on a node, every rank works;"
        f" the {limit} allow {min(by_data, by_memory, by_cores)}."
    )
    return _shape(room, (per_node,) * nodes, threads, note)


def _cpu_workers(need: Need, room: Room) -> Size:
    """A leader and workers on CPUs: threads are raised until the workers fit the memory."""
    least = 2 if need.ranks == "halves" else 1
    nodes = need.nodes or 1
    most = 0
    for threads in _worker_threads(need, room, least):
        most = min(_worker_cores(room, threads), _by_memory(need, room, threads) - 1)
        if most >= least:
            break
    if most < least:
        raise Unfit(_no_memory(need, room, least + 1, threads))
    if need.nproc is not None and need.nproc > 1:
        most = _asked_ranks(need, -(-(need.nproc - 1) // nodes), most)
    elif room.crowded:
        most = least
    workers = most - most % 2 if need.ranks == "halves" and nodes % 2 else most
    note = (
        f"One leader and {_count(workers * nodes, 'worker')} of {_count(threads, 'thread')}"
        f"{' in two equal halves' if need.ranks == 'halves' else ''} on"
        f" {_count(room.cores * nodes, 'core')}."
    )
    return _shape(room, (1 + workers, *(workers,) * (nodes - 1)), threads, note)


def _worker_threads(need: Need, room: Room, least: int) -> tuple[int, ...]:
    if not need.threads:
        return (1,)
    if need.nthread:
        return (min(need.nthread, room.cores),)
    if room.crowded:
        return (max(room.cores // least, 1),)
    return tuple(t for t in CPU_THREADS if t * (least + 1) <= room.cores) or (1,)


def _worker_cores(room: Room, threads: int) -> int:
    if room.crowded:
        return max(room.cores // threads, 2)
    return room.cores // threads - 1


# --- on GPUs -------------------------------------------------------------------------------------


def _gpu_shape(need: Need, room: Room, cluster: Cluster) -> Size:
    if not room.partition.gpus_per_node:
        raise Unfit("it has no GPUs")
    if need.ngpu is not None and need.ngpu > room.partition.gpus_per_node:
        raise Unfit(f"{need.ngpu} GPUs were asked for, a node has {room.partition.gpus_per_node}")
    if need.gpu == "one_rank_each":
        return _one_rank_each(need, room)
    if need.gpu == "shared" and need.ranks in ("workers", "halves"):
        return _gpu_workers(need, room, cluster)
    return _one_process(need, room, cluster)


def _one_rank_each(need: Need, room: Room) -> Size:
    nodes = need.nodes or 1
    gpus = need.ngpu or room.partition.gpus_per_node
    if need.max_ranks is not None:
        gpus = min(gpus, max(-(-need.max_ranks // nodes), 1))
    if gpus > _by_memory(need, room, 1):
        raise Unfit(_no_memory(need, room, gpus, 1))
    threads = _threads(need, room.cores // gpus)
    shape = _shape(
        room, (gpus,) * nodes, threads, f"Exactly one rank on each of {_count(gpus * nodes, 'GPU')}."
    )
    return replace(shape, gpus_per_node=gpus, gpu_map=":".join(map(str, range(gpus))))


def _one_process(need: Need, room: Room, cluster: Cluster) -> Size:
    gpus = 1 if need.gpu == "one_device" else need.ngpu or room.partition.gpus_per_node
    threads = _threads(need, min(room.cores, 4 * gpus))
    per_rank = gpu_model(cluster.gpu_memory_model)(need.problem, -(-threads // gpus))
    limit = _gpu_limit(need, room)
    if per_rank is not None and limit is not None and per_rank > limit:
        raise Unfit(f"one process needs {per_rank} MB on each GPU, which has {limit} MB to give")
    note = f"One process with {_count(threads, 'thread')} on {_count(gpus, 'GPU')}: no MPI here."
    shape = _shape(room, (1,), threads, note)
    gpu_map = "0" if need.gpu == "one_device" else ""
    return replace(shape, gpus_per_node=gpus, gpu_map=gpu_map, gpu_mem_mb_per_rank=per_rank)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Nodes, GPUs of a node, workers of a GPU, threads of a worker."""

    nodes: int
    gpus: int
    workers: int
    threads: int

    @property
    def total(self) -> int:
        return self.nodes * self.gpus * self.workers


def _gpu_workers(need: Need, room: Room, cluster: Cluster) -> Size:
    """A leader and the same number of workers on every GPU."""
    layouts = [each for each in _layouts(need, room, cluster) if _works(need, room, cluster, each)]
    if not layouts:
        raise Unfit(_no_gpu_memory(need, room, cluster))
    best = max(layouts, key=lambda each: (each.total * each.threads, each.total, each.gpus))
    per_rank = gpu_model(cluster.gpu_memory_model)(need.problem, best.threads)
    each_node = best.gpus * best.workers
    ranks_on = (1 + each_node, *(each_node,) * (best.nodes - 1))
    shape = _shape(room, ranks_on, best.threads, _gpu_note(best, need, room, per_rank))
    return replace(
        shape,
        gpus_per_node=best.gpus,
        gpu_map=_shared_map(best),
        gpu_mem_mb_per_rank=per_rank,
    )


def _layouts(need: Need, room: Room, cluster: Cluster) -> Iterator[_Layout]:
    """All layouts that were asked for or may be tried."""
    at_most = room.partition.max_workers_per_gpu or cluster.max_workers_per_gpu
    usual = need.workers_per_gpu or room.partition.workers_per_gpu or cluster.workers_per_gpu
    all_gpus = (need.ngpu,) if need.ngpu else range(1, room.partition.gpus_per_node + 1)
    asked = need.nproc - 1 if need.nproc is not None and need.nproc > 1 else None
    one_node = need.nodes is None and asked is not None
    for nodes in range(1, room.partition.nodes + 1) if one_node else (need.nodes or 1,):
        for gpus in all_gpus:
            most = at_most if asked and nodes == 1 else usual
            for workers in range(1, most + 1):
                for threads in _gpu_threads(need, workers):
                    yield _Layout(nodes=nodes, gpus=gpus, workers=workers, threads=threads)


def _gpu_threads(need: Need, workers: int) -> tuple[int, ...]:
    if not need.threads:
        return (1,)
    if need.nthread:
        return (need.nthread,)
    return tuple(sorted({GPU_THREADS.get(workers, 1), 2, 1}, reverse=True))


def _works(need: Need, room: Room, cluster: Cluster, layout: _Layout) -> bool:
    """Whether a layout keeps all limits and gives what was asked for."""
    ranks = 1 + layout.gpus * layout.workers
    per_rank = gpu_model(cluster.gpu_memory_model)(need.problem, layout.threads)
    limit = _gpu_limit(need, room)
    asked = need.nproc if need.nproc is not None and need.nproc > 1 else None
    return (
        (need.ranks != "halves" or layout.total % 2 == 0)
        and (asked is None or layout.total == asked - 1)
        and ranks * layout.threads <= room.cores
        and ranks <= _by_memory(need, room, layout.threads)
        and (per_rank is None or limit is None or per_rank * layout.workers <= limit)
    )


def _gpu_limit(need: Need, room: Room) -> int | None:
    """Device memory in MiB that RELION may use of one GPU."""
    given = need.gpu_mem_mb or room.partition.gpu_mem_mb
    return None if given is None else given - need.problem.free_gpu_memory_mb


def _shared_map(layout: _Layout) -> str:
    """Return ``--gpu`` for workers that share GPUs.

    On one node RELION's own map is even, and left to it (empty). On several the map of one node
    is given: RELION repeats it for all workers, leader excluded.
    """
    if layout.nodes == 1:
        return ""
    return ":".join(str(gpu) for gpu in range(layout.gpus) for _ in range(layout.workers))


def _gpu_note(layout: _Layout, need: Need, room: Room, per_rank: int | None) -> str:
    text = (
        f"One leader and {layout.workers} workers on each of"
        f" {_count(layout.nodes * layout.gpus, 'GPU')}, {_count(layout.threads, 'thread')} each"
    )
    limit = _gpu_limit(need, room)
    if per_rank is None:
        return f"{text}; the box size is unknown, so GPU memory was not checked."
    fits = f": {limit // per_rank} would fit the {limit} MB of one GPU" if limit else ""
    return f"{text}; a worker needs {per_rank} MB of GPU memory{fits}."


# --- shared by all -------------------------------------------------------------------------------


def _shape(room: Room, ranks_on: tuple[int, ...], threads: int, note: str) -> Size:
    return Size(
        ranks_on=ranks_on, cpus_per_task=threads, mem_mb=0, partition=room.name, notes=(note,)
    )


def _finish(need: Need, room: Room, cluster: Cluster, shape: Size) -> Size:
    """Add memory and time, and check them against the partition."""
    nodes = shape.nodes
    if nodes > room.partition.nodes:
        raise Unfit(f"{nodes} nodes were asked for, a job may use {room.partition.nodes}")
    mem_mb = need.mem_mb or _node_memory(need, room, shape)
    if mem_mb > room.mem_mb:
        raise Unfit(f"it needs {mem_mb} MB of memory on a node, which has {room.mem_mb} MB to give")
    runtime = _runtime(need, room.partition, cluster)
    return replace(shape, mem_mb=mem_mb, runtime_min=runtime)


def _node_memory(need: Need, room: Room, shape: Size) -> int:
    per_rank = _per_rank(need, shape.cpus_per_task)
    needed = per_rank * max(shape.ranks_on) * 1.5 ** (need.attempt - 1)
    return min(-(-int(needed) // 100) * 100, max(room.mem_mb, per_rank))


def _runtime(need: Need, partition: Partition, cluster: Cluster) -> int | None:
    limit = partition.max_runtime_min
    wanted = need.runtime_min or cluster.default_runtime_min or limit
    if wanted is None:
        return None
    if limit is not None and "runtime" in need.wished and wanted > limit:
        raise Unfit(f"{wanted} minutes were asked for, its limit is {limit}")
    grown = wanted * 2 ** (need.attempt - 1)
    return min(grown, limit) if limit else grown


def _per_rank(need: Need, threads: int) -> int:
    """Host memory of a rank in MiB."""
    return host_mem_mb(need.memory, need.problem, threads) or need.mem_mb_per_rank


def _by_memory(need: Need, room: Room, threads: int) -> int:
    """Ranks that a node's memory holds."""
    if need.mem_mb is not None:
        return room.cores * 2
    return max(room.mem_mb // _per_rank(need, threads), 1)


def _threads(need: Need, cores: int) -> int:
    if not need.threads:
        return 1
    return max(need.nthread or min(cores, need.max_threads or cores), 1)


def _asked_ranks(need: Need, asked: int, most: int) -> int:
    """Return the number asked for, or the most that fits where it was no user's wish."""
    if asked > most and "nproc" in need.wished:
        raise Unfit(f"{asked} ranks on a node were asked for, {most} fit its cores and memory")
    return max(min(asked, most), 1)


def _no_memory(need: Need, room: Room, ranks: int, threads: int) -> str:
    per_rank = _per_rank(need, threads)
    return (
        f"{_count(ranks, 'rank')} of {per_rank} MB do not fit its {room.mem_mb} MB of memory"
        if per_rank * ranks > room.mem_mb
        else f"{_count(ranks, 'rank')} of {_count(threads, 'thread')} do not fit its {room.cores} cores"
    )


def _no_gpu_memory(need: Need, room: Room, cluster: Cluster) -> str:
    per_rank = gpu_model(cluster.gpu_memory_model)(need.problem, need.nthread or 1)
    limit = _gpu_limit(need, room)
    if per_rank is not None and limit is not None and per_rank > limit:
        return f"a worker needs {per_rank} MB on a GPU, which has {limit} MB to give"
    asked = f"{need.nproc} ranks" if need.nproc else "two equal halves of workers"
    return (
        f"{asked} cannot be laid out evenly on {room.partition.gpus_per_node} GPUs, {room.cores}"
        f" cores and {room.mem_mb} MB of memory a node"
    )


def _does_not_fit(need: Need, cluster: Cluster, refusals: Mapping[str, str]) -> str:
    lines = [f"  {name}: {reason}" for name, reason in refusals.items()]
    return "\n".join(
        ["the job fits no partition of the cluster:", *lines, *_advice(need, cluster)]
    )


def _advice(need: Need, cluster: Cluster) -> list[str]:
    if need.gpu == "none" or need.problem.box is None:
        return ["Ask for less, or add a larger partition to the profile."]
    problem = need.problem
    ideas = {
        f"--pad 1 instead of {problem.pad:g}": replace(problem, pad=1),
        f"a box of {problem.box * 2 // 3 // 2 * 2} pixels": replace(problem, box=problem.box * 2 // 3),
        "one class at a time": replace(problem, classes=1),
    }
    need_of = gpu_model(cluster.gpu_memory_model)
    now = need_of(problem, 1)
    helpful = [f"{t} ({need_of(p, 1)} MB on a GPU)" for t, p in ideas.items() if need_of(p, 1) != now]
    return [f"It would need less with {', '.join(helpful)}; or run it on CPUs (ngpu 0)."]


def _why_not(
    best: Size, fits: list[Size], refusals: Mapping[str, str], cluster: Cluster
) -> Iterator[str]:
    others = [each for each in fits if each is not best]
    if others or refusals:
        cost = cluster.partitions[best.partition].cost
        yield f"Partition {best.partition} is the cheapest that fits (cost {cost:g})."
    for each in others:
        yield f"Partition {each.partition} would fit (cost {cluster.partitions[each.partition].cost:g})."
    for name, reason in refusals.items():
        yield f"Partition {name} does not fit: {reason}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

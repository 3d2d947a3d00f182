"""Ranks, threads and GPUs of jobs on GPUs: pure functions of the job and a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from relion_dispatch.frozen import dataclass
from relion_dispatch.needs import (
    Need,
    Room,
    Size,
    Unfit,
    count,
    fewest_ranks,
    node_mem_mb,
    rank_mem_mb,
    shape,
    threads_of,
)

#: Threads of a worker by the workers on its GPU: about eight worker threads keep a GPU busy, and
#: more than four in one rank gain little (M3 guide: 2-4 workers on a GPU, 1-2 threads each).
WORKER_THREADS = {1: 4, 2: 4, 3: 2, 4: 2}


def gpu_layout(need: Need, room: Room) -> Size:
    """Lay a job out on GPUs.

    Raises
    ------
    Unfit
        When the node or its GPUs are too small.
    """
    if not room.gpus:
        raise Unfit("it has no GPUs")
    if need.ngpu is not None and need.ngpu > room.gpus:
        raise Unfit(f"{count(need.ngpu, 'GPU')} were asked for, a node has {room.gpus}")
    if need.gpu == "one_rank_each":
        return _one_rank_each(need, room)
    if need.gpu == "shared" and need.ranks in ("workers", "halves"):
        return _shared(need, room)
    return _one_process(need, room)


def _one_rank_each(need: Need, room: Room) -> Size:
    """One rank on each GPU, and no more GPUs than there is something to do for.

    These programs find their device in the map by the number of their rank in the whole job, and
    stop, or read past its end, where it is too short (src/motioncorr_runner.cpp,
    src/autopicker_mpi.cpp, src/ctffind_runner.cpp): it names the devices of all nodes.
    """
    most = need.max_ranks or room.gpus * (need.nodes or 1)
    nodes = min(need.nodes or 1, most)
    gpus = min(need.ngpu or room.gpus, most // nodes)
    fitting = min(room.ranks_by_memory(need, 1), gpus if room.local else room.cores)
    if fitting < 1 or (gpus > fitting and "ngpu" in need.wished):
        raise Unfit(
            f"{count(gpus, 'rank')} of {rank_mem_mb(need, 1)} MB do not fit its {room.mem_mb} MB"
            f" of memory and {room.cores} cores"
        )
    idle = gpus - fitting
    gpus = min(gpus, fitting)
    threads = threads_of(need, max(room.cores // gpus, 1))
    left = f"; memory and cores allow no more, {count(idle, 'GPU')} of a node left free"
    note = f"Exactly one rank on each of {count(gpus * nodes, 'GPU')}{left if idle > 0 else ''}."
    found = shape(room, (gpus,) * nodes, threads, note)
    return replace(found, gpus_per_node=gpus, gpu_map=":".join([*map(str, range(gpus))] * nodes))


def _one_process(need: Need, room: Room) -> Size:
    alone = need.gpu == "one_device"
    gpus = 1 if alone else need.ngpu or room.gpus
    threads = threads_of(need, min(room.cores, 4 * gpus))
    if "ngpu" not in need.wished:
        gpus = min(gpus, threads)  # a thread keeps to one device
    per_rank = None if alone else room.gpu_mem_mb(need, -(-threads // gpus))
    limit = room.gpu_limit(need)
    if per_rank is not None and limit is not None and per_rank > limit:
        raise Unfit(f"the process needs {per_rank} MB on each GPU, which has {limit} MB to give")
    note = f"One process with {count(threads, 'thread')} on {count(gpus, 'GPU')}."
    return replace(
        shape(room, (1,), threads, note),
        gpus_per_node=gpus,
        gpu_map="0" if alone else "",
        gpu_mem_mb_per_rank=per_rank,
    )


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


def _shared(need: Need, room: Room) -> Size:
    """A leader and the same number of workers on every GPU of every node."""
    possible = [each for each in _layouts(need, room) if _works(need, room, each)]
    if not possible:
        raise Unfit(_no_layout(need, room))
    best = max(possible, key=_merit)
    workers = best.gpus * best.workers
    found = shape(room, (1 + workers, *(workers,) * (best.nodes - 1)), best.threads, "")
    return replace(
        found,
        gpus_per_node=best.gpus,
        gpu_map=_map(best),
        gpu_mem_mb_per_rank=room.gpu_mem_mb(need, best.threads),
        notes=_notes(best, need, room),
    )


def _merit(layout: _Layout) -> tuple[int, ...]:
    """Fewest nodes, then most GPUs, most workers, most threads."""
    return -layout.nodes, layout.gpus, layout.workers, layout.threads


def _layouts(need: Need, room: Room) -> Iterator[_Layout]:
    """All layouts that may be tried: with ranks asked for, also on more nodes."""
    asked = need.nproc is not None and need.nproc > 1
    nodes_tried = (
        range(1, room.partition.nodes + 1) if asked and not need.nodes else (need.nodes or 1,)
    )
    gpus_tried = (need.ngpu,) if need.ngpu else range(1, room.gpus + 1)
    for nodes in nodes_tried:
        for gpus in gpus_tried:
            for workers in range(1, _most_workers(need, room, nodes, asked) + 1):
                for threads in _threads(need, workers):
                    yield _Layout(nodes=nodes, gpus=gpus, workers=workers, threads=threads)


def _most_workers(need: Need, room: Room, nodes: int, asked: bool) -> int:
    """Workers on one GPU: the usual number, on one node the most where a user says so."""
    usual = need.workers_per_gpu or room.workers_per_gpu
    if nodes > 1:
        return usual
    if "workers_per_gpu" in need.wished:
        return usual
    by_user = asked or ("nthread" in need.wished and need.nthread == 1)
    return max(usual, room.max_workers_per_gpu) if by_user else usual


def _threads(need: Need, workers: int) -> tuple[int, ...]:
    if not need.threads:
        return (1,)
    if need.nthread:
        return (need.nthread,)
    return tuple(sorted({WORKER_THREADS.get(workers, 1), 2, 1}))


def _works(need: Need, room: Room, layout: _Layout) -> bool:
    """Whether a layout keeps all limits and gives what was asked for."""
    ranks = 1 + layout.gpus * layout.workers
    per_rank = room.gpu_mem_mb(need, layout.threads)
    limit = room.gpu_limit(need, layout.workers)
    asked = need.nproc if need.nproc is not None and need.nproc > 1 else None
    return (
        (need.ranks != "halves" or layout.total % 2 == 0)
        and (asked is None or layout.total == asked - 1)
        and (ranks - room.local) * layout.threads <= room.cores
        and ranks <= room.ranks_by_memory(need, layout.threads)
        and (per_rank is None or limit is None or per_rank * layout.workers <= limit)
    )


def _map(layout: _Layout) -> str:
    """Return the value of ``--gpu`` for workers that share GPUs.

    On one node RELION's own map is even, and left to it (empty). On several the map of one node is
    said: RELION repeats it for all workers, leader excluded (src/ml_optimiser_mpi.cpp).
    """
    if layout.nodes == 1:
        return ""
    return ":".join(str(gpu) for gpu in range(layout.gpus) for _ in range(layout.workers))


def _notes(layout: _Layout, need: Need, room: Room) -> tuple[str, ...]:
    text = (
        f"One leader and {count(layout.workers, 'worker')} of {count(layout.threads, 'thread')} on"
        f" each of {count(layout.nodes * layout.gpus, 'GPU')}."
    )
    per_rank, limit = room.gpu_mem_mb(need, layout.threads), room.gpu_limit(need)
    if per_rank is None:
        return text, "The box size is unknown, so GPU memory was not checked."
    free = need.problem.free_gpu_memory_mb
    fitting = ((limit or 0) + free) // (per_rank + free)
    fits = f", of which a GPU gives {limit}: {fitting} would fit" if limit else ""
    return text, f"A worker needs {per_rank} MB of GPU memory{fits}. {_sum(need, layout.threads)}"


def _sum(need: Need, threads: int) -> str:
    problem = need.problem
    return (
        f"(Box {problem.box}, pad {problem.pad:g}, {count(problem.classes, 'reference')} in"
        f" {problem.dimensions}D, {count(threads, 'thread')}.)"
    )


def _no_layout(need: Need, room: Room) -> str:
    per_rank, limit = room.gpu_mem_mb(need, need.nthread or 1), room.gpu_limit(need)
    if per_rank is not None and limit is not None and per_rank > limit:
        return f"a worker needs {per_rank} MB on a GPU, which has {limit} MB to give"
    ranks, threads = fewest_ranks(need), need.nthread or 1
    if not need.nproc and node_mem_mb(need, ranks, threads) > room.mem_mb:
        least = count(ranks, "rank")
        return (
            f"{least} of {rank_mem_mb(need, threads)} MB do not fit its {room.mem_mb} MB of memory"
        )
    asked = count(need.nproc, "rank") if need.nproc else "a leader and equal workers"
    return (
        f"{asked} cannot be laid out evenly on its {count(room.gpus, 'GPU')}, {room.cores} cores"
        f" and {room.mem_mb} MB of memory"
    )

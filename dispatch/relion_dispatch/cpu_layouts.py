"""Ranks and threads of jobs on CPUs: pure functions of the job and a node."""

from __future__ import annotations

from collections.abc import Callable

from relion_dispatch.needs import Need, Room, Size, Unfit, count, rank_mem_mb, shape, threads_of


def cpu_layout(need: Need, room: Room) -> Size:
    """Lay a job out on CPUs.

    Raises
    ------
    Unfit
        When the node is too small.
    """
    layouts: dict[str, Callable[[Need, Room], Size]] = {
        "single": _single,
        "every": _every,
        "workers": _workers,
        "halves": _workers,
    }
    return layouts[need.ranks](need, room)


def _single(need: Need, room: Room) -> Size:
    threads = threads_of(need, room.cores)
    if "nproc" in need.wished and need.nproc and need.nproc > 1:
        nodes = need.nodes or 1
        ranks = tuple(need.nproc // nodes + (at < need.nproc % nodes) for at in range(nodes))
        return shape(room, ranks, threads, f"{need.nproc} tasks, as asked for.")
    return shape(room, (1,), threads, f"One process with {count(threads, 'thread')}.")


def _every(need: Need, room: Room) -> Size:
    """Ranks that all work: as many as cores, memory and data give, then threads."""
    nodes = need.nodes or 1
    threads = _fullest(need, room)
    limits = _limits(need, room, threads)
    if limits["memory"] < 1 and not room.local:
        raise Unfit(_too_small(need, room, 1, threads))
    tightest = min(limits, key=lambda name: limits[name])
    ranks = max(limits[tightest], 1)
    if need.nproc is not None:
        most = min(limits["cores"], max(limits["memory"], 1))
        ranks = _asked(need, -(-need.nproc // nodes), most)
    threads = threads_of(need, room.cores // ranks)
    note = (
        f"{count(ranks, 'rank')} of {count(threads, 'thread')} on a node, every rank works:"
        f" {tightest} allow{'s' if tightest == 'memory' else ''} {limits[tightest]}."
    )
    return shape(room, (ranks,) * nodes, threads, note)


def _fullest(need: Need, room: Room) -> int:
    """Return the fewest threads of a rank with which memory leaves fewest cores idle."""
    if need.nthread or not need.threads:
        return need.nthread or 1

    def busy(threads: int) -> int:
        limits = _limits(need, room, threads)
        return min(limits["cores"], limits["memory"]) * threads

    return max(range(1, room.cores + 1), key=lambda threads: (busy(threads), -threads))


def _limits(need: Need, room: Room, threads: int) -> dict[str, int]:
    """Ranks on a node that its cores, its memory and the job's data allow."""
    cores = max(room.cores // threads, 1)
    data = -(-need.max_ranks // (need.nodes or 1)) if need.max_ranks else cores
    return {"cores": cores, "memory": room.ranks_by_memory(need, threads), "data": data}


def _workers(need: Need, room: Room) -> Size:
    """A leader and workers, with the threads that keep most cores busy."""
    halves = need.ranks == "halves"
    nodes, least = need.nodes or 1, 2 if halves else 1
    even = 2 if halves and nodes % 2 else 1
    fitting = _fitting(need, room, least)
    wanted = least if room.local else room.cores
    if need.nproc is not None and need.nproc > 1:
        wanted = _asked(need, -(-(need.nproc - 1) // nodes), max(fitting.values()))
    wanted -= wanted % even
    if wanted < least and "nproc" in need.wished:
        raise Unfit(f"{need.nproc} ranks were asked for, it takes {least + 1}")

    def worth(threads: int) -> tuple[int, int, int]:
        workers = _up_to(wanted, fitting[threads], even)
        return (workers if need.nproc else 0), workers * threads, -threads

    wanted = max(wanted, least)
    threads = max(fitting, key=worth)
    workers = _up_to(wanted, fitting[threads], even)
    note = (
        f"One leader and {count(workers * nodes, 'worker')} of {count(threads, 'thread')}"
        f"{', in two equal halves,' if halves else ''} on {count(room.cores * nodes, 'core')}."
    )
    return shape(room, (1 + workers, *(workers,) * (nodes - 1)), threads, note)


def _up_to(wanted: int, most: int, even: int) -> int:
    return min(wanted, most) // even * even


def _fitting(need: Need, room: Room, least: int) -> dict[int, int]:
    """Return how many workers fit a node, by the threads of one, where enough do."""
    tried = _worker_threads(need, room, least)
    most = {
        threads: min(
            room.cores // threads - (0 if room.local else 1),
            room.ranks_by_memory(need, threads) - 1,
        )
        for threads in tried
    }
    found = {threads: workers for threads, workers in most.items() if workers >= least}
    if found:
        return found
    if room.local:  # there is no other machine, and the estimate is for the worst
        return {tried[-1]: least}
    raise Unfit(_too_small(need, room, least + 1, tried[-1]))


def _worker_threads(need: Need, room: Room, least: int) -> tuple[int, ...]:
    """Threads of a worker that may be tried: fewer ranks with more threads need less memory."""
    if not need.threads:
        return (1,)
    if need.nthread:
        return (min(need.nthread, room.cores),)
    if room.local:
        return tuple(range(1, max(room.cores // least, 1) + 1))
    return tuple(range(2, room.cores // (least + 1) + 1)) or (1,)


def _asked(need: Need, asked: int, most: int) -> int:
    """Return the number asked for, or the most that fits where it was no user's wish."""
    if asked > most and "nproc" in need.wished:
        raise Unfit(f"{asked} ranks on a node were asked for, {most} fit its cores and memory")
    return max(min(asked, most), 1)


def _too_small(need: Need, room: Room, ranks: int, threads: int) -> str:
    per_rank = rank_mem_mb(need, threads)
    if per_rank * ranks > room.mem_mb:
        return f"{count(ranks, 'rank')} of {per_rank} MB do not fit its {room.mem_mb} MB of memory"
    return f"{count(ranks, 'rank')} of {count(threads, 'thread')} do not fit its {room.cores} cores"

"""What is done next about a job that has failed: pure functions of its attempts and the cluster.

A profile names, for each class of failure, steps in the order in which they are tried. The first
that changes something for the better, and still fits the cluster, is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from relion_dispatch.errors import DispatchError
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.classes import Failure
from relion_dispatch.healing.directory import STOPPED

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster, Partition
    from relion_dispatch.healing.attempts import Attempt
    from relion_dispatch.healing.settings import Healing

Asked = Mapping[str, Any]
Replan = Callable[[Mapping[str, object]], Asked]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to a job that has failed.

    Attributes
    ----------
    go_on
        Whether there is another attempt.
    reason
        Why, or why not: a sentence.
    changes
        Job parameters of the next attempt, over the user's own; None takes one of them away.
    attempt
        The number of the attempt that has failed.
    """

    go_on: bool
    reason: str
    changes: Mapping[str, object] = field(default_factory=dict)
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """A change, what it is, and how to tell from the new size that it is one."""

    reason: str
    changes: Mapping[str, object]
    better: Callable[[Asked], bool]


def progressed(attempt: Attempt) -> bool:
    """Whether an attempt has brought its job forward by at least one iteration."""
    return (attempt.iteration or 0) > max(attempt.continued or 0, 0)


def next_step(
    history: Sequence[Attempt], cluster: Cluster, healing: Healing, replan: Replan
) -> Decision:
    """Decide what to do about the last of a job's attempts, which has failed.

    Parameters
    ----------
    history
        The attempts, the failed one last, with its class of failure.
    cluster, healing
        Where it runs, and what the profile says about failures.
    replan
        Returns the size, as `asked` does, that the job would have with changes of its parameters.

    Returns
    -------
    Decision
        ``changes`` hold those of earlier attempts too.
    """
    last = history[-1]
    failure = Failure(last.failure)
    steps = getattr(healing, failure.value)
    if not healing.enabled:
        return Decision(go_on=False, reason="Not tried again: the profile does not heal.")
    if not steps:
        return Decision(go_on=False, reason=_HOPELESS[failure])
    failed = sum(not _stopped_in_order(each) for each in history)
    if failed >= healing.attempts:
        return Decision(go_on=False, reason=f"Given up: {failed} attempts have failed.")
    before = history[-2].changes if len(history) > 1 else {}
    for proposal in _proposals(steps, history, cluster, healing):
        changes = {**before, **proposal.changes}
        try:
            size = replan(changes)
        except DispatchError:
            continue
        if proposal.better(size):
            return Decision(go_on=True, reason=proposal.reason, changes=changes)
    return Decision(go_on=False, reason=_EXHAUSTED[failure])


def _stopped_in_order(attempt: Attempt) -> bool:
    """Whether an attempt has brought its job forward, and its end was to be expected."""
    expected = attempt.failure == Failure.TIME or attempt.exit_code == STOPPED
    return expected and progressed(attempt)


def _proposals(
    steps: Sequence[str], history: Sequence[Attempt], cluster: Cluster, healing: Healing
) -> Iterator[_Proposal]:
    last = history[-1]
    size = last.asked
    for step in steps:
        if step == "fewer_workers":
            yield from _fewer_workers(size)
        elif step == "bigger_gpu":
            yield from _bigger_gpu(size, cluster)
        elif step == "cpu":
            yield from _cpu(size)
        elif step == "more_memory":
            yield from _more_memory(last, cluster, healing)
        elif step == "fewer_ranks":
            yield from _fewer_ranks(size)
        elif step == "continue":
            yield from _continue(last)
        elif step == "longer":
            yield from _longer(size, cluster, healing)
        elif step == "elsewhere":
            yield from _elsewhere(history, cluster)


def _fewer_workers(size: Asked) -> Iterator[_Proposal]:
    workers = size.get("workers_per_gpu") or 1
    fewer = workers // 2
    while fewer:
        yield _Proposal(
            reason=f"GPU memory: {_count(workers, 'worker')} on a GPU did not fit, next {fewer}.",
            changes={"workers_per_gpu": fewer, "nproc": None},
            better=lambda new: 0 < (new.get("workers_per_gpu") or 0) < workers,
        )
        fewer //= 2


def _bigger_gpu(size: Asked, cluster: Cluster) -> Iterator[_Proposal]:
    """Propose partitions with more memory on a GPU, the smallest and cheapest of them first."""
    if not size.get("gpus_per_node"):
        return
    old = _gpu_mem_mb(cluster.partitions.get(size.get("partition", "")))
    bigger = [
        (_gpu_mem_mb(each), each.cost, name)
        for name, each in cluster.partitions.items()
        if each.gpus_per_node and _gpu_mem_mb(each) > old > 0
    ]
    for mem_mb, _, name in sorted(bigger):
        workers = {"workers_per_gpu": mem_mb // old} if size.get("workers_per_gpu") else {}
        yield _Proposal(
            reason=f"GPU memory: {old} MB did not suffice, next {name} with {mem_mb} MB on a GPU.",
            changes={"partition": name, "nproc": None, "ngpu": None, **workers},
            better=lambda new, name=name: new["partition"] == name and bool(new["gpus_per_node"]),  # type: ignore[misc]
        )


def _gpu_mem_mb(partition: Partition | None) -> int:
    return (partition.gpu_mem_mb or 0) if partition and partition.gpus_per_node else 0


def _cpu(size: Asked) -> Iterator[_Proposal]:
    if size.get("gpus_per_node"):
        gone = {"partition": None, "nproc": None, "nthread": None, "workers_per_gpu": None}
        yield _Proposal(
            reason="GPU memory: no GPU suffices, next without GPUs.",
            changes={"ngpu": 0, **gone},
            better=lambda new: not new["gpus_per_node"],
        )


def _more_memory(last: Attempt, cluster: Cluster, healing: Healing) -> Iterator[_Proposal]:
    old = max(int(last.asked.get("mem_mb") or 0), int(last.used.get("mem_mb") or 0))
    sizes = [each.mem_mb for each in cluster.partitions.values() if isinstance(each.mem_mb, int)]
    most = max(sizes, default=0) - cluster.reserve_mem_mb
    wanted = -(-int(old * healing.memory_factor) // 100) * 100
    for mem_mb in dict.fromkeys((wanted, min(wanted, most))):
        yield _Proposal(
            reason=f"Host memory: {old} MB did not suffice, next {mem_mb} MB.",
            # It is for the same ranks, wherever these can be laid out.
            changes={"mem": f"{mem_mb}M", "hoped_nproc": last.asked.get("ntasks")},
            better=lambda new: new["mem_mb"] > old,
        )


def _fewer_ranks(size: Asked) -> Iterator[_Proposal]:
    """Propose half the ranks, for programs with a leader (an odd number) and without one."""
    ranks = int(size.get("ntasks") or 1)
    for fewer in dict.fromkeys((2 * ((ranks - 1) // 4) + 1, ranks // 2)):
        if 0 < fewer < ranks:
            yield _Proposal(
                reason=f"Host memory: {ranks} ranks did not fit, next {fewer}.",
                changes={"nproc": fewer, "mem": f"{size['mem_mb']}M", "workers_per_gpu": None},
                better=lambda new: new["ntasks"] < ranks,
            )


def _continue(last: Attempt) -> Iterator[_Proposal]:
    if progressed(last):
        yield _Proposal(
            reason=f"Time limit: goes on behind iteration {last.iteration}, as often as needed.",
            changes={},
            better=lambda new: True,
        )


def _longer(size: Asked, cluster: Cluster, healing: Healing) -> Iterator[_Proposal]:
    old = size.get("runtime_min")
    if not old:
        return
    limits = [each.max_runtime_min for each in cluster.partitions.values()]
    wanted = int(old * healing.runtime_factor)
    known = [limit for limit in limits if limit is not None]
    longest = wanted if len(known) < len(limits) else max(known, default=wanted)
    for minutes in dict.fromkeys((wanted, min(wanted, longest))):
        for place in ({}, {"partition": None}):
            yield _Proposal(
                reason=f"Time limit: {old} minutes did not suffice, next {minutes}.",
                changes={"runtime": minutes, **place},
                better=lambda new: (new["runtime_min"] or 0) > old,
            )


def _elsewhere(history: Sequence[Attempt], cluster: Cluster) -> Iterator[_Proposal]:
    """Propose other nodes than those that failed last, but never too few of them."""
    partition = cluster.partitions.get(history[-1].asked.get("partition", ""))
    failed = [each.node for each in reversed(history) if each.failure == Failure.NODE]
    nodes = dict.fromkeys(name for names in failed for name in _expanded(names))
    spare = (partition.nodes if partition else 1) - int(history[-1].asked.get("nodes") or 1)
    # Other schedulers than Slurm have no such option.
    bad = sorted(list(nodes)[: max(spare, 1)]) if cluster.scheduler.program == "sbatch" else []
    where = f"not on {', '.join(bad)}" if bad else "wherever there is room"
    yield _Proposal(
        reason=f"The node failed: next {where}.",
        changes={"failed_nodes": ",".join(bad)} if bad else {},
        better=lambda new: True,
    )


def _expanded(nodes: str) -> Iterator[str]:
    """Yield the names of a list of nodes as Slurm writes it: ``m3h[000-002,007],comp1``."""
    for head, ranges, rest in re.findall(r"([^,\[]+)(?:\[([^\]]*)\])?([^,\[]*)", nodes):
        for part in ranges.split(","):
            first, _, last = part.partition("-")
            numbers = range(int(first), int(last) + 1) if last.isdigit() else ()
            middles = [f"{number:0{len(first)}d}" for number in numbers] or [part]
            yield from (f"{head}{middle}{rest}" for middle in middles)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


_HOPELESS = {
    Failure.GPU_MEMORY: "Not tried again: the profile names no step for GPU memory.",
    Failure.HOST_MEMORY: "Not tried again: the profile names no step for host memory.",
    Failure.TIME: "Not tried again: the profile names no step for the time limit.",
    Failure.NODE: "Not tried again: the profile names no step for failed nodes.",
    Failure.CANCELLED: "Not tried again: somebody cancelled it.",
    Failure.BAD_INPUT: "Not tried again: the input is wrong, and would be so again.",
    Failure.RELION_ERROR: "Not tried again: the program gave up, and would do so again.",
}
_EXHAUSTED = {
    Failure.GPU_MEMORY: "Given up: no GPU has enough memory, and it cannot run without one.",
    Failure.HOST_MEMORY: "Given up: no node has more memory, and fewer ranks are not possible.",
    Failure.TIME: "Given up: not one iteration fits the time limit, and none is longer.",
    Failure.NODE: "Given up: there is no other node.",
}

"""What the live scheduler says about its partitions, against a profile or for a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from relion_dispatch import processes
from relion_dispatch.cluster import Cluster
from relion_dispatch.errors import InputError, SchedulerError
from relion_dispatch.frozen import dataclass

#: Partition, nodes, cores, memory, generic resources, time limit, and whether it is up.
_FORMAT = "%R|%D|%c|%m|%G|%l|%a"

_GPU = re.compile(r"gpu(?::(?!\d+\b)(?P<type>[^:,()]+))?:(?P<count>\d+)")

#: Memory of GPU devices in MiB as their drivers report it, and speed in RELION (a P100 is 1); by a
#: part of the scheduler's name. Of cards with more than one memory size the smaller.
GPUS: dict[str, tuple[int, float]] = {
    "k80": (11_441, 0.35),
    "p100": (16_280, 1.0),
    "v100": (16_160, 1.6),
    "t4": (15_109, 0.8),
    "a30": (24_576, 2.5),
    "a40": (46_068, 2.2),
    "a10": (23_028, 2.0),
    "a100": (40_536, 3.2),
    "h100": (81_559, 5.5),
    "h200": (143_771, 6.0),
    "l40": (46_068, 3.0),
    "1080": (11_178, 0.9),
    "2080": (11_019, 1.3),
    "3090": (24_268, 2.2),
    "4090": (24_564, 3.5),
    "a6000": (49_140, 2.4),
}


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Nodes of one kind in a partition.

    Attributes
    ----------
    partition, count
        Where they are, and how many.
    cores, mem_mb, gpus, gpu_type
        What each has.
    max_runtime_min
        The partition's time limit; None for none.
    up
        Whether the partition takes jobs.
    """

    partition: str
    count: int
    cores: int
    mem_mb: int
    gpus: int
    gpu_type: str | None
    max_runtime_min: int | None
    up: bool


def ask(cluster: Cluster) -> list[Nodes]:
    """Ask Slurm for its nodes.

    Raises
    ------
    InputError
        When the cluster's scheduler is not Slurm.
    SchedulerError
        When Slurm gives no answer.
    """
    program = cluster.scheduler.program or "none"
    if program != "sbatch":
        raise InputError(f"only Slurm can be asked, this profile submits with '{program}'")
    argv = ["sinfo", "--noheader", "--exact", f"--format={_FORMAT}"]
    done = processes.run(argv, timeout_s=cluster.scheduler.time_limit_s, error=SchedulerError)
    if done.returncode:
        raise SchedulerError(f"sinfo gave no answer: {done.stderr.strip()}")
    return read(done.stdout)


def read(text: str) -> list[Nodes]:
    """Read what ``sinfo`` printed.

    Raises
    ------
    SchedulerError
        When it is not what was asked for.
    """
    return [_nodes(line) for line in text.splitlines() if line.strip()]


def _nodes(line: str) -> Nodes:
    words = line.strip().split("|")
    if len(words) != 7 or not words[1].isdigit():
        raise SchedulerError(f"sinfo printed what nobody asked for: {line}")
    name, count, cores, memory, gres, limit, available = words
    found = _GPU.search(gres)
    return Nodes(
        partition=name,
        count=int(count),
        cores=int(cores.rstrip("+")),
        mem_mb=int(memory.rstrip("+")),
        gpus=int(found["count"]) if found else 0,
        gpu_type=found["type"] if found else None,
        max_runtime_min=_minutes(limit),
        up=available == "up",
    )


def _minutes(limit: str) -> int | None:
    if limit in ("infinite", "n/a", "UNLIMITED"):
        return None
    from relion_dispatch.units import minutes

    return minutes(limit)


def grouped(nodes: Sequence[Nodes]) -> dict[str, list[Nodes]]:
    """Return the kinds of nodes of each partition, those of which there are most first."""
    found: dict[str, list[Nodes]] = {}
    for each in sorted(nodes, key=lambda each: -each.count):
        found.setdefault(each.partition, []).append(each)
    return found


def differences(cluster: Cluster, nodes: Sequence[Nodes]) -> Iterator[str]:
    """Yield what a profile says that the scheduler does not bear out, a sentence each."""
    live = grouped(nodes)
    for name in sorted(cluster.partitions):
        if name not in live:
            known = ", ".join(sorted(live)) or "none"
            yield f"{name}: the scheduler has no such partition; it has {known}."
        else:
            yield from (f"{name}: {fault}" for fault in _partition(cluster, name, live[name]))


def _partition(cluster: Cluster, name: str, kinds: Sequence[Nodes]) -> Iterator[str]:
    said = cluster.partitions[name]
    if not any(each.up for each in kinds):
        yield "it takes no jobs now."
    fitting = [each for each in kinds if each.gpus >= said.gpus_per_node]
    if not fitting:
        most = max(each.gpus for each in kinds)
        yield f"gpus_per_node is {said.gpus_per_node}, its nodes have {most}."
        return
    best = fitting[0]
    numbers = {
        "cores": (said.cores, best.cores),
        "mem_mb": (said.mem_mb, best.mem_mb),
        "nodes": (said.nodes, sum(each.count for each in fitting)),
        "max_runtime_min": (said.max_runtime_min, best.max_runtime_min),
    }
    for key, (ours, theirs) in numbers.items():
        if isinstance(ours, int) and theirs is not None and ours > theirs:
            yield f"{key} is {ours}, the scheduler gives {theirs}: jobs may never start."
    if said.gpus_per_node and best.gpus > said.gpus_per_node:
        yield f"gpus_per_node is {said.gpus_per_node}, its nodes have {best.gpus}: some lie idle."
    if said.gpu_type and best.gpu_type and said.gpu_type.lower() != best.gpu_type.lower():
        yield f"gpu_type is {said.gpu_type}, the scheduler says {best.gpu_type}."


def new_cluster(nodes: Sequence[Nodes]) -> dict[str, object]:
    """Return the ``cluster`` part of a first profile, made from what the scheduler says."""
    partitions = {
        name: _described(kinds) for name, kinds in grouped(nodes).items() if kinds[0].cores
    }
    return {"partitions": partitions, "modules": [], "default_runtime_min": 720}


def _described(kinds: Sequence[Nodes]) -> Mapping[str, object]:
    first = kinds[0]
    memory, speed = gpu_facts(first.gpu_type)
    found: dict[str, object] = {
        "cores": first.cores,
        "mem_mb": first.mem_mb,
        "nodes": min(first.count, 4),
        "max_runtime_min": first.max_runtime_min,
        "gpus_per_node": first.gpus,
        "gpu_type": first.gpu_type,
        "gpu_mem_mb": memory if first.gpus else None,
        "gpu_speed": speed if first.gpus else None,
        "cost": round(first.cores / 32 + 2 * first.gpus * (speed or 1), 1),
    }
    return {key: value for key, value in found.items() if value}


def gpu_facts(gpu_type: str | None) -> tuple[int | None, float | None]:
    """Return memory in MiB and speed of a GPU by the scheduler's name of it; None if unknown."""
    name = re.sub(r"[^a-z0-9]", "", (gpu_type or "").lower())
    matching = [key for key in GPUS if key in name]
    return GPUS[max(matching, key=len)] if matching else (None, None)


def profile_text(nodes: Sequence[Nodes]) -> str:
    """Return a first cluster file."""
    import yaml

    lines = ["# Made from what Slurm says: look it over, and `relion-dispatch profile check` it."]
    for name, kinds in grouped(nodes).items():
        if kinds[0].gpus and gpu_facts(kinds[0].gpu_type)[0] is None:
            lines.append(f"# {name}: say gpu_mem_mb, which Slurm does not know.")
        if len(kinds) > 1:
            lines.append(f"# {name} has nodes of {len(kinds)} kinds; this is the most frequent.")
    lines.append("# modules: what `module load` makes RELION available, e.g. [relion].")
    text: str = yaml.safe_dump({"cluster": new_cluster(nodes)}, sort_keys=False)
    return "\n".join([*lines, "", text])

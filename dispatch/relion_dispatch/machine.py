"""The machine we are on: its cores and memory, for partitions that say ``auto``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from relion_dispatch.cluster import Cluster, Partition


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def mem_mb(root: Path = Path("/")) -> int:
    """Return the memory in MiB that this machine, or the container around us, has.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.
    """
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [pages]
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits) // 1024**2


def resolved(cluster: Cluster) -> Cluster:
    """Return the cluster with every ``auto`` replaced by this machine's numbers."""
    partitions: Mapping[str, Partition] = {
        name: _resolved(each) for name, each in cluster.partitions.items()
    }
    return replace(cluster, partitions=partitions)


def with_cores(cluster: Cluster, most: int | None) -> Cluster:
    """Return this machine with no more than some of its cores; a real cluster as it is.

    Parameters
    ----------
    cluster
        The cluster.
    most
        How many cores all jobs together may use; None: all.
    """
    if most is None or not cluster.local:
        return cluster
    partitions = {
        name: replace(each, cores=min(each.cores, most)) if isinstance(each.cores, int) else each
        for name, each in cluster.partitions.items()
    }
    return replace(cluster, partitions=partitions)


def _resolved(partition: Partition) -> Partition:
    if partition.cores == "auto":
        partition = replace(partition, cores=cores())
    if partition.mem_mb == "auto":
        partition = replace(partition, mem_mb=mem_mb())
    return partition

"""The time limit of a job in a partition, and what it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.duration import SAFETY, minutes
from relion_dispatch.frozen import dataclass
from relion_dispatch.needs import Need, Size, Unfit


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """How long a job may run.

    Attributes
    ----------
    runtime_min
        The limit to ask for in minutes; None for none.
    estimate_min
        How long it will take in minutes, roughly and without any safety; None where the data do
        not say.
    notes
        Where they come from, and what was cut.
    """

    runtime_min: int | None = None
    estimate_min: int | None = None
    notes: tuple[str, ...] = ()


def time_limit(need: Need, partition: Partition, cluster: Cluster, found: Size) -> TimeLimit:
    """Return a job's time limit, doubled at each attempt.

    Raises
    ------
    Unfit
        When a user asks for more than the partition gives.
    """
    most = partition.max_runtime_min
    if most is not None and "runtime" in need.wished and (need.runtime_min or 0) > most:
        raise Unfit(f"{need.runtime_min} minutes were asked for, its limit is {most}")
    estimate, safe, reason = _estimated(need, partition, found)
    wanted, note = _wanted(need, cluster, safe, reason)
    notes = [note] if note else []
    if wanted is None:
        return TimeLimit(runtime_min=most, estimate_min=estimate, notes=tuple(notes))
    grown: int = wanted << (need.attempt - 1)
    if most is not None and grown > most:
        notes += _cut(need, grown, most)
        grown = most
    return TimeLimit(runtime_min=grown, estimate_min=estimate, notes=tuple(notes))


def _wanted(
    need: Need, cluster: Cluster, safe: int | None, reason: str
) -> tuple[int | None, str | None]:
    """What was asked for, or the profile's usual limit, or more where the data need it."""
    if need.runtime_min is not None:
        return need.runtime_min, None
    usual = cluster.default_runtime_min
    if usual is None or safe is None or safe <= usual:
        return usual, None
    return safe, f"It may take up to {safe} minutes, {reason}."


def _cut(need: Need, grown: int, most: int) -> Iterator[str]:
    if need.runtime_min is None:
        why = "may be needed"
    else:
        why = "are asked for" if "runtime" in need.wished else "are what the job type asks for"
    yield f"{grown} minutes {why}: cut to the partition's limit of {most}."


def _estimated(need: Need, partition: Partition, found: Size) -> tuple[int | None, int | None, str]:
    """Return an estimate without safety, one with it, and what it comes from."""
    speed = found.gpus_per_node * found.nodes * partition.gpu_speed
    safe = minutes(need.time, need.problem, speed, found.ntasks * found.cpus_per_task)
    if safe is None:
        return None, None, ""
    factor = need.factors.of_time(need.time, need.job_type, found.partition, SAFETY)
    bare = safe / SAFETY
    reason = factor.reason or "by a rough estimate"
    return math.ceil(bare), math.ceil(bare * factor.value), reason

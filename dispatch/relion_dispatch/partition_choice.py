"""Which of the partitions that a job fits it goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from relion_dispatch.cluster import Partition
from relion_dispatch.needs import Size


def cheapest(
    fits: Sequence[Size], refusals: Mapping[str, str], partitions: Mapping[str, Partition]
) -> tuple[Size, tuple[str, ...]]:
    """Choose a partition.

    Parameters
    ----------
    fits
        How the job runs in each partition that it fits; at least one.
    refusals
        Why it does not fit the others.
    partitions
        All of them by name.

    Returns
    -------
    Size
        The best one.
    tuple of str
        Why, a sentence each.
    """
    best = min(fits, key=lambda each: _price(each, partitions[each.partition]))
    others = [each for each in fits if each is not best]
    return best, tuple(_why_not(best, others, refusals, partitions))


def too_long(found: Size, partition: Partition) -> str:
    """Say that a job may not end within the longest time limit."""
    if not _is_slow(found, partition):
        return ""
    return (
        f"It may take about {found.estimate_min} minutes, more than any partition allows"
        f" ({found.partition}: {partition.max_runtime_min}): it will have to be continued."
    )


def _is_slow(found: Size, partition: Partition) -> bool:
    most = partition.max_runtime_min
    return found.estimate_min is not None and most is not None and found.estimate_min > most


def _price(each: Size, partition: Partition) -> tuple[float, ...]:
    """Those with time enough first, of these the cheapest, of equally cheap ones the fastest.

    Where none has time enough, the one that gets furthest within its limit.
    """
    on_node = each.gpus_per_node * partition.gpu_speed or each.ntasks * each.cpus_per_task
    late = 0.0
    if _is_slow(each, partition):
        late = (each.estimate_min or 0) / (partition.max_runtime_min or 1)
    return late, partition.cost * each.nodes, -on_node * each.nodes


def _why_not(
    best: Size,
    others: Sequence[Size],
    refusals: Mapping[str, str],
    partitions: Mapping[str, Partition],
) -> Iterator[str]:
    def cost(each: Size) -> str:
        return f"cost {partitions[each.partition].cost * each.nodes:g}"

    late = too_long(best, partitions[best.partition])
    if late:
        yield late
    elif others or refusals:
        yield f"Partition {best.partition} is the cheapest that fits ({cost(best)})."
    for each in others:
        partition = partitions[each.partition]
        if _is_slow(each, partition):
            yield (
                f"Partition {each.partition} is too short: about {each.estimate_min} minutes are"
                f" needed, its limit is {partition.max_runtime_min}."
            )
        else:
            yield f"Partition {each.partition} would fit as well ({cost(each)})."
    for name, reason in refusals.items():
        yield f"Partition {name} does not fit: {reason}."

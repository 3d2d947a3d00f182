"""The size of job types that say their numbers themselves, as the older dispatcher's do."""

from __future__ import annotations

from collections.abc import Sequence

from relion_dispatch.cluster import Cluster
from relion_dispatch.command import Command
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.jobtypes import Resolved
from relion_dispatch.memory import MIB, Problem, gpu_bytes, gpu_mem_mb
from relion_dispatch.needs import Need, Size
from relion_dispatch.wishes import Asked


def sized_by_type(resolved: Resolved, asked: Asked) -> bool:
    """Whether a type says its numbers itself, as the older dispatcher's do."""
    return resolved.ranks is None and asked.number("nproc") is not None


def size(resolved: Resolved, command: Command, need: Need, cluster: Cluster) -> Size:
    """Return the size that a type's own numbers give.

    Ranks are reduced until they fit the GPUs where the type says ``adjust_GPU_nproc_to_mem``, at
    least to one worker on each, and to an odd number where halves must be equal.

    Raises
    ------
    DoesNotFitError
        When not even one worker fits a GPU.
    """
    nproc = need.nproc or 1
    notes = [f"{nproc} ranks, as job type {resolved.name} says."]
    if resolved.adjust and not command.has("multibody_masks"):
        nproc, note = _adjusted(nproc, resolved.adjust, need.problem, cluster)
        notes.append(note)
    if command.has("split_random_halves") and nproc % 2 == 0:
        nproc -= 1
        notes.append(f"{nproc} ranks, for two equal halves of workers.")
    model, threads = cluster.gpu_memory_model, need.nthread or 1
    return Size(
        ranks_on=(nproc,),
        cpus_per_task=threads,
        gpus_per_node=need.ngpu or 0,
        gpu_map="" if need.ngpu else None,
        gpu_mem_mb_per_rank=gpu_mem_mb(model, need.problem, threads) if need.ngpu else None,
        mem_mb=need.mem_mb or 0,
        partition=need.partition or "",
        runtime_min=need.runtime_min or cluster.default_runtime_min,
        notes=tuple(notes),
    )


def _adjusted(
    nproc: int, adjust: Sequence[float], problem: Problem, cluster: Cluster
) -> tuple[int, str]:
    """Reduce ranks to what fits ``adjust``: GPUs, and bytes of each."""
    gpus, limit = int(adjust[0]), adjust[1]
    needed = gpu_bytes(cluster.gpu_memory_model, problem)
    if needed is None:
        return nproc, "The box size is unknown, so GPU memory was not checked."
    fitting = int(limit // needed)
    # The older formula asks for more than RELION takes: what it refuses may well run alone.
    physical = gpu_bytes("relion", problem) or needed
    if fitting < 1 and physical > limit:
        raise DoesNotFitError(
            f"a worker needs {physical / MIB:.0f} MB of GPU memory, the job type gives"
            f" {limit / MIB:.0f} MB: use a smaller box, --pad 1 or fewer classes, or CPUs"
        )
    workers = max(fitting, 1)
    return min(nproc, gpus * workers + 1), (
        f"A worker needs {needed / MIB:.0f} MB of a GPU's {limit / MIB:.0f} MB: {workers} on each"
        f" of {gpus} GPUs, {gpus * workers + 1} ranks at most."
    )

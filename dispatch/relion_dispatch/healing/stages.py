"""Stages of a refinement: early iterations, whose references are small, with many workers on a GPU.

The M3 guide's advice: run the early iterations with a fast configuration, and go on with a smaller
footprint. What an iteration needs follows from the size of the images that it works with, which
RELION works out from the resolution reached so far
(``MlOptimiser::updateImageSizeAndResolutionPointers`` in ``src/ml_optimiser.cpp``, 3.1 to 5.0).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.memory import gpu_mem_mb

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster
    from relion_dispatch.command import Command
    from relion_dispatch.needs import Need, Size
    from relion_dispatch.wishes import Asked

#: RELION's step where the resolution grows slowly, in shells (``--incr_size``).
INCREMENT = 10

_TRUE = ("1", "true", "yes", "on")


def is_staged(asked: Asked, need: Need) -> bool:
    """Whether a job runs in stages: a refinement in 3D on shared GPUs whose type says so."""
    wanted = (asked.text("staged") or "").lower() in _TRUE
    return wanted and need.gpu == "shared" and need.problem.dimensions == 3


def early(need: Need, command: Command, asked: Asked, angpix: float | None) -> Need:
    """Return what the first iterations of a job need, or those behind where it has stopped.

    ``current_size`` among the job's parameters says how large the images are by then; without it
    that follows from ``--ini_high``.
    """
    box, size = need.problem.box, asked.number("current_size")
    if size is None and box and angpix:
        size = first_size(box, angpix, command.value("ini_high"))
    return need if size is None or box is None else replace(need, gpu_current_size=min(size, box))


def first_size(box: int, angpix: float, ini_high: str | None) -> int | None:
    """Return the size in pixels of the images of the first iterations; None where nothing tells."""
    try:
        resolution = float(ini_high or 0)
    except ValueError:
        return None
    # The first iterations raise the resolution in steps of a quarter of the box's.
    return None if resolution <= 0 else next_size(box, angpix, resolution, fast=True)


def next_size(box: int, angpix: float, resolution: float, *, fast: bool) -> int:
    """Return the size in pixels of the images of an iteration.

    Parameters
    ----------
    box, angpix
        Of the model.
    resolution
        Reached by the iteration before, in Å.
    fast
        Whether that was at the limit of its images, with clear orientations.
    """
    shells = round(box * angpix / resolution) + (round(0.25 * box / 2) if fast else INCREMENT)
    return min(2 * shells, box)


def size_behind(optimiser: Path) -> int | None:
    """Return the size in pixels of the images of the iteration behind a finished one.

    The last iteration of a refinement of halves takes the whole box: that it is near no file says,
    but RELION says it as it begins.
    """
    from relion_dispatch.starscan import scan

    try:
        general = scan(optimiser)[0].pairs
        model = scan(general["rlnModelStarFile"], until="model_general")[-1].pairs
        high = general.get("rlnHasHighFscAtResolLimit") == "1"
        return next_size(
            int(model["rlnOriginalImageSize"]),
            float(model["rlnPixelSize"]),
            float(model["rlnCurrentResolution"]),
            fast=high and float(model["rlnAveragePmax"]) > 0.1,
        )
    except (OSError, KeyError, IndexError, ValueError, ZeroDivisionError):
        return None


def largest_size(need: Need, sized: Size, cluster: Cluster) -> int | None:
    """Return the largest images with which a job's workers fit their GPUs; None without a limit."""
    box, partition = need.problem.box, cluster.partitions.get(sized.partition)
    gpus = sized.gpus_per_node * sized.nodes
    if not (box and gpus and partition and partition.gpu_mem_mb) or sized.ntasks < 2:
        return None
    workers = -(-(sized.ntasks - 1) // gpus)
    free = need.problem.free_gpu_memory_mb
    limit = need.gpu_mem_mb or partition.gpu_mem_mb

    def fits(size: int) -> bool:
        model = cluster.gpu_memory_model
        each = gpu_mem_mb(model, need.problem, sized.cpus_per_task, size)
        return each is not None and (each + free) * workers <= limit

    if fits(box):
        return None
    return max((size for size in range(2, box, 2) if fits(size)), default=2)

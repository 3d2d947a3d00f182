"""Particles' images that are read into memory, or copied to a node's own disk, before a job."""

from __future__ import annotations

from dataclasses import replace

from relion_dispatch.needs import Need, node_mem_mb

#: Space that RELION leaves free on a scratch disk (``--keep_free_scratch``, src/ml_optimiser.cpp).
KEPT_FREE_GB = 10


def without_preread(need: Need) -> Need:
    """Return a job that reads its images from disk."""
    return replace(need, problem=replace(need.problem, preread="none"))


def preread(need: Need, ranks: int, threads: int, limit_mb: int) -> tuple[Need, str | None]:
    """Keep ``--preread_images`` only where all images fit the memory that a node has left.

    Every rank reads all of them, but for ``--no_parallel_disc_io``, where the leader alone does
    (``MlOptimiser::initialiseGeneral``, src/ml_optimiser.cpp).

    Parameters
    ----------
    need
        The job; its ranks and threads are chosen without the images, which save time but are
        worth no rank.
    ranks, threads
        Of the fullest node.
    limit_mb
        Memory that the node has to give, in MiB.

    Returns
    -------
    Need
        The job as it will run.
    str or None
        What is said about it.
    """
    if need.problem.preread == "none":
        return need, None
    images = need.problem.images_mb
    if images is None:
        note = "--preread_images was left out: how large the images are is unknown."
        return without_preread(need), note
    whose = "the leader" if need.problem.preread == "leader" else "each rank"
    if node_mem_mb(need, ranks, threads) <= (need.mem_mb or limit_mb):
        return need, f"All images are read into memory: {images} MB in {whose}."
    note = f"--preread_images was left out: {images} MB of images in {whose} do not fit."
    return without_preread(need), note


def scratch(need: Need) -> str | None:
    """Say how much space the images take on a node's own disk."""
    images = need.problem.images_mb
    if not need.problem.scratch or need.problem.preread != "none":
        return None
    if images is None:
        return "How much scratch space the images take is unknown."
    return (
        f"The images take {images / 1024:.1f} GB of each node's scratch disk, of which RELION"
        f" leaves {KEPT_FREE_GB} GB free; what does not fit is read from where it is."
    )

"""From a command and what its files say to what decides about memory and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from relion_dispatch.command import Command
from relion_dispatch.memory import Problem
from relion_dispatch.searches import search

if TYPE_CHECKING:
    from relion_dispatch.data import DataFacts

#: Options of ``relion_refine`` that only three-dimensional references have.
_THREE_DIMENSIONS = (
    *("ref", "denovo_3dref", "auto_refine", "split_random_halves", "healpix_order"),
    "multibody_masks",
)

#: Frames of an EER movie that RELION adds up, where ``--eer_grouping`` does not say.
EER_GROUPING = 40

#: Particles that a training of polishing takes, where ``--min_p`` does not say.
MIN_PARTICLES = 1000


def problem(command: Command, data: DataFacts, relion_job: Sequence[str] = ()) -> Problem:
    """Return what of a command and its data decides about memory and time.

    Parameters
    ----------
    command, data
        The command and what its files say.
    relion_job
        What RELION may call the job: a continued run's command says less.
    """
    dimensions = data.reference_dimensions or (2 if _flat(command, relion_job) else 3)
    automatic = command.has("auto_refine") or bool(data.auto_refine)
    classes = _whole(command.value("K")) or data.n_bodies or data.n_classes or 1
    fine = search(command, dimensions, automatic=automatic, volumes=data.image_dimensions == 3)
    first, finest = fine.samples(dimensions)
    frames, shape = _movie(command, data)
    gradient = bool(data.gradient and not data.split_random_halves)
    return Problem(
        box=data.box or data.ref_box,
        pad=_float(command.value("pad")) or data.padding or 2,
        classes=classes,
        masks=_masks(command, data),
        dimensions=dimensions,
        halves=command.has("split_random_halves") or bool(data.split_random_halves),
        gradient=gradient or any(command.has(name) for name in ("sgd", "denovo_3dref", "grad")),
        pseudo_halves=gradient or command.has("grad"),
        via_disc=not command.has("dont_combine_weights_via_disc"),
        accelerated=command.has("cpu"),
        translations=fine.translations,
        samples=first * classes,
        finest_samples=finest * classes,
        n_frames=frames,
        movie_shape=shape,
        binning=_binning(command),
        micrograph_shape=data.micrograph_shape,
        new_box=_whole(command.value("scale")) or _whole(command.value("window")),
        image_dimensions=data.image_dimensions or 2,
        n_tilts=(data.n_tilts or 1) if data.n_tomograms else 1,
        n_particles=data.n_particles,
        n_micrographs=data.n_micrographs,
        iterations=_whole(command.value("iter")),
        min_particles=_whole(command.value("min_p")) or MIN_PARTICLES,
        free_gpu_memory_mb=_whole(command.value("free_gpu_memory")) or 0,
        preread=_preread(command),
        scratch=bool(command.value("scratch_dir")),
    )


def _flat(command: Command, relion_job: Sequence[str]) -> bool:
    """Whether the references are two-dimensional."""
    if any(command.has(name) for name in _THREE_DIMENSIONS):
        return False
    return tuple(relion_job) == ("Class2D",) or (
        command.has("K") and (not relion_job or "Class2D" in relion_job)
    )


def _masks(command: Command, data: DataFacts) -> int:
    """Masks of bodies: where they overlap, any body has another one for each of the others.

    (``MlModel::initialiseBodies``, src/ml_model.cpp.)
    """
    bodies = data.n_bodies or 0
    return bodies if command.has("multibody_norm_overlap") else bodies * bodies


def _binning(command: Command) -> float:
    """By how much frames are made smaller before they are aligned."""
    if command.has("no_early_binning"):
        return 1
    return max(_float(command.value("bin_factor")) or 1, 1)


def _movie(command: Command, data: DataFacts) -> tuple[int | None, tuple[int, int] | None]:
    """Frames and their size as RELION makes them of EER movies, grouped and perhaps finer.

    (``executeOwnMotionCorrection``, src/motioncorr_runner.cpp)
    """
    frames, shape = data.n_frames, data.movie_shape
    if data.movie_format != "eer":
        return frames, shape
    grouping = _whole(command.value("eer_grouping")) or EER_GROUPING
    finer = _whole(command.value("eer_upsampling")) or 1
    return (
        max(frames // grouping, 1) if frames else None,
        (shape[0] * finer, shape[1] * finer) if shape else None,
    )


def _preread(command: Command) -> Literal["none", "leader", "all"]:
    """Who reads all images into memory: everybody, but where the leader alone reads images."""
    if not command.has("preread_images"):
        return "none"
    return "leader" if command.has("no_parallel_disc_io") else "all"


def _whole(text: str | None) -> int | None:
    """Return the whole part of a number of at least 1; None for anything else."""
    found = _float(text)
    return int(found) if found is not None and found >= 1 else None


def _float(text: str | None) -> float | None:
    """Return a number above 0; None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < math.inf else None

"""How much GPU and host memory a RELION process needs: pure functions, sources in the docstrings.

All are upper estimates for the last iterations, at full resolution: early iterations need less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024

#: Formulas of device memory.
GpuModel = Literal["relion", "fmi"]

#: Device memory that CUDA's context and work buffers take for each thread, in MiB
#: (src/acc/cuda/cuda_settings.h and mem_utils.h of RELION).
GPU_MB_PER_THREAD = 200

#: Host memory that CUDA's driver and page-locked buffers take in a process, in MiB.
GPU_HOST_MB = 1000

#: What a RELION process holds before it has read anything, in MiB (measured, RELION 3.1).
BASE_MB = 150


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What of a command and its data decides about memory and time.

    Attributes
    ----------
    box
        Box size of the particles in pixels.
    pad
        Padding factor of the references.
    classes
        References that are held at the same time: classes or bodies.
    dimensions
        2 or 3: of the references.
    n_frames, movie_shape
        Frames of a movie, and its width and height in pixels.
    n_particles, n_micrographs, iterations
        How much there is to do; no matter for memory.
    free_gpu_memory_mb
        Device memory that RELION is told to leave free, in MiB.
    """

    box: int | None = None
    pad: float = 2
    classes: int = 1
    dimensions: int = 3
    n_frames: int | None = None
    movie_shape: tuple[int, int] | None = None
    n_particles: int | None = None
    n_micrographs: int | None = None
    iterations: int | None = None
    free_gpu_memory_mb: int = 0


def gpu_bytes(model: GpuModel, problem: Problem, threads: int = 1) -> float | None:
    """Device memory in bytes of one rank of ``relion_refine``, or None where the box is unknown.

    Parameters
    ----------
    model
        A cluster's ``gpu_memory_model``. ``relion``: ``2.5 * 1.05 * 4 B * (pad * box)^3`` for each
        class (src/acc/cuda/cuda_ml_optimiser.cu, the same as the ``1.1e-8 * (2 box)^3`` GB of
        src/error.h; with two-dimensional references the square), and 200 MiB a thread
        (src/acc/cuda/cuda_settings.h). ``fmi``: ``84 B * box^n * pad * K``, the older
        dispatcher's, which is twice that at pad 2 and eight times at pad 1.
    problem, threads
        What the rank works on, and its threads: they share the references, ranks do not.
    """
    if problem.box is None:
        return None
    if model == "fmi":
        return float(84 * problem.box**problem.dimensions * int(problem.pad) * problem.classes)
    references = 2.5 * 1.05 * 4 * (problem.pad * problem.box) ** problem.dimensions
    return references * problem.classes + GPU_MB_PER_THREAD * threads * MIB


def gpu_mem_mb(model: GpuModel, problem: Problem, threads: int = 1) -> int | None:
    """Device memory in MiB, rounded up; see `gpu_bytes`."""
    needed = gpu_bytes(model, problem, threads)
    return None if needed is None else _up(needed / MIB)


def host_mem_mb(model: str, problem: Problem, threads: int = 1) -> int | None:
    """Host memory in MiB of one rank, or None where the data do not say.

    Parameters
    ----------
    model
        Name of a model, as in a job type's ``memory``: refine, motioncorr, polish, ctfrefine,
        extract, volume or flat.
    problem, threads
        What it works on, and threads of a rank.

    Raises
    ------
    KeyError
        For a model that does not exist.
    """
    return MODELS[model](problem, threads)


def _refine(problem: Problem, threads: int) -> int | None:
    """Memory of ``relion_refine``, in double precision as RELION's CPU code is built.

    For each class a projector (half of ``(pad box)^3`` complex numbers, 8 B a voxel) and a
    back-projector (complex sums and real weights, 12 B); once more 24 B while one class is
    reconstructed (src/ml_model.h, src/backprojector.cpp). Each thread holds the images and
    weights of a few particles.
    """
    if problem.box is None:
        return None
    voxels = (problem.pad * problem.box) ** problem.dimensions
    images = 400 * problem.box**2 * threads
    return BASE_MB + 30 * threads + _up((20 * problem.classes + 24) * voxels / MIB + images / MIB)


def _motioncorr(problem: Problem, threads: int) -> int | None:
    """Memory of RELION's own motion correction.

    All frames as real numbers and as half complex transforms in single precision (src/
    motioncorr_runner.cpp), and a few images for each thread.
    """
    if problem.movie_shape is None or problem.n_frames is None:
        return None
    pixels = problem.movie_shape[0] * problem.movie_shape[1]
    return BASE_MB + _up((10 * problem.n_frames + 16 + 8 * threads) * pixels / MIB)


def _polish(problem: Problem, threads: int) -> int | None:
    """Memory of ``relion_motion_refine``: a movie, its particles' stacks, and two references."""
    movie, references = _motioncorr(problem, threads), _ctfrefine(problem, threads)
    if movie is None or references is None:
        return None
    return movie + references


def _ctfrefine(problem: Problem, threads: int) -> int | None:
    """Memory of ``relion_ctf_refine``: two half maps, padded twice, and images for each thread.

    (src/jaz/single_particle/reference_map.cpp)
    """
    if problem.box is None:
        return None
    images = 2000 * problem.box**2 * threads
    return BASE_MB + _up((24 * (2 * problem.box) ** 3 + images) / MIB)


def _extract(problem: Problem, threads: int) -> int | None:
    """Memory of ``relion_preprocess``: a micrograph and a stack of its particles."""
    if problem.movie_shape is None:
        return None
    pixels = problem.movie_shape[0] * problem.movie_shape[1]
    return BASE_MB + _up(40 * pixels / MIB)


def _volume(problem: Problem, threads: int) -> int | None:
    """Memory of programs that hold a few maps and their transforms (postprocess, masks)."""
    if problem.box is None:
        return None
    return BASE_MB + _up(100 * problem.box**3 / MIB)


def _flat(problem: Problem, threads: int) -> int | None:
    """Memory of programs that need no more than RELION itself."""
    return None


#: Models of host memory by name.
MODELS: dict[str, Callable[[Problem, int], int | None]] = {
    "refine": _refine,
    "motioncorr": _motioncorr,
    "polish": _polish,
    "ctfrefine": _ctfrefine,
    "extract": _extract,
    "volume": _volume,
    "flat": _flat,
}


def _up(value: float) -> int:
    return int(-(-value // 1))

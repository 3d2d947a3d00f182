"""How much GPU memory a rank of ``relion_refine`` needs, and what decides about all memory.

All are upper estimates for the last iterations, at full resolution; early iterations need less,
which ``current_size`` tells. The models of host memory are in `host_memory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from relion_dispatch.frozen import dataclass

MIB = 1024 * 1024

#: Formulas of device memory.
GpuModel = Literal["relion", "fmi"]

#: Models of host memory, and of time.
HostModel = Literal[
    "refine",
    "motioncorr",
    "polish",
    "polish_train",
    "ctfrefine",
    "subtract",
    "extract",
    "mask",
    "volume",
    "locres",
    "flat",
]
TimeModel = Literal["refine", "movies", "micrographs", "unknown"]

#: Device memory that RELION leaves to FFT plans and kernels for each thread, in MiB
#: (``GPU_THREAD_MEMORY_OVERHEAD_MB`` in src/acc/cuda/cuda_settings.h of 3.1, 4.0 and 5.0).
GPU_MB_PER_THREAD = 200

#: RELION's own margin over its references (src/acc/cuda/cuda_ml_optimiser.cu).
GPU_MARGIN = 1.05

#: Single-precision numbers for each voxel of a padded transform: its half is kept as the real and
#: imaginary part of a projector (2) and of a back-projector with its weights (3).
PROJECTOR, BACKPROJECTOR = 2 / 2, 3 / 2


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
    masks
        Masks of bodies and of their overlaps, each with a projector; 0 where there are no bodies.
    dimensions
        2 or 3: of the references.
    current_size
        Side of the Fourier transforms in pixels at the resolution reached; None for the whole box.
    halves
        A refinement of two halves, which ends with an iteration over all data.
    gradient
        An initial model or a classification by gradients, which keeps these too.
    pseudo_halves
        VDAM of RELION 4 and 5, which sums up each class twice.
    alone
        One process without MPI.
    via_disc
        Ranks add up their sums through files rather than through MPI.
    accelerated
        RELION's vectorised code for CPUs (``--cpu``), which copies the references once more.
    translations
        Shifted copies of an image that a thread keeps: the fine ones of RELION's CPU code, none
        on GPUs, which shift on the fly.
    samples, finest_samples
        Orientations times translations times classes in the fine search of one particle: at the
        start, and the most later on.
    n_frames, movie_shape, binning
        Frames of a movie, and its width and height in pixels, as they are read; by how much they
        are made smaller first.
    micrograph_shape
        Width and height of a micrograph in pixels, where it is known not to be as the movie's.
    new_box
        Side in pixels of the images that polishing makes, where it is told.
    image_dimensions, n_tilts
        Of a particle's image: 3 of a subtomogram; a stack of as many tilts counts as one image.
    n_particles, n_micrographs, iterations
        How much there is to do.
    min_particles
        Particles that a training works on.
    free_gpu_memory_mb
        Device memory that RELION is told to leave free, in MiB.
    preread
        Who reads all images into memory.
    scratch
        Whether images are copied to a node's own disk.
    """

    box: int | None = None
    pad: float = 2
    classes: int = 1
    masks: int = 0
    dimensions: int = 3
    current_size: int | None = None
    halves: bool = False
    gradient: bool = False
    pseudo_halves: bool = False
    alone: bool = False
    via_disc: bool = False
    accelerated: bool = False
    translations: int = 84
    samples: int = 0
    finest_samples: int = 0
    n_frames: int | None = None
    movie_shape: tuple[int, int] | None = None
    binning: float = 1
    micrograph_shape: tuple[int, int] | None = None
    new_box: int | None = None
    image_dimensions: int = 2
    n_tilts: int = 1
    n_particles: int | None = None
    n_micrographs: int | None = None
    iterations: int | None = None
    min_particles: int | None = None
    free_gpu_memory_mb: int = 0
    preread: Literal["none", "leader", "all"] = "none"
    scratch: bool = False

    def voxels(self) -> float:
        """Voxels of a padded transform at the resolution reached, whose half is kept.

        Three more a side than the padded box (``Projector::initialiseData``, src/projector.cpp).
        """
        side = min(self.current_size or self.box or 0, self.box or 0)
        return float((round(self.pad * side) + 3) ** self.dimensions)

    @property
    def projectors(self) -> int:
        """References that are projected: more than are reconstructed where bodies overlap."""
        return max(self.classes, self.masks)

    def padded(self) -> float:
        """Voxels of a padded map, whatever the resolution."""
        return float((self.pad * (self.box or 0)) ** self.dimensions)

    def pixels(self) -> int:
        """Pixels of a movie's frame."""
        width, height = self.movie_shape or (0, 0)
        return width * height

    def micrograph_pixels(self) -> float:
        """Pixels of a micrograph."""
        if self.micrograph_shape is None:
            return self.pixels() / self.binning**2
        return self.micrograph_shape[0] * self.micrograph_shape[1]

    def image_pixels(self) -> int:
        """Pixels of a particle's image, of all its tilts."""
        box = self.box or 0
        return box * box * box if self.image_dimensions == 3 else box * box * self.n_tilts

    @property
    def images_mb(self) -> int | None:
        """All particles' images in MiB, four bytes a pixel, as on a scratch disk; or None."""
        if self.box is None or self.n_particles is None:
            return None
        return _up(4 * self.image_pixels() * self.n_particles / MIB)


def gpu_bytes(
    model: GpuModel, problem: Problem, threads: int = 1, current_size: int | None = None
) -> float | None:
    """Device memory in bytes of one rank of ``relion_refine``, or None where the box is unknown.

    Parameters
    ----------
    model
        A cluster's ``gpu_memory_model``, see `GPU_MODELS`.
    problem, threads
        What the rank works on, and its threads: they share the references, ranks do not. The two
        halves of a refinement are different ranks, so a rank holds one of them, in the last
        iteration over all data too. Symmetry is no matter: it is applied on the host.
    current_size
        In the place of the problem's, for an early iteration.
    """
    if problem.box is None:
        return None
    if current_size is not None:
        problem = replace(problem, current_size=current_size)
    return GPU_MODELS[model](problem, threads)


def gpu_mem_mb(
    model: GpuModel, problem: Problem, threads: int = 1, current_size: int | None = None
) -> int | None:
    """Device memory in MiB, rounded up; see `gpu_bytes`."""
    needed = gpu_bytes(model, problem, threads, current_size)
    return None if needed is None else _up(needed / MIB)


def _relion(problem: Problem, threads: int) -> float:
    """RELION's own: ``2.5 * 1.05 * 4 B * (pad * box)^d`` for each class, and 200 MiB a thread.

    (src/acc/cuda/cuda_ml_optimiser.cu; the same as the ``1.1e-8 * (2 box)^3`` GB of src/error.h,
    in 3.1, 4.0 and 5.0.) The 2.5 are what src/acc/acc_projector_impl.h and
    acc_backprojector_impl.h allocate: a projector and a back-projector for each class, and, with
    VDAM's pseudo half sets, a back-projector more (src/ml_model.cpp of 4.0). Bodies that overlap
    have a projector more for each neighbour (``MlModel::initialiseBodies``). At the resolution
    reached the transforms have only ``current_size`` pixels a side. What is left of the device
    becomes RELION's work space: it needs little, and takes what there is.
    """
    backprojectors = BACKPROJECTOR * (2 if problem.pseudo_halves else 1)
    side = min(problem.current_size or problem.box or 0, problem.box or 0)
    voxels = (problem.pad * side) ** problem.dimensions
    numbers = PROJECTOR * problem.projectors + backprojectors * problem.classes
    references = numbers * GPU_MARGIN * 4 * voxels
    return references + GPU_MB_PER_THREAD * threads * MIB


def _fmi(problem: Problem, threads: int) -> float:
    """The older dispatcher's ``84 B * box^d * pad * K``, whatever the resolution.

    Twice RELION's at pad 2 and eight times at pad 1; threads do not count.
    """
    box = problem.box or 0
    return float(84 * box**problem.dimensions * int(problem.pad) * problem.classes)


#: Models of device memory by name.
GPU_MODELS: dict[GpuModel, Callable[[Problem, int], float]] = {"relion": _relion, "fmi": _fmi}


def _up(value: float) -> int:
    return int(-(-value // 1))

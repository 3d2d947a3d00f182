"""How much host memory a process needs: pure functions, sources in the docstrings.

The terms are the arrays that RELION holds at the same time, read in its source; numbers are in
double precision (8 B), as RELION is built by default for CPUs and for GPUs (GPUs calculate in
single precision, the host sums up in double). They were compared with the most memory that real
ranks of RELION 3.1 held: ``python -m tests.bench.memory``, docs/sizing.md. RELION 4.0 and 5.0
keep the same arrays, where not said otherwise, but were not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from relion_dispatch.memory import MIB, Problem

#: What a process holds before it has read anything, without and with MPI, in MiB (measured).
BASE_MB, MPI_BASE_MB = 14, 26

#: Small arrays, and memory that an allocator does not give back (measured: up to a tenth).
MARGIN = 1.12

#: Bytes of a particle's row in every rank: as a table, and as RELION's own list (measured with 18
#: columns: 0.9 kB; RELION's own files have up to twice as many).
PARTICLE_BYTES = 1300

#: Bytes of a particle's row as a table alone (measured with 18 columns: 0.5 kB).
ROW_BYTES = 750

#: What a rank of a multi-body refinement holds besides, in MiB, whatever the box (measured).
BODIES_MB = 65

#: What the CUDA driver and page-locked buffers take of a process' host memory, in MiB: assumed,
#: not measured.
GPU_HOST_MB = 1000

#: One of many micrographs may hold so many times the average's particles; these where nobody knows.
UNEVEN, CROWDED = 1.5, 400

#: The most that ranks send each other at once, in bytes (``MAX_PACK_SIZE``, src/ml_model.cpp of
#: 3.1; a tenth of it from 4.0 on).
PACK_BYTES = 8 * 671_010_000


def host_mem_mb(
    model: str, problem: Problem, threads: int = 1, current_size: int | None = None
) -> int | None:
    """Host memory in MiB of one rank, or None where the data do not say.

    Parameters
    ----------
    model
        Name of a model, as in a job type's ``memory``; see `MODELS`.
    problem, threads
        What it works on, and threads of a rank.
    current_size
        In the place of the problem's, for an early iteration.

    Raises
    ------
    KeyError
        For a model that does not exist.
    """
    if current_size is not None:
        problem = replace(problem, current_size=current_size)
    needed = MODELS[model](problem, threads)
    if needed is None:
        return None
    base = BASE_MB if problem.alone else MPI_BASE_MB
    return base + _up(MARGIN * needed / MIB)


def leader_mem_mb(problem: Problem) -> int | None:
    """Host memory in MiB of a leader, which holds the maps and the particles' rows.

    The references, and one of them twice as it is read (``MlOptimiserMpi::initialise``,
    src/ml_optimiser_mpi.cpp); no transforms.
    """
    if problem.box is None:
        return None
    maps = 8 * (problem.classes + problem.masks + 2) * problem.box**problem.dimensions
    held = _rows(problem) + _bodies(problem) + _preread(problem, leader=True)
    return MPI_BASE_MB + _up(MARGIN * (maps + held) / MIB)


def _refine(problem: Problem, threads: int) -> float | None:
    """Memory of a worker of ``relion_refine``: that of its hungriest moment.

    With ``v`` voxels of a padded transform at the resolution reached, ``p`` of the padded map and
    ``n`` of the map, each class has a projector (8 B of a voxel: complex numbers of half the
    transform) and a back-projector (12 B: sums and weights). The moments are

    - the maps' transforms: the back-projectors of the iteration before, the projectors done, a
      padded map and its transform (``computeFourierTransformMap``, src/projector.cpp);
    - expectation: all projectors and back-projectors, and each thread's images;
    - adding up the ranks' sums: the back-projectors packed once (through files), or sent and
      received in pieces (src/ml_optimiser_mpi.cpp, ``combineAllWeightedSums``);
    - reconstruction: a complex and three real arrays more (``BackProjector::reconstruct``; this
      is the ``9 x`` of RELION's own estimate; 4.0 and 5.0 skip gridding and need less); after the
      last iteration over all data one of the files with the halves' sums besides
      (``readTemporaryDataAndWeightArraysAndReconstruct``).

    On GPUs a worker keeps all of this on the host too: projectors are copied from there, and the
    device's sums are added there, with 6 B a voxel of one class as they are fetched
    (``MlOptimiserMpi::expectation``), less than reconstruction takes. Only images are not.
    """
    if problem.box is None:
        return None
    k, v, p = problem.classes, problem.voxels(), problem.padded()
    n = float(problem.box**problem.dimensions)
    sums = 12 * k * v * (2 if problem.pseudo_halves else 1)
    copies = 10 * problem.projectors * v if problem.accelerated else 0
    packed = 0.0 if problem.alone else sums if problem.via_disc else 2 * min(sums, PACK_BYTES)
    last = 4 * v + 8 * n if problem.halves else 0
    # Of the projectors of bodies but the first is given back (``MlOptimiserMpi::expectation``).
    kept = 8 * max(problem.masks - 1, 0) * v
    moments = (
        8 * (problem.projectors - 1) * v + 16 * p,
        8 * problem.projectors * v + copies,
        kept + packed,
        kept + max(24 * v, 16 * p + 4 * v) + last,
    )
    # What threads held in the expectation step is not given back at once.
    held = threads * _images(problem) + _rows(problem) + _preread(problem, leader=problem.alone)
    held += _bodies(problem)
    return sums + max(moments) + _maps(problem) + held


def _maps(problem: Problem) -> float:
    """References, and with gradients these, their moments, and the references before.

    (``Igrad``, src/ml_model.h; in 4.0 and 5.0 complex moments of two pseudo half sets.) Bodies have
    masks besides, and so have their overlaps.
    """
    k, n = problem.classes, float((problem.box or 0) ** problem.dimensions)
    if problem.pseudo_halves:
        return 8 * n * (5 * k + 1)
    return 8 * n * (2 * k + 2 if problem.gradient else k + problem.masks)


def _images(problem: Problem) -> float:
    """What each thread holds of a particle in the expectation step of RELION's CPU code.

    Its shifted images, masked and not, the weights of all samples and of those that count
    (``exp_local_Fimgs_shifted`` and ``exp_Mweight``, src/ml_optimiser.cpp), and a few images. At
    the start all samples may count, later on few do.
    """
    pixels = problem.image_pixels()
    weights = max(24 * problem.samples, 10 * problem.finest_samples)
    return 16 * pixels * problem.translations + weights + 160 * pixels


def _bodies(problem: Problem) -> float:
    return float(MIB * BODIES_MB) if problem.masks else 0.0


def _rows(problem: Problem) -> float:
    return PARTICLE_BYTES * (problem.n_particles or 0)


def _preread(problem: Problem, *, leader: bool) -> float:
    """All images, in single precision, where a rank reads them into memory.

    (``Experiment::read``, src/exp_model.cpp; who does, in ``MlOptimiser::initialiseGeneral``.)
    """
    reads = problem.preread == "all" or (leader and problem.preread == "leader")
    return float(MIB * (problem.images_mb or 0)) if reads else 0.0


def _motioncorr(problem: Problem, threads: int) -> float | None:
    """Memory of RELION's own motion correction, in single precision.

    All frames and their half complex transforms (src/motioncorr_runner.cpp; frames that are
    binned first are not kept), a gain reference, sums, and a frame's copy for each thread.
    """
    if problem.movie_shape is None or problem.n_frames is None:
        return None
    frames = (4 + 4 / problem.binning**2) * problem.n_frames
    return (frames + 12 + 6 * threads) * problem.pixels()


def _references(problem: Problem) -> tuple[float, float]:
    """Bytes of two half maps' projectors while they are made, and afterwards.

    (``ReferenceMap::load``, src/jaz/reference_map.cpp, in 4.0 and 5.0 under single_particle.)
    """
    v, n = problem.voxels(), (problem.box or 0) ** 3
    return 24 * v + 32 * n, 16 * v


def _per_micrograph(problem: Problem) -> float:
    """Particles of a crowded micrograph."""
    if problem.n_particles is None or not problem.n_micrographs:
        return CROWDED
    uneven = UNEVEN - (UNEVEN - 1) / problem.n_micrographs
    return uneven * problem.n_particles / problem.n_micrographs


def _ctfrefine(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_ctf_refine``: references, then images.

    A micrograph's particles, three predictions and two gradients of each, all complex
    (``processSubsetMicrographs``, src/jaz/ctf/ctf_refiner.cpp).
    """
    if problem.box is None:
        return None
    making, kept = _references(problem)
    pixels = problem.box**2
    images = 48 * pixels * _per_micrograph(problem)
    return max(making, kept + images) + 100 * pixels * threads + _rows(problem)


def _subtract(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_particle_subtract``: the job's model, whose maps are transformed.

    (``ParticleSubtractor::initialise``, src/particle_subtractor.cpp)
    """
    if problem.box is None:
        return None
    v, p = problem.voxels(), problem.padded()
    maps = 8.0 * (2 * problem.projectors + 2) * float(problem.box**problem.dimensions)
    transforms = 8 * (problem.projectors - 1) * v + 16 * p
    return transforms + maps + 200 * problem.image_pixels() + _rows(problem)


def _polish(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_motion_refine``: references, then a micrograph's particles in all frames.

    Of each particle and frame half a complex transform and a map of correlations
    (``MotionEstimator::prepMicrograph``, src/jaz/motion/motion_estimator.cpp), of each particle a
    prediction; tables of all frames and frequencies. Images of another size that come of it are
    summed up of all frames (``FrameRecombiner::process``, src/jaz/motion/frame_recombiner.cpp of
    3.1; frame by frame from 4.0 on). 4.0 and 5.0 read a whole movie, as 3.1 does of
    EER (``MicrographHandler::loadMovie``), otherwise 3.1 reads a frame for each thread.
    """
    if problem.movie_shape is None or problem.n_frames is None or problem.box is None:
        return None
    making, kept = _references(problem)
    pixels, frames = problem.box**2, problem.n_frames
    estimating = (16 * frames + 16) * pixels
    recombining = (8 * frames + 24) * (problem.new_box or 0) ** 2
    images = max(estimating, recombining) * _per_micrograph(problem)
    tables = (8 + 4 * threads) * frames * pixels
    movie = (8 + 4 * max(frames, threads)) * problem.pixels()
    return max(making, kept + images + tables + movie) + _rows(problem)


def _polish_train(problem: Problem, threads: int) -> float | None:
    """Memory of the training of polishing, which keeps the particles of all its micrographs.

    In single precision, of each particle and frame the frequencies it compares and a map of
    correlations (``AlignmentSet``, src/jaz/motion/alignment_set.h).
    """
    one = _polish(problem, threads)
    if one is None or problem.box is None or problem.min_particles is None:
        return None
    particles = problem.min_particles + _per_micrograph(problem)
    return one + 8 * problem.box**2 * (problem.n_frames or 0) * particles


def _extract(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_preprocess``: a micrograph, and a stack of as many pixels.

    Every rank reads the particles that are extracted anew (``Preprocessing::initialise``).
    """
    if not problem.micrograph_pixels():
        return None
    rows = ROW_BYTES * (problem.n_particles or 0)
    return 16.0 * problem.micrograph_pixels() + 16 * (problem.box or 0) ** 2 + rows


def _mask(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_mask_create``: three maps."""
    return None if problem.box is None else 24.0 * problem.box**3


def _volume(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_postprocess``: both halves, masked and not, and their transforms.

    (src/postprocessing.cpp)
    """
    return None if problem.box is None else 56.0 * problem.box**3


def _locres(problem: Problem, threads: int) -> float | None:
    """Memory of ``relion_postprocess --locres``: the same, and sums over all places.

    (``run_locres``, src/postprocessing.cpp)
    """
    return None if problem.box is None else 132.0 * problem.box**3


def _flat(problem: Problem, threads: int) -> float | None:
    """Memory of programs of which the data tell nothing."""
    return None


#: Models of host memory by name: bytes beyond what every process holds, or None.
MODELS: dict[str, Callable[[Problem, int], float | None]] = {
    "refine": _refine,
    "motioncorr": _motioncorr,
    "polish": _polish,
    "polish_train": _polish_train,
    "ctfrefine": _ctfrefine,
    "subtract": _subtract,
    "extract": _extract,
    "mask": _mask,
    "volume": _volume,
    "locres": _locres,
    "flat": _flat,
}


def _up(value: float) -> int:
    return int(-(-value // 1))

"""How long a job may take, roughly: for time limits, not for promises.

Each function returns the work in P100 minutes or core minutes, fitted to RELION's standard
benchmark (105,000 ribosomes of 360 pixels; a few hours for classification on two P100) and to
what movies of 4k x 4k pixels take on a core. Limits are set to three times the estimate. Small
refinements and classifications on two cores come out within a factor of four, what takes seconds
is over-estimated (``python -m tests.bench.durations``); sites that want better numbers calibrate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from relion_dispatch.memory import Problem

#: Time limits are this many times the estimate: data differ, nodes are shared, starts are slow.
SAFETY = 3.0

#: One processor core in units of a P100: a GPU is about ten times a node of 28 cores (M3 guide:
#: "an order of magnitude").
CORE_SPEED = 1 / 280

#: A P100 in units of a core, for movies and micrographs: MotionCor2 takes seconds for a movie.
GPU_SPEED = 15

#: Searches of the benchmark: Healpix order 2, or steps of 12 degrees in the plane, of 84 shifts.
USUAL_SAMPLES = {3: 3_096_576, 2: 5_040}

#: What a job takes beside its work, in minutes: programs that start, files that are looked at.
START_MIN = 0.05

#: A refinement takes about as long as so many iterations of a classification with one class.
REFINE_ITERATIONS = 100

#: Iterations of an initial model.
GRADIENT_ITERATIONS = 200


def minutes(model: str, problem: Problem, speed: float, cores: int) -> int | None:
    """Return the time limit in minutes that an estimate suggests; None where data are unknown.

    Parameters
    ----------
    model
        Name of a model, as in a job type's ``time``.
    problem
        What the job works on.
    speed
        Speed of all the job's GPUs together, 1 for a P100; 0 on CPUs.
    cores
        Cores that the job keeps busy.

    Raises
    ------
    KeyError
        For a model that does not exist.
    """
    on_gpus, work = MODELS[model](problem)
    if work is None:
        return None
    power = (speed or cores * CORE_SPEED) if on_gpus else max(cores, 1) + GPU_SPEED * speed
    return round(SAFETY * (work / power + START_MIN)) + 1


def _refine(problem: Problem) -> tuple[bool, float | None]:
    """``relion_refine``: images times pixels times classes times iterations, and the search.

    Of a search that is so many times as large only the coarse pass takes so many times as long:
    the fine one looks at what came out of it (adaptive oversampling, Scheres 2012,
    doi:10.1016/j.jsb.2012.09.006). So its square root counts.
    """
    if problem.box is None or problem.n_particles is None:
        return True, None
    pixels = _images(problem, problem.n_particles) * problem.image_pixels()
    usual = GRADIENT_ITERATIONS if problem.gradient else REFINE_ITERATIONS
    iterations = problem.iterations or usual
    each = 5e-10 if problem.dimensions == 3 else 1.2e-11
    return True, each * pixels * problem.classes * iterations * _search(problem)


def _images(problem: Problem, particles: int) -> int:
    """Images of an iteration: of gradients' the share that the subsets have on average.

    (``--sgd_fin_subset`` and ``--grad_fin_subset``, src/ml_optimiser.cpp.)
    """
    return min(particles, max(1000, particles // 20)) if problem.gradient else particles


def _search(problem: Problem) -> float:
    """The search in units of the benchmark's; 1 where nothing is known of it."""
    if not problem.samples:
        return 1.0
    usual = USUAL_SAMPLES[problem.dimensions] * problem.classes
    return min(max(math.sqrt(problem.samples / usual), 0.1), 4.0)


def _movies(problem: Problem) -> tuple[bool, float | None]:
    """Motion correction and polishing: all pixels of all frames."""
    if None in (problem.n_micrographs, problem.n_frames, problem.movie_shape):
        return False, None
    width, height = problem.movie_shape or (0, 0)
    frames = (problem.n_micrographs or 0) * (problem.n_frames or 0)
    return False, 2.5e-9 * frames * width * height


def _micrographs(problem: Problem) -> tuple[bool, float | None]:
    """CTF estimation, picking, extraction: half a minute for a micrograph of 4k x 4k pixels."""
    if problem.n_micrographs is None:
        return False, None
    pixels = problem.micrograph_pixels() or 1.42e7
    return False, (0.01 + 3.45e-8 * pixels) * problem.n_micrographs


def _unknown(problem: Problem) -> tuple[bool, float | None]:
    """Programs of which nothing is known."""
    return False, None


#: Models of time by name.
MODELS: dict[str, Callable[[Problem], tuple[bool, float | None]]] = {
    "refine": _refine,
    "movies": _movies,
    "micrographs": _micrographs,
    "unknown": _unknown,
}

"""How long a job may take, roughly: for time limits, not for promises.

Each function returns the work in P100 minutes or core minutes, fitted to RELION's standard
benchmark (105,000 ribosomes of 360 pixels; a few hours for classification on two P100) and to
what movies of 4k x 4k pixels take on a core. Limits are set to three times the estimate.
"""

from __future__ import annotations

from collections.abc import Callable

from relion_dispatch.memory import Problem

#: Time limits are this many times the estimate: data differ, nodes are shared, starts are slow.
SAFETY = 3.0

#: One processor core in units of a P100: a GPU is about ten times a node of 28 cores (M3 guide:
#: "an order of magnitude").
CORE_SPEED = 1 / 280

#: A P100 in units of a core, for movies and micrographs: MotionCor2 takes seconds for a movie.
GPU_SPEED = 15

#: A refinement takes about as long as so many iterations of a classification with one class.
REFINE_ITERATIONS = 100


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
    return round(SAFETY * work / power) + 1


def _refine(problem: Problem) -> tuple[bool, float | None]:
    """``relion_refine``: images times pixels times classes times iterations."""
    if problem.box is None or problem.n_particles is None:
        return True, None
    pixels = problem.n_particles * problem.box**2
    iterations = problem.iterations or REFINE_ITERATIONS
    each = 5e-10 if problem.dimensions == 3 else 1.2e-11
    return True, each * pixels * problem.classes * iterations


def _movies(problem: Problem) -> tuple[bool, float | None]:
    """Motion correction and polishing: all pixels of all frames."""
    if None in (problem.n_micrographs, problem.n_frames, problem.movie_shape):
        return False, None
    width, height = problem.movie_shape or (0, 0)
    frames = (problem.n_micrographs or 0) * (problem.n_frames or 0)
    return False, 2.5e-9 * frames * width * height


def _micrographs(problem: Problem) -> tuple[bool, float | None]:
    """CTF estimation, picking, extraction: half a minute for each micrograph."""
    if problem.n_micrographs is None:
        return False, None
    return False, 0.5 * problem.n_micrographs


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

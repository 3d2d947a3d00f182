"""The refinement: all parameters at once, by maximum likelihood.

The noise of a power spectrum is multiplicative: its standard deviation is proportional to its mean.
The likelihood for that is the gamma distribution's (Whittle's likelihood for a periodogram), which
gives the dark rings, where the noise is low, the weight they deserve; least squares does not. It is
maximised by Fisher scoring (McCullagh & Nelder, Generalized Linear Models, chapters 2 and 8) with
Levenberg's damping. Written out here because importing scipy.optimize takes longer than the rest of
the program, which RELION starts anew for each micrograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relion_dispatch.ctf.model import Booleans, Ctf, Floats, Optics, phase
from relion_dispatch.ctf.rings import Rings
from relion_dispatch.ctf.search import Candidate, Search

BACKGROUND_TERMS = 5
SIGNAL_TERMS = 3
# Prior standard deviations of the polynomials' coefficients: B and S are smooth and change less
# over the range than the envelope that was divided out. Without them S collapses onto a single ring
# of a noisy spectrum.
SHAPE_PRIOR = 0.5
LEVEL_PRIOR = 3.0
START_BACKGROUND = np.log(0.8)
START_SIGNAL = np.log(0.4)
MAX_STEPS = 40
MAX_DAMPING = 1e6

_SMOOTH = BACKGROUND_TERMS + SIGNAL_TERMS
_DEFOCUS, _COS2, _SIN2, _PHASE = range(_SMOOTH, _SMOOTH + 4)


@dataclass(frozen=True, kw_only=True)
class Refined:
    """The best fit from one start.

    Parameters
    ----------
    ctf
        The estimate.
    background, signal
        Chebyshev coefficients of log B and log S.
    deviance
        Twice the negative log likelihood, restraints included, up to a constant.
    defocus_error
        Standard error of the mean defocus in Å, from the Fisher information.
    """

    ctf: Ctf
    background: Floats
    signal: Floats
    deviance: float
    defocus_error: float


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What stays the same while the parameters move."""

    rings: Rings
    optics: Optics
    search: Search
    background_basis: Floats
    signal_basis: Floats
    prior_mean: Floats
    prior_weight: Floats
    free: Booleans


@dataclass(frozen=True, kw_only=True)
class _State:
    """The model at one set of parameters."""

    parameters: Floats
    gamma: Floats
    background: Floats
    signal: Floats
    model: Floats
    deviance: float


def refine(rings: Rings, optics: Optics, search: Search, start: Candidate) -> Refined:
    """Refine one candidate.

    Parameters
    ----------
    rings
        The spectrum.
    optics
        The microscope.
    search
        Limits and restraint; a single phase shift is held fixed.
    start
        Where to start.

    Returns
    -------
    Refined
        Its mean defocus lies within one step of the searched range and is not negative.
    """
    problem = _pose(rings, optics, search)
    state = _evaluate(problem, _start(start))
    damping = 1e-3
    information = _information(problem, state)[0]
    for _ in range(MAX_STEPS):
        information, gradient = _information(problem, state)
        moved, damping = _step(problem, state, information, gradient, damping)
        if moved is None:
            break
        gained = state.deviance - moved.deviance
        state = moved
        if gained < 1e-3:
            break
    return _result(state, information, problem.free)


def _start(start: Candidate) -> Floats:
    parameters = np.zeros(_SMOOTH + 4)
    parameters[0] = START_BACKGROUND
    parameters[BACKGROUND_TERMS] = START_SIGNAL
    parameters[_SMOOTH:] = start.defocus, start.cos2, start.sin2, start.phase_shift
    return parameters


def _pose(rings: Rings, optics: Optics, search: Search) -> _Problem:
    mean = np.zeros(_SMOOTH + 4)
    mean[0], mean[BACKGROUND_TERMS] = START_BACKGROUND, START_SIGNAL
    sigma = np.full(_SMOOTH + 4, np.inf)
    sigma[1:_SMOOTH] = SHAPE_PRIOR
    sigma[BACKGROUND_TERMS] = LEVEL_PRIOR
    if search.astigmatism_tolerance is not None:
        sigma[[_COS2, _SIN2]] = search.astigmatism_tolerance / 2
    free = np.ones(_SMOOTH + 4, dtype=np.bool_)
    free[_PHASE] = len(search.phase_shifts) > 1
    return _Problem(
        rings=rings,
        optics=optics,
        search=search,
        background_basis=rings.basis(BACKGROUND_TERMS),
        signal_basis=rings.basis(SIGNAL_TERMS),
        prior_mean=mean,
        prior_weight=1 / sigma**2,
        free=free,
    )


def _evaluate(problem: _Problem, parameters: Floats) -> _State:
    bins = problem.rings.bins
    ctf = _ctf(parameters)
    gamma = phase(problem.optics, ctf, bins.k2, bins.cos2, bins.sin2)
    background = np.exp(problem.background_basis @ parameters[:BACKGROUND_TERMS])
    signal = np.exp(problem.signal_basis @ parameters[BACKGROUND_TERMS:_SMOOTH])
    model = background + signal * np.sin(gamma) ** 2
    ratio = problem.rings.scaled / model
    log_ratio = np.log(np.maximum(ratio, 1e-9))
    deviance = 2 * float(bins.count @ (ratio - 1 - log_ratio)) / problem.rings.dispersion
    deviance += float(problem.prior_weight @ (parameters - problem.prior_mean) ** 2)
    return _State(
        parameters=parameters,
        gamma=gamma,
        background=background,
        signal=signal,
        model=model,
        deviance=deviance,
    )


def _information(problem: _Problem, state: _State) -> tuple[Floats, Floats]:
    """Fisher information and the score (gradient of the log likelihood) of the free parameters."""
    rings = problem.rings
    slope = state.signal * np.sin(2 * state.gamma)
    per_defocus = slope * (np.pi * problem.optics.wavelength * rings.bins.k2)
    columns = [
        problem.background_basis * state.background[:, None],
        problem.signal_basis * (state.signal * np.sin(state.gamma) ** 2)[:, None],
        per_defocus[:, None],
        (per_defocus * rings.bins.cos2)[:, None],
        (per_defocus * rings.bins.sin2)[:, None],
        slope[:, None],
    ]
    relative = (np.concatenate(columns, axis=1) / state.model[:, None])[:, problem.free]
    weighted = relative * (rings.bins.count / rings.dispersion)[:, None]
    prior = problem.prior_weight[problem.free]
    away = (state.parameters - problem.prior_mean)[problem.free]
    information = weighted.T @ relative + np.diag(prior)
    score = weighted.T @ (rings.scaled / state.model - 1) - prior * away
    return information, score


def _step(
    problem: _Problem, state: _State, information: Floats, score: Floats, damping: float
) -> tuple[_State | None, float]:
    """Take the longest step that improves the fit; None when there is none."""
    diagonal = np.diag(information) + 1e-12
    while damping < MAX_DAMPING:
        change = np.linalg.solve(information + np.diag(damping * diagonal), score)
        parameters = state.parameters.copy()
        parameters[problem.free] += change
        if _allowed(problem.search, parameters):
            moved = _evaluate(problem, parameters)
            if moved.deviance <= state.deviance:
                return moved, max(damping / 8, 1e-9)
        damping *= 8
    return None, damping


def _allowed(search: Search, parameters: Floats) -> bool:
    step = search.defocus_step
    lowest = max(search.min_defocus - step, 0.0)
    in_range = lowest <= parameters[_DEFOCUS] <= search.max_defocus + step
    bounded = bool(np.max(np.abs(parameters[:_SMOOTH])) < 20)
    return bool(in_range) and bounded


def _ctf(parameters: Floats) -> Ctf:
    mean, cos2, sin2, phase_shift = (float(value) for value in parameters[_SMOOTH:])
    return Ctf.from_components(mean, cos2, sin2, phase_shift)


def _result(state: _State, information: Floats, free: Booleans) -> Refined:
    position = int(np.count_nonzero(free[:_DEFOCUS]))
    variance = np.linalg.inv(information)[position, position]
    return Refined(
        ctf=_ctf(state.parameters),
        background=state.parameters[:BACKGROUND_TERMS],
        signal=state.parameters[BACKGROUND_TERMS:_SMOOTH],
        deviance=state.deviance,
        defocus_error=float(np.sqrt(variance)),
    )

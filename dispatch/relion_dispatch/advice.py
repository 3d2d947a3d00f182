"""What to say when a job fits nowhere: why not, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from relion_dispatch.memory import GpuModel, Problem, gpu_mem_mb
from relion_dispatch.needs import Need, rank_mem_mb


def message(
    need: Need, refusals: Mapping[str, str], model: GpuModel, fits: Callable[[Need], bool]
) -> str:
    """Return the whole message.

    Parameters
    ----------
    need, refusals
        The job, and why each partition is too small for it.
    model
        The formula of GPU memory.
    fits
        Says whether a changed job would fit.
    """
    if not refusals:
        return "the profile has no partitions: add some to its cluster file"
    reasons = [f"  {name}: {reason}" for name, reason in refusals.items()]
    helps = [text for text, changed in _ideas(need, model) if fits(changed)]
    helps = helps or [text for text, changed in _both(need, model) if fits(changed)]
    if helps:
        advice = f"It would fit {_either(helps)}."
    else:
        advice = "Ask for less, or add a larger partition to the profile."
    return "\n".join(["the job fits no partition of the profile:", *reasons, advice])


def _ideas(need: Need, model: GpuModel) -> Iterator[tuple[str, Need]]:
    """Yield changes one by one: first of the data, then of what was asked for."""
    for text, problem in _smaller(need):
        yield _changed(text, replace(need, problem=problem), model)
    if need.gpu != "none" and not need.needs_gpu:
        yield "on CPUs (ngpu: 0)", replace(need, ngpu=0)
    if need.partition is not None:
        yield "in another partition", replace(need, partition=None)
    asked: dict[str, dict[str, Any]] = {
        "another number of ranks": {"nproc": None, "hoped_nproc": None},
        "fewer threads": {"nthread": None},
        "fewer GPUs": {"ngpu": None},
        "fewer nodes": {"nodes": None},
        "less memory": {"mem_mb": None},
        "less time": {"runtime_min": None},
    }
    for change, changes in asked.items():
        if any(getattr(need, name) is not None for name in changes):
            yield f"with {change}", replace(need, **changes)


def _both(need: Need, model: GpuModel) -> Iterator[tuple[str, Need]]:
    """Yield changes of padding, classes and box together."""
    problem = need.problem
    if problem.box is None or problem.classes == 1 or problem.masks or need.memory != "refine":
        return
    small = replace(_one_class(problem), pad=1)
    yield _changed("--pad 1 and one class", replace(need, problem=small), model)
    for text, smaller in _boxes(small):
        yield _changed(f"--pad 1, one class and {text}", replace(need, problem=smaller), model)


def _changed(text: str, need: Need, model: GpuModel) -> tuple[str, Need]:
    return f"with {text}{_needs(need, model)}", need


def _smaller(need: Need) -> Iterator[tuple[str, Problem]]:
    problem = need.problem
    if problem.box is None:
        return
    if problem.pad > 1 and need.memory == "refine":
        yield f"--pad 1 instead of {problem.pad:g}", replace(problem, pad=1)
    if problem.masks > problem.classes:
        yield "--multibody_norm_overlap", replace(problem, masks=problem.classes)
    elif problem.classes > 1 and not problem.masks:
        yield f"one class instead of {problem.classes}", _one_class(problem)
    if need.memory == "polish_train" and problem.min_particles:
        for part in (2, 4, 8, 16):
            fewer = problem.min_particles // part
            yield f"--min_p {fewer}", replace(problem, min_particles=fewer)
    yield from _boxes(problem)


def _boxes(problem: Problem) -> Iterator[tuple[str, Problem]]:
    for part in (4, 3, 2):
        box = (problem.box or 0) * part // 5 // 2 * 2
        yield f"a box of {box} pixels", replace(problem, box=box)


def _one_class(problem: Problem) -> Problem:
    classes = problem.classes
    first, finest = problem.samples // classes, problem.finest_samples // classes
    return replace(problem, classes=1, samples=first, finest_samples=finest)


def _needs(need: Need, model: GpuModel) -> str:
    """What a rank would need then."""
    if need.gpu == "none":
        return f" ({rank_mem_mb(need, need.nthread or 1)} MB for a rank)"
    needed = gpu_mem_mb(model, need.problem, need.nthread or 1)
    return f" ({needed} MB for a worker)" if needed is not None else ""


def _either(texts: list[str]) -> str:
    for graded in ("a box of", "--min_p"):  # the smallest change of its kind is enough
        same = [text for text in texts if graded in text]
        texts = [text for text in texts if text not in same[1:]]
    return " or ".join(texts) if len(texts) < 3 else f"{', '.join(texts[:-1])} or {texts[-1]}"

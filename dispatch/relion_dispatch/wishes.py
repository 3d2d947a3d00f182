"""What was asked for: by the job type, by the command's own launcher, and by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relion_dispatch.cluster import Cluster
from relion_dispatch.command import Command
from relion_dispatch.errors import DoesNotFitError, InputError
from relion_dispatch.jobtypes import Resolved
from relion_dispatch.memory import Problem, gpu_model
from relion_dispatch.sizing import Need, Size

if TYPE_CHECKING:
    from relion_dispatch.data import DataFacts
    from relion_dispatch.plan import Request

_RANKS = ("n", "np", "ntasks")
#: Options of ``relion_refine`` that only three-dimensional references have.
_THREE_DIMENSIONS = (
    "ref",
    "denovo_3dref",
    "auto_refine",
    "split_random_halves",
    "healpix_order",
    "multibody_masks",
)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)
_MEMORY_MB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}
_DURATION = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Job parameters, laid over each other: type <- launcher <- user.

    Attributes
    ----------
    parameters
        All of them, as they stand.
    wished
        Names of those that the user asked for.
    notes
        What was not heeded and why.
    """

    parameters: Mapping[str, object]
    wished: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def number(self, name: str) -> int | None:
        """Return a whole number; None for a missing one and for `auto`."""
        value = self.parameters.get(name)
        if value in (None, "auto", ""):
            return None
        try:
            return int(str(value))
        except ValueError:
            raise InputError(f"job parameter {name}: expected a whole number, not {value!r}") from None

    def text(self, name: str) -> str | None:
        """Return a text; None for a missing one and for `auto`."""
        value = self.parameters.get(name)
        return None if value in (None, "auto", "") else str(value)

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list of words, from a list or from text."""
        value = self.parameters.get(name)
        if isinstance(value, list | tuple):
            return tuple(map(str, value))
        return tuple(str(value).split()) if value else ()


def collect(resolved: Resolved, command: Command, overrides: Mapping[str, object]) -> Asked:
    """Lay the user's wishes over the job type's parameters."""
    parameters: dict[str, Any] = dict(resolved.parameters)
    wished: set[str] = set()
    notes: list[str] = []
    for name, value in overrides.items():
        if name == "job_type" or value is None:
            continue
        if name in resolved.locked:
            notes.append(f"{name} = {value} was asked for, but job type {resolved.name} locks it.")
            continue
        parameters[name] = value
        wished.add(name)
    if "nodes" in wished and "nproc" not in wished:
        parameters.pop("nproc", None)
    return Asked(parameters=parameters, wished=frozenset(wished), notes=tuple(notes))


def launched_ranks(command: Command) -> int | None:
    """Return the number of ranks that a command's own launcher asks for."""
    words = command.launcher
    for name, value in zip(words, words[1:], strict=False):
        if name.startswith("-") and name.lstrip("-") in _RANKS and value.isdigit():
            return int(value)
    return None


def need(
    resolved: Resolved, command: Command, data: DataFacts, asked: Asked, request: Request
) -> Need:
    """Return what sizing has to satisfy."""
    return Need(
        ranks=resolved.ranks or "single",
        threads=resolved.threads,
        gpu=resolved.gpu,
        problem=problem(command, data),
        memory=resolved.memory,
        max_ranks=max_ranks(resolved, data, asked),
        max_threads=asked.number("max_nthread"),
        nproc=asked.number("nproc"),
        nthread=asked.number("nthread"),
        ngpu=asked.number("ngpu"),
        nodes=asked.number("nodes"),
        wished=asked.wished,
        mem_mb=memory_mb(asked.text("mem")),
        mem_mb_per_rank=asked.number("mem_mb_per_rank") or 1000,
        workers_per_gpu=asked.number("workers_per_gpu"),
        gpu_mem_mb=resolved.adjust[1] // 1024**2 if resolved.adjust else None,
        partition=asked.text("partition"),
        runtime_min=minutes(asked.text("runtime")),
        concurrent=request.concurrent,
        attempt=request.attempt,
    )


def problem(command: Command, data: DataFacts) -> Problem:
    """Return what of a ``relion_refine`` command and its data decides about memory."""
    three = any(command.has(name) for name in _THREE_DIMENSIONS)
    classes = _float(command.value("K")) or data.n_classes or 1
    return Problem(
        box=data.box,
        pad=_float(command.value("pad")) or 2,
        classes=int(classes),
        dimensions=3 if three else 2,
        n_frames=data.n_frames,
        movie_shape=data.movie_shape,
        free_gpu_memory_mb=int(_float(command.value("free_gpu_memory")) or 0),
    )


def max_ranks(resolved: Resolved, data: DataFacts, asked: Asked) -> int | None:
    """Return how many ranks have something to do, and may run."""
    limits = [asked.number("max_nproc")]
    for name, factor in resolved.max_ranks_per.items():
        items = getattr(data, name, None)
        limits.append(max(int(items * factor), 1) if items else None)
    known = [limit for limit in limits if limit]
    return min(known) if known else None


def sized_by_type(resolved: Resolved, asked: Asked) -> bool:
    """Whether a type says its numbers itself, as the older dispatcher's do."""
    return resolved.ranks is None and asked.number("nproc") is not None


def as_given(resolved: Resolved, asked: Asked, need: Need, cluster: Cluster) -> Size:
    """Return the size that a type's own numbers give.

    Ranks are reduced until they fit the GPUs where the type says ``adjust_GPU_nproc_to_mem``, at
    least to one worker on each.

    Raises
    ------
    DoesNotFitError
        When not even one worker fits a GPU.
    """
    nproc = asked.number("nproc") or 1
    notes = [f"{nproc} ranks, as job type {resolved.name} says."]
    per_rank = None
    if resolved.adjust and need.problem.box is None:
        notes.append("The box size is unknown, so GPU memory was not checked.")
    elif resolved.adjust:
        per_rank = gpu_model(cluster.gpu_memory_model)(need.problem, need.nthread or 1) or 1
        nproc, note = _adjusted(nproc, resolved.adjust, per_rank)
        notes.append(note)
    return Size(
        ranks_on=(nproc,),
        cpus_per_task=need.nthread or 1,
        gpus_per_node=need.ngpu or 0,
        gpu_map="" if need.ngpu else None,
        gpu_mem_mb_per_rank=per_rank,
        mem_mb=need.mem_mb or 0,
        partition=need.partition or "",
        runtime_min=need.runtime_min or cluster.default_runtime_min,
        notes=tuple(notes),
    )


def _adjusted(nproc: int, adjust: Sequence[int], per_rank: int) -> tuple[int, str]:
    gpus, limit = adjust[0], adjust[1] // 1024**2
    workers = limit // per_rank
    if workers < 1:
        raise DoesNotFitError(
            f"a worker needs {per_rank} MB of GPU memory, the job type gives {limit} MB;"
            " use a smaller box, --pad 1 or fewer classes, or run it on CPUs"
        )
    fitting = gpus * workers + 1
    text = f"A worker needs {per_rank} MB of a GPU's {limit} MB: {workers} fit, {fitting} ranks at most."
    return min(nproc, fitting), text


def memory_mb(text: str | None) -> int | None:
    """Return MiB from what schedulers write: 240G, 32000, 1.5T.

    Raises
    ------
    InputError
        When it is none.
    """
    if text is None:
        return None
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise InputError(f"'{text}' is no amount of memory; write 240G or 32000M")
    return int(float(match[1]) * _MEMORY_MB[match[2].upper()])


def minutes(text: str | None) -> int | None:
    """Return minutes from 90, 2h, 1d12h, 01:30:00 or 2-00:00:00.

    Raises
    ------
    InputError
        When it is none of these.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isdigit():
        return int(text)
    if ":" in text or "-" in text:
        return _clock_minutes(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise InputError(f"'{text}' is no time; write 90 (minutes), 2h, 1d12h or 2-00:00:00")
    days, hours, rest = (int(group or 0) for group in match.groups())
    return (days * 24 + hours) * 60 + rest


def _clock_minutes(text: str) -> int:
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (days and not days.isdigit()):
        raise InputError(f"'{text}' is no time; write 01:30:00 or 2-00:00:00")
    numbers = [int(part) for part in parts]
    if days:
        hours, mins = (numbers + [0, 0])[:2]
    else:
        hours, mins = (numbers if len(numbers) == 3 else [0, *numbers])[:2]
    return (int(days or 0) * 24 + hours) * 60 + mins


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None

"""What was asked for: by the job type, by the command's own launcher, and by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from relion_dispatch.command import Command
from relion_dispatch.errors import DoesNotFitError, InputError
from relion_dispatch.frozen import dataclass
from relion_dispatch.jobtypes import Gpu, Ranks, Resolved
from relion_dispatch.memory import MIB, Problem
from relion_dispatch.needs import Need
from relion_dispatch.parameters import check_name
from relion_dispatch.problems import problem
from relion_dispatch.units import memory_mb, minutes

if TYPE_CHECKING:
    from relion_dispatch.data import DataFacts
    from relion_dispatch.plan import Request

_RANKS = ("n", "np", "ntasks")

#: Wishes that are locked with another parameter: the window's number of MPI processes.
_LOCKED_AS = {"hoped_nproc": "nproc"}


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
        """Return a whole number, not below 0; None for a missing one and for `auto`."""
        value = self.parameters.get(name)
        if value in (None, "auto", ""):
            return None
        if not str(value).strip().isdecimal():
            raise InputError(
                f"job parameter {name}: expected a whole number, not below 0, found {value!r}"
            )
        return int(str(value))

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
    """Lay the user's wishes over the job type's parameters.

    Raises
    ------
    InputError
        For a wish whose name looks like a slip of a parameter's.
    """
    parameters: dict[str, Any] = dict(resolved.parameters)
    wished: set[str] = set()
    notes: list[str] = []
    for name, value in overrides.items():
        if name == "job_type" or value is None:
            continue
        check_name(name, resolved.parameters)
        if _LOCKED_AS.get(name, name) in resolved.locked:
            notes.append(f"{name} = {value} was asked for, but job type {resolved.name} locks it.")
            continue
        parameters[name] = value
        wished.add(name)
    if "nodes" in wished and "nproc" not in wished:
        parameters.pop("nproc", None)
    elif "nproc" not in wished and "nproc" not in resolved.locked:
        parameters["hoped_nproc"] = launched_ranks(command) or parameters.get("hoped_nproc")
    if (command.value("j") or "").startswith("$") and "nthread" not in wished:
        # The threads are those of the allocation, whose default is one core for each rank.
        parameters["nthread"] = 1
        wished.add("nthread")
    return Asked(parameters=parameters, wished=frozenset(wished), notes=tuple(notes))


def launched_ranks(command: Command) -> int | None:
    """Return the number of ranks that a command's own launcher asks for."""
    for name, value in pairwise(command.parallel_launcher):
        if name.startswith("-") and name.lstrip("-") in _RANKS and value.isdigit():
            return int(value)
    return None


def need(
    resolved: Resolved, command: Command, data: DataFacts, asked: Asked, request: Request
) -> Need:
    """Return what sizing has to satisfy.

    Raises
    ------
    InputError
        When a number that was asked for is none.
    DoesNotFitError
        When a number of ranks was asked for that two halves cannot have.
    """
    ranks, gpu = _alone(asked, *_kind(resolved, command, data))
    if gpu == "none" and not command.relion and asked.number("ngpu") and "ngpu" in asked.wished:
        gpu = "one_process"  # nobody but the user knows what the program can use
    return Need(
        ranks=ranks,
        threads=resolved.threads or "nthread" in asked.wished,
        gpu=gpu,
        needs_gpu=resolved.needs_gpu,
        problem=_problem(resolved, command, data, ranks),
        memory=resolved.memory,
        time=resolved.time,
        max_ranks=max_ranks(resolved, data, asked),
        max_threads=asked.number("max_nthread"),
        nproc=asked.number("nproc"),
        nthread=asked.number("nthread"),
        ngpu=asked.number("ngpu"),
        nodes=asked.number("nodes"),
        hoped_nproc=asked.number("hoped_nproc"),
        wished=asked.wished,
        mem_mb=memory_mb(asked.text("mem")),
        mem_mb_per_rank=asked.number("mem_mb_per_rank") or 1000,
        workers_per_gpu=asked.number("workers_per_gpu"),
        gpu_mem_mb=int(resolved.adjust[1] // MIB) if resolved.adjust else None,
        partition=asked.text("partition"),
        runtime_min=minutes(asked.text("runtime")),
        concurrent=request.concurrent,
        attempt=request.attempt,
        job_type=resolved.name,
    )


def _problem(resolved: Resolved, command: Command, data: DataFacts, ranks: Ranks) -> Problem:
    """Return what decides about memory, with the options that the job type adds and removes."""
    found = problem(_with_types_options(resolved, command), data, resolved.relion_job)
    return replace(found, alone=ranks == "single", halves=found.halves or ranks == "halves")


def _with_types_options(resolved: Resolved, command: Command) -> Command:
    """Return a command as it will run, where that decides about memory.

    A type that names a GPU's memory itself has taken what stays free off it already.
    """
    if command.program is None:
        return command
    kept = {"dont_combine_weights_via_disc", "no_parallel_disc_io", "preread_images", "scratch_dir"}
    kept |= set() if resolved.adjust else {"free_gpu_memory"}
    for each in resolved.types:
        command = command.without(*(kept & set(each.relion_remove_parameter)))
        for name in sorted(kept & set(each.relion_add_parameter)):
            value = each.relion_add_parameter[name]
            command = command.with_option(name, value or None, raw=True)
    return command


def _kind(resolved: Resolved, command: Command, data: DataFacts) -> tuple[Ranks, Gpu]:
    """Return how a program runs: of a run that goes on, its optimiser file says what it is."""
    ranks, gpu = resolved.ranks or "single", resolved.gpu
    if ranks == "workers" and (command.has("split_random_halves") or data.split_random_halves):
        ranks = "halves"
    if not command.has("continue") or ranks == "single":
        return ranks, gpu
    if data.gradient and not data.split_random_halves:
        return "single", "one_process"
    if ranks == "halves" and data.split_random_halves is False:
        ranks = "workers"
    return ranks, "none" if data.skip_align else gpu


def _alone(asked: Asked, ranks: Ranks, gpu: Gpu) -> tuple[Ranks, Gpu]:
    """Return how a program runs where a user asked for one rank: without a leader."""
    nproc = asked.number("nproc") if "nproc" in asked.wished else None
    if ranks == "halves" and nproc and (nproc == 1 or nproc % 2 == 0):
        raise DoesNotFitError(
            f"nproc {nproc} was asked for, but two equal halves of workers and a leader take an odd"
            " number of ranks, at least 3"
        )
    if ranks == "workers" and nproc == 1:
        return "single", "one_process" if gpu == "shared" else gpu
    return ranks, gpu


def max_ranks(resolved: Resolved, data: DataFacts, asked: Asked) -> int | None:
    """Return how many ranks have something to do, and may run."""
    limits = [asked.number("max_nproc")]
    for name, factor in resolved.max_ranks_per.items():
        items = getattr(data, name, None)
        limits.append(max(int(items * factor), 1) if items else None)
    known = [limit for limit in limits if limit]
    return min(known) if known else None

"""The hierarchy of job types: which one a command is, and what its ancestors add up to."""

# No `from __future__ import annotations`: the schema module reads these types at every start.

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from relion_dispatch.errors import InputError, NoMatchError
from relion_dispatch.frozen import dataclass
from relion_dispatch.memory import HostModel, TimeModel

if TYPE_CHECKING:
    from relion_dispatch.command import Command

Ranks = Literal["single", "every", "workers", "halves"]
Gpu = Literal["none", "one_rank_each", "shared", "one_process", "one_device"]

#: A ``match_command`` that no program has: the type is there for others to inherit.
NEVER = "None"


@dataclass(frozen=True, kw_only=True)
class JobType:
    """One entry of ``job_types``. Only what it says itself: ancestors are added by `resolve`.

    Attributes
    ----------
    inherits
        Name of the type this one refines.
    description
        What it is for, shown by `explain`.
    relion_job
        RELION's name of the job (its directory), e.g. Class3D; with several, the job's own
        directory decides, and the first is taken where it does not.
    match_command
        Program without path and `_mpi`, may hold `*`; one of a list. `None` matches nothing, an
        absent key any program.
    match_parameter
        Options that must all be there; `name=value` also asks for the value.
    nomatch_parameter
        Options of which none may be there.
    match_label
        Labels of job.star, may hold `*`; asked only where there is a job.star with a label.
    match_directory
        Job directories, may hold `*`.
    ranks
        `single`: no MPI. `every`: every MPI rank works. `workers`: a leader and workers.
        `halves`: the same with two equal halves of workers.
    threads
        Whether the program takes `--j`.
    gpu
        `none`: it runs on CPUs. `one_rank_each`: exactly one rank on a GPU. `shared`: several
        workers share a GPU. `one_process`: one process uses all of a node's. `one_device`: one
        process and one GPU.
    needs_gpu
        Whether it cannot run without a GPU.
    gpu_option
        Name of the option that takes the GPUs.
    max_ranks_per
        Most ranks for each of the data's items, e.g. `{n_frames: 2}`.
    memory
        The model of host memory; `flat` takes `mem_mb_per_rank`.
    time
        The model of time.
    relion_remove_parameter
        Options taken off the command line.
    relion_add_parameter
        Options put on the command line, values as they stand in a shell; empty or null for a
        bare flag.
    job_parameters
        nproc, nthread, ngpu, nodes, mem, runtime, partition, submit_command, workers_per_gpu and
        whatever the templates use. `auto` leaves a number to the sizing.
    locked
        Job parameters that the user may not override.
    adjust_GPU_nproc_to_mem
        GPUs of a job and bytes of memory of each: ranks are reduced to what fits.
    template
        Name of the template, where it is not the type's own name.
    """

    inherits: str | None = None
    description: str | None = None
    relion_job: tuple[str, ...] = ()
    match_command: tuple[str, ...] | None = None
    match_parameter: tuple[str, ...] = ()
    nomatch_parameter: tuple[str, ...] = ()
    match_label: tuple[str, ...] = ()
    match_directory: tuple[str, ...] = ()
    ranks: Ranks | None = None
    threads: bool | None = None
    gpu: Gpu | None = None
    needs_gpu: bool | None = None
    gpu_option: str | None = None
    max_ranks_per: Mapping[str, float] | None = None
    memory: HostModel | None = None
    time: TimeModel | None = None
    relion_remove_parameter: tuple[str, ...] = ()
    relion_add_parameter: Mapping[str, str | None] = field(default_factory=dict)
    job_parameters: Mapping[str, object] = field(default_factory=dict)
    locked: tuple[str, ...] = ()
    adjust_GPU_nproc_to_mem: tuple[float, ...] | None = None  # noqa: N815 - the sites' own key
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A job type with everything its ancestors say.

    Attributes
    ----------
    name, chain
        The type, and its ancestors with itself, base first.
    types
        The entries of the chain, base first.
    relion_job, ranks, threads, gpu, needs_gpu, gpu_option, max_ranks_per, memory, time, adjust
        As in `JobType`, from the nearest that says so.
    parameters
        The chain's ``job_parameters`` laid over each other.
    locked
        All that any of the chain locks.
    """

    name: str
    chain: tuple[str, ...]
    types: tuple[JobType, ...]
    relion_job: tuple[str, ...]
    ranks: Ranks | None
    threads: bool
    gpu: Gpu
    needs_gpu: bool
    gpu_option: str
    max_ranks_per: Mapping[str, float]
    memory: str
    time: str
    adjust: tuple[float, ...] | None
    parameters: Mapping[str, object]
    locked: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a type is matched against: a command, its job directory and job.star's label."""

    command: "Command"
    directory: str = ""
    label: str | None = None


def matches(job_type: JobType, job: Job) -> bool:
    """Say whether a job is of this type."""
    program = job.command.program or ""
    if job_type.match_command is not None and not _any(job_type.match_command, program):
        return False
    if job_type.match_label and job.label is not None and not _any(job_type.match_label, job.label):
        return False
    if job_type.match_directory and not _any(job_type.match_directory, job.directory):
        return False
    return all(_has(job.command, wanted) for wanted in job_type.match_parameter) and not any(
        _has(job.command, unwanted) for unwanted in job_type.nomatch_parameter
    )


def find(job_types: Mapping[str, JobType], job: Job) -> str:
    """Return the name of the first type, in file order, that matches.

    Raises
    ------
    NoMatchError
        When none does; the message names the types that come nearest.
    """
    for name, job_type in job_types.items():
        if matches(job_type, job):
            return name
    raise NoMatchError(_no_match_message(job_types, job))


def chain(job_types: Mapping[str, JobType], name: str) -> tuple[str, ...]:
    """Return a type's ancestors and itself, base first.

    Raises
    ------
    InputError
        When a parent is missing or the chain bites its own tail.
    """
    names: list[str] = []
    current: str | None = name
    while current is not None:
        if current in names:
            loop = " -> ".join([*names[names.index(current) :], current])
            raise InputError(f"job types inherit in a circle: {loop}; change one 'inherits'")
        if current not in job_types:
            raise InputError(_unknown_parent(job_types, names, current))
        names.append(current)
        current = job_types[current].inherits
    return tuple(reversed(names))


def check(job_types: Mapping[str, JobType]) -> None:
    """Check what one type alone cannot tell, or its schema not say.

    Raises
    ------
    InputError
        Where any type inherits from a missing one or from itself, or says half of a GPU's memory.
    """
    for name, each in job_types.items():
        chain(job_types, name)
        if each.adjust_GPU_nproc_to_mem is not None and len(each.adjust_GPU_nproc_to_mem) != 2:
            raise InputError(
                f"job type '{name}': adjust_GPU_nproc_to_mem takes two numbers, the GPUs of a job"
                " and the bytes of memory of each, e.g. [4, 32212254720]"
            )


def resolve(job_types: Mapping[str, JobType], name: str) -> Resolved:
    """Lay a type over its ancestors, base first.

    Raises
    ------
    InputError
        When the chain is broken.
    """
    names = chain(job_types, name)
    types = tuple(job_types[each] for each in names)
    parameters: dict[str, object] = {}
    for each in types:
        parameters.update(each.job_parameters)
    return Resolved(
        name=name,
        chain=names,
        types=types,
        relion_job=_nearest(types, "relion_job", ()),
        ranks=_nearest(types, "ranks", None),
        threads=_nearest(types, "threads", False),
        gpu=_nearest(types, "gpu", "none"),
        needs_gpu=_nearest(types, "needs_gpu", False),
        gpu_option=_nearest(types, "gpu_option", "gpu"),
        max_ranks_per=_nearest(types, "max_ranks_per", {}),
        memory=_nearest(types, "memory", "flat"),
        time=_nearest(types, "time", "unknown"),
        adjust=_nearest(types, "adjust_GPU_nproc_to_mem", None),
        parameters=parameters,
        locked=frozenset(name for each in types for name in each.locked),
    )


def _nearest(types: Sequence[JobType], key: str, default: Any) -> Any:
    for each in reversed(types):
        value = getattr(each, key)
        if value is not None and value != ():
            return value
    return default


def _has(command: "Command", wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return command.has(name) and (not equals or value in command.values(name))


def _any(patterns: Iterable[str], text: str) -> bool:
    from fnmatch import fnmatchcase

    return any(pattern != NEVER and fnmatchcase(text, pattern) for pattern in patterns)


def _unknown_parent(job_types: Mapping[str, JobType], names: Sequence[str], parent: str) -> str:
    if not names:
        return f"there is no job type '{parent}'{_did_you_mean(parent, job_types)}"
    return (
        f"job type '{names[-1]}' inherits from '{parent}', which does not exist"
        f"{_did_you_mean(parent, job_types)}"
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _no_match_message(job_types: Mapping[str, JobType], job: Job) -> str:
    program = job.command.program
    shown = f"'{program}'" if program else f"the line '{job.command}'"
    near = _nearest_types(job_types, program or "")
    advice = "; nearest are:\n" + "\n".join(near) if near else ""
    return (
        f"no job type matches {shown}{advice}\n"
        "Add a job type with its match_command to the profile's cluster file."
    )


def _nearest_types(job_types: Mapping[str, JobType], program: str) -> list[str]:
    from difflib import SequenceMatcher

    def likeness(item: tuple[str, JobType]) -> float:
        commands = [c for c in item[1].match_command or () if c != NEVER]
        return max((SequenceMatcher(None, c, program).ratio() for c in commands), default=0.0)

    ranked = sorted(job_types.items(), key=likeness, reverse=True)[:3]
    return [f"  {name}: {_wants(each)}" for name, each in ranked if likeness((name, each)) > 0.5]


def why(name: str, job_type: JobType) -> str:
    """Say why a job is of the type that `find` has found, as a sentence."""
    return f"Job type {name} is the first that matches: {_wants(job_type)}."


def _wants(job_type: JobType) -> str:
    commands = job_type.match_command or ("any",)
    parts = [f"command {' or '.join(each or 'none' for each in commands)}"]
    if job_type.match_directory:
        parts.append(f"in {' or '.join(job_type.match_directory)}")
    if job_type.match_label:
        parts.append(f"job.star says {' or '.join(job_type.match_label)}")
    if job_type.match_parameter:
        parts.append("with --" + " --".join(job_type.match_parameter))
    if job_type.nomatch_parameter:
        parts.append("without --" + " --".join(job_type.nomatch_parameter))
    return ", ".join(parts)

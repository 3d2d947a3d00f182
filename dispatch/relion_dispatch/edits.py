"""What sizing and job types change in the commands; everything else stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from relion_dispatch.calls import Call
from relion_dispatch.cluster import Cluster, filled
from relion_dispatch.command import Command
from relion_dispatch.frozen import dataclass
from relion_dispatch.jobtypes import Resolved
from relion_dispatch.needs import Size

#: Options of launchers that say how many ranks run where: the engine's business. The others
#: (``--mca …``, ``--oversubscribe``) are the user's and are kept.
_PLACEMENT = re.compile(
    r"n|np|c|N|npernode|ppn|map-by|rankfile|H|host|hostfile|machinefile|default-hostfile"
)
#: What else of a job type `explain` shows.
_FURTHER = (
    *("ranks", "threads", "gpu", "needs_gpu", "gpu_option", "max_ranks_per", "memory", "time"),
    *("locked", "adjust_GPU_nproc_to_mem", "template"),
)
_MPIRUN = re.compile(r"(?:\S*/)?(?:mpirun|mpiexec|orterun|prterun)[\w.]*")


@dataclass(frozen=True, kw_only=True)
class Final:
    """The finished commands.

    Attributes
    ----------
    main
        The one that the job is about.
    lines
        All of them.
    notes
        What was changed beyond numbers.
    """

    main: Command
    lines: tuple[str, ...]
    notes: tuple[str, ...]


def final_commands(call: Call, resolved: Resolved, sized: Size, cluster: Cluster) -> Final:
    """Return the commands as they will run: launcher, MPI, threads, GPUs, site's options."""
    edited = _arguments(call.main, resolved, sized)
    notes = _notes(call.main, edited)
    parallel = sized.ntasks > 1 and resolved.ranks != "single"
    edited = _launched(edited, sized, cluster, parallel=parallel)
    lines = [
        edited if each is call.main else _beside(each, sized, cluster) for each in call.commands
    ]
    return Final(main=edited, lines=tuple(str(each) for each in lines), notes=notes)


def changes(resolved: Resolved) -> tuple[str, ...]:
    """Return what each type of a chain changes, a sentence each, base first."""
    found = []
    for name, each in zip(resolved.chain, resolved.types, strict=True):
        parts = [f"removes --{option}" for option in each.relion_remove_parameter]
        parts += [f"adds --{k} {v or ''}".strip() for k, v in each.relion_add_parameter.items()]
        parts += [f"{key} = {value}" for key, value in each.job_parameters.items()]
        rest = ((key, getattr(each, key)) for key in _FURTHER)
        parts += [f"{key}: {_shown(value)}" for key, value in rest if value not in (None, ())]
        found.append(f"{name}: {', '.join(parts) or 'nothing'}")
    return tuple(found)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{number:g} for each of {name}" for name, number in value.items())
    if isinstance(value, tuple):
        return " ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    return str(value)


def _arguments(command: Command, resolved: Resolved, sized: Size) -> Command:
    if command.program is None:
        return command
    for each in resolved.types:
        removed = [name for name in each.relion_remove_parameter if not _sized(name, resolved)]
        command = command.without(*removed)
        for name, value in each.relion_add_parameter.items():
            if name != resolved.gpu_option or resolved.ranks is None:
                command = command.with_option(name, value or None, raw=True)
    command = command.without(*sized.left_out)
    return _gpus(_threads(command, resolved, sized), resolved, sized)


def _sized(name: str, resolved: Resolved) -> bool:
    """Whether the sizing sets an option, in place, so that removing it would only move it."""
    return resolved.ranks is not None and (
        (name == "j" and resolved.threads)
        or (name == resolved.gpu_option and resolved.gpu != "none")
    )


def _threads(command: Command, resolved: Resolved, sized: Size) -> Command:
    """Set ``--j``; a shell variable that a user wrote is left to say the same."""
    if resolved.ranks is None:
        many = sized.cpus_per_task > 1
        return command.with_option("j", str(sized.cpus_per_task)) if many else command
    if not resolved.threads or (command.value("j") or "").startswith("$"):
        return command
    return command.with_option("j", str(sized.cpus_per_task))


def _gpus(command: Command, resolved: Resolved, sized: Size) -> Command:
    if resolved.ranks is None:
        return command
    name, wanted = resolved.gpu_option, sized.gpu_map
    if not command.relion and resolved.gpu == "none":
        return command  # what a program that nobody knows does with GPUs is its user's to say
    if wanted is None:
        return command.without(name)
    if command.has(name) and (command.value(name) or "") == wanted:
        return command
    raw = '""' if not wanted else f'"{wanted}"' if ":" in wanted else wanted
    return command.with_option(name, raw, raw=True)


def _launched(command: Command, sized: Size, cluster: Cluster, *, parallel: bool) -> Command:
    """Start the ranks: the MPI version with a launcher, or the plain program without one."""
    if not command.relion:
        return command
    command = command.with_program_mpi(parallel)
    if not parallel:
        return command.without_launcher()
    return command.with_launcher(_launcher(command, sized, cluster))


def _launcher(command: Command, sized: Size, cluster: Cluster) -> str:
    words = filled(
        "launcher" if sized.nodes == 1 else "multinode_launcher",
        cluster.launcher if sized.nodes == 1 else cluster.multinode_launcher,
        ntasks=sized.ntasks,
        cpus_per_task=sized.cpus_per_task,
        nodes=sized.nodes,
        hosts="$hosts",
        rank_hosts="$rank_hosts",
    )
    return " ".join([words, *_kept(command.parallel_launcher)])


def _kept(words: Sequence[str]) -> list[str]:
    """Return a user's own options of ``mpirun``, without those about placement."""
    starts = [at for at, word in enumerate(words) if _MPIRUN.fullmatch(word)]
    kept: list[str] = []
    skip = not starts
    for word in words[starts[-1] + 1 :] if starts else ():
        if word.startswith("-"):
            skip = bool(_PLACEMENT.fullmatch(word.lstrip("-").partition("=")[0]))
        if not skip:
            kept.append(word)
    return kept


def _beside(command: Command, sized: Size, cluster: Cluster) -> Command:
    """Return a job's other command: in parallel only where it was written so."""
    if not command.mpi:
        return command
    return _launched(command, sized, cluster, parallel=sized.ntasks > 1)


def _notes(before: Command, after: Command) -> tuple[str, ...]:
    gone = sorted(set(before.names) - set(after.names))
    new = sorted(set(after.names) - set(before.names))
    notes = [f"Option --{name} was removed." for name in gone]
    return (*notes, *(f"Option --{name} was added." for name in new))

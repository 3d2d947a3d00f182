"""Parse, match, resolve, size: from a job's commands and a profile to the plan of how it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import body, edits, jobtypes, wishes
from relion_dispatch.command import Command
from relion_dispatch.jobtypes import Job, JobType, Resolved
from relion_dispatch.plan import Plan, Request
from relion_dispatch.sizing import Size, size

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster
    from relion_dispatch.data import DataFacts
    from relion_dispatch.profiles import Profile

__all__ = ["Plan", "Request", "plan"]


def plan(request: Request, profile: Profile) -> Plan:
    """Plan a job: choose its type, its size and its final commands.

    Parameters
    ----------
    request
        The job.
    profile
        Where it runs.

    Returns
    -------
    Plan
        Its ``body`` runs the job here and now, its ``script`` is for the scheduler.

    Raises
    ------
    InputError
        When a command cannot be read or the configuration is wrong.
    NoMatchError
        When no job type matches.
    DoesNotFitError
        When no partition can run it.
    """
    commands = tuple(Command.parse(line) for line in request.commands)
    main = main_command(commands)
    directory = job_directory(request, commands)
    job = Job(command=main, directory=directory, label=job_label(request.project / directory))
    resolved = _job_type(request, profile.job_types, job)
    data = _data(request, commands)
    asked = wishes.collect(resolved, main, request.overrides)
    need = wishes.need(resolved, main, data, asked, request)
    if wishes.sized_by_type(resolved, asked):
        sized = wishes.as_given(resolved, asked, need, profile.cluster)
    else:
        sized = size(need, profile.cluster)
    final = edits.final_commands(commands, main, resolved, sized, profile.cluster)
    return _plan(request, profile, resolved, sized, job, final, asked)


def main_command(commands: Sequence[Command]) -> Command:
    """Return the command that a job is about: the first of RELION's, else the first program."""
    relion = (each for each in commands if each.relion)
    program = (each for each in commands if each.program)
    return next(relion, None) or next(program, None) or commands[0]


def job_directory(request: Request, commands: Sequence[Command]) -> str:
    """Return the job's directory, as ``Class2D/job006/``; empty where nothing tells it."""
    for command in commands:
        for option in ("pipeline_control", "pipeline-control"):
            if value := command.value(option):
                return value.rstrip("/") + "/"
    if request.outfile:
        return _folder(request.outfile)
    for command in commands:
        for option in ("o", "odir", "part_dir", "output-directory", "output_directory"):
            if value := command.value(option):
                return _folder(value)
    return ""


def job_label(directory: Path) -> str | None:
    """Return the label of the job that ``job.star`` names, e.g. ``relion.class2d``.

    None without a ``job.star`` or without a label in it: RELION 3.1 writes a number.
    """
    try:
        with open(directory / "job.star", encoding="utf-8", errors="replace") as handle:
            for line in handle:
                words = line.split()
                if len(words) == 2 and words[0] == "_rlnJobTypeLabel":
                    return words[1]
    except OSError:
        return None
    return None


def _folder(path: str) -> str:
    folder = path.rpartition("/")[0]
    return f"{folder}/" if folder else ""


def _job_type(request: Request, job_types: Mapping[str, JobType], job: Job) -> Resolved:
    named = request.overrides.get("job_type")
    return jobtypes.resolve(job_types, str(named) if named else jobtypes.find(job_types, job))


def _data(request: Request, commands: Sequence[Command]) -> DataFacts:
    try:
        from relion_dispatch.data import DataFacts, read_facts
    except ImportError:  # TODO: drop when data.py has landed
        from types import SimpleNamespace

        names = "box angpix n_particles n_micrographs n_frames movie_shape n_classes".split()
        nothing = dict.fromkeys(names)
        return SimpleNamespace(**{**nothing, **vars(request.data or SimpleNamespace())})  # type: ignore
    found = read_facts(commands, request.project)
    known = request.data or DataFacts()
    given = {name: value for name, value in vars(known).items() if value is not None}
    return replace(found, **given)


def _relion_job(resolved: Resolved, job: Job) -> str:
    """Return RELION's name of the job: from its type, or else from the shipped types."""
    names = resolved.relion_job
    if not names:
        names = _shipped_relion_job(job)
    directory = job.directory.split("/")[0]
    return directory if directory in names else (names or (directory,))[0]


def _shipped_relion_job(job: Job) -> tuple[str, ...]:
    from relion_dispatch.errors import NoMatchError
    from relion_dispatch.profiles import shipped_job_types

    shipped = shipped_job_types()
    try:
        return jobtypes.resolve(shipped, jobtypes.find(shipped, job)).relion_job
    except NoMatchError:
        return ()


def _plan(
    request: Request,
    profile: Profile,
    resolved: Resolved,
    sized: Size,
    job: Job,
    final: edits.Final,
    asked: wishes.Asked,
) -> Plan:
    cluster = profile.cluster
    outfile = request.outfile or f"{job.directory}run.out"
    exit_file = request.exit_file or f"{_folder(outfile)}run.exit"
    errfile = request.errfile or f"{job.directory}run.err"
    script_path = request.script_path or f"{job.directory}run_submit.script"
    modules = (*cluster.modules, *asked.words("modules"))
    text = body.body(
        body.Script(
            job_dir=job.directory,
            outfile=outfile,
            errfile=errfile,
            exit_file=exit_file,
            commands=final.lines,
            job_type=resolved.name,
            summary=summary(sized),
            modules=modules,
            setup=cluster.setup,
            environment=cluster.environment,
            hosts_command=cluster.hosts_command,
            ranks_on=sized.ranks_on,
            info=not cluster.local,
        )
    )
    partition = cluster.partitions.get(sized.partition)
    return Plan(
        job_type=resolved.name,
        relion_job=_relion_job(resolved, job),
        chain=resolved.chain,
        command=str(final.main),
        commands=final.lines,
        main=final.main,
        ntasks=sized.ntasks,
        ranks_on=sized.ranks_on,
        cpus_per_task=sized.cpus_per_task,
        gpus_per_node=sized.gpus_per_node,
        gpu_map=sized.gpu_map,
        gpu_mem_mb_per_rank=sized.gpu_mem_mb_per_rank,
        mem_mb=sized.mem_mb,
        partition=sized.partition,
        runtime_min=sized.runtime_min,
        name=request.name or job.directory.strip("/").replace("/", "-") or resolved.name,
        outfile=outfile,
        errfile=errfile,
        exit_file=exit_file,
        job_dir=job.directory,
        template=profile.template_for(resolved),
        template_dirs=profile.template_dirs,
        submit_command=_submit_command(cluster, asked, f"{script_path}.run"),
        script_path=f"{script_path}.run",
        body=text,
        parameters=asked.parameters,
        scheduler_options=partition.scheduler_options if partition else (),
        gres=_gres(cluster, sized),
        modules=modules,
        changes=edits.changes(resolved),
        notes=(*asked.notes, *sized.notes, *final.notes),
    )


def summary(sized: Size) -> str:
    """Return a job's size in a few words."""
    parts = [f"{sized.ntasks} ranks of {sized.cpus_per_task} threads"]
    if sized.nodes > 1:
        parts.append(f"{sized.nodes} nodes")
    if sized.gpus_per_node:
        parts.append(f"{sized.gpus_per_node} GPUs a node")
    return ", ".join([*parts, f"{sized.mem_mb} MB a node"])


def _submit_command(cluster: Cluster, asked: wishes.Asked, script: str) -> str:
    from shlex import join, quote

    given = asked.parameters.get("submit_command")
    command = str(given) if given else join(cluster.scheduler.submit)
    return f"{command} {quote(script)}" if command else ""


def _gres(cluster: Cluster, sized: Size) -> str:
    if not sized.gpus_per_node:
        return ""
    partition = cluster.partitions.get(sized.partition)
    gpu_type = (partition.gpu_type if partition else None) or ""
    return cluster.gres.format(gpus=sized.gpus_per_node, gpu_type=gpu_type)

"""Parse, match, resolve, size: from a job's commands and a profile to the plan of how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from shlex import join, quote
from typing import TYPE_CHECKING

from relion_dispatch import edits, given, jobtypes, wishes
from relion_dispatch.body import Script, body
from relion_dispatch.calibration.basis import Basis
from relion_dispatch.calls import Call, folder_of
from relion_dispatch.cluster import filled
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing import entry, stages
from relion_dispatch.jobtypes import Job, JobType, Resolved
from relion_dispatch.needs import Need, Size
from relion_dispatch.plan import Plan, Request
from relion_dispatch.sizing import size, warnings

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster
    from relion_dispatch.data import DataFacts
    from relion_dispatch.healing.shell import GoingOn
    from relion_dispatch.profiles import Profile

__all__ = ["Plan", "Request", "plan"]

#: Submit commands that do not know Slurm's options: their templates say an account in their words.
_OWN_WORDS = ("qsub", "bsub")


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Everything that was decided about a job."""

    call: Call
    resolved: Resolved
    asked: wishes.Asked
    need: Need
    sized: Size
    final: edits.Final
    notes: tuple[str, ...]
    largest: int | None = None


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
    call = Call.read(request)
    resolved = _job_type(request, profile.job_types, call.job)
    data = _data(request, call)
    asked = wishes.collect(resolved, call.main, request.overrides)
    need = wishes.need(resolved, call.main, data, asked, request)
    need = replace(need, factors=profile.factors)
    staged = profile.healing.enabled and stages.is_staged(asked, need)
    if staged:
        need = stages.early(need, call.main, asked, data.angpix)
    if given.sized_by_type(resolved, asked):
        sized = given.size(resolved, call.main, need, profile.cluster)
    else:
        sized = size(need, profile.cluster)
    choice = _Choice(
        call=call,
        resolved=resolved,
        asked=asked,
        need=need,
        sized=sized,
        final=edits.final_commands(call, resolved, sized, profile.cluster),
        notes=(_why(request, resolved), *data.notes, *asked.notes, *sized.notes),
        largest=stages.largest_size(need, sized, profile.cluster) if staged else None,
    )
    return _plan(request, profile, choice)


def _job_type(request: Request, job_types: Mapping[str, JobType], job: Job) -> Resolved:
    named = request.overrides.get("job_type")
    return jobtypes.resolve(job_types, str(named) if named else jobtypes.find(job_types, job))


def _why(request: Request, resolved: Resolved) -> str:
    if request.overrides.get("job_type"):
        return f"Job type {resolved.name}, as asked for."
    return jobtypes.why(resolved.name, resolved.types[-1])


def _data(request: Request, call: Call) -> DataFacts:
    from relion_dispatch.data import read_facts

    found = read_facts(call.commands, request.project)
    return request.data.over(found) if request.data else found


def _plan(request: Request, profile: Profile, choice: _Choice) -> Plan:
    cluster, sized, directory = profile.cluster, choice.sized, choice.call.job.directory
    outfile = request.outfile or f"{directory}run.out"
    script_path = f"{request.script_path or f'{directory}run_submit.script'}.run"
    unfinished = Plan(
        job_type=choice.resolved.name,
        relion_job=_relion_job(choice.resolved, choice.call.job),
        chain=choice.resolved.chain,
        main=choice.final.main,
        commands=choice.final.lines,
        size=sized,
        name=request.name or directory.strip("/").replace("/", "-") or choice.resolved.name,
        job_dir=directory,
        outfile=outfile,
        errfile=request.errfile or f"{directory}run.err",
        exit_file=request.exit_file or f"{folder_of(outfile)}run.exit",
        template=profile.template_for(choice.resolved),
        template_dirs=profile.template_dirs,
        script_path=script_path,
        submit_command=_submit_command(cluster, choice.asked, script_path),
        parameters=choice.asked.parameters,
        scheduler_options=_scheduler_options(cluster, choice),
        gres=_gres(cluster, sized),
        modules=(*" ".join(cluster.modules).split(), *choice.asked.words("modules")),
        changes=edits.changes(choice.resolved),
        notes=(*choice.notes, *choice.final.notes, *_stage(choice)),
        basis=Basis.of(choice.resolved.name, choice.need, sized, cluster),
        follow_up=entry.follow_up(request, profile),
        warnings=warnings(choice.need, sized, cluster),
        older=choice.resolved.ranks is None,
    )
    going_on = entry.going_on(unfinished, request.commands, profile, choice.largest)
    return unfinished.with_body(_body(unfinished, cluster, going_on))


def _stage(choice: _Choice) -> tuple[str, ...]:
    if choice.largest is None:
        return ()
    size = choice.need.gpu_current_size or choice.need.problem.box
    limit = f"it stops before they outgrow {choice.largest} pixels"
    return (f"A stage, for images of {size} pixels; {limit}, and goes on with fewer workers.",)


def _body(plan: Plan, cluster: Cluster, going_on: GoingOn | None) -> str:
    return body(
        Script(
            job_dir=plan.job_dir,
            outfile=plan.outfile,
            errfile=plan.errfile,
            exit_file=plan.exit_file,
            commands=plan.commands,
            job_type=plan.job_type,
            summary=plan.summary,
            modules=plan.modules,
            setup=cluster.setup,
            environment=cluster.environment,
            hosts_command=cluster.hosts_command,
            ranks_on=plan.ranks_on,
            info=not cluster.local,
            going_on=going_on,
        )
    )


def _relion_job(resolved: Resolved, job: Job) -> str:
    """Return RELION's name of the job: from its type, or else from the shipped types."""
    names = resolved.relion_job or _shipped_relion_job(job)
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


def _submit_command(cluster: Cluster, asked: wishes.Asked, script: str) -> str:
    command = asked.text("submit_command") or join(cluster.scheduler.submit)
    return f"{command} {quote(script)}" if command else ""


def _scheduler_options(cluster: Cluster, choice: _Choice) -> tuple[str, ...]:
    partition = cluster.partitions.get(choice.sized.partition)
    options = partition.scheduler_options if partition else ()
    own = choice.asked.words("scheduler_options")
    if cluster.scheduler.program in _OWN_WORDS:
        return (*options, *own)
    values = {name: choice.asked.text(name) for name in ("account", "qos", "constraint")}
    bad = (choice.asked.text(name) for name in ("exclude", "failed_nodes"))
    values["exclude"] = ",".join(each for each in bad if each)
    return (*options, *(f"--{name}={value}" for name, value in values.items() if value), *own)


def _gres(cluster: Cluster, sized: Size) -> str:
    if not sized.gpus_per_node:
        return ""
    partition = cluster.partitions.get(sized.partition)
    gpu_type = (partition.gpu_type if partition else None) or ""
    return filled("gres", cluster.gres, gpus=sized.gpus_per_node, gpu_type=gpu_type)

"""The whole pipeline in RELION's job list: what a run plans, entered before its first job."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import InputError
from relion_dispatch.project import forms, jobstar, nodes, process, records, register
from relion_dispatch.project.flavours import RUNNING, SCHEDULED, SUCCEEDED, Flavour, flavour
from relion_dispatch.project.forms.words import Filled, Step
from relion_dispatch.project.joblist import FILE, JobList, job_number
from relion_dispatch.project.records import Record

if TYPE_CHECKING:
    from relion_dispatch.pipeline.jobs import StepJob
    from relion_dispatch.pipeline.steps import Project

#: Numbers that the pipeline keeps for itself; the window's own jobs come behind them.
RESERVED = 100
#: The greatest ``first_job``: RELION's names have three digits for a job's number.
LAST_FIRST_JOB = 900
#: The window asks a question in a project without this file.
PROJECT_FILE = ".gui_projectdir"
_JOB_DIR = re.compile(r"\w+/job\d+/")
#: Steps that run programs of this package only, and no selection of classes.
_OWN = ("rank_starts",)


def plan(project: Project) -> Iterator[Record]:
    """Yield the record of each job of a pipeline, by its number."""
    style = flavour(project.version.major)
    jobs = [job for out, job in project.jobs.items() if _JOB_DIR.fullmatch(out)]
    for job in sorted(jobs, key=lambda job: job_number(job.out)):
        yield _record(project, job, style)


def _record(project: Project, job: StepJob, style: Flavour) -> Record:
    step = Step(
        folder=job.out.partition("/")[0],
        out=job.out,
        lines=job.commands,
        flavour=style,
        name=job.step,
        is_own=job.step in _OWN,
    )
    filled = _filled(step)
    return Record(
        name=job.out,
        step=_alias(project, job),
        version=style.name,
        type=style.job_type(filled.folder, filled.sub),
        options=filled.options,
        late=filled.late,
        inputs=tuple((file, style.kind(kind)) for file, kind in filled.inputs),
        outputs=tuple((file, style.kind(kind)) for file, kind in filled.outputs),
        commands=job.commands,
    )


def _filled(step: Step) -> Filled:
    """Fill in a step's form; a command line that no form expects leaves it as in a new window."""
    try:
        return forms.fill(step)
    except (InputError, IndexError, KeyError, ValueError) as error:
        sys.stderr.write(
            f"relion-dispatch: {step.out} shows no options in RELION's window: {error!r}\n"
        )
        known = forms.defaults(step.folder, step.flavour).items()
        return Filled(
            folder=step.folder,
            options={name: value for name, value in known if value is not None},
        )


def _alias(project: Project, job: StepJob) -> str:
    """Name a job as its rule is named."""
    for start in project.starts:
        if project.layout.start(start) == job.out:
            return f"initial_model_{start}"
    # There is one local resolution, that of the last round.
    for round_ in project.rounds if job.step != "local_resolution" else ():
        with contextlib.suppress(ValueError):
            if project.layout.dir(job.step, round=round_) == job.out:
                return f"{job.step}_{round_}"
    if job.step == "rank_starts" and project.scales_own_reference:
        return "own_reference"
    return "relion_import" if job.step == "import" else job.step


def check_numbers(folder: Path, planned: Sequence[Record], first_job: int) -> None:
    """See to it that no job of the window has a number that the pipeline needs.

    Raises
    ------
    InputError
        When one has, with a number to begin from instead.
    """
    file = folder / FILE
    if not planned or not file.exists():
        return
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        names = JobList.read(text, planned[0].flavour).names
    except InputError:  # whoever enters the jobs says so
        return
    ours = {record.name for record in records.read_all(folder)}
    needed = range(first_job, first_job + RESERVED)
    taken = [name for name in names if name not in ours and job_number(name) in needed]
    if taken:
        free = RESERVED * (max(map(job_number, names)) // RESERVED + 1) + 1
        others = f"Give the pipeline others: first_job: {free} in config.yaml"
        raise InputError(
            f"RELION's window has jobs of its own with numbers that the pipeline needs:"
            f" {', '.join(taken[:3])}{', …' if len(taken) > 3 else ''}."
            f" {others if free <= LAST_FIRST_JOB else 'Make a new project for the pipeline'}"
        )


def enter(folder: Path, planned: Sequence[Record], reserved: int) -> None:
    """Enter planned jobs into RELION's job list, those that have not begun as scheduled.

    Parameters
    ----------
    folder
        RELION's project directory.
    planned
        All jobs of the pipeline.
    reserved
        Least number of the window's next own job.

    Raises
    ------
    InputError, OSError
        As for `register.job_list`.
    """
    if not planned:
        return
    (folder / PROJECT_FILE).touch()
    before = {record.name: record for record in records.read_all(folder)}
    known = {record.name for record in planned}
    dropped = [record for name, record in before.items() if name not in known]
    with register.job_list(folder, planned[0].flavour, "the pipeline's jobs") as found:
        # A job of an earlier run that is listed no more was deleted in the window.
        deleted = {*before} - {*found.names} if {*before} & {*found.names} else set()
        planned = [record for record in planned if record.name not in deleted]
        states = _states(folder, planned, found)
        for record in planned:
            if states[record.name] == SCHEDULED or found.state(record.name) != states[record.name]:
                found.put(record.job, states[record.name])
        found.forget(record.name for record in dropped)
        found.reserve(reserved)
    waiting = [record for record in planned if states[record.name] == SCHEDULED]
    for record in planned:
        records.write(folder, record)
        if record in waiting or not (folder / record.name / jobstar.JOB).exists():
            register.plan(folder, record, states[record.name])
        nodes.update(folder, record, found)
    _forget(folder, dropped, found)
    register.settle(folder)


def _states(folder: Path, planned: Iterable[Record], listed: JobList) -> Mapping[str, str]:
    """Tell what each planned job is: as listed, as its exit marker says, or not begun."""
    return {record.name: _state(folder, record, listed) for record in planned}


def _state(folder: Path, record: Record, listed: JobList) -> str:
    state = listed.state(record.name)
    # As a run starts or ends, none of the processes that share a job's work are there.
    if state == RUNNING and not process.is_noted(folder, record.name):
        state = ""
    if state in ("", SCHEDULED):  # or the job could not enter itself
        state = register.marked(folder / record.name) or SCHEDULED
    # Snakemake removes the results of a job that it could not even submit again.
    made = not record.outputs or any((folder / file).exists() for file, _ in record.outputs)
    return state if made or state != SUCCEEDED else SCHEDULED


def _forget(folder: Path, dropped: Iterable[Record], listed: JobList) -> None:
    """Remove what was written for jobs that are planned no more and never began."""
    for record in dropped:
        if record.name in listed.names:
            continue
        for name in (jobstar.JOB, jobstar.PIPELINE):
            (folder / record.name / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody keeps a file there
            (folder / record.name).rmdir()
        link = folder / record.job.alias.rstrip("/")
        if link.is_symlink() and not link.exists():
            link.unlink()
        nodes.take_back(folder, record)
        records.path(folder, record.name).unlink(missing_ok=True)

"""Puts together what is known of a project: files, processes here, and one scheduler's answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from relion_dispatch.errors import DispatchError, InputError, SchedulerError
from relion_dispatch.healing import attempts
from relion_dispatch.ledger import Entry
from relion_dispatch.meter import counted
from relion_dispatch.pipeline.begin import KEPT
from relion_dispatch.project import process
from relion_dispatch.reports import Report
from relion_dispatch.reports import State as Reported
from relion_dispatch.scheduler_calls import parse_job_id
from relion_dispatch.sharding.state import of_job
from relion_dispatch.status import processes_here, progress, recorded, traces
from relion_dispatch.status.model import ALIVE, Job, Overview, State
from relion_dispatch.status.scheduler import Desk
from relion_dispatch.submit import MARKERS, call_gui


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was found out about all jobs at once.

    Attributes
    ----------
    reports
        The scheduler's words, by job id.
    here
        When jobs that run on this machine began, by directory.
    locked
        Whether Snakemake holds the project.
    silent
        Whether the scheduler gave no answer.
    """

    reports: Mapping[str, Report] = field(default_factory=dict)
    here: Mapping[str, float] = field(default_factory=dict)
    locked: bool = False
    silent: bool = False


def overview(
    project: Path, desk: Desk, *, now: float | None = None, quiet: bool = True
) -> Overview:
    """Look at a project.

    Jobs from RELION's window that the scheduler has ended before they could say a word get the
    marker and the reason here, so that the window does not show them as running for ever.

    Parameters
    ----------
    project
        Its directory.
    desk
        Who is asked for jobs at the scheduler.
    now
        Seconds since the epoch; None for this moment.
    quiet
        Whether to say nothing while it takes long.
    """
    now = time.time() if now is None else now
    known, notes = _known(project)
    ids = _job_ids(project, known, desk)
    evidence, trouble = _evidence(project, known, ids, desk)
    looking = counted(known, "looking at jobs", quiet=quiet)
    jobs = [_judged(project, job, ids.get(job.folder, ""), evidence, now) for job in looking]
    used = desk.used([job.job_id for job in jobs if job.job_id and job.state not in ALIVE])
    records = recorded.records(project)
    jobs = [_with_use(job, used.get(job.job_id) or _used_here(project, job, desk)) for job in jobs]
    jobs = [_with_size(job, records) for job in jobs]
    where = os.path.abspath(project)
    return Overview(project=where, time=now, jobs=tuple(jobs), notes=(*notes, *trouble))


def _known(project: Path) -> tuple[list[Job], list[str]]:
    """List all jobs, still without their states: the pipeline's first."""
    notes: list[str] = []
    steps = dict(_steps(project, notes))
    window = traces.listed(project)
    numbered = dict.fromkeys([*traces.folders(project), *window])
    order = [*steps, *(folder for folder in numbered if folder not in steps)]
    aliases = {folder: each.alias for folder, each in window.items()}
    jobs = [
        Job(folder=folder, step=steps.get(folder, ""), alias=aliases.get(folder, ""))
        for folder in order
    ]
    return jobs, notes


def _steps(project: Path, notes: list[str]) -> Iterable[tuple[str, str]]:
    """List the pipeline's directories and steps; none in a project without a configuration."""
    path = project / "config.yaml"
    if not path.is_file():
        return []
    from relion_dispatch.pipeline import expected, settings

    try:
        chosen = settings.load(settings.read(path), source=str(path))
    except DispatchError as error:
        notes.append(f"steps that have not begun are left out: {str(error).splitlines()[0]}")
        return []
    return [(each.folder, each.rule) for each in expected.expected(chosen)]


def _job_ids(project: Path, jobs: Iterable[Job], desk: Desk) -> dict[str, str]:
    """Return the scheduler's ids: of the executor's submissions, else of the window's."""
    found: dict[str, str] = {}
    submissions: Mapping[str, Entry] = traces.submissions(project)
    for job in jobs:
        entry = submissions.get(job.folder)
        said = traces.submitted_as(project / job.folder) if desk.definition else ""
        if said and desk.definition and (its := parse_job_id(desk.definition, said)):
            found[job.folder] = its
        elif entry is not None and entry.job_id:
            found[job.folder] = entry.job_id
    return found


def _evidence(
    project: Path, jobs: Iterable[Job], ids: Mapping[str, str], desk: Desk
) -> tuple[Evidence, list[str]]:
    submissions = traces.submissions(project)
    open_ = {folder for folder, entry in submissions.items() if entry.phase.open}
    asked = [
        ids[job.folder]
        for job in jobs
        if job.folder in ids
        and (job.folder in open_ or traces.end_of(project / job.folder) is None)
    ]
    reports: Mapping[str, Report] = {}
    notes = []
    try:
        reports = desk.reports(asked)
    except SchedulerError as error:
        notes.append(f"the scheduler gives no answer: {error}")
    here = processes_here.running(project)
    locked = traces.snakemake_runs(project)
    evidence = Evidence(reports=reports, here=here, locked=locked, silent=bool(notes))
    return evidence, notes


def _judged(project: Path, job: Job, job_id: str, evidence: Evidence, now: float) -> Job:
    """Fill in everything about a job but what it used."""
    folder = project / job.folder
    report = evidence.reports.get(job_id)
    found = _of_shards(folder, evidence)
    state, detail = found or _state(folder, job, job_id, report, evidence)
    job = replace(
        job, state=state, detail=detail, job_id=job_id, node=report.node if report else ""
    )
    if not folder.is_dir() or state is State.WAITING:
        return job
    return _with_progress(_with_attempts(job, folder, evidence), folder, now)


def _state(
    folder: Path, job: Job, job_id: str, report: Report | None, evidence: Evidence
) -> tuple[State, str]:
    end = traces.end_of(folder)
    queued = report is not None and report.state is Reported.PENDING
    if report is not None and queued:
        reason = f"in the queue ({report.reason})" if report.reason else "in the queue"
        if report.held:
            reason += f"; a node could not start it: relion-dispatch heal {job.folder}"
        return State.WAITING, f"{reason}, to try again" if end is State.FAILED else reason
    if end is not None:
        return end, traces.complaint(folder) if end is State.FAILED else ""
    if job.folder in evidence.here:
        return State.RUNNING, ""
    if job_id and not evidence.silent:
        return _at_scheduler(folder, job_id, report)
    return _without_word(folder, evidence)


def _of_shards(folder: Path, evidence: Evidence) -> tuple[State, str] | None:
    """Judge a job of which some shards are not done; None for any other."""
    try:
        shards = of_job(folder, folder.parents[1])
    except InputError:  # the pipeline will complain of its list
        return None
    if shards is None or not shards.open:
        return None
    if evidence.locked:
        return State.RUNNING, str(shards)
    return State.FAILED if shards.failed else State.UNKNOWN, str(shards)


def _at_scheduler(folder: Path, job_id: str, report: Report | None) -> tuple[State, str]:
    """Judge a job that has left no end, by what the scheduler says."""
    if report is not None and report.state.alive:
        return State.RUNNING, report.reason
    if (end := traces.end_of(folder)) is not None:  # it came while we asked
        return end, traces.complaint(folder) if end is State.FAILED else ""
    if report is not None and report.state is Reported.SUCCEEDED:
        return State.FINISHED, ""
    detail = f"{report.word} {report.reason}".strip() if report else "unknown to the scheduler"
    if traces.submitted_as(folder):  # the window's: nobody else will tell it
        _mark(folder, job_id, detail)
    return State.FAILED, detail


def _without_word(folder: Path, evidence: Evidence) -> tuple[State, str]:
    """Judge a job that has left no end and that no scheduler knows."""
    begun, ended, failed = traces.shards(folder)
    if begun:
        words = f"{ended} of {begun} parts that have begun are done"
        return (State.FAILED, f"{failed} of its parts failed") if failed else (State.RUNNING, words)
    if not any((folder / name).exists() for name in ("run.out", "run.jobid")):
        return State.WAITING, ""
    if evidence.silent:
        return State.UNKNOWN, "only the scheduler knows"
    if evidence.locked:
        return State.RUNNING, "not on this machine, or stopped together with snakemake"
    return State.UNKNOWN, "not ended; it was stopped, or runs on another machine"


def _mark(folder: Path, job_id: str, detail: str) -> None:
    """Leave the marker and the reason that the job could not leave itself."""
    with (folder / "run.err").open("a", encoding="utf-8") as handle:
        handle.write(f"relion-dispatch: job {job_id} died without a word: {detail}\n")
    (folder / MARKERS[1]).touch()
    call_gui(folder.parents[1])


def _with_attempts(job: Job, folder: Path, evidence: Evidence) -> Job:
    made = attempts.read(folder)
    last = made[-1] if made else None
    started = last.started if last else None
    if started is None:
        said = progress.began(folder / "run.out")
        started = evidence.here.get(job.folder) or said or traces.began(folder, KEPT)
    return replace(
        job,
        started=started,
        ended=last.ended if last else None,
        job_id=job.job_id or (last.job_id if last else ""),
        node=job.node or (last.node if last else ""),
        asked=dict(last.asked) if last else {},
        used=dict(last.used) if last else {},
        attempts=tuple(_told(each) for each in made),
    )


def _told(attempt: attempts.Attempt) -> dict[str, Any]:
    values = asdict(attempt)
    values["evidence"] = list(attempt.evidence)
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}


def _with_progress(job: Job, folder: Path, now: float) -> Job:
    found = progress.parse(progress.read_tail(folder / "run.out"))
    alive = job.state in ALIVE
    done = progress.iterations(folder)
    iteration = found.iteration if alive else (done[-1][0] if done else None)
    ended = None if alive else job.ended or _end_time(folder)
    started = job.started
    if not alive and found.took_s is not None and ended is not None:
        started = ended - found.took_s
    return replace(
        job,
        started=started,
        ended=ended,
        iteration=iteration,
        iterations=found.iterations if alive else None,
        percent=found.percent if alive else None,
        resolution=progress.resolution(folder),
        left_s=progress.left_s(found, done, now=now) if job.state is State.RUNNING else None,
        verdict=traces.verdict(folder),
        detail=job.detail or (found.detail if alive else ""),
    )


def _end_time(folder: Path) -> float | None:
    times = []
    for name in (*MARKERS, "run.exit"):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _used_here(project: Path, job: Job, desk: Desk) -> Mapping[str, Any]:
    """Return what a job of this machine has used, as it has noted it itself."""
    elsewhere = job.job_id and desk.definition is not None
    return {} if elsewhere else process.used(project, f"{job.folder}/")


def _with_use(job: Job, used: Mapping[str, Any]) -> Job:
    return replace(job, used={**used, **job.used}) if used else job


def _with_size(job: Job, records: Mapping[str, Path]) -> Job:
    """Fill in the size of a finished job that nobody has noted."""
    path = records.get(job.folder)
    if job.asked or path is None or job.state is not State.FINISHED:
        return job
    return replace(job, asked=recorded.size(path))

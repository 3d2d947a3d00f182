"""The jobs of a project: from RELION's markers, and where there is none, from the scheduler.

A job that the scheduler ended before it could say a word (killed outright, its node gone) gets the
marker and the reason here, so that RELION's window does not show it as running for ever.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from relion_dispatch.client import Client
from relion_dispatch.cluster import Cluster
from relion_dispatch.reports import Report, State
from relion_dispatch.scheduler_calls import parse_job_id
from relion_dispatch.schedulers import definition_for
from relion_dispatch.submit import JOB_ID_FILE, MARKERS, call_gui

_WORDS = dict(zip(MARKERS, ("succeeded", "failed", "aborted"), strict=True))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a project.

    Attributes
    ----------
    path
        Its directory.
    state
        In a word or two.
    job_id
        The scheduler's; empty for jobs that no scheduler knows.
    detail
        Why it waits or how it ended, where the scheduler says so.
    """

    path: Path
    state: str
    job_id: str = ""
    detail: str = ""


def jobs(project: Path, cluster: Cluster) -> list[Job]:
    """Return a project's jobs, and mark those that died without a word.

    Raises
    ------
    SchedulerError
        When there are jobs that only the scheduler knows of, and it gives no answer.
    """
    found = [_by_marker(path) for path in _folders(project)]
    unmarked = [each for each in found if not each.state]
    asked = {each.path: each for each in _asked(unmarked, cluster)}
    return [asked.get(each.path, each) for each in found]


def _folders(project: Path) -> Iterator[Path]:
    """Yield the job directories that the window, the workflow or we have run something in."""
    for path in sorted(project.glob("*/job*/")):
        if any((path / name).exists() for name in (*MARKERS, JOB_ID_FILE, "run.out")):
            yield path


def _by_marker(path: Path) -> Job:
    state = next((word for name, word in _WORDS.items() if (path / name).exists()), "")
    return Job(path=path, state=state)


def _asked(unmarked: Sequence[Job], cluster: Cluster) -> Iterator[Job]:
    """Ask the scheduler for the jobs without a marker."""
    if cluster.local:
        yield from (replace(each, state="not ended") for each in unmarked)
        return
    definition = definition_for(cluster.scheduler)
    known = [_with_id(each, parse_job_id(definition, _said(each.path)) or "") for each in unmarked]
    reports = _reports(Client(definition), [each.job_id for each in known if each.job_id])
    for each in known:
        yield _judged(each, reports.get(each.job_id))


def _said(path: Path) -> str:
    try:
        return (path / JOB_ID_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""


def _with_id(job: Job, job_id: str) -> Job:
    return replace(job, job_id=job_id)


def _reports(client: Client, job_ids: Sequence[str]) -> dict[str, Report]:
    if not job_ids:
        return {}
    reports = client.status(job_ids)
    forgotten = [job_id for job_id in job_ids if job_id not in reports]
    return reports | client.history(forgotten)


def _judged(job: Job, report: Report | None) -> Job:
    if not job.job_id:
        return replace(job, state="not ended")
    detail = f"{report.word} {report.reason}".strip() if report else "unknown to the scheduler"
    if report is not None and report.state.alive:
        return replace(job, state=report.state.value, detail=report.reason)
    if marked := _by_marker(job.path).state:  # it came while we asked
        return replace(job, state=marked)
    if report is not None and report.state is State.SUCCEEDED:
        return replace(job, state="succeeded")
    _mark(job, detail)
    return replace(job, state="failed", detail=detail)


def _mark(job: Job, detail: str) -> None:
    """Leave the marker and the reason that the job could not leave itself."""
    with (job.path / "run.err").open("a", encoding="utf-8") as handle:
        handle.write(f"relion-dispatch: job {job.job_id} died without a word: {detail}\n")
    (job.path / MARKERS[1]).touch()
    call_gui(job.path.parents[1])


def table(found: Iterable[Job], project: Path) -> str:
    """Return the jobs as a table in text."""
    rows = [
        (str(each.path.relative_to(project)), each.state, each.job_id, each.detail)
        for each in found
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    return "".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()
        + "\n"
        for row in rows
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relion-dispatch status``."""
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="the project")
    parser.add_argument("--profile", default="", help="default: $RELION_DISPATCH_PROFILE")


def main(args: argparse.Namespace) -> int:
    """Run ``relion-dispatch status``."""
    import sys

    from relion_dispatch.profiles import load_profile

    project = Path(args.folder)
    profile = load_profile(args.profile or None, project=project)
    text = table(jobs(project, profile.cluster), project)
    sys.stdout.write(text or f"{project} has no jobs yet.\n")
    return 0

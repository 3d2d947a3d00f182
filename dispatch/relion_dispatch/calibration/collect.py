"""The finished jobs of projects, with what the scheduler and RELION say of each."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from relion_dispatch import __version__, processes
from relion_dispatch.calibration import basis, usage
from relion_dispatch.calibration.finished import DONE, Finished, measured
from relion_dispatch.calibration.usage import Usage
from relion_dispatch.errors import DispatchError, InputError, SchedulerError
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing import attempts
from relion_dispatch.meter import counted
from relion_dispatch.sharding.places import FOLDER
from relion_dispatch.submit import JOB_ID_FILE

#: Ids in one question to the scheduler's records.
IDS_PER_CALL = 500

#: Where jobs are in a project: their directories, and those of the shards of some.
PLACES = ("*/job[0-9]*", f"*/job[0-9]*/{FOLDER}/*")

#: Seconds to wait for its answer.
TIME_LIMIT_S = 120.0

#: Bytes of a job's output, from its end, in which RELION's own estimates are looked for.
TAIL_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was found.

    Attributes
    ----------
    jobs
        Jobs that tell something.
    left_out
        How many others there are, by the reason.
    """

    jobs: tuple[Finished, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


def collect(projects: Iterable[Path], *, scheduler: bool) -> Collected:
    """Find the finished jobs of some projects.

    Parameters
    ----------
    projects
        Project directories.
    scheduler
        Whether Slurm's records are asked.

    Raises
    ------
    InputError
        When a project is no directory.
    """
    found = [job for project in projects for job in _noted(project)]
    ids = sorted({job.job_id for job in found if job.job_id})
    known, every_s = (_records(ids), _sampled_every_s()) if scheduler and ids else ({}, 0)
    jobs: list[Finished] = []
    left_out: Counter[str] = Counter()
    for job in counted(found, "looking through finished jobs"):
        ended = _measured(job, known, every_s)
        if isinstance(ended, str):
            left_out[ended] += 1
        else:
            jobs.append(ended)
    return Collected(jobs=tuple(jobs), left_out=left_out)


def _noted(project: Path) -> Iterator[Finished]:
    """Yield the jobs of a project beside whose scripts it stands what they were sized from."""
    if not project.is_dir():
        raise InputError(f"{project} is no directory: give projects of RELION")
    found = (path for place in PLACES for path in project.glob(f"{place}/*.script{basis.SUFFIX}"))
    for path in sorted(found):
        made = basis.read(path)
        if made is not None:
            yield Finished(
                job_dir=str(path.parent.relative_to(project)),
                project=str(project.resolve()),
                job_id=_job_id(path.parent),
                basis=made,
                version=__version__,
            )


def _job_id(job_dir: Path) -> str:
    """Return the scheduler's id of a job's last run; empty where there is none."""
    noted = [each.job_id for each in attempts.read(job_dir) if each.job_id]
    try:
        printed = (job_dir / JOB_ID_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        printed = ""
    found = re.search(r"\d+", noted[-1] if noted else printed)
    return found[0] if found else ""


def _measured(job: Finished, known: Mapping[str, Usage], every_s: int) -> Finished | str:
    """Return a job with what it took, or why it tells nothing."""
    text = _output(Path(job.project, job.job_dir))
    used = known.get(job.job_id)
    if used is None:
        ran_s = usage.ran_for_s(text)
        if ran_s is None:
            return "not ended well, or not known to the scheduler's records"
        used = Usage(state=DONE, elapsed_s=ran_s, end=_written(Path(job.project, job.job_dir)))
    elif used.partition != job.basis.partition:
        return "the scheduler's records mean another job"
    found = measured(job, used, usage.estimated_mb(text), every_s)
    if found is not None and _in_parts(Path(job.project, job.job_dir)):
        found = replace(found, elapsed_min=None)
    return found or "running, failed or cancelled"


def _in_parts(job_dir: Path) -> bool:
    """Whether a job went on where an earlier attempt had ended: its time is not that of all."""
    noted = attempts.read(job_dir)
    return bool(noted) and noted[-1].continued is not None


def _written(job_dir: Path) -> str:
    """Return when a job wrote its exit code, as Slurm would write it; empty where it has not."""
    try:
        return time.strftime("%FT%T", time.localtime((job_dir / "run.exit").stat().st_mtime))
    except OSError:
        return ""


def _output(job_dir: Path) -> str:
    """Read the end of what a job has printed."""
    try:
        with (job_dir / "run.out").open("rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(size - TAIL_BYTES, 0))
            return handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _records(ids: Sequence[str]) -> dict[str, Usage]:
    """Ask Slurm's records; nothing where there are none."""
    found: dict[str, Usage] = {}
    for at in range(0, len(ids), IDS_PER_CALL):
        asked = ",".join(ids[at : at + IDS_PER_CALL])
        argv = ["sacct", "--parsable2", "--noheader", f"--format={usage.FORMAT}", f"--jobs={asked}"]
        found |= usage.read(_said(argv))
    return found


def _sampled_every_s() -> int:
    return usage.sampled_every_s(_said(["scontrol", "show", "config"]))


def _said(argv: Sequence[str]) -> str:
    """Return what a program prints; nothing where there is none, or no accounting."""
    try:
        done = processes.run(argv, timeout_s=TIME_LIMIT_S, error=SchedulerError)
    except DispatchError:
        return ""
    return "" if done.returncode else done.stdout

"""Jobs put themselves into RELION's job list: as they begin, and as they end.

Nothing here may break a job: the job list is a view of the project, and a job that cannot enter
itself says so in its ``run.err`` and goes on. Whatever was missed is made good by the next call
of `settle`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from relion_dispatch.atomic import write_text
from relion_dispatch.project import jobstar, nodes, process, records, star
from relion_dispatch.project.flavours import ABORTED, FAILED, RUNNING, SUCCEEDED, Flavour
from relion_dispatch.project.joblist import FILE, JobList
from relion_dispatch.project.lock import locked
from relion_dispatch.project.records import Record
from relion_dispatch.sharding.places import FOLDER as SHARDS

#: RELION's window looks at the list anew when it finds this file.
HAS_CHANGED = ".pipeline_has_changed"
MARKERS = {
    "RELION_JOB_EXIT_SUCCESS": SUCCEEDED,
    "RELION_JOB_EXIT_FAILURE": FAILED,
    "RELION_JOB_EXIT_ABORTED": ABORTED,
}
OUTPUT_NODES = "RELION_OUTPUT_NODES.star"

_THREADS = re.compile(r"\s--j\s+(\d+)")
_GPUS = re.compile(r"""\s--gpu\s+["']?([\d:,]*)["']?""")
_RANKS = re.compile(r"\s(?:-n|-np|--np|--ntasks)[ =](\d+)")


@contextlib.contextmanager
def job_list(project: Path, flavour: Flavour, purpose: str) -> Iterator[JobList]:
    """Read RELION's job list under its lock, let it be changed, and write it back.

    Raises
    ------
    InputError
        When it is no job list, or somebody holds the lock for too long.
    OSError
        When it cannot be read or written.
    """
    file = project / FILE
    with locked(project, purpose):
        text = _read(file)
        found = JobList.read(text, flavour)
        yield found
        new = found.write()
        if new != text:
            write_text(file, new)
            (project / HAS_CHANGED).touch()


def begin(project: Path, name: str, commands: Sequence[str] = ()) -> bool:
    """Enter a job as running, with its fields and its note.

    Parameters
    ----------
    project
        RELION's project directory.
    name
        The job's directory in it.
    commands
        What it runs, finished; empty: what was planned.

    Returns
    -------
    bool
        Whether it is a job of the pipeline's.

    Raises
    ------
    InputError, OSError
        As for `job_list`.
    """
    record = records.read(project, name)
    if record is None:
        return False
    folder = project / record.name
    sized = replace(record, options={**record.options, **_size(record, commands)})
    plan(project, sized, RUNNING)
    with (folder / jobstar.NOTE).open("a", encoding="utf-8", errors="surrogateescape") as notes:
        notes.write(jobstar.note(commands or record.commands, time.time()))
    process.note(project, name)
    with job_list(project, record.flavour, f"{name} begins") as found:
        found.put(record.job, RUNNING)
    nodes.update(project, record, found)
    return True


def work(project: Path, name: str) -> bool:
    """Enter a job as running whose work is done by several processes, each of which says so.

    Returns
    -------
    bool
        Whether it was not running before.

    Raises
    ------
    InputError, OSError
        As for `job_list`.
    """
    record = records.read(project, name)
    if record is None or JobList.read(_read(project / FILE), record.flavour).state(name) == RUNNING:
        return False
    _runs_in_parts(project, record, f"{name} has begun")
    return True


def share(project: Path, name: str) -> bool:
    """Enter a job as running, of whose work one of several processes begins a part.

    Returns
    -------
    bool
        Whether it is a job of the pipeline's.

    Raises
    ------
    InputError, OSError
        As for `job_list`.
    """
    record = records.read(project, name)
    if record is None:
        return False
    for marker in MARKERS:
        (project / name / marker).unlink(missing_ok=True)
    _runs_in_parts(project, record, f"a part of {name} begins")
    return True


def _runs_in_parts(project: Path, record: Record, why: str) -> None:
    """Enter a job as running, whose life is that of no single process."""
    process.forget(project, record.name)
    with job_list(project, record.flavour, why) as found:
        found.put(record.job, RUNNING)


def end(project: Path, name: str) -> bool:
    """Enter how a job has ended, as its exit marker says.

    Returns
    -------
    bool
        Whether it is a job of the pipeline's that has ended.

    Raises
    ------
    InputError, OSError
        As for `job_list`.
    """
    record = records.read(project, name)
    state = marked(project / name)
    if record is None or not state:
        return False
    process.note_end(project, name)
    finished = _finished(project, record) if state == SUCCEEDED else record
    with job_list(project, record.flavour, f"{name} has ended") as found:
        found.put(finished.job, state)
        if state == SUCCEEDED:
            made = {file for file, _ in finished.outputs if (project / file).exists()}
            found.drop_outputs(name, set(found.outputs(name)) - made)
    nodes.update(project, finished, found)
    return True


def settle(project: Path, failed: Iterable[str] = ()) -> tuple[str, ...]:
    """Put right what the list says of jobs that ended without a word.

    Those are the pipeline's jobs that it has as running: some have an exit marker, others ran on
    this machine and their process is gone.

    Parameters
    ----------
    project
        RELION's project directory.
    failed
        Directories of jobs of which the scheduler says that they have failed.

    Returns
    -------
    tuple
        The jobs that are running no more.

    Raises
    ------
    InputError, OSError
        As for `job_list`.
    """
    known = {record.name: record for record in records.read_all(project)}
    if not known or not (project / FILE).exists():
        return ()
    first = next(iter(known.values()))
    listed = JobList.read(_read(project / FILE), first.flavour)
    over = [name for name in listed.names if name in known and listed.state(name) == RUNNING]
    dead = {f"{name.rstrip('/')}/" for name in failed}
    over = [n for n in over if n in dead or marked(project / n) or process.is_gone(project, n)]
    for name in over:
        if not marked(project / name):
            (project / name / "RELION_JOB_EXIT_FAILURE").touch()
        end(project, name)
    return tuple(over)


def marked(folder: Path) -> str:
    """Return the state that a job's exit marker stands for; empty without one.

    A job has failed, too, of whose work a part has failed.
    """
    own = next((state for name, state in MARKERS.items() if (folder / name).exists()), "")
    parts = (folder / SHARDS).glob("*/RELION_JOB_EXIT_FAILURE")
    return own or (FAILED if any(parts) else "")


def plan(project: Path, record: Record, state: str) -> None:
    """Write what RELION keeps in a job's directory."""
    folder = project / record.name
    folder.mkdir(parents=True, exist_ok=True)
    flavour = record.flavour
    write_text(folder / jobstar.JOB, jobstar.job_star(record.type, record.options, flavour))
    write_text(folder / jobstar.PIPELINE, jobstar.mini_pipeline(record.job, state, flavour))
    if state == SUCCEEDED:
        _fill_late(project, record)


def _finished(project: Path, record: Record) -> Record:
    """Complete a record with what only the finished job knows."""
    _fill_late(project, record)
    return replace(record, outputs=(*record.outputs, *_noted_outputs(project / record.name)))


def _fill_late(project: Path, record: Record) -> None:
    late = {field: _read(project / file).strip() for field, file in record.late.items()}
    known = {field: value for field, value in late.items() if value}
    if known:
        _set_options(project / record.name / jobstar.JOB, known)


def _set_options(file: Path, options: dict[str, str]) -> None:
    content = star.parse(_read(file))
    table = content.table("joboptions_values")
    for row in table.rows if table else ():
        name = row["rlnJobOptionVariable"]
        row["rlnJobOptionValue"] = options.get(name, row["rlnJobOptionValue"])
    write_text(file, star.write(content))


def _noted_outputs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that RELION's programs say they have made, with their kinds."""
    table = star.parse(_read(folder / OUTPUT_NODES)).table("output_nodes")
    for row in table.rows if table else ():
        kind = row.get("rlnPipeLineNodeTypeLabel") or row.get("rlnPipeLineNodeType")
        if kind and row.get("rlnPipeLineNodeName"):
            yield row["rlnPipeLineNodeName"], kind


def _size(record: Record, commands: Sequence[str]) -> dict[str, str]:
    """Find ranks, threads and GPUs in the commands, for the fields that the job has."""
    line = next((each for each in commands if "`which relion_" in each), "")
    before = line.partition("`which")[0]
    ranks, threads, gpus = _RANKS.search(before), _THREADS.search(line), _GPUS.search(line)
    found = {
        "nr_mpi": ranks[1] if ranks else "1",
        "nr_threads": threads[1] if threads else "1",
        "use_gpu": "Yes" if gpus else "No",
        "gpu_ids": gpus[1] if gpus else "",
    }
    return {name: value for name, value in found.items() if line and name in record.options}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""

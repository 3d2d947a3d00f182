"""The texts that RELION keeps in a job's directory: ``job.star``, ``note.txt``, the mini pipeline.

RELION's side is ``RelionJob::write`` in ``src/pipeline_jobs.cpp`` and ``PipeLine::addJob`` and
``runJob`` in ``src/pipeliner.cpp``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from relion_dispatch.project import star
from relion_dispatch.project.flavours import Flavour
from relion_dispatch.project.joblist import Job, JobList
from relion_dispatch.project.star import Row, Star, Table

JOB, NOTE, PIPELINE = "job.star", "note.txt", "job_pipeline.star"


def job_star(job_type: str, options: Mapping[str, str], flavour: Flavour) -> str:
    """Write a job's fields; the window reads them from here when the job is clicked on.

    Fields that are left out, such as those of the queue, keep what the window has in them.
    """
    names: Row = {"rlnJobType": job_type, "rlnJobIsContinue": "0"}
    if flavour.words:
        names = {"rlnJobTypeLabel": job_type, "rlnJobIsContinue": "0", "rlnJobIsTomo": "0"}
    head = Table(name="job", labels=list(names), rows=[names], loop=False)
    columns = ["rlnJobOptionVariable", "rlnJobOptionValue"]
    rows = [dict(zip(columns, pair, strict=True)) for pair in sorted(options.items())]
    values = Table(name="joboptions_values", labels=columns, rows=rows)
    return star.write(Star(tables=[head, values], version=flavour.format))


def mini_pipeline(job: Job, state: str, flavour: Flavour) -> str:
    """Write the job list of one job alone."""
    found = JobList(flavour=flavour)
    found.content.version = flavour.format
    found.put(job, state)
    found.reserve(2)
    return found.write()


def note(commands: Sequence[str], when: float) -> str:
    """Write what RELION appends to a job's note when it starts it."""
    lines = "".join(f"{command}\n" for command in commands)
    return (
        f"\n ++++ Executing new job on {time.ctime(when)}\n"
        f" ++++ with the following command(s): \n{lines} ++++ \n"
    )

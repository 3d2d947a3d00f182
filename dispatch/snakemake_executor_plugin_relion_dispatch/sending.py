"""From described jobs to submissions: planned, put together, noted, written, and handed over."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from relion_dispatch import arrays, atomic
from relion_dispatch.calibration import basis
from relion_dispatch.engine import plan as make_plan
from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.submit import JOB_ID_FILE, SHELLS
from relion_dispatch.submitter import Submission
from snakemake_executor_plugin_relion_dispatch.batches import Batch, Planned, task_log

if TYPE_CHECKING:
    from relion_dispatch.head import Head
    from relion_dispatch.ledger import Entry
    from relion_dispatch.plan import Plan
    from relion_dispatch.profiles import Profile
    from relion_dispatch.schedulers import Definition
    from snakemake_executor_plugin_relion_dispatch.jobs import Work
    from snakemake_executor_plugin_relion_dispatch.looking_after import Nurse

#: Most jobs of an array; Slurm's own limit is 1001 at its defaults.
LARGEST_ARRAY = 500


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Submits jobs.

    Attributes
    ----------
    head, definition, profile
        Who submits, to which scheduler, and what sizes the jobs.
    nurse
        Notes the attempts at each job.
    array_jobs, queued_jobs
        As the executor's settings.
    taken, refused
        Told which job has been taken, or why one has not.
    """

    head: Head
    definition: Definition
    profile: Profile
    nurse: Nurse
    array_jobs: int
    queued_jobs: int
    taken: Callable[[SubmittedJobInfo], None]
    refused: Callable[[Work, str], None]

    def send(self, works: Sequence[Work]) -> None:
        """Submit jobs; each is on disk before it is handed over."""
        planned = [made for work in works if (made := self._planned(work)) is not None]
        batches = list(self._batches(planned))
        self.head.intend([entry for each in batches for _, entry in each.members.values()])
        for batch in batches:
            self._submit(batch)

    def _planned(self, work: Work) -> Planned | None:
        try:
            plan = make_plan(self.nurse.request(work), self.profile)
            command = self._submit_command(plan, work)
            header = arrays.header(plan.script)
        except (DispatchError, OSError) as error:
            self.refused(work, str(error))
            return None
        for warning in plan.warnings:
            self.nurse.say(work, f"may not end well: {warning.rstrip('.')}")
        return Planned(work=work, plan=plan, command=command, header=header)

    def _submit_command(self, plan: Plan, work: Work) -> tuple[str, ...]:
        """Return the command that submits a script whose path is appended."""
        if self.profile.cluster.local:
            return (*self.definition.submit, f"--cores={plan.threads}")
        command = shlex.split(plan.submit_command)[:-1]
        if Path(command[0]).name in SHELLS:
            raise InputError(
                f"jobs of type {plan.job_type} run where they are submitted ('{command[0]}'):"
                f" run {work.rule} by hand, or give it another job_type"
            )
        return (*command, *work.submit_options)

    def _batches(self, planned: Sequence[Planned]) -> Iterator[Batch]:
        """Put like jobs together, and name all of them."""
        chunks = arrays.batches(
            planned,
            lambda each: (each.command, each.header),
            least=self.array_jobs if self.definition.arrays else 0,
            most=min(self.queued_jobs or LARGEST_ARRAY, LARGEST_ARRAY),
        )
        for chunk in chunks:
            name = self.head.new_name(chunk[0].work.rule) if len(chunk) > 1 else ""
            members = {n: (each, self._announce(each, name, n)) for n, each in enumerate(chunk, 1)}
            yield Batch(name=name, members=members)

    def _announce(self, planned: Planned, array: str, number: int) -> Entry:
        """Mark the output as unfinished, and clear away what a former run has left."""
        work = planned.work
        name = arrays.member_name(array, number) if array else ""
        exit_file = str(work.exit_file)
        entry = self.head.new_entry(
            work.key, work.fingerprint, work.label, exit_file, name=name, step=work.rule
        )
        work.job.register(external_jobid=entry.token)
        work.exit_file.unlink(missing_ok=True)
        return entry

    def _submit(self, batch: Batch) -> None:
        ready = {
            number: self._submission(planned, entry)
            for number, (planned, entry) in batch.members.items()
            if self._written(planned, entry)
        }
        if not batch.name:
            for submission in ready.values():
                self.head.submit(submission)
        elif ready:
            self.head.submit_together(batch.together(ready))

    def _written(self, planned: Planned, entry: Entry) -> bool:
        """Make room for a job's output and write its script."""
        try:
            planned.work.prepare()
            self.nurse.submitting(planned.work, planned.plan)
            atomic.write_text(planned.script, planned.plan.script, mode=0o755)
            basis.note(planned.plan)
        except (DispatchError, OSError) as error:
            self.head.withdraw(entry)
            self.refused(planned.work, str(error))
            return False
        return True

    def _submission(self, planned: Planned, entry: Entry) -> Submission:
        work = planned.work
        information = info(work, entry)

        def taken(entry: Entry) -> None:
            information.external_jobid = entry.job_id
            information.aux["entry"] = entry
            leave_job_id(planned.script.parent, entry.job_id)
            self.nurse.taken(work, entry.job_id)
            self.taken(information)

        def refused(reason: str) -> None:
            self.nurse.refused(work, reason)
            self.refused(work, reason)

        return Submission(
            entry=entry,
            command=planned.command,
            script=planned.script,
            taken=taken,
            refused=refused,
        )


def info(work: Work, entry: Entry) -> SubmittedJobInfo:
    """Return what Snakemake keeps of a submitted job."""
    log = task_log(entry)
    if log is not None:
        work = replace(work, logs=(*work.logs, log))
    return SubmittedJobInfo(
        work.job, external_jobid=entry.job_id or None, aux={"work": work, "entry": entry}
    )


def leave_job_id(folder: Path, job_id: str) -> None:
    """Leave the job's id where a job from RELION's window has it."""
    with contextlib.suppress(OSError):
        (folder / JOB_ID_FILE).write_text(f"{job_id}\n", encoding="utf-8")

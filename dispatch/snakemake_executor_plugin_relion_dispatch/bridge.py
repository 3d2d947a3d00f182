"""Between Snakemake and the head: jobs in, verdicts out."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from relion_dispatch import atomic, failures
from relion_dispatch.calibration import basis
from relion_dispatch.engine import plan as make_plan
from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.head import FOLDER, Head, Limits
from relion_dispatch.profiles import VARIABLE, load_profile
from relion_dispatch.reports import State
from relion_dispatch.schedulers import definition_for
from relion_dispatch.submit import JOB_ID_FILE, SHELLS
from relion_dispatch.submitter import Submission
from snakemake_executor_plugin_relion_dispatch import identity
from snakemake_executor_plugin_relion_dispatch.jobs import describe

if TYPE_CHECKING:
    from relion_dispatch.ledger import Entry
    from relion_dispatch.plan import Plan
    from relion_dispatch.watch import Verdict
    from snakemake_executor_plugin_relion_dispatch import Executor, ExecutorSettings
    from snakemake_executor_plugin_relion_dispatch.jobs import Work


class Bridge:
    """One workflow run's connection to the scheduler.

    Parameters
    ----------
    executor
        Snakemake's executor.

    Raises
    ------
    DispatchError
        When the profile is wrong, the scheduler is unknown, or another run has the project.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._settings: ExecutorSettings = executor.executor_settings
        self._profile_name = _profile_name(self._settings.profile)
        self._profile = load_profile(self._profile_name)
        # Snakemake inside a job, and whatever a job dispatches itself, must find the same profile.
        os.environ[VARIABLE] = str(self._profile.path)
        self._definition = definition_for(self._profile.cluster.scheduler)
        self.head = Head(
            self._definition,
            FOLDER,
            _limits(self._settings),
            executor.logger.info,
        )
        # Snakemake does not shut executors down after every kind of error.
        atexit.register(self.head.close)

    def run(self, jobs: Sequence[Any]) -> None:
        """Submit jobs, or take up those that an earlier run has submitted."""
        works = [work for job in jobs if (work := self._described(job)) is not None]
        new = [work for work in works if not self._taken_up(work)]
        entries = [self._announce(work) for work in new]
        self.head.intend(entries)
        for work, entry in zip(new, entries, strict=True):
            self._submit(work, entry)

    def check(self, active: Sequence[SubmittedJobInfo]) -> Iterator[SubmittedJobInfo]:
        """Report the jobs that have ended and yield the others."""
        ended = self.head.poll([info.aux["entry"] for info in active])
        for info in active:
            entry = info.aux["entry"]
            if entry.token not in ended:
                yield info
                continue
            verdict = ended[entry.token]
            self.head.collected(entry, verdict)
            if verdict.state is State.SUCCEEDED:
                self._executor.report_job_success(info)
            else:
                self._report_failure(info, verdict)

    def cancel(self) -> None:
        """Cancel all jobs, or leave them all, as the settings say."""
        if self._settings.no_cancel:
            self.head.stop()
            return
        try:
            self.head.cancel()
        except DispatchError as error:
            self._executor.logger.error(
                f"Not all jobs could be cancelled: {error}\n"
                "Run the same command again to pick them up, or cancel them by hand."
            )

    def _described(self, job: Any) -> Work | None:
        try:
            return describe(job, self._executor)
        except DispatchError as error:
            self._refused(job, str(error))
            return None

    def _taken_up(self, work: Work) -> bool:
        """Take up the submission of an earlier run that does this job, if there is one."""
        entry = self.head.earlier(
            work.key,
            work.fingerprint,
            complete=identity.is_complete(work.job),
            marked=identity.marker(work.job),
        )
        if entry is None:
            return False
        info = _info(work, entry)
        if entry.phase.open:
            self._say(work, f"is still with the scheduler as job {entry.job_id}")
            work.job.register(external_jobid=entry.token)
            self._executor.report_job_submission(info, register_job=False)
        else:
            self._say(work, "was done when nobody watched")
            self._executor.report_job_success(info)
        return True

    def _announce(self, work: Work) -> Entry:
        """Mark the output as unfinished, and clear away what a former run has left."""
        entry = self.head.new_entry(work.key, work.fingerprint, work.label, str(work.exit_file))
        work.job.register(external_jobid=entry.token)
        work.exit_file.unlink(missing_ok=True)
        return entry

    def _submit(self, work: Work, entry: Entry) -> None:
        try:
            plan = make_plan(work.request, self._profile)
            command = self._submit_command(plan, work)
            work.prepare()
            script = Path(plan.script_path)
            atomic.write_text(script, plan.script, mode=0o755)
            basis.note(plan)
        except (DispatchError, OSError) as error:
            self.head.withdraw(entry)
            self._refused(work.job, str(error))
            return
        info = _info(work, entry)

        def taken(entry: Entry) -> None:
            info.external_jobid = entry.job_id
            info.aux["entry"] = entry
            _leave_job_id(script.parent, entry.job_id)
            self._say(work, f"is job {entry.job_id}, log {work.logs[0]}")
            self._executor.report_job_submission(info, register_job=False)

        def refused(reason: str) -> None:
            self._refused(work.job, reason)

        submission = Submission(
            entry=entry, command=command, script=script, taken=taken, refused=refused
        )
        self.head.submit(submission)

    def _submit_command(self, plan: Plan, work: Work) -> tuple[str, ...]:
        """Return the command that submits a script whose path is appended."""
        if self._profile.cluster.local:
            return (*self._definition.submit, f"--cores={plan.threads}")
        command = shlex.split(plan.submit_command)[:-1]
        if Path(command[0]).name in SHELLS:
            raise InputError(
                f"jobs of type {plan.job_type} run where they are submitted ('{command[0]}'):"
                f" run {work.rule} by hand, or give it another job_type"
            )
        return (*command, *work.submit_options)

    def _report_failure(self, info: SubmittedJobInfo, verdict: Verdict) -> None:
        work, entry = info.aux["work"], info.aux["entry"]
        message = failures.message(
            failures.diagnosed(verdict, work.logs),
            rule=work.rule,
            name=entry.name,
            logs=work.logs,
            script=work.script,
        )
        self._executor.report_job_error(info, msg=f"{message}\n")

    def _refused(self, job: Any, reason: str) -> None:
        info = SubmittedJobInfo(job)
        self._executor.report_job_error(info, msg=f"not submitted: {reason}\n")

    def _say(self, work: Work, text: str) -> None:
        self._executor.logger.info(f"Job {work.job.jobid} ({work.label}) {text}.")


def _leave_job_id(folder: Path, job_id: str) -> None:
    """Leave the job's id where a job from RELION's window has it."""
    with contextlib.suppress(OSError):
        (folder / JOB_ID_FILE).write_text(f"{job_id}\n", encoding="utf-8")


def _info(work: Work, entry: Entry) -> SubmittedJobInfo:
    return SubmittedJobInfo(
        work.job, external_jobid=entry.job_id or None, aux={"work": work, "entry": entry}
    )


def _profile_name(given: str | None) -> str:
    """Name the profile: as set, or else the one that Snakemake itself was started with."""
    from relion_dispatch.pipeline.jobs import profile_in_use

    if given:
        return given
    in_use = profile_in_use(sys.argv, os.environ)
    return os.environ.get(VARIABLE) or in_use if in_use == "local" else in_use


def _limits(settings: ExecutorSettings) -> Limits:
    return Limits(
        least_poll_s=settings.least_poll_seconds or 0.4,
        most_poll_s=settings.most_poll_seconds or 15.0,
        patience_s=settings.patience_seconds or 120.0,
        submissions_per_s=settings.submissions_per_second or 0.0,
    )

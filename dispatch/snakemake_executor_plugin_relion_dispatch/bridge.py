"""Between Snakemake and the head: jobs in, verdicts out."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from relion_dispatch import failures
from relion_dispatch.errors import DispatchError
from relion_dispatch.head import FOLDER, Head, Limits
from relion_dispatch.machine import with_cores
from relion_dispatch.profiles import VARIABLE, load_profile
from relion_dispatch.reports import State
from relion_dispatch.schedulers import definition_for
from snakemake_executor_plugin_relion_dispatch import identity, sending
from snakemake_executor_plugin_relion_dispatch.jobs import describe
from snakemake_executor_plugin_relion_dispatch.looking_after import Nurse
from snakemake_executor_plugin_relion_dispatch.sending import Sender

if TYPE_CHECKING:
    from relion_dispatch.healing.policy import Decision
    from relion_dispatch.watch import Verdict
    from snakemake_executor_plugin_relion_dispatch import Executor, ExecutorSettings
    from snakemake_executor_plugin_relion_dispatch.jobs import Work
T = TypeVar("T")


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
        cores = executor.workflow.resource_settings.cores
        profile = load_profile(self._profile_name)
        self._profile = replace(profile, cluster=with_cores(profile.cluster, cores))
        # Snakemake inside a job, and whatever a job dispatches itself, must find the same profile.
        os.environ[VARIABLE] = str(self._profile.path)
        definition = definition_for(self._profile.cluster.scheduler)
        self.head = Head(
            definition,
            FOLDER,
            _limits(self._settings),
            executor.logger.info,
        )
        self._in_hand: dict[str, Work] = {}
        self._nurse = Nurse(profile=self._profile, say=self._say)
        self._sender = Sender(
            head=self.head,
            definition=definition,
            profile=self._profile,
            nurse=self._nurse,
            array_jobs=self._settings.array_jobs or 0,
            queued_jobs=self._settings.queued_jobs or 0,
            taken=self._taken,
            refused=lambda work, reason: self._refused(work.job, reason),
        )
        # Snakemake does not shut executors down after every kind of error.
        atexit.register(self.head.close)

    def run(self, jobs: Sequence[Any]) -> None:
        """Submit jobs, or take up those that an earlier run has submitted."""
        works = [work for job in jobs if (work := self._described(job)) is not None]
        self._sender.send([self._nurse.opened(each) for each in works if not self._taken_up(each)])

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
            self._in_hand.pop(info.aux["work"].key, None)
            if verdict.state is State.SUCCEEDED:
                self._nurse.succeeded(info.aux["work"])
                self._executor.report_job_success(info)
            else:
                self._failed(info, verdict)

    def cancel(self) -> None:
        """Cancel all jobs, or leave them all, as the settings say."""
        self.head.stop()
        for work in list(self._in_hand.values()):
            self._nurse.left_alone(work)
        if self._settings.no_cancel:
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
        info = sending.info(work, entry)
        if entry.phase.open:
            self._say(work, f"is still with the scheduler as job {entry.job_id}")
            work.job.register(external_jobid=entry.token)
            self._in_hand[work.key] = work
            self._executor.report_job_submission(info, register_job=False)
        else:
            self._say(work, "was done when nobody watched")
            self._executor.report_job_success(info)
        return True

    def _failed(self, info: SubmittedJobInfo, verdict: Verdict) -> None:
        """Try a failed job again, as the profile says, or report it."""
        work = info.aux["work"]
        verdict = failures.diagnosed(verdict, work.logs)
        decision = self._nurse.failed(work, verdict)
        if decision is not None and decision.go_on:
            self._say(work, f"has failed and is tried again: {decision.reason.rstrip('.')}")
            self._sender.send([self._nurse.next_attempt(work, decision)])
            return
        self._nurse.given_up(work)
        self._report_failure(info, verdict, decision)

    def _report_failure(
        self, info: SubmittedJobInfo, verdict: Verdict, decision: Decision | None
    ) -> None:
        work, entry = info.aux["work"], info.aux["entry"]
        message = failures.message(
            verdict,
            rule=work.rule,
            name=entry.name,
            logs=work.logs,
            script=work.script,
        )
        if decision is not None and self._profile.healing.enabled:
            message = f"{message}\n{decision.reason}"
            work.job.attempt = work.job.restart_times + 1  # no retry of Snakemake's would help
        self._executor.report_job_error(info, msg=f"{message}\n")

    def _taken(self, info: SubmittedJobInfo) -> None:
        work = info.aux["work"]
        self._in_hand[work.key] = work
        self._say(work, f"is job {info.external_jobid}, log {work.logs[0]}")
        self._executor.report_job_submission(info, register_job=False)

    def _refused(self, job: Any, reason: str) -> None:
        info = SubmittedJobInfo(job)
        self._executor.report_job_error(info, msg=f"not submitted: {reason}\n")

    def _say(self, work: Work, text: str) -> None:
        self._executor.logger.info(f"Job {work.job.jobid} ({work.label}) {text}.")


def _profile_name(given: str | None) -> str:
    """Name the profile: as set, or else the one that Snakemake itself was started with."""
    from relion_dispatch.pipeline.in_use import profile_in_use

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
        queued_jobs=settings.queued_jobs or 0,
        progress_s=30.0 if settings.progress_seconds is None else settings.progress_seconds,
    )

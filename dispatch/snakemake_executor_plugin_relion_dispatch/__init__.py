"""Snakemake executor ``relion-dispatch``: jobs as the scripts that RELION's GUI would submit.

Imported at every start of ``snakemake``, so it imports nothing heavy; what runs jobs is imported
when there are jobs to run.
"""

# No `from __future__ import annotations` here, and `Optional`: Snakemake reads the settings' types
# at run time, and cannot read `X | None`.
# ruff: noqa: UP045
import signal
import sys
import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from relion_dispatch.errors import DispatchError, InputError

if TYPE_CHECKING:
    from snakemake_executor_plugin_relion_dispatch.bridge import Bridge

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

#: Seconds between two looks for exit codes, which cost the scheduler nothing.
LOOK_S = 0.5

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    # Schedulers pass the environment on; in a script anybody could read what is in it.
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc] # no types there
    """What can be set on the command line (``--relion-dispatch-…``) and in profiles."""

    profile: Optional[str] = field(
        default=None,
        metadata={
            "help": "Name or path of the relion-dispatch profile that describes the cluster."
            " Without it the Snakemake profile is taken, or else $RELION_DISPATCH_PROFILE.",
            "required": False,
        },
    )
    no_cancel: bool = field(
        default=False,
        metadata={
            "help": "Leave submitted jobs alone when the workflow is interrupted. The next run of"
            " the workflow picks them up again.",
            "required": False,
        },
    )
    least_poll_seconds: Optional[float] = field(
        default=0.4,
        metadata={
            "help": "Seconds between two questions to the scheduler while jobs come and go.",
            "type": float,
            "required": False,
        },
    )
    most_poll_seconds: Optional[float] = field(
        default=15.0,
        metadata={
            "help": "Seconds between two questions to the scheduler while nothing changes.",
            "type": float,
            "required": False,
        },
    )
    patience_seconds: Optional[float] = field(
        default=120.0,
        metadata={
            "help": "Seconds for which a job may be unknown to the scheduler, and without an exit"
            " code, before it counts as failed.",
            "type": float,
            "required": False,
        },
    )
    submissions_per_second: Optional[float] = field(
        default=0.0,
        metadata={
            "help": "Most calls in a second that hand jobs to the scheduler; 0: as fast as it takes"
            " them.",
            "type": float,
            "required": False,
        },
    )
    queued_jobs: Optional[int] = field(
        default=0,
        metadata={
            "help": "Most jobs waiting or running at the scheduler at once; 0: as many as --jobs"
            " allows.",
            "type": int,
            "required": False,
        },
    )
    array_jobs: Optional[int] = field(
        default=10,
        metadata={
            "help": "From how many on jobs of the same size that are ready at the same time are"
            " submitted in one call, as a job array, where the scheduler is Slurm; 0: never.",
            "type": int,
            "required": False,
        },
    )
    progress_seconds: Optional[float] = field(
        default=30.0,
        metadata={
            "help": "Least seconds between two lines that tell what runs and what waits for what.",
            "type": float,
            "required": False,
        },
    )


class Executor(RemoteExecutor):  # type: ignore[misc] # no types there
    """Submits Snakemake's jobs and reports their ends."""

    # The base class starts its watching thread before __post_init__ is called.
    _bridge: "Optional[Bridge]" = None

    def __post_init__(self) -> None:
        if not len(self.dag):  # nothing to be done; Snakemake never shuts us down then
            return
        from snakemake_executor_plugin_relion_dispatch.bridge import Bridge

        try:
            if self.workflow.remote_execution_settings.immediate_submit:
                raise InputError(
                    "jobs are submitted when their input is there, so that somebody has to wait for"
                    " it: leave out --immediate-submit"
                )
            self._bridge = Bridge(self)
        except (DispatchError, OSError) as error:
            self.wait = False
            raise WorkflowError(str(error)) from error
        except KeyboardInterrupt:
            self.wait = False
            raise WorkflowError(
                "Ended before anything was submitted. Jobs of an earlier run go on: run the same"
                " command again to pick them up."
            ) from None

    @property
    def bridge(self) -> "Bridge":
        """What stands between Snakemake and the scheduler."""
        if self._bridge is None:
            raise WorkflowError("the executor has not been set up")
        return self._bridge

    def run_jobs(self, jobs: list[Any]) -> None:
        """Submit jobs, or take up those that an earlier run has submitted."""
        for job in jobs:
            self.run_job_pre(job)
        self.bridge.run(jobs)

    def run_job(self, job: Any) -> None:
        """Submit one job."""
        self.bridge.run([job])

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report jobs that have ended, and give back the others."""
        for job_info in self.bridge.check(active_jobs) if active_jobs else []:
            yield job_info

    async def sleep(self) -> None:
        """Wait before the next question; cut short when something happens or all is over."""
        start = time.monotonic()
        look = start + LOOK_S
        while self.wait and time.monotonic() - start < self._wait_s():
            await sleep(0.05)
            if self._bridge is not None and time.monotonic() > look:
                look += LOOK_S
                if self._bridge.head.sighted():
                    break

    def _wait_s(self) -> float:
        return self._bridge.head.pace.wait_s if self._bridge is not None else 0.05

    def cancel(self) -> None:
        """End on Ctrl-C or an error: cancel the jobs, or leave them as the settings say.

        Raises
        ------
        WorkflowError
            When jobs are left: Snakemake would go on to remove empty folders, into which those
            jobs may be about to write.
        """
        interrupted = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
        super().cancel()
        if interrupted and self.executor_settings.no_cancel:
            raise WorkflowError(
                "Submitted jobs are left alone. Run the same command again to pick them up."
            )

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002
        """Cancel all that was submitted: Snakemake's own list is empty while it is checked."""
        with _ctrl_c_ignored(self.logger):
            self.bridge.cancel()

    def shutdown(self) -> None:
        """End the watching, and give the project free."""
        if self._bridge is not None and self._bridge.head.busy():
            self._tmpdir = None  # so that it is not removed: jobs that are left look for it
        super().shutdown()
        if self._bridge is not None:
            self._bridge.head.close()


@contextmanager
def _ctrl_c_ignored(logger: Any) -> Iterator[None]:
    """A second Ctrl-C, typed in impatience, must not leave half of the jobs running."""
    try:
        before = signal.signal(
            signal.SIGINT, lambda *_: logger.info("Still cancelling jobs, one moment.")
        )
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

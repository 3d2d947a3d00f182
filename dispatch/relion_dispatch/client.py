"""Talks to a scheduler: every call that submits, asks, finds or cancels jobs goes through here."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from relion_dispatch import processes, scheduler_calls
from relion_dispatch.environment import outer_environment
from relion_dispatch.errors import SchedulerError
from relion_dispatch.reports import Report
from relion_dispatch.schedulers import Definition


class BusyError(SchedulerError):
    """The scheduler did not take the job now, or did not say; it may later."""


class Client:
    """One scheduler, as its definition describes it.

    Parameters
    ----------
    definition
        Its commands and words.
    hold
        File descriptors that submissions on their way keep open.
    """

    def __init__(self, definition: Definition, *, hold: Sequence[int] = ()) -> None:
        self.definition = definition
        self._hold = hold
        self._user = _user()

    def submit(self, command: Sequence[str], script: Path, name: str) -> str:
        """Submit a script and return the job's id.

        Parameters
        ----------
        command
            The submit command with all of its own options.
        name
            The name to find the job by.

        Raises
        ------
        BusyError
            When trying again may help. The job may have been taken nonetheless: look for its
            name first.
        SchedulerError
            When the scheduler refuses the job.
        """
        argv = scheduler_calls.submit_argv(self.definition, command, str(script), name)
        on_stdin = self.definition.script_on_stdin
        done = processes.run(
            argv,
            timeout_s=self.definition.time_limit_s,
            env=outer_environment(os.environ),
            input_text=script.read_text(errors="surrogateescape") if on_stdin else None,
            error=BusyError,
            shielded=True,
            pass_fds=self._hold,
        )
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        if done.returncode != 0:
            killed = done.returncode < 0  # by whom and how far it had come nobody knows
            busy = killed or scheduler_calls.is_busy(self.definition, said)
            kind = BusyError if busy else SchedulerError
            raise kind(f"'{argv[0]}' (exit code {done.returncode}) says: {said}")
        job_id = scheduler_calls.parse_job_id(self.definition, done.stdout)
        if job_id is None:
            raise BusyError(f"'{argv[0]}' gave no job id; it says: {said}")
        return job_id

    def status(self, job_ids: Sequence[str]) -> dict[str, Report]:
        """Report those of the jobs that the scheduler still has in mind.

        Raises
        ------
        SchedulerError
            When it gives no answer.
        """
        return self._ask(self.definition.status, job_ids)

    def history(self, job_ids: Sequence[str]) -> dict[str, Report]:
        """Report those of the jobs that the scheduler's records hold; none without records."""
        if not self.definition.history or not job_ids:
            return {}
        return self._ask(self.definition.history, job_ids)

    def find(self, names: Iterable[str]) -> dict[str, Report]:
        """Find jobs by their names; of several with one name the last is taken.

        Raises
        ------
        SchedulerError
            When the scheduler gives no answer.
        """
        wanted = set(names)
        if not wanted or not self.definition.listing:
            return {}
        reports = self._ask(self.definition.listing, ())
        return {each.name: each for each in reports.values() if each.name in wanted}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs; those that have ended already are none of anybody's business.

        Raises
        ------
        SchedulerError
            When the cancel command is missing, gives no answer, or cannot cancel them.
        """
        step = 200
        for start in range(0, len(job_ids), step):
            self._run([*self.definition.cancel, *job_ids[start : start + step]])

    def _run(self, argv: Sequence[str]) -> str:
        """Return what a command prints that asks for jobs or cancels them.

        It is run again where a signal has ended it, for nothing is lost: Slurm's commands die of a
        broken pipe when munge, on a busy machine, has given up on them after two seconds.
        """
        for _ in range(_TRIES):
            done = processes.run(
                argv,
                timeout_s=self.definition.time_limit_s,
                env=_unfiltered_environment(),
                error=SchedulerError,
                shielded=True,
            )
            if done.returncode >= 0:
                break
        said = done.stderr.strip() or done.stdout.strip()
        # Some commands fail when one of many jobs is unknown to them, and see to the others.
        if done.returncode != 0 and not re.search(_UNKNOWN_JOB, said, re.IGNORECASE):
            raise SchedulerError(f"'{argv[0]}' (exit code {done.returncode}) says: {said[-2000:]}")
        return done.stdout

    def _ask(self, command: Sequence[str], job_ids: Sequence[str]) -> dict[str, Report]:
        reports: dict[str, Report] = {}
        for argv in scheduler_calls.queries(self.definition, command, job_ids, self._user):
            reports |= scheduler_calls.read(self.definition, self._run(argv))
        return _by_given_ids(reports, job_ids)


_TRIES = 3
_UNKNOWN_JOB = (
    "invalid job id|unknown job|job .*(not found|has finished|do(es)? not exist)"
    "|no (unfinished |matching )?jobs? found|is not found|already (finished|complet)"
)

#: Variables by which a user's own calls leave jobs out, or ask before they cancel.
_FILTERS = ("SQUEUE_", "SACCT_", "SCANCEL_")


def _unfiltered_environment() -> dict[str, str]:
    inner = outer_environment(os.environ)
    return {name: value for name, value in inner.items() if not name.startswith(_FILTERS)}


def _user() -> str:
    """Return who we are to the scheduler; the environment may name somebody else, as after su."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _by_given_ids(reports: Mapping[str, Report], job_ids: Sequence[str]) -> dict[str, Report]:
    """Name the reports by our ids: PBS may leave its server's name out, or give more of it."""
    if not job_ids:
        return dict(reports)
    short = {job_id.partition(".")[0]: report for job_id, report in reports.items()}
    found = {each: reports.get(each) or short.get(each.partition(".")[0]) for each in job_ids}
    return {each: replace(report, job_id=each) for each, report in found.items() if report}

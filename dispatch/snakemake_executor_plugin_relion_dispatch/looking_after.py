"""Attempts at Snakemake's jobs: noted, judged, and changed for the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from relion_dispatch.errors import DispatchError
from relion_dispatch.healing import care

if TYPE_CHECKING:
    from relion_dispatch.engine import Request
    from relion_dispatch.healing.policy import Decision
    from relion_dispatch.plan import Plan
    from relion_dispatch.profiles import Profile
    from relion_dispatch.watch import Verdict
    from snakemake_executor_plugin_relion_dispatch.jobs import Work

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Nurse:
    """Looks after the jobs of one run, through `healing.care`.

    A job's directory that cannot be read or written stops nothing but its healing.

    Attributes
    ----------
    profile
        Where the jobs run, and what is done about failures.
    say
        Told, of a job, what a user should know.
    """

    profile: Profile
    say: Callable[[Work, str], None]

    def opened(self, work: Work) -> Work:
        """Take up the attempts of an earlier run at a job."""
        found = self._guarded(work, lambda: care.opening(self._case(work)))
        return replace(work, attempt=found[0], changes=found[1]) if found else work

    def request(self, work: Work) -> Request:
        """Return what the engine is asked for at this attempt."""
        return self._case(work).next_request(work.changes) if work.changes else work.request

    def submitting(self, work: Work, plan: Plan) -> None:
        """Note an attempt that is about to be submitted."""
        case = self._case(work)
        self._guarded(work, lambda: care.submitting(case, plan, work.attempt, work.changes))

    def taken(self, work: Work, job_id: str) -> None:
        """Note that the scheduler has taken an attempt."""
        self._guarded(work, lambda: care.taken(self._case(work), work.attempt, job_id))

    def refused(self, work: Work, reason: str) -> None:
        """Note that the scheduler will not have an attempt."""
        self._guarded(work, lambda: care.refused(self._case(work), work.attempt, reason))

    def succeeded(self, work: Work) -> None:
        """Note a good end."""
        self._guarded(work, lambda: care.succeeded(self._case(work)))

    def failed(self, work: Work, verdict: Verdict) -> Decision | None:
        """Decide what is next for a failed job; None when that cannot be said."""
        return self._guarded(work, lambda: care.after_failure(self._case(work), verdict))

    def next_attempt(self, work: Work, decision: Decision) -> Work:
        """Return a failed job as it is tried again: with what it has left."""
        return replace(
            work, attempt=decision.attempt + 1, changes=decision.changes, prepare=_leave_all
        )

    def left_alone(self, work: Work) -> None:
        """Let a job say itself how it ends: nobody waits for it any longer."""
        self._guarded(work, lambda: care.left_alone(self._case(work)))

    def given_up(self, work: Work) -> None:
        """Note a bad end that stays."""
        self._guarded(work, lambda: care.given_up(self._case(work)))

    def _case(self, work: Work) -> care.Case:
        return care.Case(request=work.request, profile=self.profile)

    def _guarded(self, work: Work, do: Callable[[], Result]) -> Result | None:
        try:
            return do()
        except (DispatchError, OSError) as error:
            self.say(work, f"is not looked after: {error}")
            return None


def _leave_all() -> None:
    """Make no room for a job that goes on."""

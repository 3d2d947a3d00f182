"""A job that is looked after, and what is noted of it as it is submitted.

Imported whenever RELION's window submits a job, so it imports little.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.calls import Call
from relion_dispatch.engine import plan
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing import attempts, continuing, directory

if TYPE_CHECKING:
    from relion_dispatch.healing.iterations import Iteration
    from relion_dispatch.plan import Plan, Request
    from relion_dispatch.profiles import Profile


@dataclass(frozen=True, kw_only=True)
class Case:
    """A job that is looked after.

    Attributes
    ----------
    request
        What was asked for, by a person or by the workflow.
    profile
        Where it runs.
    """

    request: Request
    profile: Profile

    @property
    def folder(self) -> Path:
        """Where its logs and its attempts are: its directory."""
        return self.request.project / Path(self.request.outfile).parent

    def next_request(self, changes: Mapping[str, object]) -> Request:
        """Return the request for an attempt with changes over what was asked for."""
        from relion_dispatch.healing.stages import size_behind

        found = newest(self)
        size = size_behind(found.optimiser) if found else None
        stage = {"current_size": size} if size else {}
        overrides = {**self.request.overrides, **stage, **changes}
        return replace(self.request, overrides=overrides, attempt=1)

    def size(self, changes: Mapping[str, object]) -> Mapping[str, Any]:
        """Return the size that the job would have with changes.

        Raises
        ------
        DispatchError
            When it does not fit.
        """
        return attempts.asked(plan(self.next_request(changes), self.profile))


def submitting(case: Case, made: Plan, number: int, changes: Mapping[str, object]) -> None:
    """Note an attempt that is about to be submitted, and that it is looked after.

    Raises
    ------
    OSError
        When the journal cannot be written.
    """
    planned(case, made, number, changes)
    looked_after(case)


def planned(case: Case, made: Plan, number: int, changes: Mapping[str, object]) -> None:
    """Note an attempt that is about to run.

    Raises
    ------
    OSError
        When the journal cannot be written.
    """
    case.folder.mkdir(parents=True, exist_ok=True)
    attempts.note(
        case.folder,
        number,
        attempts.SUBMITTED,
        asked=attempts.asked(made),
        changes=dict(changes),
        science=fingerprint(case),
        logs=attempts.lengths(case.request.project, (made.outfile, made.errfile)),
    )


def looked_after(case: Case) -> None:
    """Note that somebody looks after a job: should it fail, it leaves no marker of failure."""
    if case.profile.healing.enabled:
        (case.folder / directory.HEAL_FILE).touch()


def taken(case: Case, number: int, job_id: str) -> None:
    """Note that the scheduler has taken an attempt."""
    attempts.note(case.folder, number, attempts.TAKEN, job_id=job_id)


def left_alone(case: Case) -> None:
    """Look after a job no longer: should it fail from now on, it says so itself."""
    with contextlib.suppress(OSError):
        (case.folder / directory.HEAL_FILE).unlink(missing_ok=True)


def fingerprint(case: Case) -> str:
    """Return the fingerprint of what a job computes, and from which files."""
    call = Call.read(case.request)
    return continuing.job_fingerprint(case.request.commands, call.job.directory)


def newest(case: Case, *, anyhow: bool = False) -> Iteration | None:
    """Return the newest whole iteration of a job's run; ``anyhow`` of any run at all."""
    from relion_dispatch.healing import iterations

    root = continuing.output_root(Call.read(case.request).main)
    try:
        since = (case.folder / directory.SCIENCE_FILE).stat().st_mtime
    except OSError:
        if not anyhow:
            return None
        since = 0.0
    return iterations.newest(root, since=since) if root else None

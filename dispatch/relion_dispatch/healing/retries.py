"""Attempts that Snakemake counts: with an executor that is not ours, Snakemake tries jobs again."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from relion_dispatch.engine import plan
from relion_dispatch.healing import attempts, care
from relion_dispatch.healing.case import planned
from relion_dispatch.healing.policy import Decision

if TYPE_CHECKING:
    from relion_dispatch.plan import Plan, Request
    from relion_dispatch.profiles import Profile

_STOP = """\
printf 'relion-dispatch: %s\\n' {reason} >&2
exit 1
"""

#: What was decided, in this process, of the attempt before one: it is judged once, when it is over.
_DECIDED: dict[tuple[Path, int], Decision] = {}


def retried(request: Request, profile: Profile) -> Plan:
    """Plan a further attempt at a job, from what its earlier ones have left.

    Where trying again is of no use, the plan's lines do nothing but say so.

    Raises
    ------
    DispatchError
        As `engine.plan` does.
    """
    case = care.Case(request=request, profile=profile)
    if not (profile.healing.enabled and attempts.read(case.folder)):
        return plan(request, profile)
    decision = _decision(case, request.attempt)
    if decision.go_on:
        return plan(case.next_request(decision.changes), profile)
    return plan(request, profile).with_body(_STOP.format(reason=quote(decision.reason)))


def _decision(case: care.Case, attempt: int) -> Decision:
    key = case.folder.absolute(), attempt
    last = attempts.read(case.folder)[-1]
    if last.again is False:  # nothing has run since
        return Decision(go_on=False, reason=last.decision)
    if key not in _DECIDED:
        decision = _DECIDED[key] = care.after_failure(case, None)
        if decision.go_on:
            made = plan(case.next_request(decision.changes), case.profile)
            planned(case, made, decision.attempt + 1, decision.changes)
    return _DECIDED[key]

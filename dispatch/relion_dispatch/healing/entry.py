"""What a plan gets from healing: how its main command goes on, and who looks after the job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.cluster import filled
from relion_dispatch.healing import continuing
from relion_dispatch.healing.shell import GoingOn
from relion_dispatch.this_python import python_command

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster
    from relion_dispatch.plan import Plan, Request
    from relion_dispatch.profiles import Profile

_MINUTE_S = 60


def going_on(
    plan: Plan, commands: Sequence[str], profile: Profile, largest: int | None = None
) -> GoingOn | None:
    """Return how a job's main command goes on where another attempt has stopped.

    Parameters
    ----------
    plan
        The plan, without its body.
    commands
        The job's commands as RELION wrote them.
    profile
        Where it runs.
    largest
        Largest images in pixels with which a job that runs in stages fits its GPUs.

    Returns
    -------
    GoingOn or None
        None for a job that always starts over, and where the profile does not heal.
    """
    if not profile.healing.enabled or continuing.starts_over(commands):
        return None
    other = continuing.continued(plan.main, plan.job_dir)
    if other is None:
        return None
    begun = continuing.begins(commands)
    begin = "" if begun else continuing.begin_command(commands, plan.job_dir, clean=False)
    limit_min = None if profile.cluster.local else plan.runtime_min
    return GoingOn(
        main=str(plan.main),
        continued=str(other),
        label=plan.main.invocation.name or "",
        begin=begin,
        stop_after_s=_stop_after_s(limit_min, profile.healing.stop_before_limit_s),
        guard=_guard(plan, largest) if largest else "",
    )


def _guard(plan: Plan, largest: int) -> str:
    root = continuing.output_root(plan.main)
    words = [plan.job_dir, "--root", root, "--out", plan.outfile, "--largest", str(largest)]
    return python_command("healing.guard", *words)


def _stop_after_s(limit_min: int | None, before_s: int) -> int:
    """Return after how many seconds a job stops by itself, a quarter of its time at the least."""
    if limit_min is None or before_s <= 0:
        return 0
    return max(limit_min * _MINUTE_S - before_s, limit_min * _MINUTE_S // 4)


def follow_up(request: Request, profile: Profile) -> tuple[str, ...]:
    """Return the command that submits what looks after a job of RELION's window.

    ``{job_id}`` is left to be filled in. Empty where the profile has no such command, and for jobs
    without a parameter file of RELION's.
    """
    healing, cluster = profile.healing, profile.cluster
    if not (healing.enabled and healing.follow_up and request.script_path) or cluster.local:
        return ()
    if Path(healing.follow_up[0]).name != cluster.scheduler.program:
        return ()  # it is for another scheduler
    values = {
        "job_id": "{job_id}",
        "partition": healing.follow_up_partition or _cheapest(cluster),
        "log": request.errfile.replace("%", "%%"),
    }
    name = profile.name if "/" not in profile.name else str(profile.path.resolve())
    given = [
        f"--set={key}={_text(value)}"
        for key, value in request.overrides.items()
        if value is not None
    ]
    command = python_command("cli", "heal", "--profile", name, *given, request.script_path)
    words = (filled("follow_up", word, **values) for word in healing.follow_up)
    return (*words, command)


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cheapest(cluster: Cluster) -> str:
    """Name the cheapest partition, one without GPUs if there is any."""
    partitions = cluster.partitions
    order = sorted(partitions, key=lambda n: (partitions[n].gpus_per_node > 0, partitions[n].cost))
    return next(iter(order), "")

"""Names of job parameters: what a user may ask for, and what a slip of it looks like."""

from __future__ import annotations

from collections.abc import Mapping

from relion_dispatch.errors import InputError

#: Job parameters that mean something by themselves; templates may use any others.
PARAMETERS = (
    *("nproc", "nthread", "ngpu", "nodes", "mem", "mem_mb_per_rank", "partition", "runtime"),
    *("account", "qos", "constraint", "exclude", "scheduler_options", "submit_command", "modules"),
    *("workers_per_gpu", "max_nproc", "max_nthread", "hoped_nproc", "job_type"),
    *("staged", "current_size", "failed_nodes"),
)
#: Names by which templates, Slurm or Snakemake call what a parameter decides.
_ELSEWHERE = {
    **dict.fromkeys(("time", "runtime_min"), "runtime"),
    **dict.fromkeys(("mem_mb", "memory"), "mem"),
    **dict.fromkeys(("ntasks", "tasks", "ranks"), "nproc"),
    **dict.fromkeys(("cpus_per_task", "threads"), "nthread"),
    **dict.fromkeys(("gpu", "gpus", "gpus_per_node"), "ngpu"),
    "queue": "partition",
}

#: How alike two names are when one is taken for a slip of the other (difflib's ratio).
_ALIKE = 0.8


def check_name(name: str, of_type: Mapping[str, object]) -> None:
    """Refuse the name of a job parameter that looks like a slip of another's, or means another.

    Other unknown names are left alone: a site's templates may use them.

    Parameters
    ----------
    name
        What was asked for.
    of_type
        The job type's own parameters.

    Raises
    ------
    InputError
        With the name that was meant.
    """
    known = (*PARAMETERS, *of_type)
    if name in known:
        return
    from difflib import get_close_matches

    near = [_ELSEWHERE[name]] if name in _ELSEWHERE else get_close_matches(name, known, 1, _ALIKE)
    if near:
        raise InputError(f"unknown job parameter '{name}': did you mean '{near[0]}'?")

"""Snakemake's resources as the engine's job parameters: what a user sets for a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: Snakemake's resources (conventions of its executors) and the job parameters they stand for.
PARAMETERS = {
    "tasks": "nproc",
    "cpus_per_task": "nthread",
    "nodes": "nodes",
    "gpu": "ngpu",
    "mem_mb": "mem",
    "runtime": "runtime",
    "slurm_partition": "partition",
}


def parameters(resources: Mapping[str, Any], names: Iterable[str]) -> dict[str, object]:
    """Return the job parameters that some of a job's resources stand for.

    Parameters
    ----------
    resources
        All resources of the job: GPUs are those of all its nodes.
    names
        Which of them count.
    """
    asked: dict[str, object] = {}
    for name in names:
        value = known(resources, name)
        if value is None:
            continue
        if name == "gpu":
            value = int(value) // int(known(resources, "nodes") or 1)
        asked[PARAMETERS[name]] = f"{value}M" if name == "mem_mb" else value
    return asked


def known(resources: Mapping[str, Any], name: str) -> Any:
    """Return a resource; None for a missing one, for none, and for one not known yet."""
    value = resources.get(name)
    return None if value in (None, "", 0, "<TBD>") else value


def by_rule(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, object]]:
    """Return the job parameters that ``--set-resources``, or a profile, sets for each rule.

    Values that are expressions are left out: only Snakemake can work them out, later.
    """
    found = {}
    for rule, resources in given.items():
        plain = {name: _plain(value) for name, value in resources.items()}
        found[rule] = parameters(plain, [name for name in PARAMETERS if name in plain])
    return found


def _plain(value: Any) -> Any:
    """Return the value of one of Snakemake's resources."""
    if hasattr(value, "is_evaluable"):
        value = None if value.is_evaluable() else value.value
    return int(value) if isinstance(value, str) and value.isdigit() else value

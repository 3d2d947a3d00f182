"""What tells one Snakemake job from another, and whether what was submitted is still wanted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

#: Flags of output that is not there when a job has ended: Snakemake touches or removes it.
_NOT_LEFT = {"touch", "pipe", "service"}


def identity(job: Any) -> str:
    """Return what a job is: rule, wildcards and output, the same in every run of a workflow."""
    if job.is_group():
        return _digest(["group", sorted(identity(each) for each in job.jobs)])
    wildcards = {name: str(value) for name, value in job.wildcards_dict.items()}
    return _digest([job.rule.name, wildcards, [str(each) for each in job.output]])


def fingerprint(job: Any, commands: Sequence[str] | None = None) -> str:
    """Return what a job does: its command without anything that only says how it runs, and input.

    A submission with another fingerprint computes something that is no longer wanted.
    """
    if job.is_group():
        return _digest(sorted(fingerprint(each) for each in job.jobs))
    rule = job.rule
    does = rule.shellcmd or rule.script or rule.notebook or rule.wrapper
    params = [_comparable(each) for each in job.non_derived_params]
    inputs = [_stamp(each) for each in job.input]
    return _digest([rule.name, str(does), params, inputs, [] if params else list(commands or ())])


def _comparable(value: object) -> object:
    """Return a value as it compares between two processes; of odd objects only the type."""
    if isinstance(value, Mapping):
        return {str(key): _comparable(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_comparable(each) for each in value]
        return parts if isinstance(value, list | tuple) else sorted(parts, key=str)
    return value if isinstance(value, str | int | float | None) else type(value).__name__


def _stamp(path: object) -> list[object]:
    """Return what changes when a file does; a folder's own times say too much."""
    name = str(path)
    try:
        stat = os.stat(name)
    except OSError:
        return [name]
    if os.path.isdir(name) or "ancient" in getattr(path, "flags", {}):
        return [name]
    return [name, stat.st_mtime_ns, stat.st_size]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def is_complete(job: Any) -> bool:
    """Whether all is there that a finished job leaves: pipes are gone, and others come later."""
    left = (each for each in job.output if not _NOT_LEFT & getattr(each, "flags", {}).keys())
    return all(os.path.exists(str(each)) for each in left)


def marker(job: Any) -> str:
    """Return the token of the submission by which Snakemake has marked the output as unfinished."""
    members = list(job.jobs) if job.is_group() else [job]
    persistence = members[0].dag.workflow.persistence
    tokens = {token for each in members for token in persistence.external_jobids(each)}
    return tokens.pop() if len(tokens) == 1 else ""

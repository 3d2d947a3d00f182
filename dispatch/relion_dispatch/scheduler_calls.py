"""A scheduler's definition put to use: argument lists and what comes back. Starts no process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from relion_dispatch import arrays
from relion_dispatch.reports import READERS, Report
from relion_dispatch.schedulers import Definition


def job_name(definition: Definition, label: str, token: str) -> str:
    """Return the name a job is submitted under: unique by its token, and telling by its label."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", label).strip("_-")
    room = definition.name_length - len(token) - 1
    readable = readable[: max(room, 0)]
    return f"{readable}.{token}" if readable[:1].isalpha() else token


def submit_argv(
    definition: Definition, command: Sequence[str], script: str, name: str
) -> list[str]:
    """Return the argument list that submits a script under a name.

    Parameters
    ----------
    command
        The submit command with a site's own options; empty for the definition's own.
    """
    options = [word.format(name=name) for word in definition.tag]
    target = [] if definition.script_on_stdin else [script]
    return [*(command or definition.submit), *options, *target]


def parse_job_id(definition: Definition, printed: str) -> str | None:
    """Find the job's id in what the submit command printed."""
    found = re.search(definition.job_id_pattern, printed, re.MULTILINE)
    return found[1] if found else None


def queries(
    definition: Definition, command: Sequence[str], job_ids: Sequence[str], user: str
) -> Iterator[list[str]]:
    """Yield the argument lists that together ask for all the given jobs.

    A command that takes no ids asks once for everything.
    """
    takes_ids = any("{job_ids}" in word or word == "{ids}" for word in command)
    step = definition.ids_per_call if takes_ids else max(len(job_ids), 1)
    for start in range(0, max(len(job_ids), 1), step):
        batch = job_ids[start : start + step]
        argv: list[str] = []
        for word in command:
            filled = word.replace("{job_ids}", ",".join(batch)).replace("{user}", user)
            argv += batch if word == "{ids}" else [filled]
        yield argv


def is_busy(definition: Definition, message: str) -> bool:
    """Whether a refusal is one that time heals."""
    return bool(definition.busy) and re.search(definition.busy, message, re.IGNORECASE) is not None


def read(definition: Definition, text: str) -> dict[str, Report]:
    """Read a reply to any of the definition's queries, by job id."""
    reports = READERS[definition.reply](text, definition.states)
    if definition.arrays:
        reports = (
            replace(each, job_id=job_id, name=arrays.reported_name(job_id, each.name))
            for each in reports
            for job_id in arrays.expanded(each.job_id)
        )
    return {each.job_id: replace(each, held=_is_held(definition, each)) for each in reports}


def _is_held(definition: Definition, report: Report) -> bool:
    told = definition.held and report.reason
    return bool(told) and re.search(definition.held, report.reason, re.IGNORECASE) is not None

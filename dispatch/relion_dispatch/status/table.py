"""A project's state as text: plain, or in colours and cut to a terminal's width."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relion_dispatch.status.model import Job, Overview, State

HEADINGS = ("step", "job", "state", "elapsed", "progress", "ends", "size", "")
#: Which columns go first where a terminal is too narrow, and which are cut instead of left out.
_DISPENSABLE = ("size", "ends", "elapsed", "step")
_LEAST_DETAIL = 12
_COLOURS: Mapping[State, str] = {
    State.RUNNING: "36",
    State.FINISHED: "32",
    State.FAILED: "1;31",
    State.ABORTED: "33",
    State.UNKNOWN: "33",
    State.WAITING: "2",
}


def text(overview: Overview, *, width: int | None = None, colour: bool = False) -> str:
    """Write a project's state.

    Parameters
    ----------
    overview
        The project.
    width
        Characters of a line; None for as many as it takes.
    colour
        Whether states are coloured, with the control characters of terminals.
    """
    said = headline(overview)
    if width is not None and len(said) > width:
        said = said.removeprefix(os.path.dirname(overview.project)).removeprefix("/")
    lines = [_cut(said, width), *(_cut(note, width) for note in overview.notes)]
    if overview.jobs:
        lines += ["", *_table(overview, width, colour)]
    return "".join(f"{line}\n" for line in lines)


def headline(overview: Overview) -> str:
    """Say in one line how far a project is."""
    if not overview.jobs:
        return f"{overview.project} has no jobs yet."
    counts = {state: n for state, n in overview.counts.items() if n and state != State.FINISHED}
    others = "".join(f", {n} {state}" for state, n in counts.items())
    done = overview.counts[State.FINISHED]
    return f"{overview.project}: {done} of {len(overview.jobs)} finished{others}"


def _table(overview: Overview, width: int | None, colour: bool) -> Iterator[str]:
    rows = [HEADINGS, *(cells(job, overview.time) for job in overview.jobs)]
    columns = _columns(rows, width)
    widths = [max(len(row[at]) for row in rows) for at in columns]
    for row, job in zip(rows, (None, *overview.jobs), strict=True):
        padded = [row[at].ljust(size) for at, size in zip(columns, widths, strict=True)]
        line = _cut("  ".join(padded).rstrip(), width)
        if colour and job is not None:
            line = _coloured(line, job.state)
        yield line


def _columns(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Choose the columns that have anything in them and fit, with room for some detail."""
    chosen = [at for at in range(len(HEADINGS)) if any(row[at] for row in rows[1:])]
    if width is None:
        return chosen
    for name in _DISPENSABLE:
        detail = len(HEADINGS) - 1
        sizes = {at: max(len(row[at]) + 2 for row in rows) for at in chosen}
        if detail in sizes:
            sizes[detail] = min(sizes[detail], _LEAST_DETAIL)
        if sum(sizes.values()) <= width + 2:
            break
        chosen = [at for at in chosen if HEADINGS[at] != name]
    return chosen


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


def _coloured(line: str, state: State) -> str:
    before, word, after = line.partition(f"  {state}")
    shown = f"  \x1b[{_COLOURS[state]}m{word.strip()}\x1b[0m"
    return before + shown + after if word else line


def cells(job: Job, now: float) -> tuple[str, ...]:
    """Write a job's row, a cell for each of `HEADINGS`."""
    return (
        job.step or job.alias,
        job.folder,
        str(job.state),
        duration(job.elapsed_s(now)),
        _progress(job),
        _end(job, now),
        size(job.asked, job.used),
        _detail(job),
    )


def duration(seconds: float | None) -> str:
    """Write a time as people say it: ``45 s``, ``3:05 min``, ``2:03:00 h``, ``1 d 02:03 h``."""
    if seconds is None:
        return ""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{minutes}:{whole % 60:02d} min"
    if whole < 86400:
        return f"{hours}:{minutes % 60:02d} h"
    return f"{days} d {hours % 24:02d}:{minutes % 60:02d} h"


def _progress(job: Job) -> str:
    parts = []
    if job.iteration is not None:
        last = f" of {job.iterations}" if job.iterations else ""
        parts.append(f"iteration {job.iteration}{last}")
    elif job.percent is not None:
        parts.append(f"{job.percent} %")
    if job.resolution is not None:
        parts.append(f"{job.resolution:.3g} Å")
    return ", ".join(parts)


def _end(job: Job, now: float) -> str:
    """Write an estimated end as what it is: a guess."""
    if job.left_s is None:
        return ""
    if job.left_s < 3600:
        return f"in about {_about(job.left_s)}"
    form = "%H:%M" if job.left_s < 12 * 3600 else "%a %H:%M"
    return "about " + time.strftime(form, time.localtime(now + job.left_s))


def _about(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def size(asked: Mapping[str, Any], used: Mapping[str, Any]) -> str:
    """Write what a job asked for, and of it what it used: ``9 x 2 cores, 2 GPUs, 12/64 GB``."""
    parts = []
    if ntasks := asked.get("ntasks"):
        threads = asked.get("cpus_per_task") or 1
        cores = f"{ntasks} x {threads}" if min(ntasks, threads) > 1 else str(ntasks * threads)
        parts.append(f"{cores} core{'s' if cores != '1' else ''}")
    if gpus := asked.get("gpus"):
        parts.append(f"{gpus} GPU{'s' if gpus != 1 else ''}")
    wanted, taken = asked.get("mem_mb"), used.get("mem_mb")
    if wanted or taken:
        parts.append(_memory([each for each in (taken, wanted) if each]))
    if minutes := asked.get("runtime_min"):
        parts.append(f"{duration(60 * minutes)} limit")
    return ", ".join(parts)


def _memory(amounts_mb: Sequence[float]) -> str:
    """Write what a job holds and may hold, in the unit that suits the larger one: ``0.3/64 GB``."""
    if max(amounts_mb) < 1024:
        return "/".join(f"{each:.0f}" for each in amounts_mb) + " MB"
    return "/".join(f"{each / 1024:.{2 if each < 1024 else 3}g}" for each in amounts_mb) + " GB"


def _detail(job: Job) -> str:
    parts = [f"map: {job.verdict}"] if job.verdict else []
    tries = len(job.attempts)
    if tries > 1:
        why = job.attempts[-2]
        reason = why.get("decision") or why.get("failure") or why.get("state") or "unknown"
        parts.append(f"attempt {tries}: {reason}")
    parts += [job.detail] if job.detail else []
    return "; ".join(parts)

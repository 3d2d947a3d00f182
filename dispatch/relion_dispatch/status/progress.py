"""How far a job of RELION has come, from the end of its ``run.out`` and its newest files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 1 << 18
"""Bytes of ``run.out`` that are read: some iterations, with their progress bars."""

HEAD = 1 << 13
"""Bytes of a STAR file that are read: what stands before its tables."""

# `Expectation`, from RELION 4.0 on also `Gradient optimisation`, in 3.1 `Stochastic … Descent`,
# as in `expectation` of RELION's ml_optimiser.cpp.
_ITERATION = re.compile(
    r"^ (?:Expectation|Gradient optimisation|Stochastic [\w ]+) iteration (\d+)(?: of (\d+))?",
    re.MULTILINE,
)
# `progress_bar` of RELION's time.cpp: elapsed and total time, and sixty dots at the end.
_BAR = re.compile(r"\r *(\d+(?:\.\d+)?)/ *(\d+(?:\.\d+)?) (sec|min|hrs) (\.*)")
_UNITS_S = {"sec": 1.0, "min": 60.0, "hrs": 3600.0}
_FULL_BAR = 60
_ENDED = re.compile(r"^relion-dispatch: exit code (\d+) after (\d+) s$", re.MULTILINE)
# The first line of a job's script, see `body`: the node's own time.
_BEGAN = re.compile(r"^relion-dispatch: \S+ on \S+, (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE)
_LAST_ITERATION = "has converged, entering last iteration"
_GAIN = re.compile(r"Auto-refine: Resolution= \S+ \(no gain for (\d+) iter\)")
_RESOLUTION = re.compile(rb"^_rlnCurrentResolution\s+(\S+)", re.MULTILINE)
_FINAL_RESOLUTION = re.compile(rb"^_rlnFinalResolution\s+(\S+)", re.MULTILINE)
_MODEL = re.compile(r"run(?:_ct\d+)?(?:_it(\d+))?(?:_half[12])?_model\.star")
_OPTIMISER = re.compile(r"run(?:_ct\d+)?_it(\d+)_optimiser\.star")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job has come; what cannot be told is None or empty.

    Attributes
    ----------
    iteration, iterations
        The iteration under way, and the last one.
    percent, bar_left_s
        How far the last progress bar is, and the seconds that it still expects.
    took_s
        What the run took, if it has said its end.
    detail
        What it is about to do, in words.
    """

    iteration: int | None = None
    iterations: int | None = None
    percent: int | None = None
    bar_left_s: float | None = None
    took_s: float | None = None
    detail: str = ""


def read_tail(path: Path, size: int = TAIL) -> str:
    """Read the end of a text file; empty when it cannot be read."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - size))
            return handle.read(size).decode("utf-8", errors="replace")
    except OSError:
        return ""


def parse(text: str) -> Progress:
    """Read the end of a job's ``run.out``, of which only the latest run counts."""
    ends = list(_ENDED.finditer(text))
    if ends and not text[ends[-1].end() :].strip():
        before = text[: ends[-1].start()]
        return _parse(_latest(before), took_s=float(ends[-1][2]))
    return _parse(text[ends[-1].end() :] if ends else text)


def began(path: Path) -> float | None:
    """Return when the latest run says that it began, in seconds; None when it does not."""
    found = _BEGAN.findall(read_tail(path)) or _BEGAN.findall(_read_head(path))
    try:
        return time.mktime(time.strptime(found[-1], "%Y-%m-%d %H:%M:%S")) if found else None
    except ValueError:
        return None


def _read_head(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return handle.read(HEAD).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _latest(text: str) -> str:
    """Leave out the runs before the last."""
    ends = list(_ENDED.finditer(text))
    return text[ends[-1].end() :] if ends else text


def _parse(text: str, took_s: float | None = None) -> Progress:
    found = next(reversed(list(_ITERATION.finditer(text))), None)
    percent, left_s = _bar(text)
    return Progress(
        iteration=int(found[1]) if found else None,
        iterations=int(found[2]) if found and found[2] else None,
        percent=percent,
        bar_left_s=left_s,
        took_s=took_s,
        detail=_convergence(text),
    )


def _bar(text: str) -> tuple[int | None, float | None]:
    """Read the last progress bar: percent, and seconds that are left."""
    start = max(text.rfind("000/??? sec"), 0)
    last = next(reversed(list(_BAR.finditer(text, start))), None)
    if last is None:
        return (0, None) if "000/??? sec" in text[start:] else (None, None)
    elapsed, total = (float(last[n]) * _UNITS_S[last[3]] for n in (1, 2))
    return 100 * min(len(last[4]), _FULL_BAR) // _FULL_BAR, max(0.0, total - elapsed)


def _convergence(text: str) -> str:
    if _LAST_ITERATION in text:
        return "converged, last iteration"
    gains = _GAIN.findall(text)
    if gains and int(gains[-1]):
        return f"no better for {gains[-1]} iteration{'s' if gains[-1] != '1' else ''}"
    return ""


def resolution(folder: Path) -> float | None:
    """Return a job's current resolution in Å.

    That of the newest model, or of a post-processing; a refinement's final model has no iteration
    in its name and wins. Only the beginning of one file is read.
    """
    names = _names(folder)
    if "postprocess.star" in names:
        return _value(folder / "postprocess.star", _FINAL_RESOLUTION)
    models = [(match[1] or "999999", name) for name in names if (match := _MODEL.fullmatch(name))]
    if not models:
        return None
    newest = max(models, key=lambda each: (int(each[0]), each[1]))[1]
    return _value(folder / newest, _RESOLUTION)


def iterations(folder: Path) -> list[tuple[int, float]]:
    """Return the iterations that have left their files: number, and when in seconds; in order."""
    found: dict[int, float] = {}
    for name in _names(folder):
        if match := _OPTIMISER.fullmatch(name):
            try:
                found[int(match[1])] = (folder / name).stat().st_mtime
            except OSError:  # removed meanwhile
                continue
    return sorted(found.items())


def left_s(progress: Progress, ended: Sequence[tuple[int, float]], *, now: float) -> float | None:
    """Estimate how long a job still runs.

    With iterations: what the latest ones took, for each one that is left. Without: the guess of
    the present progress bar. None where nobody can know: before the first iterations, and when
    RELION decides by itself when to stop.

    Parameters
    ----------
    progress
        From ``run.out``.
    ended
        See `iterations`.
    now
        Seconds since the epoch.
    """
    if progress.iteration is None:
        return progress.bar_left_s
    recent = [each for each in ended if each[0] <= progress.iteration][-4:]
    if progress.iterations is None or len(recent) < 2:
        return None
    (first, began), (last, at) = recent[0], recent[-1]
    each_s = (at - began) / (last - first)
    behind_s = (progress.iterations - progress.iteration) * each_s
    return max(at + (progress.iterations - last) * each_s - now, behind_s, 0.0)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _value(path: Path, pattern: re.Pattern[bytes]) -> float | None:
    try:
        with path.open("rb") as handle:
            found = pattern.search(handle.read(HEAD))
        return float(found[1]) if found else None
    except (OSError, ValueError):
        return None

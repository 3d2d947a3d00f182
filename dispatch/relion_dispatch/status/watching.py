"""A project's state on a terminal, drawn anew in place until Ctrl-C."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from relion_dispatch.status import table
from relion_dispatch.status.model import Overview, State

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # a screen of its own, no cursor


def watch(
    look: Callable[[], Overview],
    *,
    colour: bool,
    every_s: float,
    out: TextIO = sys.stdout,
    sleep: Callable[[float], object] = time.sleep,
) -> Overview:
    """Show a project until Ctrl-C, or until all of its jobs have finished; return its last state.

    On a terminal the picture is drawn in place, as wide and as high as the terminal is then.
    Elsewhere each change is a text of its own, without any control character.
    """
    show = _Screen(out, colour) if out.isatty() else _Log(out)
    seen = look()
    try:
        show.begin()
        show(seen)
        while not seen.over:
            sleep(every_s)
            seen = look()
            show(seen)
    except KeyboardInterrupt:
        pass
    finally:
        show.end()
    if out.isatty():
        out.write(table.text(seen, width=shutil.get_terminal_size().columns, colour=colour))
    return seen


class _Log:
    """Writes a project's state when it has changed in more than its times."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said = ""

    def begin(self) -> None:
        """Nothing to prepare."""

    def end(self) -> None:
        """Nothing to put right."""

    def __call__(self, seen: Overview) -> None:
        """Write it if there is news."""
        news = repr([(job.folder, job.state, job.iteration, job.detail) for job in seen.jobs])
        if news != self._said:
            self._said = news
            clock = time.strftime("%F %T", time.localtime(seen.time))
            self._out.write(f"{clock}\n{table.text(seen)}\n")
            self._out.flush()


class _Screen:
    """Draws a project's state over the last one."""

    def __init__(self, out: TextIO, colour: bool) -> None:
        self._out = out
        self._colour = colour

    def begin(self) -> None:
        """Take the screen."""
        self._out.write(_ENTER)

    def end(self) -> None:
        """Give the screen back as it was."""
        self._out.write(_LEAVE)
        self._out.flush()

    def __call__(self, seen: Overview) -> None:
        """Draw it."""
        width, height = shutil.get_terminal_size()
        lines = fitted(seen, width, height - 1, colour=self._colour)
        clock = time.strftime("%T", time.localtime(seen.time))
        lines.append(f"{clock}, Ctrl-C ends")
        body = "\n".join(f"{line}{_CLEAR_LINE}" for line in lines)
        self._out.write(f"{_HOME}{body}{_CLEAR_BELOW}")
        self._out.flush()


def fitted(seen: Overview, width: int, height: int, *, colour: bool) -> list[str]:
    """Return the lines of a picture of a given size: what has happened long ago is left out first.

    Parameters
    ----------
    seen
        The project.
    width, height
        Columns and lines.
    """
    lines = table.text(seen, width=width, colour=colour).splitlines()
    over = len(lines) - height
    if over <= 0:
        return lines
    first = len(lines) - len(seen.jobs)
    rows = list(zip(lines[first:], seen.jobs, strict=True))
    for dull in (State.WAITING, State.FINISHED):
        order = reversed(rows) if dull is State.WAITING else iter(rows)
        drop = [job.folder for _, job in order if job.state is dull][: max(over + 1, 0)]
        gone = frozenset(drop)
        rows = [row for row in rows if row[1].folder not in gone]
        over -= len(drop)
    left_out = len(seen.jobs) - len(rows)
    shown = [*lines[:first], *(line for line, _ in rows)][: max(height - 1, 1)]
    return [*shown, f"… and {left_out} more"]

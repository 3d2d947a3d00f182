"""Tells how far something has come that takes longer than two seconds.

On a terminal it is one line that is drawn anew and goes away in the end; elsewhere, as in a log, a
line now and then. What is done quickly says nothing at all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Self, TextIO, TypeVar

T = TypeVar("T")
#: Seconds before the first word.
PATIENCE_S = 2.0
#: Seconds between two drawings on a terminal, and between two lines elsewhere.
REDRAW_S, LINE_S = 0.2, 15.0
_CLEAR = "\r\x1b[K"


class Meter:
    """How far a piece of work has come; use it in a ``with`` statement.

    Parameters
    ----------
    what
        What is being done: ``reading movies``.
    total
        How many things there are to do; None where nobody knows.
    quiet
        Whether to say nothing.
    stream
        Where it is told; standard error by default.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._quiet = quiet or self._stream.closed
        self._terminal = not self._quiet and self._stream.isatty()
        self._clock = clock
        self._began = clock()
        self._next = self._began + (PATIENCE_S if self._terminal else LINE_S)
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._write(_CLEAR)

    def at(self, done: int, total: int | None = None, doing: str = "") -> None:
        """Note how many things are done, of how many where that has changed, and what is next."""
        now = self._clock()
        self._total = total or self._total
        if self._quiet or now < self._next:
            return
        text = progress(self._what, done, self._total, now - self._began, doing)
        if self._terminal:
            self._drawn = True
            self._write(_CLEAR + text[: _columns()])
        else:
            self._write(f"{text}\n")
        self._next = now + (REDRAW_S if self._terminal else LINE_S)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody listens any more, which is no reason to stop
            self._quiet, self._drawn = True, False


def counted(
    items: Iterable[T], what: str, total: int | None = None, *, quiet: bool = False
) -> Iterator[T]:
    """Go through things and tell how many are done.

    Parameters
    ----------
    items
        The things.
    what
        What is done with them.
    total
        How many there are; None: as many as ``items`` says it has, if it does.
    quiet
        Whether to say nothing.
    """
    known = len(items) if total is None and isinstance(items, Sized) else total
    with Meter(what, known, quiet=quiet) as meter:
        for done, item in enumerate(items):
            meter.at(done)
            yield item


def progress(what: str, done: int, total: int | None, elapsed_s: float, doing: str = "") -> str:
    """Return a line such as ``reading movies: 120 of 900 (13 %), 40 s left``."""
    text = f"{what}: {done}"
    if total:
        text += f" of {total} ({100 * done // total} %)"
        if 0 < done < total:
            text += f", {_duration(elapsed_s * (total - done) / done)} left"
        elif not done:
            text += f", {_duration(elapsed_s)} so far"
    else:
        text += f", {_duration(elapsed_s)} so far"
    return f"{text}: {doing}" if doing else text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _columns() -> int:
    import shutil

    return max(20, shutil.get_terminal_size().columns - 1)

"""Progress of what takes long: seldom, short, and not at all where nobody wants it."""

from __future__ import annotations

import io

import pytest

from relion_dispatch import meter
from relion_dispatch.meter import Meter, counted, progress


class Clock:
    """Seconds that pass when one says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(
    stream: io.StringIO, seconds: float, *, total: int | None = 50, quiet: bool = False
) -> str:
    """Return what a piece of work says that takes 1/8 s for each of its things."""
    clock = Clock()
    with Meter("reading movies", total, quiet=quiet, stream=stream, clock=clock) as shown:
        for done in range(round(seconds * 8)):
            shown.at(done)
            clock.now += 0.125
    return stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_quick_says_nothing(stream: type[io.StringIO]) -> None:
    assert told(stream(), 1.9) == ""


def test_a_terminal_shows_one_line_and_clears_it() -> None:
    text = told(Terminal(), 5.0)
    assert text.count("\n") == 0
    drawn = text.split("\r\x1b[K")
    assert drawn[0] == ""
    assert drawn[1] == "reading movies: 16 of 50 (32 %), 4 s left"
    assert drawn[-1] == ""
    assert 10 <= len(drawn) <= 20


def test_a_line_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "25")
    assert max(map(len, told(Terminal(), 5.0).split("\r\x1b[K"))) == 24


def test_a_log_gets_a_line_now_and_then() -> None:
    lines = told(io.StringIO(), 50.0, total=500).splitlines()
    assert lines[0] == "reading movies: 120 of 500 (24 %), 48 s left"
    assert len(lines) == 3


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_is_quiet(stream: type[io.StringIO]) -> None:
    assert told(stream(), 50.0, quiet=True) == ""


def test_nobody_listening_is_no_reason_to_stop() -> None:
    class Gone(Terminal):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    told(Gone(), 5.0)


def test_things_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int | None]] = []
    monkeypatch.setattr(Meter, "at", lambda self, done: shown.append((done, self._total)))
    assert list(counted(["a", "b"], "reading")) == ["a", "b"]
    assert shown == [(0, 2), (1, 2)]
    shown.clear()
    assert list(counted(iter("ab"), "reading")) == ["a", "b"]
    assert shown == [(0, None), (1, None)]


@pytest.mark.parametrize(
    "done, total, elapsed_s, expected",
    [
        (0, 10, 3.0, "work: 0 of 10 (0 %), 3 s so far"),
        (10, 10, 3.0, "work: 10 of 10 (100 %)"),
        (10, 1000, 10.0, "work: 10 of 1000 (1 %), 16 min left"),
        (1, 1000, 60.0, "work: 1 of 1000 (0 %), 16.6 h left"),
        (7, None, 120.0, "work: 7, 2 min so far"),
    ],
)
def test_what_it_says(done: int, total: int | None, elapsed_s: float, expected: str) -> None:
    assert progress("work", done, total, elapsed_s) == expected
    assert meter.progress("work", done, total, elapsed_s, "x").endswith(": x")

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import ledger
from relion_dispatch.ledger import Entry, Ledger, Phase


def entry(key: str, token: str = "") -> Entry:
    token = token or ledger.new_token()
    return Entry(key=key, token=token, name=f"x.{token}", fingerprint="f", exit_file="run.exit")


def reopened(book: Ledger, folder: Path) -> Ledger:
    book.close()
    return Ledger(folder)


def test_a_submission_is_on_disk_before_it_happens(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    intended = entry("a")
    book.intend([intended])
    assert Ledger(tmp_path).find("a") == intended  # the first one has not been closed
    assert Ledger(tmp_path).open_entries() == [intended]


def test_notes_survive(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    a, b = entry("a"), entry("b")
    book.intend([a, b])
    book.note(book.note(a, Phase.SUBMITTED, "11"), Phase.SUCCEEDED)
    book.note(b, Phase.SUBMITTED, "12")
    book = reopened(book, tmp_path)
    a_now, b_now = book.find("a"), book.find("b")
    assert a_now is not None
    assert (a_now.phase, a_now.job_id) == (Phase.SUCCEEDED, "11")
    assert b_now is not None
    assert (b_now.phase, b_now.job_id) == (Phase.SUBMITTED, "12")
    assert book.open_entries() == [b_now]


def test_the_latest_submission_of_a_job_counts(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    first, second = entry("a"), entry("a")
    book.intend([first])
    book.note(first, Phase.FAILED)
    book.intend([second])
    book.note(first, Phase.FAILED)  # a late word on the first one changes nothing
    assert book.find("a") == second
    assert reopened(book, tmp_path).find("a") == second


def test_a_line_cut_short_costs_that_line_alone(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    a = entry("a")
    book.intend([a])
    book.note(a, Phase.SUBMITTED, "11")
    book.close()
    journal = tmp_path / ledger.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-9])
    book = Ledger(tmp_path)
    assert book.find("a") == a  # intended: to be found again by its name
    b = entry("b")
    book.intend([b])
    book = reopened(book, tmp_path)
    assert (book.find("a"), book.find("b")) == (a, b)


def test_a_full_disk_costs_its_own_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, a, b, c = Ledger(tmp_path), entry("a"), entry("b"), entry("c")
    book.intend([a])
    with monkeypatch.context() as full:
        full.setattr(os, "write", write_some)
        with pytest.raises(OSError, match="No space"):
            book.intend([b])
        a = book.note(a, Phase.SUBMITTED, "11")  # no error: the job has been taken all the same
    book.intend([c])
    assert book.open_entries() == [a, c]
    book = reopened(book, tmp_path)
    assert [each.key for each in book.open_entries()] == ["a", "c"]


def write_some(file: int, text: bytes, write: Callable[[int, bytes], int] = os.write) -> int:
    if text.startswith(b"{"):
        return write(file, text[:20])
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_is_written_when_the_journal_is_closed(tmp_path: Path) -> None:
    book, a = Ledger(tmp_path), entry("a")
    book.intend([a])
    book.close()
    with open(tmp_path / "other", "w") as other:  # gets the number that the journal had
        book.note(a, Phase.SUBMITTED, "11")
        assert other.name
    assert (tmp_path / "other").read_text() == ""


@given(cut=st.integers(0, 2000), junk=st.binary(max_size=40))
def test_no_journal_is_too_broken(cut: int, junk: bytes) -> None:
    tokens = [f"j{number}" for number in range(4)]
    records = [json.dumps({"key": "k", "token": t, "name": t, "fingerprint": ""}) for t in tokens]
    notes = [json.dumps({"token": t, "phase": "submitted", "job_id": "7"}) for t in tokens]
    text = "\n".join([*records, *notes]).encode()[:cut] + junk
    for each in ledger.replay(text.decode(errors="replace").splitlines()).values():
        assert each.token in tokens


def test_a_phase_of_a_newer_version_stays_open() -> None:
    intended = json.dumps({"key": "k", "token": "j1", "name": "x", "fingerprint": "f"})
    note = json.dumps({"token": "j1", "phase": "teleported"})
    assert ledger.replay([intended, note])["k"].phase.open


def test_the_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    for _ in range(120):
        one = entry("a")
        book.intend([one])
        last = book.note(book.note(one, Phase.SUBMITTED, "7"), Phase.SUCCEEDED)
    book = reopened(book, tmp_path)
    assert book.find("a") == last
    assert (tmp_path / ledger.JOURNAL).read_text().count("\n") == 1
    book.intend([entry("b")])
    assert reopened(book, tmp_path).find("a") == last


@pytest.mark.parametrize("phase", Phase)
def test_tokens_are_names(phase: Phase) -> None:
    token = ledger.new_token()
    assert token[0].isalpha()
    assert token.isalnum()
    assert len(token) <= 15
    assert phase.open == (phase in {Phase.INTENDED, Phase.SUBMITTED, Phase.CANCELLED})

"""The journal of a job's attempts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.healing import attempts


def test_an_attempt_is_put_together_from_its_events(tmp_path: Path) -> None:
    attempts.note(tmp_path, 1, attempts.SUBMITTED, job_id="71", asked={"mem_mb": 4000})
    attempts.note(tmp_path, 1, attempts.STARTED, node="m3h002", science="abc")
    attempts.note(
        tmp_path, 1, attempts.ENDED, state="out of time", failure="time", evidence=["TIME LIMIT"]
    )
    attempts.note(tmp_path, 1, attempts.DECIDED, decision="again", changes={"runtime": 9})
    attempts.note(tmp_path, 2, attempts.SUBMITTED, job_id="72")
    first, second = attempts.read(tmp_path)
    assert (first.number, first.job_id, first.node, first.science) == (1, "71", "m3h002", "abc")
    assert (first.failure, first.evidence) == ("time", ("TIME LIMIT",))
    assert (first.decision, first.changes) == ("again", {"runtime": 9})
    times = (first.submitted, first.started, first.ended, second.submitted)
    assert list(times) == sorted(time for time in times if time is not None)
    assert second.started is None


@pytest.mark.parametrize(
    "events, runs",
    [
        ((attempts.SUBMITTED, attempts.STARTED), 1),
        ((attempts.STARTED, attempts.STARTED), 2),
        ((attempts.SUBMITTED, attempts.SUBMITTED), 2),
        ((attempts.STARTED, attempts.SUBMITTED, attempts.STARTED), 2),
    ],
)
def test_the_first_attempt_once_more_is_a_new_run(
    tmp_path: Path, events: tuple[str, ...], runs: int
) -> None:
    attempts.note(tmp_path, 1, events[0], job_id="71")
    attempts.note(tmp_path, 2, attempts.STARTED)
    for event in events[1:]:
        attempts.note(tmp_path, 1, event)
    found = attempts.read(tmp_path)
    assert len(found) == (2 if runs == 1 else 1)
    assert found[0].job_id == ("71" if runs == 1 else "")


def test_a_line_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    (tmp_path / attempts.JOURNAL).write_text('{"number": 1, "event": "started"}\n{"number": 1, "ev')
    attempts.note(tmp_path, 1, attempts.ENDED, state="failed")
    (only,) = attempts.read(tmp_path)
    assert only.state == "failed"


def test_a_line_without_a_number_is_about_the_latest_attempt(tmp_path: Path) -> None:
    attempts.note(tmp_path, 1, attempts.STARTED)
    attempts.note(tmp_path, 2, attempts.STARTED)
    with (tmp_path / attempts.JOURNAL).open("a") as journal:
        journal.write('{"event": "ended", "time": 7, "state": "succeeded"}\n')
    assert [each.state for each in attempts.read(tmp_path)] == ["", "succeeded"]


def test_an_unknown_attribute_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        attempts.note(tmp_path, 1, attempts.ENDED, colour="red")


def test_without_a_journal_there_are_no_attempts(tmp_path: Path) -> None:
    assert attempts.read(tmp_path / "nothing") == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


@given(st.lists(_JSON.map(json.dumps) | st.text(max_size=20), max_size=6))
def test_any_text_can_be_read(lines: list[str]) -> None:
    numbers = [attempt.number for attempt in attempts.replay(lines)]
    assert numbers == sorted(set(numbers))

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import SchedulerError
from relion_dispatch.ledger import Entry
from relion_dispatch.progress import Progress, summary
from relion_dispatch.reports import Report, State
from relion_dispatch.watch import Pace, Verdict, Watch, Watched, judge


class Fake:
    """Answers as told; counts the questions."""

    def __init__(self) -> None:
        self.queue: dict[str, Report] | SchedulerError = {}
        self.records: dict[str, Report] | SchedulerError = {}
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.deaf = False

    def status(self, _: Sequence[str], /) -> dict[str, Report]:
        self.asked.append("status")
        return answer(self.queue)

    def history(self, _: Sequence[str], /) -> dict[str, Report]:
        self.asked.append("history")
        return answer(self.records)

    def cancel(self, job_ids: Sequence[str], /) -> None:
        if self.deaf:
            raise SchedulerError("scancel: no answer")
        self.cancelled += job_ids


def answer(told: dict[str, Report] | SchedulerError) -> dict[str, Report]:
    if isinstance(told, SchedulerError):
        raise told
    return told


def report(state: State, exit_code: int | None = None) -> Report:
    return Report(job_id="7", state=state, exit_code=exit_code)


def job(tmp_path: Path, code: str | None = None) -> Watched:
    if code is not None:
        (tmp_path / "run.exit").write_text(code)
    return Watched(job_id="7", exit_file=tmp_path / "run.exit")


def test_one_question_for_all(tmp_path: Path) -> None:
    fake = Fake()
    jobs = [Watched(job_id=str(n), exit_file=tmp_path / "x") for n in range(500)]
    fake.queue = {each.job_id: report(State.RUNNING) for each in jobs}
    verdicts = Watch(fake).poll(jobs)
    assert {each.state for each in verdicts.values()} == {State.RUNNING}
    assert fake.asked == ["status"]


@pytest.mark.parametrize("code, state", [("0\n", State.SUCCEEDED), ("3\n", State.FAILED)])
def test_the_exit_code_decides_where_the_scheduler_has_forgotten(
    tmp_path: Path, code: str, state: State
) -> None:
    verdict = Watch(Fake()).poll([job(tmp_path, code)])["7"]
    assert verdict.state is state
    assert verdict.exit_code == int(code)


def test_the_records_tell_why_a_forgotten_job_failed(tmp_path: Path) -> None:
    fake = Fake()
    fake.records = {"7": report(State.OUT_OF_MEMORY, 137)}
    verdict = Watch(fake).poll([job(tmp_path, "137")])["7"]
    assert verdict.state is State.OUT_OF_MEMORY


def test_records_that_are_behind_are_waited_for(tmp_path: Path) -> None:
    fake, now = Fake(), 0.0
    watch = Watch(fake, records_s=10, clock=lambda: now)
    failed, done = job(tmp_path, "3"), Watched(job_id="8", exit_file=tmp_path / "done")
    done.exit_file.write_text("0")
    first = watch.poll([failed, done])
    assert (first["7"].state, first["8"].state) == (State.UNKNOWN, State.SUCCEEDED)
    fake.records = {"7": report(State.OUT_OF_MEMORY, 137)}
    assert watch.poll([failed])["7"].state is State.OUT_OF_MEMORY
    fake.records = {}
    assert watch.poll([failed])["7"].state is State.UNKNOWN
    now = 11
    assert watch.poll([failed])["7"].state is State.FAILED


def test_no_records_are_asked_for_a_job_that_left_a_zero(tmp_path: Path) -> None:
    fake = Fake()
    Watch(fake).poll([job(tmp_path, "0")])
    assert fake.asked == ["status"]


def test_a_job_unknown_to_all_is_lost_in_the_end_and_never_done(tmp_path: Path) -> None:
    now = 0.0
    watch = Watch(Fake(), patience_s=60, clock=lambda: now)
    assert watch.poll([job(tmp_path)])["7"].state is State.UNKNOWN
    now = 59
    assert watch.poll([job(tmp_path)])["7"].state is State.UNKNOWN
    now = 61
    assert watch.poll([job(tmp_path)])["7"].state is State.ENDED


def test_patience_starts_anew_when_a_job_turns_up_again(tmp_path: Path) -> None:
    now = 0.0
    fake = Fake()
    watch = Watch(fake, patience_s=60, clock=lambda: now)
    watch.poll([job(tmp_path)])
    now = 50
    fake.queue = {"7": report(State.PENDING)}
    assert watch.poll([job(tmp_path)])["7"].state is State.PENDING
    now, fake.queue = 70, {}
    assert watch.poll([job(tmp_path)])["7"].state is State.UNKNOWN


def test_while_the_scheduler_is_silent_only_exit_codes_count(tmp_path: Path) -> None:
    now = 0.0
    fake = Fake()
    fake.queue = SchedulerError("squeue: no answer")
    watch = Watch(fake, patience_s=60, clock=lambda: now)
    assert watch.poll([job(tmp_path)])["7"].state is State.UNKNOWN
    now = 1e6
    assert watch.poll([job(tmp_path)])["7"].state is State.UNKNOWN
    assert watch.trouble == "squeue: no answer"
    assert watch.poll([job(tmp_path, "0")])["7"].state is State.SUCCEEDED
    fake.queue = {}
    watch.poll([job(tmp_path)])
    assert watch.trouble == ""


def test_a_job_that_a_node_could_not_start_is_cancelled_and_its_node_has_failed(
    tmp_path: Path,
) -> None:
    fake = Fake()
    reason = "launch failed requeued held"
    fake.queue = {"7": replace(report(State.PENDING), reason=reason, held=True)}
    fake.records = {"7": replace(report(State.PENDING), node="m3h001")}
    fake.deaf = True
    watch = Watch(fake)
    assert watch.poll([job(tmp_path)])["7"].state is State.PENDING
    assert watch.trouble == "scancel: no answer"
    fake.deaf = False
    verdict = watch.poll([job(tmp_path)])["7"]
    assert fake.cancelled == ["7"]
    assert verdict.state is State.NODE_FAILURE
    assert verdict.report is not None
    assert (verdict.report.node, verdict.report.reason) == ("m3h001", reason)


def test_a_held_job_s_node_is_waited_for_until_the_records_are_overdue(tmp_path: Path) -> None:
    fake, now = Fake(), 0.0
    fake.queue = {"7": replace(report(State.PENDING), held=True)}
    watch = Watch(fake, records_s=10, clock=lambda: now)
    assert watch.poll([job(tmp_path)])["7"].state is State.PENDING
    now = 11
    assert watch.poll([job(tmp_path)])["7"].state is State.NODE_FAILURE
    assert fake.cancelled == ["7"]
    at_once = Watch(fake, records_s=10).poll([job(tmp_path)], at_once=True)
    assert at_once["7"].state is State.NODE_FAILURE


def test_other_jobs_that_are_held_are_let_be(tmp_path: Path) -> None:
    fake = Fake()
    held = replace(report(State.PENDING), job_id="8", held=True)
    fake.queue = {"7": replace(report(State.PENDING), reason="JobHeldUser"), "8": held}
    assert Watch(fake).poll([job(tmp_path)])["7"].state is State.PENDING
    assert fake.cancelled == []


def test_the_records_tell_who_cancelled_a_job(tmp_path: Path) -> None:
    fake = Fake()
    fake.queue = {"7": replace(report(State.CANCELLED), word="CANCELLED")}
    fake.records = {"7": replace(report(State.CANCELLED), word="CANCELLED by 0")}
    verdict = Watch(fake).poll([job(tmp_path)])["7"]
    assert verdict.report is not None
    assert verdict.report.word == "CANCELLED by 0"


def test_success_needs_more_than_the_schedulers_word(tmp_path: Path) -> None:
    fake = Fake()
    fake.queue = {"7": report(State.SUCCEEDED)}
    assert Watch(fake).poll([job(tmp_path)])["7"].state is State.SUCCEEDED
    assert Watch(fake).poll([job(tmp_path, "1")])["7"].state is State.FAILED


def test_an_unreadable_exit_code_is_none(tmp_path: Path) -> None:
    watch = Watch(Fake())
    assert watch.poll([job(tmp_path, "")])["7"].state is State.UNKNOWN
    assert watch.poll([job(tmp_path, "zero")])["7"].state is State.UNKNOWN


reports = st.none() | st.builds(
    report, st.sampled_from(State), st.none() | st.integers(min_value=0, max_value=255)
)


@given(said=reports, record=reports, code=st.none() | st.integers(0, 255))
def test_nothing_counts_as_done_without_evidence(
    said: Report | None, record: Report | None, code: int | None
) -> None:
    verdict = judge("7", said, record, code)
    if verdict is None or verdict.state is not State.SUCCEEDED:
        return
    known = [each for each in (said, record) if each is not None]
    by_word = any(each.state is State.SUCCEEDED or each.exit_code == 0 for each in known)
    assert code == 0 or by_word
    assert not code


def test_the_pace_slows_down_while_nothing_happens() -> None:
    pace = Pace(0.5, 15)
    waits = []
    for _ in range(20):
        pace.asked(jobs=10, changed=False, took_s=0.01)
        waits.append(pace.wait_s)
    assert waits == sorted(waits)
    assert waits[-1] == 15
    pace.asked(jobs=10, changed=True, took_s=0.01)
    assert pace.wait_s < 1
    pace.asked(jobs=1000, changed=True, took_s=0.01)
    assert pace.wait_s > 5
    pace.happened()
    assert pace.wait_s == 0.5


def test_a_slow_scheduler_is_asked_less_often() -> None:
    pace = Pace(0.5, 15)
    pace.asked(jobs=10, changed=True, took_s=2)
    assert pace.wait_s == 10


def jobs_doing(*states: State, reason: str = "") -> tuple[list[Entry], dict[str, Verdict]]:
    entries, verdicts = [], {}
    for number, state in enumerate(states):
        said = Report(job_id=str(number), state=state, reason=reason)
        verdicts[str(number)] = Verdict(job_id=str(number), state=state, report=said)
        name = f"step{number}.j{number}"
        entries.append(Entry(key="k", token="", name=name, fingerprint="", job_id=str(number)))
    return entries, verdicts


def test_progress_tells_what_runs_and_what_waits_for_what() -> None:
    entries, verdicts = jobs_doing(State.RUNNING, State.PENDING, reason="Priority")
    assert summary(entries, verdicts) == "Running: step0. Pending: step1 (Priority)."
    entries, verdicts = jobs_doing(*[State.RUNNING] * 8)
    assert summary(entries, verdicts) == "Running: step0, step1, step2, step3, step4 and 3 more."
    assert summary(*jobs_doing(State.SUCCEEDED)) == ""


def test_progress_counts_the_jobs_of_a_step_and_their_reasons() -> None:
    entries, verdicts = jobs_doing(*[State.PENDING] * 5, reason="Resources")
    entries = [replace(entry, step="one") for entry in entries]
    assert summary(entries, verdicts) == "Pending: one (5 jobs: Resources)."
    waiting = replace(verdicts["0"], report=Report(job_id="0", state=State.PENDING, reason="QOS"))
    on_its_way = Entry(key="k", token="", name="two.jt", fingerprint="", step="two")
    assert summary(entries, verdicts | {"0": waiting}, [on_its_way]) == (
        "Pending: one (5 jobs: 4 Resources, 1 QOS). Being submitted: two."
    )


def test_progress_tells_which_jobs_wait_for_somebody() -> None:
    told = summary(*jobs_doing(State.PENDING, reason="JobHeldUser"))
    assert told == "Pending: step0 (JobHeldUser - will not start by itself)."


def test_progress_is_told_when_it_changes_and_not_too_often() -> None:
    now = 0.0
    said: list[str] = []
    progress = Progress(said.append, every_s=30, clock=lambda: now)
    progress.note(*jobs_doing(State.PENDING))
    assert said == []
    now = 31
    progress.note(*jobs_doing(State.PENDING))
    now = 90
    progress.note(*jobs_doing(State.PENDING))
    assert len(said) == 1
    progress.note(*jobs_doing(State.RUNNING))
    assert said == ["Pending: step0.", "Running: step0."]

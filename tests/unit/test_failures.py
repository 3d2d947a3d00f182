from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relion_dispatch import failures
from relion_dispatch.reports import Report, State
from relion_dispatch.watch import Verdict


def told(verdict: Verdict, *logs: Path) -> str:
    return failures.message(
        verdict, rule="class3d", name="Class3D-job020.j1", logs=logs, script=Path("run.script")
    )


def test_a_message_has_state_reason_node_log_and_advice(tmp_path: Path) -> None:
    empty, log = tmp_path / "run.err", tmp_path / "run.out"
    empty.write_text("\n\n")
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    report = Report(
        job_id="7", state=State.OUT_OF_MEMORY, word="OUT_OF_MEMORY", reason="OutOfMemory", node="m3"
    )
    verdict = Verdict(job_id="7", state=State.OUT_OF_MEMORY, report=report, exit_code=137)
    message = told(verdict, empty, log)
    end = "ended as out of memory (OUT_OF_MEMORY, OutOfMemory), exit code 137, on m3"
    assert message.splitlines()[:4] == [
        f"job 7 (Class3D-job020.j1) {end}",
        "give it more memory: --set-resources class3d:mem_mb=MB",
        f"the end of {log}:",
        f"  | line {100 - failures.TAIL_LINES}",
    ]
    assert message.endswith(f"logs: {empty}, {log}; script: run.script")


def test_a_lost_job_is_called_lost() -> None:
    message = told(Verdict(job_id="7", state=State.ENDED))
    assert "is lost: the scheduler has forgotten it" in message


@pytest.mark.parametrize(
    "line",
    [
        "slurmstepd-c1: error: StepId=181.batch exceeded memory limit (331 > 52), killed",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch. Some of your processes",
        "slurmstepd: error: Detected 2 oom_kill events in StepId=7.0",
    ],
)
def test_what_the_scheduler_says_in_the_log_alone_is_found(tmp_path: Path, line: str) -> None:
    """Lines of Slurm with and without cgroups."""
    log = tmp_path / "run.err"
    report = Report(job_id="7", state=State.FAILED, word="FAILED", reason="JobLaunchFailure")
    verdict = Verdict(job_id="7", state=State.FAILED, report=report, exit_code=137)
    log.write_text("Killed\n")
    assert failures.diagnosed(verdict, [log]) == verdict
    log.write_text(f"Killed\n{line}\n")
    assert failures.diagnosed(verdict, [tmp_path / "none", log]).state is State.OUT_OF_MEMORY
    node = replace(verdict, state=State.NODE_FAILURE)
    assert failures.diagnosed(node, [log]) == node


def test_progress_bars_are_shown_as_they_end(tmp_path: Path) -> None:
    log = tmp_path / "run.out"
    log.write_text("Expectation\n0%\r50%\r100%\r\ndone\r\n")
    assert failures.tail(log) == ["Expectation", "100%", "done"]


def test_the_end_of_a_long_line_or_of_no_text_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "run.out"
    log.write_bytes(b"x" * 100_000 + b"\xff\n")
    (line,) = failures.tail(log)
    assert len(line) <= failures.TAIL_BYTES
    assert failures.tail(tmp_path / "none") == []

"""The shell lines of a job that stops by itself and goes on, run for real."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from relion_dispatch.body import Script, body
from relion_dispatch.healing import attempts
from relion_dispatch.healing.shell import GoingOn

pytestmark = pytest.mark.slow

FOLDER = "my Class2D/job006/"
#: Stands in for RELION: works until it is asked to stop, and then marks the job as aborted.
RELION = """#!/bin/bash
echo "run $1 as $$"
for step in {1..200}; do
  if [ -e "my Class2D/job006/RELION_JOB_ABORT_NOW" ]; then
    : >"my Class2D/job006/RELION_JOB_EXIT_ABORTED"
    exit 2
  fi
  [ ! -e finish ] || exit "$(cat finish)"
  sleep 0.05
done
"""


class Job:
    """A job's script and its directory."""

    def __init__(self, project: Path) -> None:
        self.project, self.path = project, project / FOLDER
        self.path.mkdir(parents=True)
        (project / "relion").write_text(RELION)
        (project / "relion").chmod(0o755)

    def lines(self, **more: object) -> str:
        going_on = GoingOn(main="./relion anew", continued="./relion on", label="./relion", **more)  # type: ignore[arg-type]
        return body(
            Script(
                job_dir=FOLDER,
                outfile=f"{FOLDER}run.out",
                errfile=f"{FOLDER}run.err",
                exit_file=f"{FOLDER}run.exit",
                commands=("echo before", going_on.main, "echo behind"),
                going_on=going_on,
            )
        )

    def start(self, **more: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", self.lines(**more)], cwd=self.project, start_new_session=True
        )

    def run(self, **more: object) -> int:
        return self.start(**more).wait(timeout=30)

    def text(self, name: str) -> str:
        path = self.path / name
        return path.read_text() if path.exists() else ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.text("run.out"):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def markers(self) -> list[str]:
        return sorted(each.name for each in self.path.glob("RELION_JOB_*"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def finish(job: Job, code: int) -> None:
    (job.project / "finish").write_text(str(code))


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_job_starts_or_goes_on(job: Job, goes_on: bool) -> None:
    finish(job, 0)
    (job.path / "run.science").touch()
    attempts.note(job.path, 3, attempts.STARTED)
    if goes_on:
        (job.path / "continue.star").touch()
    assert job.run() == 0
    assert f"run {'on' if goes_on else 'anew'} as" in job.text("run.out")
    assert "before" in job.text("run.out")
    assert "behind" in job.text("run.out")
    assert job.markers == ["RELION_JOB_EXIT_SUCCESS"]
    assert not (job.path / "run.science").exists()
    (only,) = attempts.read(job.path)
    assert (only.number, only.state) == (3, "succeeded")


def test_a_job_starts_over_where_it_cannot_be_looked_at(job: Job) -> None:
    finish(job, 0)
    (job.path / "continue.star").touch()
    assert job.run(begin="/no/such/python -m nothing") == 0
    assert "run anew as" in job.text("run.out")
    assert "this job starts over" in job.text("run.err")


def test_a_failing_command_is_told_and_ends_the_job(job: Job) -> None:
    finish(job, 3)
    assert job.run() == 3
    assert "relion-dispatch: failed: ./relion\n" in job.text("run.err")
    assert "behind" not in job.text("run.out")
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]


@pytest.mark.parametrize("how", ["timer", "signal"])
def test_a_job_stops_by_itself_in_time(job: Job, how: str) -> None:
    process = job.start(stop_after_s=1 if how == "timer" else 0)
    job.wait_for("run anew")
    if how == "signal":
        os.kill(process.pid, signal.SIGUSR1)
    assert process.wait(timeout=30) == 75
    said = "time limit" if how == "timer" else "a signal"
    assert f"relion-dispatch: stopped: {said}" in job.text("run.err").replace(
        "1 s have passed, the ", ""
    )
    assert job.text("run.exit") == "75\n"
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]
    assert not (job.path / "run.stopped").exists()


def test_nobody_sees_a_failure_that_is_looked_after(job: Job) -> None:
    (job.path / "run.heal").touch()
    finish(job, 3)
    assert job.run() == 3
    assert job.markers == []


def test_a_person_who_aborts_is_heard_all_the_same(job: Job) -> None:
    (job.path / "run.heal").touch()
    process = job.start(stop_after_s=60)
    job.wait_for("run anew")
    (job.path / "RELION_JOB_ABORT_NOW").touch()
    assert process.wait(timeout=30) == 2
    assert "RELION_JOB_EXIT_ABORTED" in job.markers
    assert "stopped" not in job.text("run.err")


def test_what_a_person_aborted_can_be_run_again(job: Job) -> None:
    (job.path / "RELION_JOB_ABORT_NOW").touch()
    assert job.run() == 2
    finish(job, 0)
    assert job.run() == 0
    assert job.markers == ["RELION_JOB_EXIT_SUCCESS"]


def test_a_request_to_stop_of_an_attempt_that_was_killed_is_taken_back(job: Job) -> None:
    (job.path / "run.stopped").write_text("a signal")
    (job.path / "RELION_JOB_ABORT_NOW").touch()
    finish(job, 0)
    assert job.run() == 0
    assert job.markers == ["RELION_JOB_EXIT_SUCCESS"]


def test_a_cancelled_job_takes_its_programs_with_it(job: Job) -> None:
    process = job.start(stop_after_s=600)
    job.wait_for("run anew")
    pid = int(job.text("run.out").split(" as ")[1].split()[0])
    process.terminate()
    assert process.wait(timeout=30) == 143
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert "cancelled" in job.text("run.err")


def test_no_timer_outlives_its_job(job: Job) -> None:
    finish(job, 0)
    process = job.start(stop_after_s=4321)
    assert process.wait(timeout=30) == 0
    deadline = time.monotonic() + 30
    while _sleeping("4321") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _sleeping("4321")


def _sleeping(seconds: str) -> bool:
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().split(b"\0"))
        except OSError:
            continue
    return any(each[:2] == [b"sleep", seconds.encode()] for each in commands)


def test_the_lines_are_sound(job: Job) -> None:
    text = "#!/bin/bash\n# shellcheck disable=SC2006,SC2046,SC2086\n"
    text += job.lines(stop_after_s=10, begin="echo begin")
    done = subprocess.run(
        ["shellcheck", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""

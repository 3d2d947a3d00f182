"""Jobs on a machine without a scheduler: real processes, told what to do by files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relion_dispatch import localjobs, localqueue, procfs
from relion_dispatch.client import Client
from relion_dispatch.localjobs import Jobs
from relion_dispatch.reports import State
from relion_dispatch.schedulers import LOCAL

pytestmark = pytest.mark.slow

UNTIL = "until [ -e {go} ]; do sleep 0.02; done\n"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Machine:
    """A machine's queue, and a folder of scripts for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = Client(LOCAL)
        self.go = folder / "go"

    def submit(self, name: str, text: str, cores: int = 1) -> str:
        script = self.folder / f"{name}.sh"
        script.write_text(text.format(go=self.go))
        return self.client.submit((*LOCAL.submit, f"--cores={cores}"), script, name)

    def state(self, job_id: str) -> State:
        return self.client.status([job_id])[job_id].state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Machine(tmp_path)


def test_a_job_runs_and_its_exit_code_is_known(here: Machine) -> None:
    well, ill = here.submit("well", f"echo out >{here.folder}/out\n"), here.submit("ill", "exit 3")
    wait_until(lambda: not any(here.state(each).alive for each in (well, ill)))
    reports = here.client.status([well, ill])
    assert (reports[well].state, reports[well].exit_code) == (State.SUCCEEDED, 0)
    assert (reports[ill].state, reports[ill].exit_code) == (State.FAILED, 3)
    assert here.client.find(["ill"])["ill"].job_id == ill
    assert (here.folder / "out").read_text() == "out\n"


def test_no_more_jobs_run_than_there_are_cores(here: Machine) -> None:
    first = here.submit("first", UNTIL, cores=1000)  # as many as there are
    wait_until(lambda: here.state(first) is State.RUNNING)
    second = here.submit("second", "true")
    time.sleep(3 * localqueue.LOOK_S)
    waiting = here.client.status([second])[second]
    assert (waiting.state, waiting.reason) == (State.PENDING, "waiting for cores")
    here.go.touch()
    wait_until(lambda: here.state(second) is State.SUCCEEDED)


def test_cancelled_jobs_end_with_all_their_processes(here: Machine) -> None:
    child = here.folder / "child"
    running = here.submit("running", f"sleep 600 & echo $! >{child}\nwait\n", cores=1000)
    wait_until(lambda: child.exists() and bool(child.read_text()))
    waiting = here.submit("waiting", "true")
    here.client.cancel([running, waiting])
    wait_until(lambda: not here.state(running).alive and not here.state(waiting).alive)
    assert {here.state(running), here.state(waiting)} == {State.CANCELLED}
    assert procfs.stat(int(child.read_text()))[:1] in ([], ["Z"])


def test_a_job_whose_processes_are_gone_has_ended_nobody_knows_how(here: Machine) -> None:
    job_id = here.submit("killed", UNTIL)
    wait_until(lambda: bool(jobs().read(job_id).child))
    job = jobs().read(job_id)
    os.kill(job.pid, signal.SIGKILL)
    assert here.state(job_id) is State.RUNNING  # its script goes on
    os.kill(job.child, signal.SIGKILL)
    wait_until(lambda: not here.state(job_id).alive)
    assert here.state(job_id) is State.ENDED


def jobs() -> Jobs:
    return Jobs(localjobs.folder())


def test_a_file_that_a_full_disk_left_empty_stops_nobody(tmp_path: Path) -> None:
    queue = Jobs(tmp_path)
    (tmp_path / "1.json").touch()
    assert queue.add(name="a", script="s", cores=1).job_id == "2"
    assert [job.job_id for job in queue.some([])] == ["2"]


def test_ids_are_never_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Jobs(tmp_path)
    ids = [queue.add(name="a", script="s", cores=1).job_id for _ in range(3)]
    monkeypatch.setattr(localjobs, "FORGOTTEN_S", -1.0)
    ids.append(queue.add(name="a", script="s", cores=1).job_id)
    assert ids == ["1", "2", "3", "4"]
    assert [job.job_id for job in queue.some([])] == ["3", "4"]

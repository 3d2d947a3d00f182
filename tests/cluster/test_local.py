"""The executor on a machine without a scheduler: the same ledger, exit files and messages."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relion_dispatch import localjobs, localqueue
from tests.cluster.project import Project, wait_until

LOCAL = Path(__file__).resolve().parents[2] / "profiles" / "local"
SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=range(int(config["n_jobs"])))
rule one:
    output: "out/{i}"
    shell: "echo ran >> traces/{wildcards.i}; {config[does]}; touch {output}"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose jobs run here; whatever it leaves is cancelled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = Project(tmp_path / "project")
    (project.path / "traces").mkdir(parents=True)
    (project.path / "Snakefile").write_text(SNAKEFILE)
    yield project
    project.kill_heads()
    queue = localjobs.Jobs(localjobs.folder())
    localqueue.cancel(queue, [])
    wait_until(lambda: not alive())


def alive() -> list[str]:
    """States of the jobs that are not over."""
    lines = localqueue.report(localjobs.Jobs(localjobs.folder()), [])
    states = [line.split("|")[1] for line in lines]
    return [state for state in states if state in ("PENDING", "RUNNING")]


def command(n_jobs: int, does: str) -> list[str]:
    return [
        *("--profile", str(LOCAL), "--executor", "relion-dispatch", "--jobs", "8"),
        *("--nolock", "--config", f"n_jobs={n_jobs}", f"does={does}"),
    ]


def traces(project: Project) -> list[int]:
    return [path.read_text().count("\n") for path in project.path.glob("traces/*")]


def test_killed_heads_lose_nothing_and_run_nothing_twice(project: Project) -> None:
    dice = random.Random(3)
    words = command(8, "sleep 0.7")
    for _ in range(3):
        project.run_and_kill(*words, after_s=dice.uniform(0, 1))
    done = project.run(*words)
    assert done.returncode == 0, done.output
    assert traces(project) == [1] * 8


def test_ctrl_c_cancels_everything(project: Project) -> None:
    head = project.start(*command(4, "sleep 600"))
    head.wait_for(" is job ")
    wait_until(lambda: "RUNNING" in alive())
    os.kill(head.process.pid, signal.SIGINT)
    assert head.end().returncode != 0
    wait_until(lambda: not alive())


def test_a_failure_is_told_as_on_a_cluster(project: Project) -> None:
    done = project.run(*command(1, "echo reason >&2; exit 3"))
    message = " ".join(done.output.split())
    assert "ended as failed (FAILED), exit code 3, on " in message
    assert "run.err: | reason" in message

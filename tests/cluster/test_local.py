"""The executor on a machine without a scheduler: the same ledger, exit files and messages."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relion_dispatch import localjobs, localqueue, machine
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


def test_a_job_that_needs_snakemake_is_left_with_what_it_waits_for(project: Project) -> None:
    """The second one waits for all cores, and begins when its head is gone."""
    (project.path / "Snakefile").write_text(
        f"""
rule all:
    input: "first", "second"
rule first:
    output: "first"
    threads: {machine.cores()}
    shell: "until [ -e go ]; do sleep 0.1; done; touch {{output}}"
rule second:
    output: "second"
    priority: -1
    run:
        shell("touch {{output}}")
"""
    )
    words = [*command(1, "true"), "--latency-wait", "1"]
    head = project.start(*words, "--relion-dispatch-no-cancel")
    wait_until(lambda: sorted(alive()) == ["PENDING", "RUNNING"])
    head.wait_for("(second) is job")
    os.kill(head.process.pid, signal.SIGINT)
    assert "left alone" in head.end().output
    (project.path / "go").touch()
    wait_until(lambda: not alive())
    assert (project.path / "second").exists()
    assert project.run(*words).returncode == 0


def test_a_job_of_relion_that_nobody_waits_for_says_itself_that_it_failed(project: Project) -> None:
    programs = project.path / "bin"
    programs.mkdir()
    (programs / "relion_postprocess").write_text("#!/bin/sh\nsleep 600\n")
    (programs / "relion_postprocess").chmod(0o755)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    (project.path / "Snakefile").write_text(
        """
rule postprocess:
    output: "PostProcess/job030/postprocess.star"
    log: out="PostProcess/job030/run.out", err="PostProcess/job030/run.err"
    params:
        relion=["relion_postprocess --i half1.mrc --o PostProcess/job030/postprocess"]
    shell: "exit 9"
"""
    )
    head = project.start(*command(1, "true"), "--relion-dispatch-no-cancel")
    wait_until((project.path / "PostProcess/job030/run.out").exists)
    head.wait_for(" is job ")
    os.kill(head.process.pid, signal.SIGINT)
    assert "left alone" in head.end().output
    localqueue.cancel(localjobs.Jobs(localjobs.folder()), [])
    wait_until(lambda: not alive())
    assert (project.path / "PostProcess/job030/RELION_JOB_EXIT_FAILURE").exists()


def test_jobs_are_not_submitted_ahead_of_their_input(project: Project) -> None:
    done = project.run(*command(1, "true"), "--immediate-submit", "--notemp")
    assert done.returncode != 0
    assert "leave out --immediate-submit" in done.output
    assert traces(project) == []


def test_a_project_that_cannot_be_written_is_told_in_a_sentence(project: Project) -> None:
    (project.path / ".relion_dispatch").touch()
    done = project.run(*command(1, "true"))
    assert done.returncode != 0
    assert "File exists: '.relion_dispatch'" in done.output
    assert "Traceback" not in done.output

"""The executor on a real Grid Engine, through the shipped profile for it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from relion_dispatch import profiles
from tests.cluster.project import Project, lines, wait_until

pytestmark = pytest.mark.grid_engine

SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=range(int(config["n_jobs"])))
rule one:
    output: "out/{i}"
    threads: 2
    resources: runtime=5
    shell: "echo $NSLOTS >> traces/{wildcards.i}; {config[does]}; touch {output}"
"""


@pytest.fixture
def project(grid_engine: Path, tmp_path: Path) -> Iterator[Project]:
    """A project with the shipped profile, and a cluster file that tells of this cluster."""
    project = Project(tmp_path / "project")
    (project.path / "traces").mkdir(parents=True)
    (project.path / "Snakefile").write_text(SNAKEFILE)
    here = {
        "cluster": {"partitions": {"all.q": {"cores": 4, "mem_mb": 4000}}},
        "healing": {"enabled": False},
    }
    (project.path / "dispatch.yaml").write_text(yaml.safe_dump(here))
    yield project
    project.kill_heads()
    subprocess.run(["qdel", "-u", "root"], check=False, capture_output=True)
    wait_until(lambda: not queue())


def queue() -> list[str]:
    """Ids of the jobs that are not over."""
    return [line.split()[0] for line in lines(["qstat", "-u", "*"])[2:]]


def command(n_jobs: int, does: str) -> list[str]:
    shipped = str(profiles.find("sge"))
    return ["--profile", shipped, "--nolock", "--config", f"n_jobs={n_jobs}", f"does={does}"]


def traces(project: Project) -> dict[str, str]:
    return {path.name: path.read_text() for path in project.path.glob("traces/*")}


def test_jobs_get_what_they_asked_for_and_end(project: Project) -> None:
    done = project.run(*command(6, "true"))
    assert done.returncode == 0, done.output
    assert traces(project) == {str(number): "2\n" for number in range(6)}
    (script,) = project.path.glob(".relion_dispatch/jobs/one-0-*/*.run")
    assert "#$ -pe smp 2\n" in script.read_text()
    assert "#$ -l h_rt=300\n" in script.read_text()


def test_a_failure_is_told_with_exit_code_and_log(project: Project) -> None:
    done = project.run(*command(1, "echo reason >&2; exit 3"))
    assert done.returncode != 0
    message = " ".join(done.output.split())
    assert "ended as failed (failed), exit code 3, on " in message
    assert "run.err: | reason" in message


def test_a_job_that_is_deleted_has_failed(project: Project) -> None:
    head = project.start(*command(1, "sleep 600"))
    wait_until(lambda: bool(traces(project)))
    subprocess.run(["qdel", *queue()], check=True, capture_output=True)
    done = head.end()
    assert done.returncode != 0
    assert "ended as " in done.output
    assert not (project.path / "out/0").exists()


def test_ctrl_c_cancels_everything(project: Project) -> None:
    head = project.start(*command(4, "sleep 600"))
    head.wait_for(" is job ")
    os.kill(head.process.pid, signal.SIGINT)
    assert head.end().returncode != 0
    wait_until(lambda: not queue())


def test_killed_heads_lose_nothing_and_run_nothing_twice(project: Project) -> None:
    dice = random.Random(5)
    words = command(8, "sleep 0.7")
    for _ in range(3):
        project.run_and_kill(*words, after_s=dice.uniform(0, 1))
    done = project.run(*words)
    assert done.returncode == 0, done.output
    assert traces(project) == {str(number): "2\n" for number in range(8)}

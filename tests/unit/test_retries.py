"""Snakemake's own executor and its retries: each attempt is changed by what the last one died of.

A program that has RELION's own messages stands in for RELION.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relion_dispatch.healing import attempts

pytestmark = pytest.mark.slow

RELION = """#!/bin/bash
echo "$*" >>runs
case " $* " in
*" nothing.star "*) echo "ERROR: File nothing.star does not exist" >&2; exit 1 ;;
*" --gpu "*) echo "You ran out of memory on the GPU(s)." >&2; exit 1 ;;
esac
touch Class3D/job001/run_it001_model.star
"""
MPIRUN = """#!/bin/bash
while [ "${1##*/}" != relion_refine_mpi ]; do shift; done
exec "$@"
"""
PROFILE = """
cluster:
  scheduler: {submit: []}
  partitions:
    local: {cores: 8, mem_mb: 240000, gpus_per_node: 1, gpu_mem_mb: 8000}
"""
SNAKEFILE = """
from relion_dispatch.healing.continuing import begin_command
from relion_dispatch.pipeline.jobs import Planner, StepJob

OUT = "Class3D/job001/"
LINES = (
    f"`which relion_refine_mpi` --o {OUT}run --i INPUT --ref b.mrc --K 1 --pipeline_control {OUT}",
)
JOB = StepJob(
    step="class3d",
    out=OUT,
    commands=LINES,
    first=begin_command(LINES, OUT, clean=True),
    planner=Planner(profile_name="profile"),
)


rule class3d:
    output:
        f"{OUT}run_it001_model.star",
    log:
        **JOB.logs,
    params:
        **JOB.params,
    threads: JOB.threads
    resources:
        **JOB.resources,
    shell:
        "{params.job}"
"""


def run(project: Path, given: str) -> tuple[int, list[str], tuple[attempts.Attempt, ...]]:
    """Run a classification; return exit code, the program's calls, and the attempts."""
    for name, text in (("relion_refine_mpi", RELION), ("mpirun", MPIRUN)):
        path = project / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (project / "profile").mkdir()
    (project / "profile/dispatch.yaml").write_text(PROFILE)
    (project / "profile/config.yaml").write_text("executor: local\ncores: 8\nretries: 4\n")
    (project / "Snakefile").write_text(SNAKEFILE.replace("INPUT", given))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "profile"],
        cwd=project,
        env={**os.environ, "PATH": f"{project / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    calls = (project / "runs").read_text().splitlines()
    return done.returncode, calls, attempts.read(project / "Class3D/job001")


def test_each_attempt_is_smaller_until_one_fits(tmp_path: Path) -> None:
    code, calls, tried = run(tmp_path, "a.star")
    assert code == 0
    assert ["--gpu" in each for each in calls] == [True, True, True, False]
    workers = [each.asked.get("workers_per_gpu") for each in tried[1:]]
    assert workers == [2, 1, None]
    assert [each.failure for each in tried[:3]] == ["gpu_memory"] * 3


def test_what_nothing_helps_against_is_run_once(tmp_path: Path) -> None:
    code, calls, tried = run(tmp_path, "nothing.star")
    assert code != 0
    assert len(calls) == 1
    assert (tried[-1].failure, tried[-1].again) == ("bad_input", False)

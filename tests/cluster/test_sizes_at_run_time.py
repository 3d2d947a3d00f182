"""Resources that are known only when a step before has run: printed, submitted, and the same."""

from __future__ import annotations

import os
import re

import pytest

from relion_dispatch.calibration import basis
from relion_dispatch.render import clock
from tests.bench.submitting import particles
from tests.cluster.project import PROFILE, Project

pytestmark = pytest.mark.slurm

SNAKEFILE = f"""
from relion_dispatch.pipeline.jobs import Planner, StepJob

LINE = (
    "`which relion_refine` --o Class3D/job009/run --i made.star --ref map.mrc --K 4 --iter 25"
    " --sym C1 --pipeline_control Class3D/job009/"
)
CLASS3D = StepJob(
    step="class3d",
    out="Class3D/job009/",
    commands=(LINE, "touch Class3D/job009/done"),
    planner=Planner(profile_name={str(PROFILE)!r}),
)

rule class3d:
    input:
        "made.star",
    output:
        "Class3D/job009/done",
    log:
        **CLASS3D.logs,
    threads: CLASS3D.threads
    resources:
        **CLASS3D.resources,
    params:
        **CLASS3D.params,
    shell:
        "{{params.job}}"

rule particles:
    input:
        "extracted.star",
    output:
        "made.star",
    shell:
        "cp {{input}} {{output}}"
"""


@pytest.fixture
def prepared(project: Project) -> Project:
    """A project whose particles are yet to be made, and whose RELION does nothing."""
    (project.path / "Snakefile").write_text(SNAKEFILE)
    particles(project.path / "extracted.star", rows=30_000)
    programs = project.path / "bin"
    programs.mkdir()
    for name in ("relion_refine_mpi", "mpirun"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    return project


def shown(output: str) -> dict[str, str]:
    """Resources of the rule, as they are printed."""
    line = re.search(r"^rule class3d:\n(?:    .*\n)*?    resources: (.*)$", output, re.MULTILINE)
    assert line, output
    return dict(re.findall(r"(\w+)=([^,]*)", line[1]))


def test_what_is_unknown_in_a_dry_run_is_printed_and_submitted_alike(prepared: Project) -> None:
    before = shown(prepared.run("-n").output)
    done = prepared.run()
    assert done.returncode == 0, done.output
    now = shown(done.output)
    folder = prepared.path / "Class3D/job009"
    script = (folder / "run_submit.script.run").read_text()

    assert before["mem_mb"] == before["slurm_partition"] == "<TBD>"
    assert "<TBD>" not in {now[name] for name in ("tasks", "nodes", "gpu", "mem_mb", "runtime")}
    wanted = (
        f"ntasks={now['tasks']}",
        f"nodes={now['nodes']}",
        f"cpus-per-task={now['cpus_per_task']}",
        f"gres=gpu:{now['gpu']}",
        f"mem={now['mem_mb']}M",
        f"time={clock(int(now['runtime']))}",
        f"partition={now['slurm_partition']}",
    )
    assert {f"#SBATCH --{each}" for each in wanted} <= set(script.splitlines())
    # What sizes learn from, once the job has ended.
    left = basis.read(folder / "run_submit.script.json")
    assert left is not None
    assert (left.mem_mb, left.problem.n_particles) == (int(now["mem_mb"]), 30_000)
    assert (folder / "run.jobid").read_text().strip().isdigit()

"""The pipeline and RELION's window: one job, one cluster, one script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from relion_dispatch.resources import workflow_dir
from tests.bench import submitting
from tests.cluster.project import Project, relion_dispatch
from tests.unit.rules_reader import Rule, rules

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).resolve().parents[2]
M3 = ROOT / "profiles" / "m3"

#: The real workflow, but for the look at the user's files, which are stand-ins here.
SNAKEFILE = f"""
include: "{workflow_dir() / "Snakefile"}"

onstart:
    pass
"""


@pytest.fixture
def prepared(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of the particles' scenario, in which MPI programs fail at once."""
    monkeypatch.chdir(project.path)
    config = (ROOT / "tests" / "scenarios" / "particles.yaml").read_text()
    (project.path / "config.yaml").write_text(config)
    (project.path / "Snakefile").write_text(SNAKEFILE)
    for name in ("particles.star", "corrected_micrographs.star", "model.mrc"):
        (project.path / name).touch()
    programs = project.path / "bin"
    programs.mkdir()
    (programs / "mpirun").write_text("#!/bin/sh\nexit 1\n")
    (programs / "mpirun").chmod(0o755)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    return project


def with_inputs(project: Project, name: str) -> Rule:
    """Read a rule of the workflow, and make the files that it needs."""
    rule = rules(yaml.safe_load(project.read("config.yaml"))).rules[name]
    for file in rule.files("input"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".star"):
            submitting.particles(Path(file), rows=30_000)
        else:
            Path(file).touch()
    return rule


def by_the_pipeline(project: Project, rule: Rule) -> str:
    """Let Snakemake submit a rule's job; return the script that Slurm was given."""
    done = project.run(
        *("--profile", str(M3), "--latency-wait", "0", "--allowed-rules", rule.name),
        *("--", rule.files("output")[0]),
    )
    folder = Path(rule.files("log")[0]).parent
    script = project.path / folder / "run_submit.script.run"
    assert script.exists(), done.output
    return script.read_text()


def by_the_window(project: Project, rule: Rule) -> str:
    """Return the script for a file with a rule's commands, as RELION's window writes it."""
    logs = rule.values("log")
    asked = Path(logs["out"]).parent / "run_submit.script"
    commands = rule.values("params")["relion"](None, None)
    asked.write_text("\n".join([logs["out"], logs["err"], *commands, ""]))
    done = relion_dispatch("submit", "--profile", M3, "--dry-run", asked, cwd=project.path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_job_is_one_script_by_both_doors(prepared: Project) -> None:
    rule = with_inputs(prepared, "refine3d")
    script = by_the_pipeline(prepared, rule)

    assert by_the_window(prepared, rule) == script
    assert "#SBATCH --gres=gpu:2\n" in script
    assert "--auto_refine" in script

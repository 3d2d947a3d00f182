"""What ``snakemake -n`` prints is what gets submitted, for every step of a whole pipeline."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.settings.types import SharedFSUsage

from relion_dispatch import processes
from relion_dispatch.engine import plan
from relion_dispatch.healing import attempts
from relion_dispatch.pipeline.jobs import RESOURCES
from relion_dispatch.profiles import load_profile
from snakemake_executor_plugin_relion_dispatch import jobs
from tests.demo import runner
from tests.pipeline.conftest import Finished
from tests.unit.rules_reader import Rule, rules

pytestmark = [pytest.mark.relion, pytest.mark.workflow]

RULE = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", re.MULTILINE)
DIRECTIVES = {
    "ntasks": "tasks",
    "nodes": "nodes",
    "cpus-per-task": "cpus_per_task",
    "mem": "mem_mb",
    "partition": "slurm_partition",
}
#: Steps of the demonstration's project that RELION does.
RELION_STEPS = 20


class Named(list[Any]):
    """Snakemake's lists whose items have names."""

    def __init__(self, named: dict[str, Any]) -> None:
        super().__init__(named.values())
        self.get = named.get


@dataclass(frozen=True)
class Workflow:
    """What the executor looks at in Snakemake's workflow: nobody has set resources by hand."""

    deployment_settings = SimpleNamespace(deployment_method=set[Any]())
    storage_settings = SimpleNamespace(shared_fs_usage=SharedFSUsage.all())
    workflow_settings = SimpleNamespace(cache=None)
    resource_settings = SimpleNamespace(overwrite_resources=dict[str, Any]())


def printed(project: Path, profile: str, *options: str) -> dict[str, dict[str, str]]:
    """Return what a dry run of all rules prints of each rule's resources."""
    return {
        name: {key: value for key, value in each.items() if key in RESOURCES}
        for name, each in blocks(project, profile, *options).items()
    }


def blocks(project: Path, profile: str, *options: str) -> dict[str, dict[str, str]]:
    """Return all resources and the threads that a dry run prints of each rule."""
    command = [sys.executable, "-m", "snakemake", "-n", "--forceall", "--nolock"]
    folder = runner.ROOT / "profiles" / profile
    done = processes.run([*command, "--profile", str(folder), *options], timeout_s=300, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for name, block in RULE.findall(done.stdout + done.stderr):
        line = re.search(r"^    resources: (.*)$", block, re.MULTILINE)
        pairs = (pair.split("=", 1) for pair in (line[1] if line else "").split(", "))
        threads = re.search(r"^    threads: (\d+)$", block, re.MULTILINE)
        found[name] = {**dict(pairs), "threads": threads[1] if threads else "1"}
    return found


def submitted(rule: Rule, profile: str, attempt: int) -> dict[str, str]:
    """Return the directives of the script that the executor submits for a rule's job."""
    params = {
        name: value(None, None) if name != "science" else None
        for name, value in rule.values("params").items()
        if name != "job"
    }
    job = SimpleNamespace(
        rule=SimpleNamespace(name=rule.name, shellcmd="x", script=None, cache=False, resources={}),
        name=rule.name,
        is_shell=True,
        is_shadow=False,
        is_group=lambda: False,
        benchmark=None,
        pipe_or_service_output=set(),
        wildcards_dict={},
        input=Named({str(n): each for n, each in enumerate(rule.files("input"))}),
        output=Named({str(n): each for n, each in enumerate(rule.files("output"))}),
        log=Named(rule.values("log")),
        params=Named(params),
        non_derived_params=[],
        resources={},
        threads=1,
        attempt=attempt,
        shellcmd="x",
    )
    executor: Any = SimpleNamespace(workflow=Workflow())
    script = plan(jobs.describe(job, executor).request, load_profile(profile)).script
    return dict(directives(script))


def directives(script: str) -> Iterator[tuple[str, str]]:
    """Read a script's directives, in Snakemake's words."""
    for name, value in re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE):
        if name == "gres":
            yield "gpus_per_node", value.removeprefix("gpu:")
        elif name == "time":
            days, _, clock = value.rpartition("-")
            hours, minutes, _ = clock.split(":")
            yield "runtime", str(int(days or 0) * 1440 + int(hours) * 60 + int(minutes))
        elif name in DIRECTIVES:
            yield DIRECTIVES[name], value.removesuffix("M")


def as_directives(resources: dict[str, str]) -> dict[str, str]:
    """Turn Snakemake's resources into what directives say."""
    gpus = int(resources["gpu"]) // int(resources["nodes"])
    rest = {name: value for name, value in resources.items() if name != "gpu"}
    return {**rest, **({"gpus_per_node": str(gpus)} if gpus else {})}


@pytest.fixture
def steps(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> dict[str, Rule]:
    """The rules of a finished project that give RELION commands, and whose input is there."""
    monkeypatch.chdir(finished.project)
    config = yaml.safe_load(Path("config.yaml").read_text())
    return {
        name: rule
        for name, rule in rules(config).rules.items()
        if "relion" in rule.values("params")
        and all(map(Path.exists, map(Path, rule.files("input"))))
    }


@pytest.mark.parametrize("profile", ["m3", "slurm"])
def test_a_dry_run_prints_what_is_submitted(
    finished: Finished, steps: dict[str, Rule], profile: str
) -> None:
    told = printed(finished.project, profile)
    assert len(steps) >= RELION_STEPS
    assert set(steps) <= set(told)
    for name, rule in steps.items():
        assert as_directives(told[name]) == submitted(rule, profile, 1), name


@pytest.mark.parametrize("cores", [1, 2])
def test_on_this_machine_steps_keep_to_snakemakes_cores(
    finished: Finished, steps: dict[str, Rule], cores: int
) -> None:
    told = blocks(finished.project, "local", f"--cores={cores}")
    for name in steps:
        busy = int(told[name]["tasks"]) * int(told[name]["cpus_per_task"])
        # Two halves take two workers and a leader, who computes nothing.
        assert busy <= cores or told[name]["tasks"] == "3", name
        assert int(told[name]["threads"]) == min(busy, cores), name


def test_another_attempt_asks_for_what_is_submitted(
    finished: Finished, steps: dict[str, Rule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second attempt without a word about the first, from which more could be learned.
    untold = shutil.ignore_patterns(attempts.JOURNAL, ".snakemake")
    folder = shutil.copytree(
        finished.project, tmp_path / "untold", ignore=untold, copy_function=os.symlink
    )
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["snakemake", "--profile", "m3"])
    config = yaml.safe_load(Path("config.yaml").read_text())
    grown = 0
    for name, rule in rules(config).rules.items():
        if name not in steps:
            continue
        asked = {
            each: str(resource(None, attempt=2, input=rule.files("input")))
            for each, resource in rule.values("resources").items()
        }
        assert as_directives(asked) == submitted(rule, "m3", 2), name
        grown += asked["mem_mb"] != submitted(rule, "m3", 1)["mem_mb"]
    assert grown > RELION_STEPS / 2

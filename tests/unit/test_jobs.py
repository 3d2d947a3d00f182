from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.rules import Rule

from relion_dispatch.pipeline.commandline import RUNNING_OPTIONS
from relion_dispatch.pipeline.in_use import profile_in_use
from relion_dispatch.pipeline.jobs import (
    RESOURCES,
    Planner,
    StepJob,
    portable,
    tracked,
)
from relion_dispatch.pipeline.versions import Version
from relion_dispatch.this_python import python_command
from tests.unit.pipeline_chain import chain, settings_with

COMMANDS = ("`which relion_refine` --o Class3D/job032/run --pool 3 --K 4", "echo done")
local = Planner(profile_name="local")


def job(**changes: Any) -> StepJob:
    values: dict[str, Any] = {
        "step": "class3d",
        "out": "Class3D/job032/",
        "commands": COMMANDS,
        "planner": local,
        "first": "echo first",
    }
    return StepJob(**values | changes)


# -------------------------------------------------------------------------------- which profile


@pytest.mark.parametrize(
    "words,profile",
    [
        ([], "local"),
        (["-n", "--cores", "2"], "local"),
        (["--profile", "m3"], "m3"),
        (["--profile=m3"], "m3"),
        (["-n", "--profile", "profiles/m3", "all"], "profiles/m3"),
        (["--prof", "m3"], "m3"),
        (["--profil=m3"], "m3"),
        (["--profile", "m3", "--profile", "my own"], "my own"),
        (["--profile", "none"], "local"),
        (["--profile", "profiles/m3/config.yaml"], "profiles/m3"),
        (["--profile", "config.v9+.yaml"], "."),
        (["--workflow-profile", "m3"], "local"),
        (["--profiles", "m3"], "local"),
        (["--", "--profile", "m3"], "local"),
        (["--profile"], "local"),
        (["--profile", "m3", "--relion-dispatch-profile", "site/m3"], "site/m3"),
        (["--relion-dispatch-prof=site/m3"], "site/m3"),
    ],
)
def test_the_profile_is_read_as_snakemake_reads_it(words: list[str], profile: str) -> None:
    assert profile_in_use(["snakemake", *words], {}) == profile


@pytest.mark.parametrize(
    "words,environ,remote,profile",
    [
        ([], {"SNAKEMAKE_PROFILE": "m3"}, False, "m3"),
        (["--profile", "slurm"], {"SNAKEMAKE_PROFILE": "m3"}, False, "slurm"),
        (["--profile", "none"], {"SNAKEMAKE_PROFILE": "m3"}, False, "local"),
        ([], {"SNAKEMAKE_PROFILE": "none"}, False, "local"),
        ([], {"SNAKEMAKE_PROFILE": ""}, False, "local"),
        ([], {"RELION_DISPATCH_PROFILE": "/site/m3"}, True, "/site/m3"),
        ([], {"RELION_DISPATCH_PROFILE": "/site/m3"}, False, "local"),
        ([], {"SNAKEMAKE_PROFILE": "m3", "RELION_DISPATCH_PROFILE": "fmi"}, True, "m3"),
    ],
)
def test_the_profile_from_the_environment(
    words: list[str], environ: dict[str, str], remote: bool, profile: str
) -> None:
    assert profile_in_use(["snakemake", *words], environ, remote=remote) == profile


# ----------------------------------------------------------------------------------- parameters


def test_snakemake_compares_the_science_and_nothing_else() -> None:
    derived = {name: Rule._is_deriving_function(value) for name, value in job().params.items()}
    assert [name for name, follows in derived.items() if not follows] == ["science"]
    judged = {name: Rule._is_deriving_function(value) for name, value in tracked("x").items()}
    assert [name for name, follows in judged.items() if not follows] == ["science"]


def science(made: StepJob) -> list[str]:
    found: list[str] = made.params["science"](SimpleNamespace())
    return found


def test_the_science_is_the_commands_without_how_they_run() -> None:
    assert science(job()) == ["`which relion_refine` --o Class3D/job032/run --K 4", "echo done"]


@pytest.mark.parametrize("version", ["3.1", "5.0"])
def test_no_running_option_is_science(version: str) -> None:
    compute = {
        "pool": 30,
        "scratch_dir": "/my scratch/$USER",
        "parallel_disc_io": False,
        "combine_through_disc": True,
    }
    number = Version.parse(version)
    usual = chain(settings_with(), number)
    other = chain(settings_with({"compute": compute}), number)
    assert usual != other
    for step, commands in other.items():
        text = science(job(commands=commands))
        assert text == science(job(commands=usual[step])), step
        assert not RUNNING_OPTIONS & set(" ".join(text).split()), step


def test_what_comes_first_is_no_science() -> None:
    assert job().lines == ("echo first", *COMMANDS)
    assert job(first="").lines == COMMANDS
    assert science(job()) == science(job(first=""))


def test_parameters_are_read_when_they_are_asked_for() -> None:
    params = job(data={"box": 80}).params
    assert params["relion"](None, None) == ["echo first", *COMMANDS]
    assert params["data"](None, None) == {"box": 80}


def test_a_moved_installation_is_the_same_science(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for folder in ("/opt/a", "/home/me/my env/bin"):
        monkeypatch.setattr(sys, "executable", f"{folder}/python")
        command = python_command("pipeline.judge", "--step", "class3d", "--map", "/data/map.mrc")
        assert command.startswith(("/opt/a/python -P -m", "'/home/me/my env/bin/python' -P -m"))
        found.add(portable(command).replace("'python'", "python"))
    words = "--step class3d --map /data/map.mrc"
    assert found == {f"python -m relion_dispatch.pipeline.judge {words}"}


def test_a_python_without_a_folder_changes_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert portable("cat /a/b") == "cat /a/b"


# ----------------------------------------------------------------------------------------- plans


class Recorder(Planner):
    """Counts its plans, and makes them of the attempt alone."""

    attempts: list[int] = []  # noqa: RUF012 (set anew in each test)

    def plan(self, job: StepJob, attempt: int, data: object = None, rule: str = "") -> Any:  # noqa: ARG002
        self.attempts.append(attempt)
        return SimpleNamespace(
            ntasks=3,
            cpus_per_task=1000 * attempt,
            body=f"attempt {attempt}",
            resources=lambda: {"tasks": 3, "mem_mb": 1000 * attempt},
        )


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(Recorder, "attempts", [])
    return Recorder(profile_name="local")


def test_nothing_is_planned_before_it_is_asked_for(recorder: Recorder) -> None:
    made = job(planner=recorder)
    params, resources, threads = made.params, made.resources, made.threads
    params["science"](None)
    assert recorder.attempts == []
    assert params["job"](None, None) == "attempt 1"
    assert resources["mem_mb"](None, attempt=1) == 1000
    assert threads(None, attempt=1) == os.cpu_count()
    assert recorder.attempts == [1]


def test_another_attempt_is_another_plan(recorder: Recorder) -> None:
    made = job(planner=recorder)
    assert [made.resources["mem_mb"](None, attempt=n) for n in (1, 2, 2)] == [1000, 2000, 2000]
    assert recorder.attempts == [1, 2]


def test_resources_without_a_value_are_nothing(recorder: Recorder) -> None:
    found = {
        name: value(None, attempt=1) for name, value in job(planner=recorder).resources.items()
    }
    assert set(found) == set(RESOURCES)
    assert (found["tasks"], found["gpu"], found["slurm_partition"]) == (3, 0, "")


def test_a_step_is_planned_by_the_engine(tmp_path: Path) -> None:
    refine = chain(settings_with(), Version.parse("3.1"))["refine3d"]
    planner = Planner(profile_name="m3", sizing={"refine3d": {"nproc": 5}}, project=tmp_path)
    made = job(
        step="refine3d",
        out="Refine3D/job035/",
        commands=refine,
        planner=planner,
        data={"box": 64, "angpix": 3.0, "n_particles": 1000},
    )
    plan = made.plan()
    assert plan.ntasks == 5
    assert plan.relion_job == "Refine3D"
    assert plan.outfile == made.logs["out"] == "Refine3D/job035/run.out"
    assert "echo first" in plan.body
    assert "relion_refine_mpi" in plan.body
    known = made.plan().resources()
    assert set(known) <= set(RESOURCES)
    assert made.resources["tasks"](None, attempt=1) == 5


def test_jobs_side_by_side_share_this_machine(tmp_path: Path) -> None:
    start = chain(settings_with(), Version.parse("3.1"))["initial_model"]
    planner = Planner(profile_name="local", project=tmp_path)
    values: dict[str, Any] = {
        "step": "initial_model",
        "out": "InitialModel/job012/",
        "commands": start,
        "planner": planner,
        "data": {"box": 64, "angpix": 3.0, "n_particles": 1000},
    }
    alone, many = job(**values).plan(), job(**values, concurrent=1000).plan()
    assert alone.ntasks * alone.cpus_per_task == (os.cpu_count() or 1)
    assert many.ntasks * many.cpus_per_task == 1

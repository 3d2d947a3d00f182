"""What the executor makes of Snakemake's jobs; jobs are stand-ins with the same attributes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.io import pipe, touch
from snakemake.settings.types import DeploymentMethod, SharedFSUsage

from relion_dispatch.errors import InputError
from snakemake_executor_plugin_relion_dispatch import identity, jobs


class Named(list[Any]):
    """Snakemake's lists whose items may have names."""

    def __init__(self, *items: Any, **named: Any) -> None:
        super().__init__([*items, *named.values()])
        self.named = named

    def get(self, name: str, default: Any = None) -> Any:
        return self.named.get(name, default)


def shell_job(**changes: Any) -> Any:
    rule = SimpleNamespace(
        name="one",
        shellcmd="touch {output}",
        script=None,
        notebook=None,
        wrapper=None,
        cache=False,
        resources={"tmpdir": SimpleNamespace(raw="system_tmpdir")},
    )
    values: dict[str, Any] = {
        "rule": rule,
        "name": "one",
        "is_shell": True,
        "is_shadow": False,
        "is_group": lambda: False,
        "benchmark": None,
        "conda_env": None,
        "container_img_url": None,
        "env_modules": None,
        "pipe_or_service_output": set(),
        "wildcards_dict": {"i": "3"},
        "input": Named("in.star"),
        "output": Named("out.star"),
        "log": Named(),
        "params": Named(),
        "non_derived_params": [],
        "resources": {"mem_mb": 500, "tmpdir": "<TBD>"},
        "threads": 2,
        "attempt": 1,
        "shellcmd": "touch out.star",
    }
    return SimpleNamespace(**{**values, **changes})


def executor(set_resources: Mapping[str, Any] | None = None) -> Any:
    workflow = SimpleNamespace(
        deployment_settings=SimpleNamespace(deployment_method=set()),
        storage_settings=SimpleNamespace(shared_fs_usage=SharedFSUsage.all()),
        workflow_settings=SimpleNamespace(cache=None),
        resource_settings=SimpleNamespace(overwrite_resources=set_resources or {}),
    )
    return SimpleNamespace(workflow=workflow, format_job_exec=lambda job: "python -m snakemake x")


def test_a_shell_job_runs_as_it_is() -> None:
    work = jobs.describe(shell_job(), executor())
    assert work.request.commands[-1] == "bash -c 'set -euo pipefail; touch out.star'"
    assert "OMP_NUM_THREADS=2" in work.request.commands[0]
    assert work.request.overrides == {
        "job_type": "plain",
        "nproc": 1,
        "nthread": 2,
        "mem": "500M",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"is_group": lambda: True},
        {"is_shell": False},
        {"benchmark": "bench.txt"},
        {"is_shadow": True},
        {"pipe_or_service_output": {"pipe"}},
        {"input": Named(SimpleNamespace(is_storage=True))},
        {"resources": {"shell_exec": "zsh"}},
        {"shellcmd": "sort -T <TBD> x"},
    ],
)
def test_some_jobs_need_snakemake_on_the_node(changes: dict[str, Any]) -> None:
    assert jobs.why_wrapped(shell_job(**changes), executor().workflow)


def test_a_temporary_directory_is_seen_to_by_snakemake() -> None:
    job = shell_job()
    job.rule.resources = {"tmpdir": SimpleNamespace(raw="'/scratch'")}
    assert jobs.why_wrapped(job, executor().workflow) == "a temporary directory of its own"
    job.params = Named(relion=["relion_refine"])
    assert not jobs.why_wrapped(job, executor().workflow)


def test_software_needs_snakemake_only_where_it_is_deployed() -> None:
    job = shell_job(conda_env="env", container_img_url="docker://x", env_modules="relion")
    workflow = executor().workflow
    assert not jobs.why_wrapped(job, workflow)
    for method in DeploymentMethod.all():
        workflow.deployment_settings.deployment_method = {method}
        assert jobs.why_wrapped(job, workflow)


def test_without_a_shared_file_system_all_jobs_are_wrapped() -> None:
    workflow = executor().workflow
    workflow.storage_settings.shared_fs_usage = frozenset({SharedFSUsage.SOURCES})
    assert jobs.why_wrapped(shell_job(), workflow) == "no shared file system"


def test_relion_commands_go_to_the_engine_as_they_are() -> None:
    commands = ["`which relion_refine_mpi` --o Class3D/job020/run", "echo x"]
    job = shell_job(
        params=Named(relion=commands, data={"box": 48}),
        log=Named(out="Class3D/job020/run.out", err="Class3D/job020/run.err"),
        resources={"mem_mb": 9000, "runtime": 70, "tasks": 5},
        attempt=2,
    )
    work = jobs.describe(job, executor({"one": {"mem_mb": "9000", "runtime": "70"}}))
    request = work.request
    assert request.commands == tuple(commands)
    assert (request.outfile, request.errfile) == (
        "Class3D/job020/run.out",
        "Class3D/job020/run.err",
    )
    assert request.overrides == {"mem": "9000M", "runtime": 70}  # tasks came from the engine
    assert request.attempt == 2
    assert request.data is not None
    assert request.data.box == 48
    assert work.script == Path("Class3D/job020/run_submit.script.run")
    assert work.label == "Class3D-job020"


def test_options_that_are_no_words_are_named() -> None:
    job = shell_job(resources={"slurm_extra": "--comment='no end"})
    with pytest.raises(InputError, match=r"rule one: slurm_extra.*--comment='no end"):
        jobs.describe(job, executor())


def test_a_job_is_complete_without_what_snakemake_touches_and_removes(tmp_path: Path) -> None:
    written = tmp_path / "written"
    others = touch(str(tmp_path / "touched")), pipe(str(tmp_path / "pipe"))
    job = shell_job(output=Named(str(written), *others))
    assert not identity.is_complete(job)
    written.touch()
    assert identity.is_complete(job)


def test_relion_commands_must_be_a_list() -> None:
    with pytest.raises(InputError, match=r"rule one: params\.relion must be a list"):
        jobs.describe(shell_job(params=Named(relion="relion_refine")), executor())


def test_a_very_long_command_goes_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = jobs.describe(shell_job(shellcmd=f"echo {'x' * 200_000}"), executor())
    assert len(work.request.commands[-1]) < 200
    script = work.request.commands[-1].removeprefix("bash ")
    assert Path(script).read_text().startswith("set -euo pipefail; echo xxx")


def test_options_that_no_parameter_stands_for_go_to_the_submit_command() -> None:
    resources = {"slurm_account": "ab12", "qos": "gpu", "slurm_extra": "--mail-user='a b'"}
    work = jobs.describe(shell_job(resources=resources), executor())
    assert work.submit_options == ("--account=ab12", "--qos=gpu", "--mail-user=a b")


def test_jobs_are_told_apart_and_known_again() -> None:
    assert identity.identity(shell_job()) == identity.identity(shell_job(threads=8, attempt=3))
    assert identity.identity(shell_job()) != identity.identity(shell_job(wildcards_dict={"i": "4"}))
    assert identity.identity(shell_job()) != identity.identity(shell_job(output=Named("other")))


def test_a_fingerprint_changes_with_command_parameters_and_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.star").write_text("a")
    first = identity.fingerprint(shell_job())
    assert identity.fingerprint(shell_job(threads=8, resources={"mem_mb": 9})) == first
    assert identity.fingerprint(shell_job(non_derived_params=[["--K", 4]])) != first
    other_rule = SimpleNamespace(**{**vars(shell_job().rule), "shellcmd": "cp {input} {output}"})
    assert identity.fingerprint(shell_job(rule=other_rule)) != first
    Path("in.star").write_text("ab")
    assert identity.fingerprint(shell_job()) != first


def test_objects_without_a_lasting_form_do_not_change_a_fingerprint() -> None:
    one = identity.fingerprint(shell_job(non_derived_params=[{"x": object()}]))
    assert identity.fingerprint(shell_job(non_derived_params=[{"x": object()}])) == one


def test_snakemake_starts_without_the_engine() -> None:
    code = (
        "import sys, snakemake_executor_plugin_relion_dispatch\n"
        "print(*(m for m in sys.modules if m.split('.')[0] in"
        " {'jinja2', 'numpy', 'pandas', 'yaml', 'starfile', 'relion_dispatch'}))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout
    assert set(shown.split()) <= {"relion_dispatch", "relion_dispatch.errors"}

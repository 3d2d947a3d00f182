"""The lines that run a job, run for real: markers, exit code, reason, output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from relion_dispatch.body import Script, body

STRICT = "set -euo pipefail\n"  # as Snakemake's shell runs it


def script(*commands: str, folder: str = "Class2D/job006", **more: object) -> Script:
    return Script(
        job_dir=f"{folder}/",
        outfile=f"{folder}/run.out",
        errfile=f"{folder}/run.err",
        exit_file=f"{folder}/run.exit",
        commands=commands,
        **more,  # type: ignore[arg-type]
    )


class Job:
    """A job's directory after its lines have run."""

    def __init__(self, project: Path, folder: str = "Class2D/job006") -> None:
        self.project, self.path = project, project / folder

    def run(self, lines: str, path: str | None = None) -> int:
        env = {**os.environ, "PATH": path or os.environ["PATH"]}
        done = subprocess.run(
            ["bash", "-c", STRICT + lines], cwd=self.project, env=env, check=False
        )
        return done.returncode

    @property
    def markers(self) -> list[str]:
        return sorted(p.name for p in self.path.glob("RELION_JOB_EXIT_*"))

    def text(self, name: str) -> str:
        return (self.path / name).read_text()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_success_is_marked(job: Job) -> None:
    assert job.run(body(script("echo hello", "echo problem >&2", "echo world"))) == 0

    assert job.markers == ["RELION_JOB_EXIT_SUCCESS"]
    assert job.text("run.exit") == "0\n"
    assert job.text("run.out").splitlines()[:2] == ["hello", "world"]
    assert job.text("run.err") == "problem\n"


@pytest.mark.parametrize("command", ["true", "false"])
@pytest.mark.parametrize("gui", [True, False])
def test_an_open_gui_is_told_that_a_job_has_ended(job: Job, command: str, gui: bool) -> None:
    if gui:
        (job.project / "default_pipeline.star").touch()
    job.run(body(script(command)))

    assert (job.project / ".pipeline_has_changed").exists() == gui


@pytest.mark.parametrize(
    "line, code",
    [
        ("exit 3", 3),
        ("(exit 7)", 7),
        ("false && echo never", 1),
        ("false | cat", 1),
        ("false; echo never", 1),
        ("no_such_program --i a", 127),
    ],
)
def test_the_first_failure_ends_the_job(job: Job, line: str, code: int) -> None:
    assert job.run(body(script("echo before", line, "echo after"))) == code

    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]
    assert job.text("run.exit") == f"{code}\n"
    out = job.text("run.out")
    assert "before" in out
    assert "never" not in out
    assert "after\n" not in out
    assert f"relion-dispatch: exit code {code} (" in job.text("run.err")


def test_the_reason_names_the_command(job: Job) -> None:
    job.run(body(script("no_such_program --i 'a b'")))

    assert job.text("run.err").splitlines()[-2:] == [
        "relion-dispatch: failed: no_such_program --i 'a b'",
        "relion-dispatch: exit code 127 (a program is missing or cannot be run)",
    ]


def test_a_missing_relion_is_said_before_anything_runs(job: Job) -> None:
    bare = os.pathsep.join({str(Path(shutil.which(p) or "").parent) for p in ("bash", "mkdir")})
    lines = body(script("echo started", "mpirun -n 3 `which relion_no_such_mpi` --o a --j 2"))

    assert job.run(lines, path=bare) == 127
    assert "relion_no_such_mpi is not on PATH" in job.text("run.err")
    assert "started" not in job.text("run.out")


def test_what_a_former_run_left_is_gone_or_kept(job: Job) -> None:
    job.path.mkdir(parents=True)
    for name in ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_ABORTED", "run.exit"):
        (job.path / name).touch()
    (job.path / "run.out").write_text("the former run\n")

    assert job.run(body(script("[ ! -e Class2D/job006/run.exit ]", "false"))) == 1
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]
    assert job.text("run.out").startswith("the former run\n")


def test_relions_own_markers_are_believed(job: Job) -> None:
    failed = "touch Class2D/job006/RELION_JOB_EXIT_FAILURE"
    assert job.run(body(script(failed))) == 1
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]
    assert job.text("run.exit") == "1\n"

    assert job.run(body(script("touch Class2D/job006/RELION_JOB_EXIT_ABORTED"))) == 0
    assert job.markers == ["RELION_JOB_EXIT_ABORTED"]


def test_success_of_a_first_program_is_taken_back(job: Job) -> None:
    succeeded = "touch Class2D/job006/RELION_JOB_EXIT_SUCCESS"

    assert job.run(body(script(succeeded, "exit 9"))) == 9
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]


@pytest.mark.parametrize("folder", ["Class 2D/it's", 'a "b" $HOME `c`/j', "Größe/ξ*", "a\\b"])
def test_odd_paths(tmp_path: Path, folder: str) -> None:
    job = Job(tmp_path, folder)

    assert job.run(body(script("echo hello", folder=folder))) == 0
    assert job.markers == ["RELION_JOB_EXIT_SUCCESS"]
    assert job.text("run.out").startswith("hello\n")


def test_variables_of_a_command_may_be_unset_as_in_relions_own_shell(job: Job) -> None:
    assert job.run(body(script("echo [$NOBODY_SETS_THIS]"))) == 0
    assert job.text("run.out").startswith("[]\n")


def test_the_environment_is_set_first(job: Job) -> None:
    lines = body(script("echo $ONE $TWO", environment={"ONE": "a b", "TWO": "$HOME"}))

    assert job.run(lines) == 0
    assert job.text("run.out").startswith("a b $HOME\n")


def test_without_a_module_command_the_path_is_taken_as_it_is(job: Job) -> None:
    lines = body(script("echo hello", modules=("no/such/module",), info=True, job_type="class2d"))

    job.run(lines)
    assert "relion-dispatch: class2d on" in job.text("run.out")
    assert "no/such/module" in job.text("run.err") + job.text("run.out")


def test_a_terminated_job_is_marked_as_failed(job: Job) -> None:
    lines = STRICT + body(script("echo begun; sleep 600"))
    process = subprocess.Popen(["bash", "-c", lines], cwd=job.project, start_new_session=True)
    while not (job.path / "run.out").exists() or "begun" not in job.text("run.out"):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)

    assert process.wait(timeout=60) == 143
    assert job.markers == ["RELION_JOB_EXIT_FAILURE"]
    assert "cancelled, or out of time" in job.text("run.err")


def test_hosts_of_several_nodes_are_laid_out(job: Job) -> None:
    lines = body(
        script('echo "$hosts"', hosts_command="printf 'n1\\nn2\\nn3\\n'", ranks_on=(9, 8, 8))
    )

    assert job.run(lines) == 0
    assert job.text("run.out").startswith("n1:9,n2:8,n3:8\n")


def test_every_rank_has_its_node_where_the_launcher_wants_that(job: Job) -> None:
    lines = body(
        script('echo "$rank_hosts"', hosts_command="printf 'n1\\nn2\\nn3\\n'", ranks_on=(3, 2, 2))
    )

    assert job.run(lines) == 0
    assert job.text("run.out").startswith("n1,n1,n1,n2,n2,n3,n3\n")

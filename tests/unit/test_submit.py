"""Submission and the command line: what is written, said and returned."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from relion_dispatch import cli
from relion_dispatch.errors import SchedulerError
from relion_dispatch.fields import EXTRAS
from relion_dispatch.plan import JSON_KEYS
from relion_dispatch.submit import Submission, submit

FOLDER = "Class2D/job006"
LINE = (
    "`which relion_refine` --o Class2D/job006/run --i a.star --K 2"
    " --pipeline_control Class2D/job006/"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project with a job's directory, where nothing else gets in the way."""
    (tmp_path / FOLDER).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("RELION_"):
            monkeypatch.delenv(name)
    return tmp_path


def write(*lines: str, comments: str = "") -> str:
    path = Path(FOLDER, "run_submit.script")
    path.write_text("\n".join([f"{FOLDER}/run.out", f"{FOLDER}/run.err", comments, *lines]) + "\n")
    return str(path)


def scheduler(project: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = project / "bin/sbatch"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capfd.readouterr()
    return code, out, err


def test_what_the_scheduler_prints_is_passed_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler(project, monkeypatch, 'echo "Submitted batch job 7"; [ -e seen ] || ls "$1" >seen')
    stale = project / FOLDER / "RELION_JOB_EXIT_FAILURE"
    stale.touch()
    script = write(LINE)

    assert run(capfd, "submit", "--profile", "m3", script) == (0, "Submitted batch job 7\n", "")
    assert (project / "seen").read_text() == f"{script}.run\n"
    assert os.access(f"{script}.run", os.X_OK)
    assert not stale.exists()


def test_a_refusal_is_left_where_the_gui_looks(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler(project, monkeypatch, 'echo "invalid partition specified: m3h" >&2; exit 1')
    (project / FOLDER / "run.err").write_text("the former run\n")
    code, _, err = run(capfd, "submit", "--profile", "m3", write(LINE))

    assert code == 5
    assert "invalid partition specified: m3h" in err
    left = (project / FOLDER / "run.err").read_text()
    assert left.startswith("the former run\n")
    assert "invalid partition specified: m3h" in left
    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()


def test_a_missing_scheduler_is_left_there_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(SchedulerError, match="'sbatch' is not on PATH"):
        submit(Submission(script=write(LINE), profile="m3"))

    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()


@pytest.mark.parametrize(
    "line, profile, code, reason",
    [
        ("`which relion_frobnicate` --i a", "m3", 3, "no job type matches 'relion_frobnicate'"),
        (LINE, "m4", 2, "no profile 'm4'"),
        ("relion_refine --i 'a", "m3", 2, "run_submit.script"),
    ],
)
def test_whatever_is_wrong_is_left_there(
    project: Path, line: str, profile: str, code: int, reason: str
) -> None:
    (project / "default_pipeline.star").touch()
    assert cli.main(["submit", "--profile", profile, write(line)]) == code
    assert reason in (project / FOLDER / "run.err").read_text()
    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()
    assert (project / ".pipeline_has_changed").exists()


def test_a_script_of_another_template_is_left_there_too(project: Path) -> None:
    """RELION's window remembers the template of an earlier day."""
    script = Path(FOLDER, "run_submit.script")
    script.write_text(f"#!/bin/csh\n#$ -o {FOLDER}/run.out\nmpirun {LINE}\n")

    assert cli.main(["submit", "--profile", "m3", str(script)]) == 2
    assert "set 'Standard submission script' to" in (project / FOLDER / "run.err").read_text()
    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()


@pytest.mark.parametrize(
    "cluster, template, reason",
    [
        ("launcher: 'mpirun -n {nproc}'", "{{ job.body }}", "between braces may stand {ntasks}"),
        ("gres: 'gpu:{kind}'", "{{ job.body }}", "between braces may stand {gpus}, {gpu_type}"),
        ("modules: []", "one\n{{ job.nproc + job.mem }}", "submit.sh.j2:2: unsupported operand"),
        ("modules: []", '{% extends "submit.sh.j2" %}', "submit.sh.j2:1: it extends itself"),
    ],
)
def test_a_profile_that_is_wrong_is_left_there_too(
    project: Path, cluster: str, template: str, reason: str
) -> None:
    profile = project / "profile"
    (profile / "templates").mkdir(parents=True)
    node = "{cores: 8, mem_mb: 64000, gpus_per_node: 2}"
    (profile / "dispatch.yaml").write_text(
        f"cluster:\n  partitions: {{gpu: {node}}}\n  {cluster}\n"
    )
    (profile / "templates/submit.sh.j2").write_text(template)

    assert cli.main(["submit", "--profile", str(profile), write(LINE)]) == 2
    assert reason in (project / FOLDER / "run.err").read_text()
    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()


@pytest.mark.parametrize("error", [OSError("the disk is full"), RuntimeError("our own fault")])
def test_whatever_happens_is_left_there(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setitem(submit.__globals__, "write_text", fail)
    with pytest.raises(type(error)):
        submit(Submission(script=write(LINE), profile="m3"))

    assert str(error) in (project / FOLDER / "run.err").read_text()
    assert (project / FOLDER / "RELION_JOB_EXIT_FAILURE").exists()


def test_a_dry_run_changes_nothing(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = write(LINE)
    before = sorted(project.rglob("*"))
    code, out, _ = run(capfd, "submit", "--dry-run", "--profile", "m3", script)

    assert code == 0
    assert out.startswith("#!/bin/bash\n")
    assert sorted(project.rglob("*")) == before


def test_without_a_scheduler_the_job_runs_here(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = write("echo hello", "touch made")

    assert run(capfd, "submit", "--profile", "local", script)[0] == 0
    assert (project / "made").exists()
    assert (project / FOLDER / "RELION_JOB_EXIT_SUCCESS").exists()
    assert (project / FOLDER / "run.out").read_text().startswith("hello\n")


def test_the_guis_fields_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, each in enumerate(EXTRAS, start=1):
        monkeypatch.setenv(f"RELION_QSUB_EXTRA{number}", each.label)
    script = write(LINE, comments="# queue: m3c\n# extra1: 2h\n# extra4: gold")
    _, out, _ = run(capfd, "submit", "--dry-run", "--profile", "m3", script)

    wanted = {"partition=m3c", "time=02:00:00", "account=gold", "gres=gpu:4"}
    assert {f"#SBATCH --{option}" for option in wanted} <= set(out.splitlines())


def test_the_guis_fields_count_in_any_terminal(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = write(LINE, comments="# queue: m3d\n# extra1: 2h\n# extra2: 1")
    _, out, _ = run(capfd, "explain", "--json", "--profile", "m3", script)

    explained = json.loads(out)
    assert (explained["runtime_min"], explained["gpus_per_node"]) == (120, 1)
    assert explained["warnings"] == ["Queue 'm3d' is no partition of profile m3: not heeded."]


def test_explain_only_submits_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler(project, monkeypatch, "touch submitted")
    for number, each in enumerate(EXTRAS, start=1):
        monkeypatch.setenv(f"RELION_QSUB_EXTRA{number}", each.label)
    script = write(LINE, comments="# extra6: yes")

    assert run(capfd, "submit", "--profile", "m3", script)[0] == 0
    assert not (project / "submitted").exists()
    assert "class2d (Class2D)" in (project / FOLDER / "run.out").read_text()
    assert (project / FOLDER / "RELION_JOB_EXIT_ABORTED").exists()


def test_locked_parameters_are_the_sites(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "dispatch.yaml").write_text("job_types: {submit: {locked: [partition, mem]}}\n")
    script = write(LINE, comments="# queue: m3c")
    code, out, _ = run(capfd, "explain", "--json", "--profile", "m3", script)

    assert code == 0
    explained = json.loads(out)
    assert explained["partition"] == "m3h"
    assert any("locks it" in note for note in explained["notes"])


def test_explain_says_everything(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "explain", "--json", "--profile", "m3", write(LINE))

    explained = json.loads(out)
    assert code == 0
    assert tuple(explained) == JSON_KEYS
    assert explained["chain"] == ["submit", "gpu", "refine", "class2d"]
    assert explained["relion_job"] == "Class2D"
    assert explained["submit_command"] == f"sbatch {FOLDER}/run_submit.script.run"
    assert explained["gpu_map"] == ""
    assert all(note.endswith((".", ")")) for note in explained["notes"])


def test_explain_in_words(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capfd, "explain", "--profile", "m3", write(LINE))

    for part in (
        "class2d -> refine -> gpu -> submit",
        "class2d is the first that matches: command relion_refine, without --continue",
        "refine: removes --no_parallel_disc_io, adds --dont_combine_weights_via_disc",
        "threads: yes, gpu: shared, memory: refine",
        "9 ranks of 2 threads",
        "#SBATCH --ntasks=9",
    ):
        assert part in out


@pytest.mark.parametrize(
    "words",
    [
        [LINE],
        ["`which", "relion_refine`", *LINE.split()[2:]],
        ["`which relion_refine`", *LINE.split()[2:]],
        ["$(which relion_refine)", *LINE.split()[2:]],
        LINE.replace("`which relion_refine`", "relion_refine").split(),
    ],
)
def test_explain_takes_a_command_line(
    project: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, _ = run(capfd, "explain", "--json", "--profile", "m3", "--", *words)

    explained = json.loads(out)
    assert code == 0
    assert explained["job_type"] == "class2d"
    assert explained["outfile"] == f"{FOLDER}/run.out"


def test_words_mean_to_the_job_what_they_mean_to_a_shell(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["`which relion_refine`", "--o", "a b/run", "--i", '$HOME/my "x".star', "--ref", ""]
    _, out, _ = run(capfd, "explain", "--json", "--profile", "m3", "--", *words)

    expected = r"""`which relion_refine_mpi` --o 'a b/run' --i "$HOME/my \"x\".star" --ref ''"""
    assert json.loads(out)["command"].startswith(f"mpirun -n 9 {expected}")


def test_the_same_script_by_both_ways(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, by_script, _ = run(capfd, "explain", "--json", "--profile", "m3", write(LINE))
    _, by_command, _ = run(capfd, "explain", "--json", "--profile", "m3", "--", LINE)

    assert json.loads(by_script) == json.loads(by_command)


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["explain", "--profile", "m3"], 2, "explain what?"),
        (["explain", "--profile", "m3", "no/such/script"], 2, "cannot read no/such/script"),
        (
            ["explain", "--profile", "m3", "--set", "nproc", "--", "relion_refine --K 2"],
            2,
            "NAME=VALUE",
        ),
        (
            ["explain", "--profile", "m3", "--set", "nproc=x", "--", "relion_refine --K 2"],
            2,
            "nproc",
        ),
        (
            ["explain", "--profile", "m3", "--set", "partition=x", "--", "relion_refine --K 2"],
            4,
            "'x'",
        ),
        (["env", "--profile", "m4"], 2, "no profile 'm4'"),
    ],
)
def test_faults_have_exit_codes(
    project: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    found, out, err = run(capfd, *arguments)

    assert (found, out) == (code, "")
    assert message in err


def test_profiles_are_listed_and_shown(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, listed, _ = run(capfd, "profile", "list")
    assert {"fmi", "local", "m3", "slurm"} <= {line.split("\t")[0] for line in listed.splitlines()}
    _, shown, _ = run(capfd, "profile", "show", "m3")
    assert "gpu_type: P100" in shown


def test_env_is_for_the_shell(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capfd, "env", "--profile", "m3")

    assert "export RELION_DISPATCH_PROFILE=m3\n" in out
    assert "export RELION_QUEUE_USE=yes\n" in out
    template = next(line for line in out.splitlines() if "RELION_QSUB_TEMPLATE" in line)
    assert Path(template.partition("=")[2]).is_file()


def test_env_names_a_profile_of_this_folder_so_that_any_folder_finds_it(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "mine").mkdir()
    (project / "mine/dispatch.yaml").write_text("cluster: {partitions: {cpu: {cores: 8}}}\n")
    _, out, _ = run(capfd, "env", "--profile", "mine")

    assert f"export RELION_DISPATCH_PROFILE={project}/mine\n" in out


def test_the_windows_shell_finds_the_program_wherever_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = project / "it's in a folder/relion-dispatch"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    _, out, _ = run(capfd, "env", "--profile", "m3")

    # As RELION does it: the command, a blank, the file, and an ampersand, given to system().
    window = f'{out}\nexec sh -c "$RELION_QSUB_COMMAND {FOLDER}/run_submit.script & wait"'
    done = subprocess.run(["bash", "-c", window], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"submit\n{FOLDER}/run_submit.script\n", "")

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from relion_dispatch.body import Script, body
from relion_dispatch.errors import InputError
from relion_dispatch.project import enter, memory, planning, process, records, register, star
from relion_dispatch.project.flavours import (
    ABORTED,
    FAILED,
    RELION_3_1,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
)
from relion_dispatch.project.joblist import FILE, JobList
from relion_dispatch.project.records import Record

MASK = Record(
    name="MaskCreate/job036/",
    step="mask",
    version="3.1",
    type="12",
    options={"inimask_threshold": "0.02", "nr_threads": "1", "fn_in": "run_class001.mrc"},
    late={"inimask_threshold": "MaskCreate/job036/threshold.txt"},
    inputs=(("Refine3D/job035/run_class001.mrc", "6"),),
    outputs=(("MaskCreate/job036/mask.mrc", "7"), ("MaskCreate/job036/logfile.pdf", "13")),
    commands=("`which relion_mask_create` --i run_class001.mrc",),
)
POST = Record(
    name="PostProcess/job037/",
    step="postprocess",
    version="3.1",
    type="15",
    options={"nr_mpi": "1", "use_gpu": "No", "gpu_ids": ""},
    inputs=(("MaskCreate/job036/mask.mrc", "7"),),
    outputs=(("PostProcess/job037/postprocess.mrc", "11"),),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two planned jobs."""
    monkeypatch.chdir(tmp_path)
    planning.enter(tmp_path, [MASK, POST], 101)
    return tmp_path


def listed(project: Path) -> JobList:
    return JobList.read((project / FILE).read_text(), RELION_3_1)


def states(project: Path) -> dict[str, str]:
    jobs = listed(project)
    return {name: jobs.state(name) for name in jobs.names}


def options(project: Path, name: str) -> dict[str, str]:
    table = star.parse((project / name / "job.star").read_text()).table("joboptions_values")
    assert table is not None
    return {row["rlnJobOptionVariable"]: row["rlnJobOptionValue"] for row in table.rows}


def test_planned_jobs_are_scheduled_and_the_window_counts_behind_them(project: Path) -> None:
    assert states(project) == {MASK.name: SCHEDULED, POST.name: SCHEDULED}
    assert listed(project).counter == 101
    assert options(project, MASK.name) == dict(MASK.options)
    assert (project / ".gui_projectdir").exists()
    assert (project / "MaskCreate/mask").readlink() == Path("../MaskCreate/job036")
    assert (project / ".Nodes/7/MaskCreate/mask/mask.mrc").exists()
    assert not (project / ".relion_lock").exists()


def test_entering_again_changes_nothing(project: Path) -> None:
    before = (project / FILE).read_text()
    (project / ".pipeline_has_changed").unlink()
    planning.enter(project, [MASK, POST], 101)
    assert (project / FILE).read_text() == before
    assert not (project / ".pipeline_has_changed").exists()


def test_a_job_begins_and_ends(project: Path) -> None:
    command = "mpirun -n 3 `which relion_mask_create_mpi` --i run_class001.mrc --j 4"
    assert register.begin(project, MASK.name, [command])

    assert states(project)[MASK.name] == RUNNING
    assert options(project, MASK.name)["nr_threads"] == "4"
    assert command in (project / MASK.name / "note.txt").read_text()
    assert not register.end(project, MASK.name)  # nothing says how

    (project / MASK.name / "mask.mrc").touch()
    (project / MASK.name / "threshold.txt").write_text("0.0345\n")
    (project / MASK.name / "RELION_JOB_EXIT_SUCCESS").touch()
    assert register.end(project, MASK.name)
    assert register.end(project, MASK.name)

    assert states(project)[MASK.name] == SUCCEEDED
    assert listed(project).outputs(MASK.name) == ("MaskCreate/job036/mask.mrc",)
    assert options(project, MASK.name)["inimask_threshold"] == "0.0345"
    assert (project / ".Nodes/7/MaskCreate/mask/mask.mrc").exists()
    assert not (project / ".Nodes/13/MaskCreate/mask/logfile.pdf").exists()


def test_the_users_files_are_offered_too_if_they_are_in_the_project(project: Path) -> None:
    (project / "my").mkdir()
    (project / "my/mask.mrc").touch()
    inputs = (("my/mask.mrc", "7"), ("/etc/passwd", "7"), ("../x/passwd", "7"))
    planning.enter(project, [MASK, replace(POST, inputs=inputs)], 101)
    offered = [path for path in (project / ".Nodes/7").rglob("*") if path.is_file()]
    assert {path.name for path in offered} == {"mask.mrc"}
    assert project / ".Nodes/7/my/mask.mrc" in offered


def test_the_size_is_that_of_the_command(project: Path) -> None:
    command = "mpirun -n 5 `which relion_refine_mpi` --o x --j 2 --gpu '0:1'"
    register.begin(project, POST.name, ["python -m relion_dispatch.x --j 7", command])
    assert options(project, POST.name) == {"nr_mpi": "5", "use_gpu": "Yes", "gpu_ids": "0:1"}


def test_files_that_relion_notes_are_outputs_too(project: Path) -> None:
    register.begin(project, POST.name)
    extra = "PostProcess/job037/extra.mrc"
    (project / extra).touch()
    (project / POST.name / "RELION_OUTPUT_NODES.star").write_text(
        f"data_output_nodes\nloop_\n_rlnPipeLineNodeName #1\n_rlnPipeLineNodeType #2\n{extra} 6\n"
    )
    (project / POST.name / "RELION_JOB_EXIT_SUCCESS").touch()
    register.end(project, POST.name)
    assert listed(project).outputs(POST.name) == (extra,)
    assert listed(project).kind(extra) == "6"


@pytest.mark.parametrize("marker, state", [("FAILURE", FAILED), ("ABORTED", ABORTED)])
def test_a_job_that_ends_badly_keeps_its_list_of_files(
    project: Path, marker: str, state: str
) -> None:
    register.begin(project, MASK.name)
    (project / MASK.name / f"RELION_JOB_EXIT_{marker}").touch()
    register.end(project, MASK.name)
    assert states(project)[MASK.name] == state
    assert len(listed(project).outputs(MASK.name)) == 2


def test_a_job_of_nobody_is_left_alone(project: Path) -> None:
    before = (project / FILE).read_text()
    assert not register.begin(project, "External/job101/")
    assert not register.end(project, "External/job101/")
    assert (project / FILE).read_text() == before


def test_jobs_that_ended_without_a_word_are_settled(project: Path) -> None:
    for record in (MASK, POST):
        code = "import sys; from relion_dispatch.project import enter; enter.begun(sys.argv[1])"
        script = f'"$@"; : {record.name}'  # a second command: the shell stays the parent
        subprocess.run(
            ["sh", "-c", script, "sh", sys.executable, "-c", code, record.name], check=True
        )
    (project / POST.name / "RELION_JOB_EXIT_SUCCESS").touch()
    assert states(project) == {MASK.name: RUNNING, POST.name: RUNNING}

    assert set(register.settle(project)) == {MASK.name, POST.name}
    assert states(project) == {MASK.name: FAILED, POST.name: SUCCEEDED}
    assert (project / MASK.name / "RELION_JOB_EXIT_FAILURE").exists()


def test_a_running_job_is_not_settled(project: Path) -> None:
    register.begin(project, MASK.name)  # by a process that lives on: the one that runs the tests
    assert register.settle(project) == ()
    assert states(project)[MASK.name] == RUNNING


def test_many_jobs_at_once_lose_nothing(tmp_path: Path) -> None:
    many = [replace(POST, name=f"PostProcess/job{n:03d}/", step=f"post_{n}") for n in range(1, 9)]
    planning.enter(tmp_path, many, 101)
    command = [sys.executable, "-m", "relion_dispatch.project.enter", "begin"]
    running = [subprocess.Popen([*command, record.name], cwd=tmp_path) for record in many]
    assert [process.wait(timeout=60) for process in running] == [0] * len(many)
    assert set(states(tmp_path).values()) == {RUNNING}
    assert len(listed(tmp_path).outputs(many[0].name)) == 1


def test_a_job_that_is_planned_no_more_disappears_if_it_never_began(project: Path) -> None:
    register.begin(project, POST.name)
    planning.enter(project, [POST], 101)

    assert states(project) == {POST.name: RUNNING}
    assert not (project / "MaskCreate/job036").exists()
    assert not (project / "MaskCreate/mask").is_symlink()
    assert records.read(project, MASK.name) is None
    planning.enter(project, [MASK], 101)
    assert states(project) == {POST.name: RUNNING, MASK.name: SCHEDULED}


def test_a_job_that_the_user_has_deleted_is_listed_again_when_it_begins(project: Path) -> None:
    """The window moves its directory away and takes it off the list."""
    jobs = listed(project)
    jobs.forget([MASK.name])
    (project / FILE).write_text(jobs.write())
    (project / "MaskCreate/job036").rename(project / "Trash")
    planning.enter(project, [MASK, POST], 101)
    assert states(project) == {POST.name: SCHEDULED}
    assert not (project / MASK.name).exists()
    register.begin(project, MASK.name)
    assert states(project) == {POST.name: SCHEDULED, MASK.name: RUNNING}
    assert (project / MASK.name / "job.star").exists()


def test_a_lost_job_list_is_written_anew(project: Path) -> None:
    (project / FILE).unlink()
    planning.enter(project, [MASK, POST], 101)
    assert states(project) == {MASK.name: SCHEDULED, POST.name: SCHEDULED}


def test_a_finished_project_enters_as_it_is(tmp_path: Path) -> None:
    for name, marker in ((MASK.name, "SUCCESS"), (POST.name, "FAILURE")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"RELION_JOB_EXIT_{marker}").touch()
    (tmp_path / MASK.name / "threshold.txt").write_text("0.05")
    (tmp_path / MASK.name / "mask.mrc").touch()
    planning.enter(tmp_path, [MASK, POST], 101)
    assert states(tmp_path) == {MASK.name: SUCCEEDED, POST.name: FAILED}
    assert options(tmp_path, MASK.name)["inimask_threshold"] == "0.05"


def test_a_finished_job_whose_results_are_gone_is_still_to_be_done(project: Path) -> None:
    register.begin(project, MASK.name)
    (project / MASK.name / "mask.mrc").touch()
    (project / MASK.name / "RELION_JOB_EXIT_SUCCESS").touch()
    register.end(project, MASK.name)
    planning.enter(project, [MASK, POST], 101)
    assert states(project)[MASK.name] == SUCCEEDED

    (project / MASK.name / "mask.mrc").unlink()
    planning.enter(project, [MASK, POST], 101)
    assert states(project)[MASK.name] == SCHEDULED


def test_jobs_that_could_not_enter_themselves_are_entered_by_the_next_run(project: Path) -> None:
    for name, marker in ((MASK.name, "SUCCESS"), (POST.name, "FAILURE")):
        (project / name / f"RELION_JOB_EXIT_{marker}").touch()
    (project / MASK.name / "mask.mrc").touch()
    planning.enter(project, [MASK, POST], 101)
    assert states(project) == {MASK.name: SUCCEEDED, POST.name: FAILED}


def test_what_the_user_has_marked_stays(project: Path) -> None:
    (project / POST.name / "RELION_JOB_EXIT_FAILURE").touch()
    jobs = listed(project)
    jobs.put(POST.job, ABORTED)
    (project / FILE).write_text(jobs.write())
    planning.enter(project, [MASK, POST], 101)
    assert states(project)[POST.name] == ABORTED


def test_numbers_that_the_window_has_given_are_refused(project: Path) -> None:
    jobs = listed(project)
    jobs.put(replace(POST.job, name="PostProcess/job002/", alias="None"), SUCCEEDED)
    (project / FILE).write_text(jobs.write())

    planning.check_numbers(project, [MASK, POST], 101)
    with pytest.raises(InputError, match=r"PostProcess/job002/.*first_job: 101"):
        planning.check_numbers(project, [MASK, POST], 1)

    jobs.put(replace(POST.job, name="PostProcess/job950/", alias="None"), SUCCEEDED)
    (project / FILE).write_text(jobs.write())
    with pytest.raises(InputError, match="new project"):
        planning.check_numbers(project, [MASK, POST], 1)


def test_no_job_fails_because_of_the_list(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / FILE).write_text("this is no list\n")
    enter.begun(MASK.name)
    enter.ended(MASK.name)
    assert "job list stays as it is" in capsys.readouterr().err
    assert (project / FILE).read_text() == "this is no list\n"


@pytest.mark.parametrize("command, state", [("true", SUCCEEDED), ("false", FAILED)])
def test_the_lines_of_a_job_enter_it(project: Path, command: str, state: str) -> None:
    seen = f"grep -q 'MaskCreate/job036/ .* 0 $' {FILE}"
    script = Script(
        job_dir=MASK.name,
        outfile=f"{MASK.name}run.out",
        errfile=f"{MASK.name}run.err",
        exit_file=f"{MASK.name}run.exit",
        commands=(
            f"{sys.executable} -m relion_dispatch.pipeline.begin {MASK.name}",
            f"{seen} && echo was running",
            f"{sys.executable} -c 'for n in range(10**7): pass'",
            f"echo 'a  b'; {command}",
        ),
    )
    done = subprocess.run(["bash", "-c", body(script)], check=False)

    assert done.returncode == (0 if state == SUCCEEDED else 1)
    out, err = ((project / MASK.name / name).read_text() for name in ("run.out", "run.err"))
    assert "was running" in out
    assert states(project)[MASK.name] == state, err
    assert "job list" not in err
    assert f"echo 'a  b'; {command}\n" in (project / MASK.name / "note.txt").read_text()
    used = process.used(project, MASK.name)
    assert 0.1 < used["cpu_s"] <= 1.1 * used["elapsed_s"]


#: Holds 300 MiB until somebody has noted them.
HOLDS = """
import sys, time
from pathlib import Path
held, deadline = bytearray(300 << 20), time.monotonic() + 60
noted = Path(sys.argv[1])
while not (noted.exists() and int(noted.read_text()) >= 300) and time.monotonic() < deadline:
    time.sleep(0.05)
"""


def run_holding(job_dir: str, holds: str = HOLDS) -> None:
    """Run a job one of whose programs holds 300 MiB."""
    noted = process._memory_file(Path(), job_dir)
    script = Script(
        job_dir=job_dir,
        outfile=f"{job_dir}run.out",
        errfile=f"{job_dir}run.err",
        exit_file=f"{job_dir}run.exit",
        commands=(
            f"{sys.executable} -m relion_dispatch.pipeline.begin {job_dir}",
            shlex.join([sys.executable, "-c", holds, str(noted)]),
        ),
    )
    subprocess.run(["bash", "-c", body(script)], check=True, timeout=120)


def test_a_job_of_this_machine_notes_the_memory_that_its_programs_hold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in memory.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    run_holding(MASK.name)
    used = process.used(project, MASK.name)
    assert 300 <= used["mem_mb"] < 400
    assert {"cpu_s", "elapsed_s"} < used.keys()
    process.forget(project, MASK.name)
    assert process.used(project, MASK.name) == {}


def test_where_a_scheduler_measures_nobody_else_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process._memory_file(project, MASK.name).write_text("7\n")  # of an earlier run
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    run_holding(MASK.name, "")
    assert process.used(project, MASK.name).keys() == {"cpu_s", "elapsed_s"}


def test_what_another_process_uses_is_not_the_jobs(project: Path) -> None:
    register.begin(project, MASK.name)
    (project / MASK.name / "RELION_JOB_EXIT_SUCCESS").touch()
    code = "from relion_dispatch.project import enter; enter.ended('MaskCreate/job036/')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project)
    assert states(project)[MASK.name] == SUCCEEDED
    assert process.used(project, MASK.name) == {}


def test_a_job_of_many_processes_runs_until_the_run_is_over(project: Path) -> None:
    assert register.work(project, MASK.name)
    assert not register.work(project, MASK.name)
    assert states(project)[MASK.name] == RUNNING
    assert register.settle(project) == ()

    planning.enter(project, [MASK, POST], 101)
    assert states(project)[MASK.name] == SCHEDULED


def test_what_the_scheduler_knows_counts(project: Path) -> None:
    register.begin(project, MASK.name)
    enter.settled(project, ["MaskCreate/job036", "Class2D/job200"])
    assert states(project)[MASK.name] == FAILED

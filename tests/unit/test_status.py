"""A project's jobs from markers, from the scheduler, and from what they have written."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import cli, ledger
from relion_dispatch.healing import attempts
from relion_dispatch.profiles import load_profile
from relion_dispatch.schedulers import definition_for
from relion_dispatch.status import processes_here, progress, scheduler, table, traces, watching
from relion_dispatch.status.collect import overview
from relion_dispatch.status.model import Job, Overview, State
from relion_dispatch.status.scheduler import Desk

SQUEUE = """#!/bin/sh
echo asked >>"$(dirname "$0")/asked"
echo '11|RUNNING|None|m3h000||a'
echo '12|PENDING|Resources|||a'
echo '13|OUT_OF_MEMORY|OutOfMemory|m3h001||a'
echo '14|COMPLETED|None|m3h001||a'
echo '17|PENDING|launch failed requeued held|||a'
"""
SACCT = """#!/bin/sh
case "$*" in
*JobIDRaw*)
  echo '21|3600||02:00:00|4|2026-11-22T10:00:00'
  echo '21.batch|3600|2097152K|02:00:00|4|2026-11-22T10:00:00'
  echo '21.0|3590|1024M|01:59:00|4|2026-11-22T10:00:00' ;;
*15*) echo '15|NODE_FAIL|None|m3h002|0:0|a' ;;
esac
"""
BAR = '000/??? sec ~~(,_,">{0}[oo]\r   1/  10 sec ......~~(,_,">\r   5/  10 sec {1}~~(,_,">'
HALF_BAR = BAR.format(" " * 58, "." * 30)
FULL_BAR = BAR.format(" " * 58, "." * 60) + "\n"
CLASS2D = f"""\
 Expectation iteration 3 of 25
{FULL_BAR} Maximization ...
{FULL_BAR} Expectation iteration 4 of 25
{HALF_BAR}"""
REFINE3D = f"""\
 Auto-refine: Iteration= 7
 Auto-refine: Resolution= 12.9231 (no gain for 2 iter)
 Expectation iteration 7
{HALF_BAR}"""
MODEL = """
# version 30001

data_model_general

_rlnReferenceDimensionality                        3
_rlnCurrentResolution                      {:.6f}
_rlnCurrentImageSize                              44
"""
PIPELINE = """
data_pipeline_general

_rlnPipeLineJobCounter                       5

data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessType{1} #3
_rlnPipeLineProcessStatus{1} #4
Import/job001/       None            {2}            {3}
Class2D/job002/      Class2D/first/  {2}            {0}

data_pipeline_nodes
"""
CONFIG = """\
movies: "Movies/*.mrcs"
optics: {pixel_size: 1, voltage: 300}
dose: {per_frame: 1}
sample: {particle_diameter: 100, box_size: 128}
initial_model: {starts: 2}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.delenv("RELION_DISPATCH_PROFILE", raising=False)
    return tmp_path


def job(project: Path, name: str, *, job_id: int | None = None, marker: str = "") -> Path:
    path = project / name
    path.mkdir(parents=True)
    (path / "run.out").touch()
    if job_id is not None:
        (path / "run.jobid").write_text(f"Submitted batch job {job_id}\n")
    if marker:
        (path / f"RELION_JOB_EXIT_{marker}").touch()
    return path


def desk(profile: str = "m3") -> Desk:
    cluster = load_profile(profile).cluster
    return Desk(None if cluster.local else definition_for(cluster.scheduler))


def look(project: Path, profile: str = "m3", **given: Any) -> dict[str, Job]:
    return {each.folder: each for each in overview(project, desk(profile), **given).jobs}


def states(project: Path, profile: str = "m3") -> dict[str, str]:
    return {name: str(each.state) for name, each in look(project, profile).items()}


# ------------------------------------------------------------------------------------------ states


def test_markers_come_first_then_the_scheduler(project: Path) -> None:
    job(project, "Class2D/job001", job_id=11, marker="SUCCESS")
    job(project, "Class2D/job002", job_id=11, marker="ABORTED")
    job(project, "Class2D/job003", marker="FAILURE")
    job(project, "Class3D/job004", job_id=11)
    job(project, "Class3D/job005", job_id=12)
    job(project, "Import/job006")
    (project / "Import/job007").mkdir()

    assert states(project) == {
        "Class2D/job001": "finished",
        "Class2D/job002": "aborted",
        "Class2D/job003": "failed",
        "Class3D/job004": "running",
        "Class3D/job005": "waiting",
        "Import/job006": "unknown",
    }
    assert (project / "bin/asked").read_text() == "asked\n", "one question for all jobs"


@pytest.mark.parametrize(
    "job_id, reason",
    [(13, "OUT_OF_MEMORY"), (15, "NODE_FAIL"), (16, "unknown to the scheduler")],
)
def test_a_job_that_died_without_a_word_is_marked(project: Path, job_id: int, reason: str) -> None:
    path = job(project, "Refine3D/job008", job_id=job_id)
    (project / "default_pipeline.star").touch()

    assert states(project) == {"Refine3D/job008": "failed"}
    assert (path / "RELION_JOB_EXIT_FAILURE").exists()
    assert (project / ".pipeline_has_changed").exists()
    assert reason in (path / "run.err").read_text()


def test_a_job_that_ended_well_is_not_marked_as_failed(project: Path) -> None:
    path = job(project, "Refine3D/job008", job_id=14)

    assert states(project) == {"Refine3D/job008": "finished"}
    assert not (path / "run.err").exists()


def test_without_a_scheduler_nobody_is_asked(project: Path) -> None:
    job(project, "Import/job001")
    path = job(project, "Import/job002", job_id=13)

    assert states(project, "local") == {"Import/job001": "unknown", "Import/job002": "unknown"}
    assert not (path / "run.err").exists()
    assert not (project / "bin/asked").exists()


def test_a_scheduler_that_gives_no_answer_is_told(project: Path) -> None:
    path = job(project, "Class3D/job004", job_id=11)
    (project / "bin/squeue").write_text("#!/bin/sh\necho 'down for tea' >&2; exit 1\n")
    seen = overview(project, desk())

    assert [each.state for each in seen.jobs] == [State.UNKNOWN]
    assert "down for tea" in seen.notes[0]
    assert not (path / "RELION_JOB_EXIT_FAILURE").exists()


def submitted(project: Path, folder: str, job_id: str) -> None:
    exit_file = f"{folder}/run.exit"
    entry = ledger.Entry(
        key=folder, token=ledger.new_token(), name="a", fingerprint="f", exit_file=exit_file
    )
    book = ledger.Ledger(project / ".relion_dispatch")
    book.intend([entry])
    book.note(entry, ledger.Phase.SUBMITTED, job_id)
    book.close()


def test_the_executor_s_jobs_are_known_by_its_ledger(project: Path) -> None:
    submitted(project, "Class3D/job032", "11")

    assert states(project) == {}, "its directory is not there yet, and no configuration names it"
    (project / "config.yaml").write_text(CONFIG)
    found = look(project)["Class3D/job032"]
    assert (found.state, found.job_id, found.step) == (State.RUNNING, "11", "class3d")
    assert found.node == "m3h000"


def test_a_job_that_a_node_could_not_start_wants_help(project: Path) -> None:
    job(project, "Class3D/job032")
    submitted(project, "Class3D/job032", "17")
    found = look(project)["Class3D/job032"]
    assert found.state is State.WAITING
    assert "(launch failed requeued held)" in found.detail
    assert "a node could not start it: relion-dispatch heal Class3D/job032" in found.detail


def test_a_failed_job_in_the_queue_waits_to_try_again(project: Path) -> None:
    job(project, "Class3D/job032", marker="FAILURE")
    submitted(project, "Class3D/job032", "12")

    found = look(project)["Class3D/job032"]
    assert (found.state, found.detail) == (
        State.WAITING,
        "in the queue (Resources), to try again",
    )


def test_failures_say_why(project: Path) -> None:
    path = job(project, "Class3D/job004", marker="FAILURE")
    (path / "run.err").write_text(
        "in: src/x.cpp\nrelion-dispatch: failed: relion_refine\n"
        "relion-dispatch: exit code 137 (killed, perhaps for want of memory)\nlast words\n"
    )
    found = look(project)["Class3D/job004"]
    assert found.detail == "exit code 137 (killed, perhaps for want of memory)"
    (path / "run.err").write_text("ERROR: no such file\n\n")
    assert look(project)["Class3D/job004"].detail == "ERROR: no such file"


def test_snakemake_s_lock_tells_a_job_that_runs_elsewhere(project: Path) -> None:
    job(project, "Class3D/job032")
    (project / ".snakemake/locks").mkdir(parents=True)
    assert states(project, "local") == {"Class3D/job032": "unknown"}
    (project / ".snakemake/locks/0.input.lock").touch()
    assert states(project, "local") == {"Class3D/job032": "running"}


def test_a_job_in_parts_is_told_by_its_parts(project: Path) -> None:
    (project / "config.yaml").write_text(CONFIG)
    parts = project / "MotionCorr/job002/.shards"
    job(parts, "0001", marker="SUCCESS")
    job(parts, "0002")
    found = look(project, "local")["MotionCorr/job002"]
    assert (found.state, found.detail) == (
        State.RUNNING,
        "1 of 2 parts that have begun are done",
    )
    (parts / "0002/RELION_JOB_EXIT_FAILURE").touch()
    assert look(project, "local")["MotionCorr/job002"].state is State.FAILED
    (project / "MotionCorr/job002/RELION_JOB_EXIT_SUCCESS").touch()
    assert look(project, "local")["MotionCorr/job002"].state is State.FINISHED


# --------------------------------------------------------------------------------- which jobs


def test_steps_that_have_not_begun_wait_in_their_order(project: Path) -> None:
    (project / "config.yaml").write_text(CONFIG)
    job(project, "Import/job001", marker="SUCCESS")
    job(project, "Class2D/job060", marker="SUCCESS")
    seen = overview(project, desk("local"))

    steps = [each.step for each in seen.jobs]
    assert steps[:4] == ["relion_import", "motion_correction", "ctf", "picking"]
    assert steps.count("initial_model_2") == 1
    assert steps[-2:] == ["local_resolution", ""]
    assert seen.jobs[-1].folder == "Class2D/job060"
    counts = seen.counts
    assert (counts["finished"], counts["waiting"]) == (2, len(steps) - 2)
    assert not seen.over


def test_a_wrong_configuration_is_no_hindrance(project: Path) -> None:
    (project / "config.yaml").write_text("movis: x\n")
    job(project, "Import/job001", marker="SUCCESS")
    seen = overview(project, desk("local"))
    assert [each.folder for each in seen.jobs] == ["Import/job001"]
    assert "movis" in seen.notes[0]


@pytest.mark.parametrize("scheduled, suffix, kind", [("1", "", "0"), ("Scheduled", "Label", "a")])
def test_the_window_s_own_list_is_read(
    project: Path, scheduled: str, suffix: str, kind: str
) -> None:
    done = "2" if scheduled == "1" else "Succeeded"
    text = PIPELINE.format(scheduled, suffix, kind, done)
    (project / "default_pipeline.star").write_text(text)
    job(project, "Import/job001", marker="SUCCESS")
    found = look(project, "local")
    assert {name: str(each.state) for name, each in found.items()} == {
        "Import/job001": "finished",
        "Class2D/job002": "waiting",
    }
    assert found["Class2D/job002"].alias == "first"
    assert traces.listed(project)["Class2D/job002"].scheduled


# ------------------------------------------------------------------------------ processes here


def process(proc: Path, number: int, cwd: Path, *words: str) -> None:
    folder = proc / str(number)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / "cwd").symlink_to(cwd)
    tick = os.sysconf("SC_CLK_TCK")
    numbers = ["0"] * 18 + [str(number * tick)] + ["0"] * 5
    (folder / "stat").write_text(f"{number} (a (b) c) S {' '.join(numbers)}\n")


def test_processes_are_found_by_directory_and_job(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 40, tmp_path, "bash", "-c", "job=Class2D/job006/ exit_file=x")
    process(proc, 50, tmp_path, "relion_refine", "--i", "Extract/job005/p.star", "--o",
            "Class2D/job006/run")  # fmt: skip
    process(proc, 60, tmp_path / "other", "relion_refine", "--o", "Class3D/job007/run")
    process(proc, 70, tmp_path, "python", "-m", "relion_dispatch.pipeline.begin", "Polish/job043/")
    (proc / "stat").write_text("cpu 1 2\nbtime 1000\n")
    assert processes_here.running(tmp_path, proc) == {
        "Class2D/job006": 1040.0,
        "Polish/job043": 1070.0,
    }
    assert processes_here.running(tmp_path, tmp_path / "nowhere") == {}


# ------------------------------------------------------------------------------------ progress


def test_iterations_are_read_from_the_end_of_run_out() -> None:
    found = progress.parse(CLASS2D)
    assert (found.iteration, found.iterations, found.percent) == (4, 25, 50)
    assert found.bar_left_s == 5


@pytest.mark.parametrize(
    "line, expected",
    [
        (" Stochastic Gradient Descent iteration 79 of 80", (79, 80)),
        (
            " Gradient optimisation iteration 12 of 200 with 500 particles (Step size 0.5)",
            (12, 200),
        ),
        (" Expectation iteration 9", (9, None)),
        (" Auto-refine: Iteration= 9", (None, None)),
    ],
)
def test_every_version_s_iterations(line: str, expected: tuple[int | None, int | None]) -> None:
    found = progress.parse(f"{line}\n")
    assert (found.iteration, found.iterations) == expected


def test_a_refinement_says_its_iteration_and_whether_it_converges() -> None:
    found = progress.parse(REFINE3D)
    assert (found.iteration, found.iterations) == (7, None)
    assert found.detail == "no better for 2 iterations"
    assert progress.left_s(found, [(6, 0.0), (7, 9.0)], now=10.0) is None
    last = " Auto-refine: Refinement has converged, entering last iteration where two halves\n"
    assert progress.parse(REFINE3D + last).detail == "converged, last iteration"


def test_a_run_that_began_anew_is_at_its_beginning() -> None:
    ended = "relion-dispatch: exit code 1 after 12 s\n"
    assert (
        progress.parse(CLASS2D + "\n" + ended + " Expectation iteration 1 of 25\n").iteration == 1
    )
    done = progress.parse(ended + CLASS2D + "\n" + "relion-dispatch: exit code 0 after 77 s\n")
    assert (done.took_s, done.iteration) == (77, 4)


@pytest.mark.parametrize("unit, left", [("sec", 5.5), ("min", 330.0), ("hrs", 19800.0)])
def test_progress_bars_have_three_units(unit: str, left: float) -> None:
    bar = f'000/??? sec\r0.50/6.00 {unit} .....~~(,_,">'
    found = progress.parse(bar)
    assert found.bar_left_s == pytest.approx(left)
    assert progress.left_s(found, [], now=0.0) == pytest.approx(left)
    assert progress.parse('000/??? sec ~~(,_,">').percent == 0


@given(st.text())
def test_any_output_can_be_read(text: str) -> None:
    found = progress.parse(text)
    assert found.percent is None or 0 <= found.percent <= 100


def test_the_end_is_estimated_from_the_latest_iterations() -> None:
    running = progress.Progress(iteration=6, iterations=10)
    ended = [(0, 0.0), (1, 900.0), (2, 910.0), (3, 920.0), (4, 930.0), (5, 940.0)]
    assert progress.left_s(running, ended, now=944.0) == pytest.approx(46.0)
    assert progress.left_s(running, ended, now=990.0) == pytest.approx(40.0), "late: never less"
    assert progress.left_s(running, ended[:1], now=944.0) is None
    every_tenth = [(10, 100.0), (20, 200.0)]
    later = progress.Progress(iteration=25, iterations=40)
    assert progress.left_s(later, every_tenth, now=250.0) == pytest.approx(150.0)


def test_a_job_says_itself_when_it_began(project: Path) -> None:
    path = job(project, "Class2D/job006", job_id=11)
    first = "relion-dispatch: class2d on m3h000, 2026-11-22 13:51:19, 5 ranks\n"
    (path / "run.out").write_text(first + CLASS2D + "\n" * 300_000)
    began = look(project)["Class2D/job006"].started
    assert began is not None
    assert time.strftime("%H:%M:%S", time.localtime(began)) == "13:51:19"
    (path / "run.out").write_text(first.replace("13:51", "99:51"))
    assert look(project)["Class2D/job006"].started is None


def test_the_newest_model_has_the_resolution(tmp_path: Path) -> None:
    assert progress.resolution(tmp_path) is None
    for name, value in (("run_it002", 20.0), ("run_it010", 12.5), ("run_ct2_it003", 15.0)):
        (tmp_path / f"{name}_half1_model.star").write_text(MODEL.format(value))
    assert progress.resolution(tmp_path) == 12.5
    (tmp_path / "run_model.star").write_text(MODEL.format(9.75))
    assert progress.resolution(tmp_path) == 9.75
    (tmp_path / "postprocess.star").write_text("data_general\n\n_rlnFinalResolution   8.1\n")
    assert progress.resolution(tmp_path) == 8.1
    (tmp_path / "postprocess.star").write_text("data_general\n")
    assert progress.resolution(tmp_path) is None


def test_a_running_job_is_told_in_full(project: Path) -> None:
    path = job(project, "Class2D/job006", job_id=11)
    (path / "run.out").write_text(CLASS2D)
    for number, at in ((0, 100), (1, 110), (2, 120), (3, 130)):
        (path / f"run_it{number:03d}_model.star").write_text(MODEL.format(30 - number))
        optimiser = path / f"run_it{number:03d}_optimiser.star"
        optimiser.touch()
        os.utime(optimiser, (at, at))
    (path / "attempts.jsonl").write_text('{"number": 1, "event": "started", "time": 95.0}\n')
    found = look(project, now=132.0)["Class2D/job006"]
    assert (found.iteration, found.iterations, found.resolution) == (4, 25, 27)
    assert found.elapsed_s(132.0) == pytest.approx(37.0)
    assert found.left_s == pytest.approx(218.0)
    row = table.cells(found, 132.0)
    assert row[3:6] == ("37 s", "iteration 4 of 25, 27 Å", "in about 4 min")


# --------------------------------------------------------------------------------------- sizes


def test_what_a_job_asked_for_and_used(project: Path) -> None:
    path = job(project, "Class3D/job007", job_id=21, marker="SUCCESS")
    asked = {"ntasks": 9, "cpus_per_task": 2, "gpus": 2, "mem_mb": 65536, "runtime_min": 90}
    attempts.note(path, 1, attempts.SUBMITTED, job_id="21", asked=asked)
    found = look(project)["Class3D/job007"]
    assert found.used == {"elapsed_s": 3600, "cpu_s": 7200, "mem_mb": 2048}
    shown = table.size(found.asked, found.used)
    assert shown == "9 x 2 cores, 2 GPUs, 2/64 GB, 1:30 h limit"


@pytest.mark.parametrize(
    "asked_mb, used_mb, shown",
    [
        (65536, 12288, "12/64 GB"),
        (65536, 307, "0.3/64 GB"),
        (65536, None, "64 GB"),
        (None, 19, "19 MB"),
        (900, 300, "300/900 MB"),
        (None, None, ""),
    ],
)
def test_memory_in_the_unit_that_suits(
    asked_mb: int | None, used_mb: int | None, shown: str
) -> None:
    assert table.size({"mem_mb": asked_mb}, {"mem_mb": used_mb}) == shown


def test_a_job_of_this_machine_says_itself_what_it_has_used(project: Path) -> None:
    job(project, "Class3D/job007", marker="SUCCESS")
    noted = project / ".relion_dispatch/jobs/Class3D-job007"
    noted.parent.mkdir(parents=True)
    noted.with_suffix(".process").write_text("here 7 8\n80.00 20.00\n")
    noted.with_suffix(".memory").write_text("512\n")
    used = {"cpu_s": 80.0, "elapsed_s": 20.0, "mem_mb": 512}
    assert look(project, profile="local")["Class3D/job007"].used == used


def test_sizes_that_nobody_noted_are_read_off_snakemake_s_records(project: Path) -> None:
    job(project, "Class3D/job007", marker="SUCCESS")
    job(project, "Select/job008", marker="SUCCESS")
    scripts = {
        "Class3D/job007/run_it025_model.star": "rm x\nmpirun --oversubscribe -n 5 `which"
        " relion_refine_mpi` --o Class3D/job007/run --j 3\n",
        "Select/job008/particles.star": "python -m x\n",
    }
    for name, script in scripts.items():
        coded = base64.urlsafe_b64encode(name.encode()).decode()
        path = project / ".snakemake/metadata" / f"@{coded[:9]}" / coded[9:]
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"shellcmd": script}))
    (project / ".snakemake/metadata/no base64!").touch()
    found = look(project, "local")
    assert found["Class3D/job007"].asked == {"ntasks": 5, "cpus_per_task": 3}
    assert found["Select/job008"].asked == {}


def test_retries_are_told_with_their_reason(project: Path) -> None:
    path = job(project, "Class3D/job007", job_id=11)
    attempts.note(path, 1, attempts.STARTED)
    attempts.note(path, 1, attempts.ENDED, state="out of memory", failure="memory")
    attempts.note(path, 1, attempts.DECIDED, decision="Again with twice the memory.")
    attempts.note(path, 2, attempts.STARTED)
    found = look(project)["Class3D/job007"]
    assert [each["number"] for each in found.attempts] == [1, 2]
    assert "attempt 2: Again with twice the memory." in table.cells(found, 0.0)[-1]


@pytest.mark.parametrize(
    "text, mb, seconds",
    [
        ("12288K", 12, None),
        ("1.5G", 1536, None),
        ("", None, None),
        ("03:04.567", None, 184),
        ("1-02:03:04", None, 93784),
        ("00:00:07", None, 7),
    ],
)
def test_slurm_s_amounts(text: str, mb: int | None, seconds: int | None) -> None:
    assert scheduler.mem_mb(text) == mb
    assert scheduler.cpu_s(text) == seconds


# --------------------------------------------------------------------------------------- shown


def test_the_command_prints_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--profile", "m3", str(project)]) == 0
    assert "has no jobs yet" in capsys.readouterr().out
    job(project, "Class3D/job005", job_id=12)
    job(project, "Import/job001", marker="SUCCESS")

    assert cli.main(["status", "--profile", "m3", str(project)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"{project}: 1 of 2 finished, 1 waiting"
    assert re.search(r"^Class3D/job005 +waiting +in the queue \(Resources\)$", said, re.MULTILINE)
    assert "\x1b" not in said


def test_json_is_one_object(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job(project, "Import/job001", marker="SUCCESS")
    assert cli.main(["status", "--profile=local", "--json", str(project)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["finished"] == 1
    assert found["jobs"][0]["folder"] == "Import/job001"
    assert cli.main(["status", "--json", "--watch", str(project)]) == 2
    assert cli.main(["status", str(project / "nowhere")]) == 2


@pytest.mark.slow
def test_status_starts_lightly(project: Path) -> None:
    (project / "config.yaml").write_text(CONFIG)
    job(project, "Import/job001", marker="SUCCESS")
    code = (
        "import sys; from relion_dispatch import cli; cli.main(['status', sys.argv[1]]);"
        "print(*sys.modules)"
    )
    argv = [sys.executable, "-c", code, str(project)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r": 1 of \d\d finished", done.stdout)
    heavy = {"jinja2", "jsonschema", "mrcfile", "numpy", "pandas", "snakemake", "starfile"}
    assert not heavy & set(done.stdout.splitlines()[-1].split())


def rows() -> Overview:
    jobs = [
        Job(folder=f"Class3D/job{n:03d}", step=f"step{n}", state=state, detail="words " * 9)
        for n, state in enumerate([State.FINISHED] * 20 + [State.RUNNING] + [State.WAITING] * 20)
    ]
    return Overview(project="/p", time=0.0, jobs=tuple(jobs))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    lines = table.text(rows(), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert width < 40 or "running" in "\n".join(lines)


def test_a_long_path_is_cut_before_the_numbers() -> None:
    seen = Overview(project=f"/{'x' * 60}/my project", time=0.0, jobs=rows().jobs)
    assert table.text(seen, width=60).startswith("my project: 20 of 41 finished, 20 waiting, 1")


@pytest.mark.parametrize("height", [3, 10, 24, 100])
def test_pictures_fit_the_terminal(height: int) -> None:
    lines = watching.fitted(rows(), 80, height, colour=False)
    assert len(lines) <= height
    assert height < 10 or any("running" in line for line in lines)


def test_a_picture_of_many_jobs_shows_the_running_one() -> None:
    states = [State.FINISHED] * 200 + [State.RUNNING] + [State.WAITING] * 200
    jobs = tuple(Job(folder=f"A/job{n:03d}", state=state) for n, state in enumerate(states))
    lines = watching.fitted(Overview(project="/p", time=0.0, jobs=jobs), 80, 10, colour=False)
    assert len(lines) == 10
    assert any("A/job200  running" in line for line in lines)
    assert lines[-1] == f"… and {len(jobs) - (len(lines) - 4)} more"


def test_colours_change_nothing_but_colours() -> None:
    plain, coloured = (table.text(rows(), colour=colour) for colour in (False, True))
    assert "\x1b[36mrunning\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def frames(*states_: State) -> Callable[[], Overview]:
    left = list(states_)

    def one() -> Overview:
        state = left.pop(0) if len(left) > 1 else left[0]
        return Overview(project="/p", time=0.0, jobs=(Job(folder="A/job001", state=state),))

    return one


def test_watching_draws_in_place_and_ends_with_the_project() -> None:
    out = Terminal()
    look_ = frames(State.WAITING, State.RUNNING, State.FINISHED)
    seen = watching.watch(look_, colour=False, every_s=1, out=out, sleep=lambda _: None)
    assert seen.over
    said = out.getvalue()
    assert said.count("\x1b[H") == 3
    assert said.startswith("\x1b[?1049h\x1b[?25l")
    assert "\x1b[?25h\x1b[?1049l" in said
    assert "\x1b" not in said.rpartition("\x1b[?1049l")[2]


def test_ctrl_c_ends_watching_cleanly() -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    out = Terminal()
    watching.watch(frames(State.RUNNING), colour=True, every_s=1, out=out, sleep=interrupted)
    assert "\x1b[?1049l" in out.getvalue()


def test_watching_into_a_file_is_plain_and_tells_news_only() -> None:
    out = io.StringIO()
    look_ = frames(State.WAITING, State.RUNNING, State.RUNNING, State.FINISHED)
    watching.watch(look_, colour=False, every_s=1, out=out, sleep=lambda _: None)
    said = out.getvalue()
    assert said.count("/p: ") == 3
    assert not any(ord(c) < 32 and c != "\n" for c in said)


@pytest.mark.parametrize(
    "seconds, words",
    [(None, ""), (7.4, "7 s"), (185, "3:05 min"), (7380, "2:03 h"), (93784, "1 d 02:03 h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert table.duration(seconds) == words


def test_the_keys_of_the_json_are_told() -> None:
    page = (Path(__file__).parents[2] / "docs/status.md").read_text().partition("## JSON")[2]
    told = set(re.findall(r"`(\w+)`", page))
    assert rows().to_json().keys() <= told
    assert rows().jobs[0].to_json(0.0).keys() <= told

"""Jobs that are looked after: judged, noted, told, and opened again by the next head."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from relion_dispatch import cli
from relion_dispatch.engine import Request, plan
from relion_dispatch.healing import attempts, care
from relion_dispatch.healing.policy import Decision
from relion_dispatch.pipeline import begin
from relion_dispatch.profiles import load_profile
from relion_dispatch.reports import Report, State
from relion_dispatch.watch import Verdict
from tests.unit.iterations_files import iteration

FOLDER = "Refine3D/job019"
COMMAND = (
    f"`which relion_refine_mpi` --o {FOLDER}/run --auto_refine --split_random_halves --i a.star"
    f" --ref a.mrc --j 1 --pipeline_control {FOLDER}/"
)
OUT, ERR = f"{FOLDER}/run.out", f"{FOLDER}/run.err"


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> care.Case:
    """A refinement in a project, submitted for the first time."""
    monkeypatch.chdir(tmp_path)
    Path(FOLDER).mkdir(parents=True)
    Path("a.star").write_text("data_\n")
    request = Request(commands=(COMMAND,), outfile=OUT, errfile=ERR, exit_file=f"{FOLDER}/run.exit")
    return care.Case(request=request, profile=load_profile("m3"))


def submitted(case: care.Case, number: int = 1, **changes: object) -> None:
    made = plan(case.next_request(changes), case.profile)
    care.submitting(case, made, number, changes)
    care.taken(case, number, str(70 + number))


def started(case: care.Case) -> None:
    """Let the job's first command run, as its script says it."""
    made = plan(case.request, case.profile)
    (line,) = (each for each in made.body.splitlines() if "pipeline.begin" in each)
    assert begin.main(line.partition(" || ")[0].split()[4:]) == 0


def died(case: care.Case, state: State, word: str, *, code: int | None = 1) -> Decision:
    report = Report(job_id="71", state=state, word=word, node="m3h000")
    verdict = Verdict(job_id="71", state=state, report=report, exit_code=code)
    return care.after_failure(case, verdict)


def test_a_failure_is_judged_noted_and_told(case: care.Case) -> None:
    submitted(case)
    started(case)
    iteration(f"{FOLDER}/run", 4)
    Path(ERR).write_text("ERROR: \nYou ran out of memory on the GPU(s).\n")
    decision = died(case, State.FAILED, "FAILED")
    assert decision.go_on
    (only,) = attempts.read(FOLDER)
    assert (only.failure, only.iteration, only.node, only.job_id) == (
        *("gpu_memory", 4, "m3h000", "71"),
    )
    assert only.again is True
    assert only.decision == decision.reason
    assert only.lost_s is not None
    text = Path(ERR).read_text()
    assert f"relion-dispatch: {decision.reason}\n" in text
    assert "attempt 1 failed (gpu_memory): You ran out of memory on the GPU(s)." in text


def test_what_an_earlier_attempt_wrote_is_no_evidence(case: care.Case) -> None:
    Path(ERR).write_text("You ran out of memory on the GPU(s).\n")
    submitted(case, 2)
    with Path(ERR).open("a") as log:
        log.write("slurmstepd: error: Detected 1 oom-kill event(s)\n")
    died(case, State.FAILED, "FAILED", code=137)
    assert attempts.read(FOLDER)[-1].failure == "host_memory"


def test_a_reason_that_comes_late_is_heard(
    case: care.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(case)
    message = "slurmstepd: error: Exceeded job memory limit\n"
    monkeypatch.setattr("time.sleep", lambda _: Path(ERR).write_text(message))
    died(case, State.FAILED, "FAILED", code=None)
    assert attempts.read(FOLDER)[-1].failure == "host_memory"


def test_the_next_attempt_gets_what_was_decided(case: care.Case) -> None:
    submitted(case)
    died(case, State.OUT_OF_MEMORY, "OUT_OF_MEMORY")
    first = attempts.read(FOLDER)[0]
    number, changes = care.opening(case)
    made = plan(case.next_request(changes), case.profile)
    assert number == 2
    assert made.mem_mb > first.asked["mem_mb"]


def test_an_end_that_nobody_saw_is_judged_by_the_next_head(case: care.Case) -> None:
    submitted(case)
    started(case)
    Path(ERR).write_text("slurmstepd: error: Detected 1 oom-kill event(s)\n")
    number, changes = care.opening(case)
    assert number == 2
    assert "mem" in changes


def test_nothing_was_reached_where_nothing_goes_on(case: care.Case) -> None:
    folder = Path("MotionCorr/job002")
    (folder / "Movies").mkdir(parents=True)
    (folder / "Movies/a.star").write_text("data_\n\n_rlnX 1\n \n")
    command = f"`which relion_run_motioncorr` --i a.star --o {folder}/ --use_own"
    request = Request(commands=(command,), outfile=f"{folder}/run.out")
    motion = care.Case(request=request, profile=case.profile)
    assert care.reached(motion) is None
    (folder / "run.science").touch()
    assert care.reached(motion) == 1


@pytest.mark.parametrize("why", ["none", "given up", "success", "exit code", "other science"])
def test_a_new_run_begins_at_one(case: care.Case, why: str) -> None:
    if why != "none":
        submitted(case)
    if why == "given up":
        Path(ERR).write_text("ERROR: no\n")
        assert not died(case, State.FAILED, "FAILED").go_on
    if why == "success":
        care.succeeded(case)
    if why == "exit code":
        Path(FOLDER, "run.exit").write_text("0\n")
    if why == "other science":
        Path("a.star").write_text("data_more\n")
    assert care.opening(case) == (1, {})


def test_what_never_reached_the_scheduler_is_no_failure(case: care.Case) -> None:
    made = plan(case.request, case.profile)
    care.submitting(case, made, 2, {"mem": "9G"})
    assert care.opening(case) == (2, {"mem": "9G"})
    care.refused(case, 2, "no such partition")
    assert attempts.read(FOLDER)[-1].state == "refused"
    assert care.opening(case) == (1, {})


def test_a_job_that_is_looked_after_leaves_its_failure_to_others(case: care.Case) -> None:
    submitted(case)
    assert Path(FOLDER, "run.heal").exists()
    care.given_up(case)
    assert not Path(FOLDER, "run.heal").exists()
    assert Path(FOLDER, "RELION_JOB_EXIT_FAILURE").exists()


def test_what_relion_aborted_stays_aborted(case: care.Case) -> None:
    submitted(case)
    Path(FOLDER, "RELION_JOB_EXIT_ABORTED").touch()
    assert not died(case, State.FAILED, "FAILED", code=2).go_on
    care.given_up(case)
    assert attempts.read(FOLDER)[-1].failure == "cancelled"
    assert not Path(FOLDER, "RELION_JOB_EXIT_FAILURE").exists()


# ------------------------------------------------------------------------------ the window's jobs

SBATCH = """#!/bin/bash
printf '%s\\n' "$*" >>sbatch.log
[[ $1 == -* && -n $REFUSES ]] && { echo "no dependencies here" >&2; exit 1; }
echo "Submitted batch job $(wc -l <sbatch.log)"
"""
SQUEUE = """#!/bin/bash
cat squeue.out 2>/dev/null || :
"""


@pytest.fixture
def window(
    case: care.Case,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A parameter file of RELION's window, and a Slurm that writes down what it is told."""
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("sacct", SQUEUE)):
        path = Path("bin") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:{os.environ['PATH']}")
    script = Path(FOLDER, "run_submit.script")
    script.write_text(f"{OUT}\n{ERR}\n{COMMAND}\n")
    return script


def calls() -> list[str]:
    return Path("sbatch.log").read_text().splitlines()


def submit(script: Path) -> int:
    return cli.main(["submit", "--profile", "m3", str(script)])


def test_a_job_of_the_window_has_one_behind_it(window: Path) -> None:
    assert submit(window) == 0
    job, behind = calls()
    assert job == f"{window}.run"
    assert "--dependency=afternotok:1 --kill-on-invalid-dep=yes" in behind
    assert "--partition=comp" in behind
    assert f"heal --profile m3 {window}" in behind
    assert Path(FOLDER, "run.heal").exists()


def test_without_one_the_job_says_so_itself(window: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSES", "1")
    assert submit(window) == 0
    assert not Path(FOLDER, "run.heal").exists()
    assert "nobody looks after this job: no dependencies here" in Path(ERR).read_text()


@pytest.mark.parametrize("settings", ["enabled: false", "follow_up: []", "follow_up: [qsub]"])
def test_a_profile_may_have_none(window: Path, settings: str) -> None:
    Path("dispatch.yaml").write_text(f"healing: {{{settings}}}\n")
    assert submit(window) == 0
    assert len(calls()) == 1
    assert not Path(FOLDER, "run.heal").exists()


def test_a_template_that_starts_over_is_not_looked_after(window: Path, tmp_path: Path) -> None:
    profile = tmp_path / "site"
    (profile / "templates").mkdir(parents=True)
    (profile / "dispatch.yaml").write_text(
        "cluster: {partitions: {a: {cores: 28, mem_mb: 240000}}}\n"
    )
    (profile / "templates/submit.sh.j2").write_text("#!/bin/bash\n{{ job.final_command }}\n")
    assert cli.main(["submit", "--profile", str(profile), str(window)]) == 0
    assert len(calls()) == 1


def test_heal_submits_the_next_attempt(window: Path, capfd: pytest.CaptureFixture[str]) -> None:
    submit(window)
    Path("squeue.out").write_text("1|OUT_OF_MEMORY|OutOfMemory|m3h000||x\n")
    assert cli.main(["heal", "--profile", "m3", FOLDER]) == 0
    assert "Host memory: " in capfd.readouterr().out
    first, second = attempts.read(FOLDER)
    assert second.asked["mem_mb"] > first.asked["mem_mb"]
    assert len(calls()) == 4
    assert f"--mem={second.asked['mem_mb']}M" in Path(f"{window}.run").read_text()
    assert not list(Path(FOLDER).glob("RELION_JOB_EXIT_*"))


def test_heal_gives_up_where_nothing_helps(window: Path) -> None:
    submit(window)
    Path(ERR).write_text("ERROR: File a.star does not exist\n")
    Path("squeue.out").write_text("1|FAILED|NonZeroExitCode|m3h000||x\n")
    assert cli.main(["heal", "--profile", "m3", FOLDER]) == 0
    assert len(calls()) == 2
    assert Path(FOLDER, "RELION_JOB_EXIT_FAILURE").exists()
    assert "Not tried again: the input is wrong" in Path(ERR).read_text()


def test_a_running_job_is_not_healed(window: Path, capfd: pytest.CaptureFixture[str]) -> None:
    submit(window)
    Path("squeue.out").write_text("1|RUNNING|None|m3h000||x\n")
    assert cli.main(["heal", "--profile", "m3", FOLDER]) == 2
    assert "has not ended (running)" in capfd.readouterr().err
    assert not Path(FOLDER, "RELION_JOB_EXIT_FAILURE").exists()

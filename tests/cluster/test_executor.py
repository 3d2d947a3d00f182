"""The executor on a real Slurm: Snakemake as users start it, jobs as Slurm runs them."""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relion_dispatch.engine import Request, plan
from relion_dispatch.profiles import load_profile
from tests.cluster.project import PROFILE, Project, queue, wait_until

pytestmark = pytest.mark.slurm

# What runs above a job's command, up to Slurm's own process.
ANCESTORS = """
p=$$; while ! grep -q slurmstepd /proc/$p/comm; do
    cat /proc/$p/comm; p=$(sed -n 's/^PPid:\\t//p' /proc/$p/status)
done
""".strip()

TRACES = """
rule all:
    input: expand("out/{i}", i=range(int(config["n_jobs"])))
rule one:
    output: "out/{i}"
    resources: mem_mb=100, runtime=5
    shell: "echo $SLURM_JOB_ID >> traces/{wildcards.i}; sleep 0.$((RANDOM % 6)); touch {output}"
"""


def write(project: Project, snakefile: str) -> None:
    (project.path / "Snakefile").write_text(snakefile)
    (project.path / "traces").mkdir(exist_ok=True)


@contextmanager
def own_sbatch(project: Project, text: str) -> Iterator[None]:
    """Put an ``sbatch`` of the test's own before Slurm's."""
    programs = project.path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(f"#!/bin/bash\n{text}\n")
    (programs / "sbatch").chmod(0o755)
    path = os.environ["PATH"]
    project.environment["PATH"] = f"{programs}:{path}"
    yield
    project.environment["PATH"] = path


def traces(project: Project) -> dict[str, int]:
    """How often each job has run."""
    folder = project.path / "traces"
    return {each.name: each.read_text().count("\n") for each in folder.iterdir()}


def test_jobs_run_natively_where_they_can(project: Project) -> None:
    write(
        project,
        f"""
rule all:
    input: "native", "run", "script"
rule native:
    output: "native"
    log: "logs/native.log"
    threads: 3
    resources: mem_mb=1234, runtime=7, slurm_partition="m3h"
    shell: '''{ANCESTORS.replace("{", "{{").replace("}", "}}")} > {{output}}
        echo $SLURM_CPUS_PER_TASK $OMP_NUM_THREADS $SLURM_MEM_PER_NODE >> {{output}}
        scontrol show job $SLURM_JOB_ID | grep -oE "TimeLimit=\\S+|Partition=\\S+" >> {{output}}'''
rule run:
    input: "native"
    output: "run"
    run:
        shell("printenv SLURM_JOB_ID RELION_DISPATCH_PROFILE > {{output}}")
rule script:
    input: "native"
    output: "script"
    script: "script.py"
""",
    )
    (project.path / "script.py").write_text("open(snakemake.output[0], 'w').write('ran')\n")
    done = project.run()
    assert done.returncode == 0, done.output
    *ancestors, sizes, time_limit, partition = sorted(
        project.read("native").splitlines(), key=lambda line: line[0].isupper() or line[0].isdigit()
    )
    assert set(ancestors) <= {"bash", "slurm_script"}
    assert sizes == "3 3 1234"
    assert {time_limit, partition} == {"TimeLimit=00:07:00", "Partition=m3h"}
    assert project.read("run").splitlines()[1] == str(PROFILE)
    assert project.read("script") == "ran"
    assert "Nothing to be done" in project.run().output
    assert project.read(".relion_dispatch/lock") == ""


def test_a_kept_script_runs_by_hand(project: Project) -> None:
    write(project, 'rule one:\n    output: "out"\n    shell: "echo hello > {output}"\n')
    assert project.run().returncode == 0
    (project.path / "out").unlink()
    (script,) = project.path.glob(".relion_dispatch/jobs/one-*/*.run")
    subprocess.run(["sbatch", "--wait", str(script)], check=True, cwd=project.path, timeout=240)
    assert project.read("out") == "hello\n"


def test_a_relion_rule_submits_the_guis_script(project: Project) -> None:
    programs = project.path / "bin"
    programs.mkdir()
    program = programs / "relion_postprocess"
    program.write_text('#!/bin/sh\necho "$0 $@"; touch PostProcess/job030/postprocess.star\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    command = (
        "`which relion_postprocess` --mask m.mrc --i half1.mrc --o PostProcess/job030/postprocess"
        " --angpix 1.5 --pipeline_control PostProcess/job030/"
    )
    write(
        project,
        f"""
rule postprocess:
    output: "PostProcess/job030/postprocess.star"
    log: out="PostProcess/job030/run.out", err="PostProcess/job030/run.err"
    params:
        relion=[{command!r}],
        job="exit 9"  # for Snakemake's own executors
    shell: "{{params.job}}"
""",
    )
    done = project.run("--set-resources", "postprocess:mem_mb=4321")
    assert done.returncode == 0, done.output
    request = Request(
        commands=(command,),
        outfile="PostProcess/job030/run.out",
        errfile="PostProcess/job030/run.err",
        project=project.path,
        overrides={"mem": "4321M"},
    )
    script = project.read("PostProcess/job030/run_submit.script.run")
    assert script == plan(request, load_profile(PROFILE)).script
    assert "#SBATCH --mem=4321M" in script
    assert (project.path / "PostProcess/job030/RELION_JOB_EXIT_SUCCESS").exists()
    assert "--angpix 1.5" in project.read("PostProcess/job030/run.out")


def test_failures_say_what_happened_where_and_why(project: Project) -> None:
    write(
        project,
        """
rule all:
    input: "code", "cancelled", "node", "refused"
rule code:
    output: "code"
    log: "logs/code.log"
    shell: "echo the reason > {log}; touch {output}; exit 3"
rule cancelled:
    output: "cancelled"
    shell: "scancel $SLURM_JOB_ID; sleep 60"
rule node:
    output: "node"
    resources: slurm_partition="m3g"
    shell: "scontrol update nodename=$SLURMD_NODENAME state=down reason=test; sleep 60"
rule refused:
    output: "refused"
    resources: slurm_extra="--dependency=nonsense"
    shell: "touch {output}"
""",
    )
    project.without_healing()
    done = project.run("--keep-going")
    assert done.returncode != 0
    message = " ".join(done.output.split())
    assert "ended as failed (FAILED, NonZeroExitCode), exit code 3, on comp00" in message
    assert "the end of logs/code.log: | the reason" in message
    assert "ended as cancelled (CANCELLED" in message
    assert "ended as node failure (NODE_FAIL" in message
    assert "not submitted: 'sbatch' (exit code 1) says:" in message
    assert "dependency" in message
    assert not (project.path / "code").exists()


def test_a_scheduler_that_is_away_is_waited_for(project: Project) -> None:
    """Commands fail once each, as they do while the controller restarts."""
    programs = project.path / "bin"
    programs.mkdir()
    for name in ("sbatch", "squeue"):
        program = programs / name
        program.write_text(
            f"#!/bin/bash\necho x >> {project.path}/{name}.calls\n"
            f"if [ $(wc -l < {project.path}/{name}.calls) -le 1 ]; then\n"
            f"  echo '{name}: error: Unable to contact slurm controller' >&2; exit 1\nfi\n"
            f'exec /usr/bin/{name} "$@"\n'
        )
        program.chmod(0o755)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    write(project, TRACES)
    done = project.run("--config", "n_jobs=1")
    assert done.returncode == 0, done.output
    assert "Unable to contact slurm controller" in done.output
    assert traces(project) == {"0": 1}


def test_ctrl_c_cancels_everything(project: Project) -> None:
    write(project, TRACES.replace("sleep 0.$((RANDOM % 6))", "[ -e go ] || sleep 100"))
    head = project.start("--config", "n_jobs=100")
    head.wait_for(" is job ")
    os.kill(head.process.pid, signal.SIGINT)
    time.sleep(0.2)
    os.kill(head.process.pid, signal.SIGINT)  # impatience
    assert head.end().returncode != 0
    wait_until(lambda: not queue())
    (project.path / "go").touch()
    done = project.run("--config", "n_jobs=4")
    assert done.returncode == 0, done.output
    assert {f"out/{number}" for number in range(4)} <= {
        str(each.relative_to(project.path)) for each in project.path.glob("out/*")
    }


def test_no_cancel_leaves_jobs_to_the_next_head(project: Project) -> None:
    write(project, TRACES.replace("sleep 0.$((RANDOM % 6))", "until [ -e go ]; do sleep 0.1; done"))
    head = project.start("--config", "n_jobs=3", "--relion-dispatch-no-cancel")
    wait_until(lambda: len(queue("running")) == 3)
    second = project.run("--config", "n_jobs=3")
    assert second.returncode != 0
    assert f"process {head.process.pid} on" in second.output
    os.kill(head.process.pid, signal.SIGINT)
    assert "left alone" in head.end().output
    assert len(queue("running")) == 3
    third = project.start("--config", "n_jobs=3")
    third.wait_for("is still with the scheduler")
    (project.path / "go").touch()
    assert third.end().returncode == 0
    assert traces(project) == {"0": 1, "1": 1, "2": 1}


def test_ctrl_c_while_the_scheduler_is_waited_for_says_what_goes_on(project: Project) -> None:
    write(project, TRACES.replace("sleep 0.$((RANDOM % 6))", "until [ -e go ]; do sleep 0.1; done"))
    project.run_and_kill("--config", "n_jobs=1", after_s=2)
    wait_until(lambda: len(queue("running")) == 1)
    squeue = project.path / "bin/squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    squeue.chmod(0o755)
    path = project.environment.get("PATH", os.environ["PATH"])
    project.environment["PATH"] = f"{squeue.parent}:{path}"
    head = project.start("--config", "n_jobs=1")
    head.wait_for("waiting for the scheduler")
    os.kill(head.process.pid, signal.SIGINT)
    ended = head.end()
    assert ended.returncode != 0
    assert "Jobs of an earlier run go on" in ended.output
    assert "Traceback" not in ended.output
    project.environment["PATH"] = path
    (project.path / "go").touch()
    assert project.run("--config", "n_jobs=1").returncode == 0
    assert traces(project) == {"0": 1}


def test_heads_killed_twenty_times_lose_nothing_and_run_nothing_twice(project: Project) -> None:
    """Three jobs at once, so that the run lasts; in turn each alone, and all three in an array."""
    write(project, TRACES.replace("sleep 0.", "sleep 1."))
    command = ("--config", "n_jobs=60", "--jobs")
    dice = random.Random(7)
    for number in range(20):
        arrays = ("--relion-dispatch-array-jobs", "3" if number % 2 else "0")
        project.run_and_kill(*command, "3", *arrays, after_s=dice.uniform(0, 1.5))
    done = project.run(*command, "60")
    assert done.returncode == 0, done.output
    assert traces(project) == {str(number): 1 for number in range(60)}
    assert len(list(project.path.glob("out/*"))) == 60


@pytest.mark.parametrize("n_jobs", [2, 12])
@pytest.mark.parametrize("taken", [True, False])
def test_a_head_killed_between_submission_and_note(
    project: Project, taken: bool, n_jobs: int
) -> None:
    """Two jobs are submitted alone, twelve in an array."""
    before, after = ('/usr/bin/sbatch "$@"', "") if taken else ("", "exit 1")
    write(project, TRACES)
    wanted = {str(number): 1 for number in range(n_jobs)}
    with own_sbatch(project, f"{before}\nkill -9 $PPID\n{after}"):
        killed = project.run("--config", f"n_jobs={n_jobs}")
    assert killed.returncode == -signal.SIGKILL
    done = project.run("--config", f"n_jobs={n_jobs}")
    assert done.returncode == 0, done.output
    assert traces(project) == wanted


def test_an_array_that_is_refused_goes_job_by_job(project: Project) -> None:
    write(project, TRACES)
    refuse = """for last; do :; done
if grep -q '^#SBATCH --array' "$last"; then
  echo "sbatch: error: Invalid job array specification" >&2; exit 1
fi
exec /usr/bin/sbatch "$@"
"""
    with own_sbatch(project, refuse):
        done = project.run("--config", "n_jobs=12")
    assert done.returncode == 0, done.output
    assert "submitting 12 jobs one by one: 'sbatch' (exit code 1) says:" in done.output
    assert traces(project) == {str(number): 1 for number in range(12)}


def test_like_jobs_are_tasks_of_an_array_each_with_its_own_files(project: Project) -> None:
    write(
        project,
        """
rule all:
    input: expand("out/{i}", i=range(12)), "other"
rule one:
    output: "out/{i}"
    shell: "echo ${{SLURM_ARRAY_JOB_ID:-none}} > {output}; [ {wildcards.i} != 7 ] || exit 3"
rule other:
    output: "other"
    resources: mem_mb=123
    shell: "echo ${{SLURM_ARRAY_JOB_ID:-none}} > {output}"
""",
    )
    project.without_healing()
    done = project.run("--keep-going")
    assert done.returncode != 0
    arrays = {path.name: path.read_text() for path in project.path.glob("out/*")}
    assert arrays.keys() == {str(number) for number in range(12)} - {"7"}
    (job_id,) = {text.strip() for text in arrays.values()}
    assert project.read("other") == "none\n"
    failed = re.search(rf"job {job_id}_(\d+) \((one\.j\w+)\[(\d+)\]\) ended as", done.output)
    assert failed is not None
    assert failed[1] == failed[3]
    assert f".relion_dispatch/arrays/{failed[2]}/{failed[1]}.log; script: " in done.output
    assert "ended as failed (FAILED, NonZeroExitCode), exit code 3, on comp00" in done.output
    folders = list(project.path.glob(".relion_dispatch/jobs/one-*"))
    assert len(folders) == 12
    for folder in folders:
        assert "relion-dispatch: exit code" in (folder / "run.out").read_text()
    (script,) = project.path.glob(".relion_dispatch/jobs/one-7-*/*.run")
    done_by_hand = subprocess.run(["bash", script], cwd=project.path, check=False, timeout=240)
    assert done_by_hand.returncode == 3


def test_progress_says_what_runs_and_what_waits_for_what(project: Project) -> None:
    """Each job fills a node, of which the partition has two; the other waits to be let go."""
    write(
        project,
        """
rule all:
    input: expand("out/{i}", i=range(4)), "held"
rule fills:
    output: "out/{i}"
    threads: 36
    shell: "until [ -e go ]; do sleep 0.1; done; touch {output}"
rule held:
    output: "held"
    resources: slurm_extra="--begin=now+1hour"
    shell: "touch {output}"
""",
    )
    head = project.start("--relion-dispatch-progress-seconds", "0.1", "--keep-going")
    # Slurm may say of the second one that waits that it waits for the first.
    told = re.compile(
        r"Running: fills \(2 jobs\)\."
        r" Pending: fills \(2 jobs: (Resources|1 Resources, 1 Priority)\), held \(BeginTime\)\."
    )
    wait_until(lambda: told.search(head.output) is not None)
    (held,) = (name for name in queue("pending") if name.startswith("held."))
    subprocess.run(["scontrol", "update", f"JobName={held}", "StartTime=now"], check=True)
    (project.path / "go").touch()
    assert head.end().returncode == 0


def test_no_more_jobs_are_queued_than_allowed(project: Project) -> None:
    write(project, TRACES.replace("sleep 0.$((RANDOM % 6))", "until [ -e go ]; do sleep 0.1; done"))
    head = project.start(
        *("--config", "n_jobs=5", "--relion-dispatch-queued-jobs", "2"),
    )
    wait_until(lambda: len(queue("running")) == 2)
    time.sleep(1)
    assert len(queue()) == 2
    (project.path / "go").touch()
    assert head.end().returncode == 0
    assert traces(project) == {str(number): 1 for number in range(5)}


def test_a_job_that_is_out_of_date_is_ended_first(project: Project) -> None:
    text = TRACES.replace("sleep 0.$((RANDOM % 6))", "sleep 100")
    write(project, text)
    head = project.start("--config", "n_jobs=1")
    wait_until(lambda: len(queue("running")) == 1)
    head.process.kill()
    head.process.wait()
    write(project, text.replace("sleep 100", "true"))
    done = project.run("--config", "n_jobs=1")
    assert done.returncode == 0, done.output
    assert "it is out of date" in done.output
    assert traces(project) == {"0": 2}
    assert len(Path(project.path / "traces/0").read_text().split()) == 2

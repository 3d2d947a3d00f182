"""Ways to get many small jobs done on Slurm: what is run, and what it costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Messages to the controller that nodes send, whoever submits.
OF_NODES = re.compile(
    r"NODE_REG|ALLOC_INFO|COMPLETE|EPILOG|PROLOG|PING|STEP|KILL_TIMELIMIT|HEALTH|STATS_INFO"
)
SUBMITS = re.compile(r"SUBMIT_BATCH_JOB")
# Enough memory for Snakemake itself, which the other executors start inside each job.
SNAKEFILE = """\
rule all:
    input: expand("out/{i}", i=range(int(config["n_jobs"])))
rule one:
    output: "out/{i}"
    resources: mem_mb=500, runtime=5
    shell: "touch {output}"
"""
SCRIPT = """\
#!/bin/bash
#SBATCH --output=/dev/null --mem=500M --time=5
mkdir -p out
touch out/"$1"
"""
POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run cost.

    Attributes
    ----------
    done
        Jobs that are done.
    end
        How the head ended, if not well.
    wall_s, cpu_s
        Seconds on the clock; seconds of a core of the head and the commands that it has started.
    submissions, questions
        Calls to the scheduler: those that submit, and all others.
    """

    done: int
    wall_s: float
    cpu_s: float
    submissions: int
    questions: int
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A way to get jobs done.

    Attributes
    ----------
    name
        Shown in the table.
    command
        From the number of jobs to the head's argument list.
    on_slurm
        Whether it uses Slurm at all.
    """

    name: str
    command: Callable[[int], Sequence[str]]
    on_slurm: bool = True


def loop(n_jobs: int) -> list[str]:
    """Submit in a plain shell loop."""
    text = f'for i in $(seq 0 {n_jobs - 1}); do sbatch job.sh "$i" >/dev/null || exit 1; done'
    return ["bash", "-c", text]


def snakemake(program: str, *options: str) -> Callable[[int], list[str]]:
    """Run Snakemake with some executor."""

    def command(n_jobs: int) -> list[str]:
        return [program, *options, "--config", f"n_jobs={n_jobs}"]

    return command


def run(contestant: Contestant, folder: Path, n_jobs: int, limit_s: float) -> Cost:
    """Run a contestant in a new folder until all jobs are done, or time is over."""
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "job.sh").write_text(SCRIPT)
    if contestant.on_slurm:
        _forget_calls()
    began = time.monotonic()
    with open(folder / "head.log", "w") as log:
        head = subprocess.Popen(
            contestant.command(n_jobs), cwd=folder, stdout=log, stderr=log, env=_environment()
        )
    cpu_s, end = _until_done(head, folder, n_jobs, began + limit_s)
    wall_s = time.monotonic() - began
    done = _done(folder)
    calls = _calls() if contestant.on_slurm else {}
    submissions = sum(count for name, count in calls.items() if SUBMITS.search(name))
    _clear_queue()
    return Cost(
        done=done,
        wall_s=wall_s,
        cpu_s=cpu_s,
        end=end,
        submissions=submissions,
        questions=sum(calls.values()) - submissions,
    )


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SNAKEMAKE"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _until_done(
    head: subprocess.Popen[bytes], folder: Path, n_jobs: int, deadline: float
) -> tuple[float, str]:
    """Wait until the head has ended and all jobs are done; return its CPU time and bad end."""
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(head.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(POLL_S)
    else:
        head.kill()  # a polite end would wait for all that was submitted
        _, status, usage = os.wait4(head.pid, 0)
    head.returncode = os.waitstatus_to_exitcode(status)
    while head.returncode == 0 and _done(folder) < n_jobs and time.monotonic() < deadline:
        time.sleep(POLL_S)
    late = time.monotonic() >= deadline
    end = "stopped" if late else f"exit code {head.returncode}" if head.returncode else ""
    if end:
        print("\n".join((folder / "head.log").read_text().splitlines()[-20:]), file=sys.stderr)
    return usage.ru_utime + usage.ru_stime, end


def _done(folder: Path) -> int:
    try:
        return len(os.listdir(folder / "out"))
    except FileNotFoundError:
        return 0


def _forget_calls() -> None:
    for words in (["sdiag", "--reset"], ["sacctmgr", "-i", "clear", "stats"]):
        subprocess.run(words, check=True, capture_output=True, timeout=60)


def _calls() -> Mapping[str, int]:
    """Count calls of clients by their names: to the controller, and to the accounting daemon."""
    calls: dict[str, int] = {}
    controller = _printed("sdiag")
    kinds = controller.partition("by message type")[2].partition("by user")[0]
    for name, count in re.findall(r"(REQUEST_\w+|MESSAGE_\w+)\s.*?count:(\d+)", kinds):
        if not OF_NODES.search(name):
            calls[name] = int(count)
    # Of the accounting daemon those that ask for jobs: the others come from the controller.
    for count in re.findall(
        r"DBD_GET_JOBS_COND\s.*?count:(\d+)", _printed("sacctmgr", "show", "stats")
    ):
        calls["DBD_GET_JOBS_COND"] = int(count)
    return calls


def _printed(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def _clear_queue() -> None:
    subprocess.run(["scancel", "--user=root"], check=True, timeout=60)
    while _printed("squeue", "--noheader", "--states=pending,running,completing"):
        time.sleep(0.2)

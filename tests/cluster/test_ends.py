"""Jobs that Slurm itself ends, each in its own way: what the user is told of each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.project import Head, Project, lines, queue, wait_until
from tests.cluster.slurm_conf import Cluster

pytestmark = pytest.mark.slurm

SNAKEFILE = """
rule all:
    input: "time", "memory", "node", "cancelled"
rule time:
    output: "time"
    log: "logs/time.log"
    resources: runtime=1
    shell:  # Slurm counts in minutes: the end is moved nearer, and then passes
        "echo counting > {log}; scontrol update JobId=$SLURM_JOB_ID EndTime=now+2; sleep 300"
rule memory:
    output: "memory"
    resources: mem_mb=60
    shell: "python3 -c 'import time; hog = bytes(range(256)) * 1600000; time.sleep(300)'"
rule node:
    output: "node"
    resources: slurm_partition="m3c"
    shell: "echo last words >&2; sleep 300"
rule cancelled:
    output: "cancelled"
    shell: "echo working; sleep 300"
"""


@contextmanager
def frozen(cluster: Cluster, node: str) -> Iterator[None]:
    """Freeze a node's daemon: to the controller the node is dead."""
    pid = int((cluster.root / f"slurmd-{node}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: lines(["sinfo", "-h", "-n", node, "-o", "%t"]) == ["idle"])


def running_node(label: str) -> str:
    """Wait until a job runs; return where."""

    def found() -> list[str]:
        every = lines(["squeue", "--noheader", "--states=running", "--format=%j %N"])
        return [line.split()[1] for line in every if line.startswith(f"{label}.")]

    wait_until(lambda: bool(found()))
    return found()[0]


def cancel(label: str) -> None:
    """Cancel a job as its owner might, from another terminal."""
    (name,) = (each for each in queue("running") if each.startswith(f"{label}."))
    subprocess.run(["scancel", f"--name={name}"], check=True, timeout=240)


def told(head: Head, rule: str) -> str:
    """What the user was told of a rule's failure, in one line."""
    text = " ".join(head.end().output.split())
    return text.partition(f"Error in rule {rule}: message: ")[2].partition(" For further ")[0]


def test_what_slurm_ends_is_told_with_state_reason_node_and_log(
    project: Project, slurm: Cluster
) -> None:
    (project.path / "Snakefile").write_text(SNAKEFILE)
    project.without_healing()
    head = project.start("--keep-going")
    node = running_node("node")
    with frozen(slurm, node):
        running_node("cancelled")
        cancel("cancelled")
        assert head.end().returncode != 0

    time = told(head, "time")
    assert "ended as out of time (TIMEOUT, TimeLimit)" in time
    assert "give it more time: --set-resources time:runtime=MINUTES" in time
    assert "the end of logs/time.log: | counting" in time

    memory = told(head, "memory")
    assert "ended as out of memory (" in memory
    assert ", on comp00" in memory
    assert "give it more memory: --set-resources memory:mem_mb=MB" in memory
    assert "exceeded memory limit" in memory
    assert "/run.err: |" in memory

    dead = told(head, "node")
    assert re.search(rf"ended as node failure \(NODE_FAIL, Node\w+\), on {node} ", dead)
    assert "nothing is wrong with the job: start it again" in dead
    assert "/run.err: | last words" in dead

    cancelled = told(head, "cancelled")
    assert "ended as cancelled (CANCELLED" in cancelled
    assert "logs: .relion_dispatch/jobs/cancelled-" in cancelled

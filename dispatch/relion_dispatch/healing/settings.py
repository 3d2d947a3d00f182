"""The ``healing`` section of a cluster file: what is done about each class of failure."""

# No `from __future__ import annotations`: the schema module reads these types at every start.

from typing import Literal

from relion_dispatch.frozen import dataclass

Step = Literal[
    "fewer_workers",
    "bigger_gpu",
    "cpu",
    "more_memory",
    "fewer_ranks",
    "continue",
    "longer",
    "elsewhere",
]


@dataclass(frozen=True, kw_only=True)
class Healing:
    """What is done about jobs that fail: for each class the steps that are tried, in order.

    Attributes
    ----------
    enabled
        Whether failed jobs are tried again at all.
    attempts
        Most attempts of a job that fail; one that ran out of time behind at least one new iteration
        does not count.
    gpu_memory
        A GPU was full. `fewer_workers`: half as many on each GPU. `bigger_gpu`: a partition with
        more memory on a GPU. `cpu`: without GPUs.
    host_memory
        A node's memory was full. `more_memory`: by `memory_factor`. `fewer_ranks`: half as many.
    time
        The time limit. `continue`: once more, where iterations were finished. `longer`: with
        `runtime_factor` times the time, on a partition that allows it.
    node
        The node failed, or the job was pre-empted. `elsewhere`: not on that node.
    cancelled, bad_input, relion_error
        A person cancelled it; a file, an option or a program is wrong; RELION gave up. No steps:
        they end the job at once.
    memory_factor, runtime_factor
        How much more the next attempt gets.
    stop_before_limit_s
        How many seconds before its time limit a job that can be continued stops by itself.
    follow_up
        Submits what looks after a failed job of RELION's window; `{job_id}`, `{partition}` and
        `{log}` are filled in, and the command is appended as one word. Empty: nothing looks after
        those jobs.
    follow_up_partition
        The partition for that, of a moment's work on one core; empty: the cheapest one.
    """

    enabled: bool = False
    attempts: int = 8
    gpu_memory: tuple[Step, ...] = ("fewer_workers", "bigger_gpu", "cpu")
    host_memory: tuple[Step, ...] = ("more_memory", "fewer_ranks")
    time: tuple[Step, ...] = ("continue", "longer")
    node: tuple[Step, ...] = ("elsewhere",)
    cancelled: tuple[Step, ...] = ()
    bad_input: tuple[Step, ...] = ()
    relion_error: tuple[Step, ...] = ()
    memory_factor: float = 1.5
    runtime_factor: float = 2.0
    stop_before_limit_s: int = 120
    follow_up: tuple[str, ...] = ()
    follow_up_partition: str = ""

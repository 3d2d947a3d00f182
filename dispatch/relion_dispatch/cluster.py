"""What a cluster is: its partitions, its scheduler's commands, its launcher and modules."""

# No `from __future__ import annotations`: the schema module reads these types at every start.

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One kind of node that jobs can be sent to.

    Attributes
    ----------
    cores
        Processor cores of a node; `auto` means those of this machine.
    mem_mb
        Memory of a node in MiB; `auto` means that of this machine.
    nodes
        How many nodes one job may use.
    gpus_per_node
        GPU devices of a node, as RELION counts them (a K80 board has two).
    gpu_type
        The scheduler's name of the GPU, e.g. P100.
    gpu_mem_mb
        Memory of one GPU device in MiB.
    gpu_speed
        Speed of one GPU device in RELION; 1 is a P100.
    max_runtime_min
        The partition's time limit in minutes.
    cost
        What an hour of a node costs, in any unit; the cheapest partition that fits is taken.
    workers_per_gpu
        RELION workers that share one GPU here, where job types do not say.
    max_workers_per_gpu
        Most workers a user may ask for on one GPU here.
    scheduler_options
        Options every job of this partition gets, e.g. `--qos=gpu`.
    """

    cores: int | Literal["auto"] = 1
    mem_mb: int | Literal["auto"] = 4000
    nodes: int = 1
    gpus_per_node: int = 0
    gpu_type: str | None = None
    gpu_mem_mb: int | None = None
    gpu_speed: float = 1.0
    max_runtime_min: int | None = None
    cost: float = 1.0
    workers_per_gpu: int | None = None
    max_workers_per_gpu: int | None = None
    scheduler_options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """The scheduler's own commands, as argument lists.

    Attributes
    ----------
    submit
        Submits the script whose path is appended. Empty: there is no scheduler. The others may
        be left out for the schedulers behind sbatch, qsub and bsub, which are known.
    status
        Prints one line `id|state` for each job; `{job_ids}` is the comma-separated list of ids.
    history
        The same for jobs that the status command has forgotten.
    cancel
        Cancels the jobs whose ids are appended.
    job_id_pattern
        Regular expression whose first group is the id in what the submit command prints.
    time_limit_s
        Seconds to wait for an answer of any of them.
    """

    submit: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    job_id_pattern: str = r"(\d+)"
    time_limit_s: float = 60.0

    @property
    def program(self) -> str:
        """The submit command's name without its folder and options; empty where there is none."""
        return " ".join(self.submit).partition(" ")[0].rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster, or this machine.

    Attributes
    ----------
    partitions
        Kinds of nodes by the scheduler's name.
    scheduler
        The scheduler's commands.
    launcher
        Starts an MPI program on one node; `{ntasks}`, `{cpus_per_task}`, `{nodes}` are filled in.
    multinode_launcher
        The same on several nodes; `{hosts}` is the list `node:ranks,node:ranks`, `{rank_hosts}`
        the list of every rank's node, for launchers that want it so.
    hosts_command
        Prints the allocated nodes, one a line, inside a job on several nodes.
    modules
        Environment modules that every job loads.
    environment
        Variables that every job exports.
    setup
        Shell lines that every job runs first.
    gpu_memory_model
        `relion`: RELION's own formula. `fmi`: that of the older dispatcher.
    workers_per_gpu
        RELION workers that share one GPU, where neither partition nor job type says.
    max_workers_per_gpu
        Most workers a user may ask for on one GPU.
    gres
        How GPUs are asked for; `{gpus}` per node and `{gpu_type}` are filled in.
    default_runtime_min
        Time limit in minutes of a job whose length cannot be estimated.
    reserve_mem_mb
        Memory of each node in MiB that jobs leave to the system.
    """

    partitions: Mapping[str, Partition] = field(default_factory=dict)
    scheduler: Scheduler = Scheduler()
    launcher: str = "mpirun -n {ntasks}"
    multinode_launcher: str = 'mpirun -n {ntasks} --host "{hosts}"'
    hosts_command: str = 'scontrol show hostnames "$SLURM_JOB_NODELIST"'
    modules: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    gpu_memory_model: Literal["relion", "fmi"] = "relion"
    workers_per_gpu: int = 4
    max_workers_per_gpu: int = 8
    gres: str = "gpu:{gpus}"
    default_runtime_min: int | None = None
    reserve_mem_mb: int = 0

    @property
    def local(self) -> bool:
        """Whether jobs run here, without a scheduler."""
        return not self.scheduler.submit


def filled(key: str, text: str, **values: object) -> str:
    """Fill in what stands between braces in a text of the cluster file.

    Parameters
    ----------
    key, text
        Its key, for messages, and the text.
    **values
        What may be filled in.

    Raises
    ------
    InputError
        When anything else stands between braces.
    """
    try:
        return text.format(**values)
    except (LookupError, ValueError, AttributeError):
        known = ", ".join(f"{{{name}}}" for name in values)
        raise InputError(
            f"{key}: '{text}' cannot be filled in; between braces may stand {known}"
            " (braces for the shell are written twice)"
        ) from None

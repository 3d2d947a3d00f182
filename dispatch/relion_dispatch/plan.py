"""What the engine hands back: everything about one job, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relion_dispatch.command import Command
    from relion_dispatch.data import DataFacts

#: Keys of ``explain --json``, in the order in which they are printed.
JSON_KEYS = (
    "job_type",
    "relion_job",
    "chain",
    "command",
    "commands",
    "ntasks",
    "ntasks_per_node",
    "nodes",
    "ranks_on",
    "cpus_per_task",
    "gpus",
    "gpus_per_node",
    "gpu_map",
    "gpu_mem_mb_per_rank",
    "mem_mb",
    "partition",
    "runtime_min",
    "outfile",
    "errfile",
    "exit_file",
    "template",
    "submit_command",
    "notes",
    "script",
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job to be planned.

    Attributes
    ----------
    commands
        Shell lines as RELION wrote them.
    outfile, errfile
        Where RELION expects the output and the errors; empty: in the job's directory.
    project
        What relative paths in the commands are relative to.
    name
        A name for the scheduler; empty: made from the job's directory.
    data
        Facts known already; they win over what is read from files.
    overrides
        One job's own values of job parameters: nproc, nthread, ngpu, nodes, mem, partition, ….
        ``job_type`` names the type instead of matching it.
    attempt
        Which try this is; memory and time grow with it.
    concurrent
        Jobs like this that run side by side on this machine and share it.
    exit_file
        Where the exit code goes; empty: beside ``outfile``.
    script_path
        The submission script as RELION wrote it; ``.run`` is appended for the rendered one.
    """

    commands: tuple[str, ...]
    outfile: str = ""
    errfile: str = ""
    project: Path = Path()
    name: str = ""
    data: DataFacts | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    attempt: int = 1
    concurrent: int = 1
    exit_file: str = ""
    script_path: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a job runs, and why.

    Attributes
    ----------
    job_type, chain, relion_job
        Its type, the type's ancestors with itself (base first), RELION's name of the job.
    command, commands
        The final command line of its main program, and all final lines.
    ntasks, nodes, ranks_on
        MPI ranks of the whole job, its nodes, and the ranks on each node.
    ntasks_per_node, cpus_per_task
        Most ranks on a node, threads of a rank.
    gpus_per_node, gpu_map, gpu_mem_mb_per_rank
        GPUs of a node, the value of `--gpu` (None on CPUs), predicted memory of a rank on a GPU.
    mem_mb, partition, runtime_min
        Host memory of a node, where, and for how long.
    template
        File name of the template.
    submit_command
        Command that submits the script; empty where there is no scheduler.
    body
        The lines that run the job here and now.
    parameters
        All job parameters, for templates.
    changes
        What each type of the chain changed, a sentence each.
    notes
        Every decision and its reason, a sentence each.
    """

    job_type: str
    relion_job: str
    chain: tuple[str, ...]
    command: str
    commands: tuple[str, ...]
    main: Command
    ntasks: int
    ranks_on: tuple[int, ...]
    cpus_per_task: int
    gpus_per_node: int
    gpu_map: str | None
    gpu_mem_mb_per_rank: int | None
    mem_mb: int
    partition: str
    runtime_min: int | None
    name: str
    outfile: str
    errfile: str
    exit_file: str
    job_dir: str
    template: str
    template_dirs: tuple[Path, ...]
    submit_command: str
    script_path: str
    body: str
    parameters: Mapping[str, object]
    scheduler_options: tuple[str, ...] = ()
    gres: str = ""
    modules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> int:
        """Nodes of the job."""
        return len(self.ranks_on)

    @property
    def ntasks_per_node(self) -> int:
        """Most ranks on a node."""
        return max(self.ranks_on)

    @property
    def gpus(self) -> int:
        """GPUs of the whole job."""
        return self.gpus_per_node * self.nodes

    @cached_property
    def script(self) -> str:
        """The whole submission script; rendered when it is asked for.

        Raises
        ------
        InputError
            When the template is missing or wrong.
        """
        from relion_dispatch.render import render

        return render(self)

    def to_json(self) -> dict[str, Any]:
        """Return what ``explain --json`` prints."""
        values = {key: getattr(self, key) for key in JSON_KEYS}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    def json_text(self) -> str:
        """Return ``to_json`` as text."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False)

    def resources(self) -> dict[str, int | str]:
        """Return Snakemake's resources of the job, named as its executors name them."""
        found: dict[str, int | str | None] = {
            "tasks": self.ntasks,
            "nodes": self.nodes,
            "cpus_per_task": self.cpus_per_task,
            "gpu": self.gpus or None,
            "mem_mb": self.mem_mb,
            "runtime": self.runtime_min,
            "slurm_partition": self.partition or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    @property
    def threads(self) -> int:
        """Cores of one node that the job keeps busy."""
        return self.ntasks_per_node * self.cpus_per_task

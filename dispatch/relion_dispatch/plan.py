"""What the engine takes and what it hands back: everything about one job, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.frozen import dataclass

if TYPE_CHECKING:
    from relion_dispatch.calibration.basis import Basis
    from relion_dispatch.command import Command
    from relion_dispatch.data import DataFacts
    from relion_dispatch.needs import Size

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
    "changes",
    "warnings",
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
    main, commands
        Its main program's final command, and all final shell lines.
    size
        Ranks, threads, GPUs, memory, partition and time.
    name
        What the scheduler calls it.
    job_dir
        Its directory with a slash at its end.
    outfile, errfile, exit_file
        Where output, errors and the exit code go.
    template, template_dirs
        File name of the template, and where templates are looked for.
    script_path, submit_command
        Where the rendered script goes, and the command that submits it; empty without scheduler.
    parameters
        All job parameters, for templates.
    scheduler_options, gres, modules
        Further options for the scheduler, its word for the GPUs, environment modules.
    changes
        What each type of the chain changed, a sentence each.
    notes
        Every decision and its reason, a sentence each.
    body
        The lines that run the job here and now.
    basis
        What the size was worked out from.
    follow_up
        The command that submits what looks after the job should it fail, ``{job_id}`` not filled
        in; empty where nothing does.
    warnings
        What is to be feared of the job, such as want of memory and of time, and what of the
        user's wishes cannot be, a sentence each.
    older
        Whether its type says its numbers itself, as those of the older dispatcher do.
    """

    job_type: str
    chain: tuple[str, ...]
    relion_job: str
    main: Command
    commands: tuple[str, ...]
    size: Size
    name: str
    job_dir: str
    outfile: str
    errfile: str
    exit_file: str
    template: str
    template_dirs: tuple[Path, ...]
    script_path: str
    submit_command: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    scheduler_options: tuple[str, ...] = ()
    gres: str = ""
    modules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    body: str = ""
    basis: Basis | None = None
    follow_up: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    older: bool = False

    @property
    def command(self) -> str:
        """The final command line of the main program."""
        return str(self.main)

    @property
    def ntasks(self) -> int:
        """MPI ranks of the whole job."""
        return self.size.ntasks

    @property
    def ranks_on(self) -> tuple[int, ...]:
        """Ranks on each node, the leader's node first."""
        return self.size.ranks_on

    @property
    def ntasks_per_node(self) -> int:
        """Most ranks on a node."""
        return max(self.size.ranks_on)

    @property
    def nodes(self) -> int:
        """Nodes of the job."""
        return self.size.nodes

    @property
    def cpus_per_task(self) -> int:
        """Threads of a rank."""
        return self.size.cpus_per_task

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each node."""
        return self.size.gpus_per_node

    @property
    def gpus(self) -> int:
        """GPUs of the whole job."""
        return self.size.gpus_per_node * self.size.nodes

    @property
    def gpu_map(self) -> str | None:
        """The value of ``--gpu``; None on CPUs."""
        return self.size.gpu_map

    @property
    def gpu_mem_mb_per_rank(self) -> int | None:
        """Predicted device memory of a rank in MiB."""
        return self.size.gpu_mem_mb_per_rank

    @property
    def mem_mb(self) -> int:
        """Host memory of a node in MiB."""
        return self.size.mem_mb

    @property
    def partition(self) -> str:
        """Where it runs."""
        return self.size.partition

    @property
    def runtime_min(self) -> int | None:
        """Time limit in minutes."""
        return self.size.runtime_min

    @property
    def threads(self) -> int:
        """Cores of one node that the job keeps busy."""
        return self.ntasks_per_node * self.cpus_per_task

    @property
    def summary(self) -> str:
        """The size in a few words."""
        from relion_dispatch.needs import count

        parts = [f"{count(self.ntasks, 'rank')} of {count(self.cpus_per_task, 'thread')}"]
        parts += [f"{self.nodes} nodes"] if self.nodes > 1 else []
        parts += [f"{count(self.gpus_per_node, 'GPU')} a node"] if self.gpus else []
        return ", ".join([*parts, f"{self.mem_mb} MB a node"])

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

    def with_body(self, body: str) -> Plan:
        """Return the plan with the lines that run it."""
        return replace(self, body=body)

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

    def to_json(self) -> dict[str, Any]:
        """Return what ``explain --json`` prints."""
        values = {key: getattr(self, key) for key in JSON_KEYS}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    def json_text(self) -> str:
        """Return ``to_json`` as text."""
        import json

        return json.dumps(self.to_json(), indent=2, ensure_ascii=False)

"""What a size was worked out from, kept beside the job's script until the job has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.duration import SAFETY, minutes
from relion_dispatch.frozen import dataclass
from relion_dispatch.memory import Problem
from relion_dispatch.needs import Need, Size, memory_model, node_mem_mb, rank_mem_mb

if TYPE_CHECKING:
    from relion_dispatch.cluster import Cluster
    from relion_dispatch.plan import Plan

#: The file's name ends so in the place of the script's ``.run``.
SUFFIX = ".json"


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What the memory and the time of a job were predicted from.

    The predictions themselves are not kept: they are made anew by the models of whoever compares
    them with measurements, so that old jobs stay of use when a model changes.

    Attributes
    ----------
    job_type
        The job's type.
    memory, time
        Names of the models.
    problem
        What the models work with.
    gpu
        Whether it ran on GPUs.
    leader
        Whether its first rank is a leader, which needs less.
    mem_mb_per_rank
        The type's own number, taken where the data tell nothing.
    ranks_on, cpus_per_task
        Its ranks on each node, and the threads of a rank.
    gpu_speed
        Speed of all its GPUs together; 0 on CPUs.
    partition
        Where it ran.
    mem_mb, runtime_min
        What it asked for: memory of a node in MiB, minutes.
    attempt
        Which try it was.
    """

    job_type: str
    memory: str
    time: str
    problem: Problem
    gpu: bool = False
    leader: bool = False
    mem_mb_per_rank: int = 1000
    ranks_on: tuple[int, ...] = (1,)
    cpus_per_task: int = 1
    gpu_speed: float = 0.0
    partition: str = ""
    mem_mb: int = 0
    runtime_min: int | None = None
    attempt: int = 1

    @classmethod
    def of(cls, job_type: str, need: Need, size: Size, cluster: Cluster) -> Basis:
        """Note what a size was worked out from."""
        partition = cluster.partitions.get(size.partition)
        speed = partition.gpu_speed if partition else 1.0
        return cls(
            job_type=job_type,
            memory=need.memory,
            time=need.time,
            problem=need.problem,
            gpu=size.gpus_per_node > 0,
            leader=need.ranks in ("workers", "halves"),
            mem_mb_per_rank=need.mem_mb_per_rank,
            ranks_on=size.ranks_on,
            cpus_per_task=size.cpus_per_task,
            gpu_speed=size.gpus_per_node * size.nodes * speed,
            partition=size.partition,
            mem_mb=size.mem_mb,
            runtime_min=size.runtime_min,
            attempt=need.attempt,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Basis:
        """Read it back; keys of other versions are left out.

        Raises
        ------
        TypeError, ValueError
            When something is missing or of the wrong kind.
        """
        values = {name: data[name] for name in (each.name for each in fields(cls)) if name in data}
        known = {each.name for each in fields(Problem)}
        problem = {name: value for name, value in values["problem"].items() if name in known}
        for name in ("movie_shape", "micrograph_shape"):
            if problem.get(name):
                problem[name] = tuple(problem[name])
        ranks = tuple(map(int, values.get("ranks_on", (1,))))
        return cls(**{**values, "problem": Problem(**problem), "ranks_on": ranks})

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; a problem's unknowns are left out."""
        known = {name: value for name, value in asdict(self.problem).items() if value is not None}
        return {**asdict(self), "problem": known}

    @property
    def memory_model(self) -> str:
        """The model whose number was taken: ``flat`` where the data told it nothing."""
        return memory_model(self._need, self.cpus_per_task)

    @property
    def predicted_mem_mb(self) -> int:
        """Memory of the fullest node in MiB, by the model alone."""
        return node_mem_mb(self._need, max(self.ranks_on), self.cpus_per_task)

    @property
    def predicted_rank_mb(self) -> int:
        """Memory of a rank in MiB, by the model alone."""
        return rank_mem_mb(self._need, self.cpus_per_task)

    @property
    def _need(self) -> Need:
        return Need(
            problem=self.problem,
            memory=self.memory,
            mem_mb_per_rank=self.mem_mb_per_rank,
            gpu="shared" if self.gpu else "none",
            ranks="workers" if self.leader else "every",
        )

    @property
    def predicted_min(self) -> float | None:
        """Minutes, by the model alone, without any safety; None where the data tell nothing."""
        cores = sum(self.ranks_on) * self.cpus_per_task
        found = minutes(self.time, self.problem, self.gpu_speed, cores)
        return None if found is None else max(found / SAFETY, 0.01)


def path_of(script_path: str) -> Path:
    """Return where the basis of a job is, from the path of its rendered script."""
    return Path(script_path.removesuffix(".run") + SUFFIX)


def note(plan: Plan) -> None:
    """Keep a plan's basis beside its script; a disk that does not take it is no reason to stop."""
    from relion_dispatch.atomic import write_text

    if plan.basis is None or not plan.script_path:
        return
    try:
        write_text(path_of(plan.script_path), f"{json.dumps(plan.basis.to_json())}\n")
    except (OSError, TypeError, ValueError):
        return


def read(path: Path) -> Basis | None:
    """Read a basis; None where there is none, or none that can be read."""
    try:
        return Basis.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None

"""What a job needs, what a node gives, and what comes of both."""

from __future__ import annotations

from dataclasses import field, replace
from functools import lru_cache

from relion_dispatch.calibration import factors
from relion_dispatch.calibration.factors import Factor, Factors
from relion_dispatch.cluster import Partition
from relion_dispatch.frozen import dataclass
from relion_dispatch.host_memory import GPU_HOST_MB, host_mem_mb, leader_mem_mb
from relion_dispatch.jobtypes import Gpu, Ranks
from relion_dispatch.memory import GpuModel, Problem, gpu_mem_mb

#: What a job holds beside its ranks: the script's shell, the launcher and its daemons, in MiB.
JOB_MB = 200


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a step is and what was asked for it.

    Attributes
    ----------
    ranks, threads, gpu, needs_gpu
        How the program runs, as in a job type.
    problem
        What decides about memory.
    memory, time
        Names of the models of host memory and of time.
    max_ranks, max_threads
        More ranks, or more threads of a rank, have nothing to do.
    nproc, nthread, ngpu, nodes
        Numbers that were asked for; ngpu is the GPUs of a node.
    hoped_nproc
        Ranks that the command itself names: taken where they can be laid out, forgotten otherwise.
    wished
        Which parameters a user asked for: these are kept or refused, others may be adjusted.
    mem_mb, mem_mb_per_rank
        Memory of a node that was asked for, and of a rank where the model knows nothing.
    workers_per_gpu
        Workers on one GPU that the job type prefers.
    gpu_mem_mb
        Memory of a GPU in MiB, where the job type knows better than the partition.
    gpu_current_size
        Side of the transforms in pixels that GPUs have to hold; None for the whole box.
    partition, runtime_min
        Where and for how long.
    concurrent
        Jobs like this that share a node.
    attempt
        Which try this is: memory and time grow with it.
    job_type
        The step's job type.
    factors
        What finished jobs of this site have taught.
    """

    ranks: Ranks = "single"
    threads: bool = False
    gpu: Gpu = "none"
    needs_gpu: bool = False
    problem: Problem = field(default_factory=Problem)
    memory: str = "flat"
    time: str = "unknown"
    max_ranks: int | None = None
    max_threads: int | None = None
    nproc: int | None = None
    nthread: int | None = None
    ngpu: int | None = None
    nodes: int | None = None
    hoped_nproc: int | None = None
    wished: frozenset[str] = frozenset()
    mem_mb: int | None = None
    mem_mb_per_rank: int = 1000
    workers_per_gpu: int | None = None
    gpu_mem_mb: int | None = None
    gpu_current_size: int | None = None
    partition: str | None = None
    runtime_min: int | None = None
    concurrent: int = 1
    attempt: int = 1
    job_type: str = ""
    factors: Factors = factors.NONE


@dataclass(frozen=True, kw_only=True)
class Size:
    """How a job runs.

    Attributes
    ----------
    ranks_on
        Ranks on each node, the leader's node first.
    cpus_per_task
        Threads of a rank.
    gpus_per_node
        GPUs of each node.
    gpu_map
        Value of ``--gpu``; None on CPUs.
    gpu_mem_mb_per_rank
        Predicted device memory of a rank in MiB.
    mem_mb
        Host memory of a node in MiB.
    partition, runtime_min
        Where and for how long.
    estimate_min
        How long it will take, roughly and without any safety; None where nobody knows.
    left_out
        Options of the command that the node has no room for.
    notes
        Every decision with its reason, a sentence each.
    """

    ranks_on: tuple[int, ...] = (1,)
    cpus_per_task: int = 1
    gpus_per_node: int = 0
    gpu_map: str | None = None
    gpu_mem_mb_per_rank: int | None = None
    mem_mb: int = 0
    partition: str
    runtime_min: int | None = None
    estimate_min: int | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ntasks(self) -> int:
        """MPI ranks of the whole job."""
        return sum(self.ranks_on)

    @property
    def nodes(self) -> int:
        """Nodes of the job."""
        return len(self.ranks_on)


class Unfit(Exception):  # noqa: N818 - no error of the user's: why one partition is passed over
    """Why a job does not fit a partition, as a sentence's end."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A node of a partition as one job sees it.

    Attributes
    ----------
    name, partition
        The partition.
    cores, mem_mb
        What one of the concurrent jobs may use of a node.
    local
        This machine: a leader needs no core of its own, and memory is shared with everything.
    gpu_model
        The formula of GPU memory.
    workers_per_gpu, max_workers_per_gpu
        Workers that share a GPU, where the job type does not say, and the most that may.
    """

    name: str
    partition: Partition
    cores: int
    mem_mb: int
    local: bool = False
    gpu_model: GpuModel = "relion"
    workers_per_gpu: int = 4
    max_workers_per_gpu: int = 8

    @property
    def gpus(self) -> int:
        """GPUs of the node."""
        return self.partition.gpus_per_node

    def gpu_limit(self, need: Need, workers: int = 1) -> int | None:
        """Device memory in MiB that workers may use of one GPU; None where nobody knows.

        Each of them leaves what it is told to leave free (``MlOptimiserMpi::expectation``,
        src/ml_optimiser_mpi.cpp).
        """
        given = need.gpu_mem_mb or self.partition.gpu_mem_mb
        return None if given is None else given - workers * need.problem.free_gpu_memory_mb

    def gpu_mem_mb(self, need: Need, threads: int) -> int | None:
        """Device memory in MiB of one rank; None where the box is unknown."""
        return gpu_mem_mb(self.gpu_model, need.problem, threads, need.gpu_current_size)

    def ranks_by_memory(self, need: Need, threads: int) -> int:
        """Ranks that the node's memory holds, or the memory that was asked for.

        What was asked for is kept: it holds the fewest ranks in any case, and all of them where
        ranks were asked for as well, or nobody knows what one of them needs.
        """
        if need.mem_mb is not None and ("nproc" in need.wished or _modelled(need, threads) is None):
            return self.cores * 2
        leader = leader_of(need)
        given = min(need.mem_mb or self.mem_mb, self.mem_mb)
        found = (given - overhead_mb(need) - leader) // rank_mem_mb(need, threads) + bool(leader)
        return max(found, 0 if need.mem_mb is None else fewest_ranks(need))


def fewest_ranks(need: Need) -> int:
    """Ranks on a node without which a job cannot run as it was asked for."""
    gpus = (need.ngpu or 1) if need.gpu in ("shared", "one_rank_each") else 1
    if need.ranks not in ("workers", "halves"):
        return gpus
    return 1 + gpus * (2 if need.ranks == "halves" and gpus % 2 else 1)


def rank_mem_mb(need: Need, threads: int) -> int:
    """Host memory of a rank in MiB: the model's, times what finished jobs have taught."""
    found, factor = _modelled(need, threads), memory_factor(need, threads)
    if found is None:
        return factor.of_mb(need.mem_mb_per_rank)
    return factor.of_mb(found if need.gpu == "none" else found + GPU_HOST_MB)


def node_mem_mb(need: Need, ranks: int, threads: int) -> int:
    """Host memory in MiB of a node with so many ranks, a leader among them where there is one."""
    leader = leader_of(need)
    workers = ranks - 1 if leader else ranks
    return overhead_mb(need) + leader + workers * rank_mem_mb(need, threads)


def leader_of(need: Need) -> int:
    """Host memory of a leader in MiB; 0 where there is none, or it is taken for a worker."""
    if need.ranks not in ("workers", "halves") or need.memory != "refine":
        return 0
    found = leader_mem_mb(need.problem) or 0
    return memory_factor(need, 1).of_mb(found)


def overhead_mb(need: Need) -> int:
    """Memory of a job beside its ranks in MiB, where it is not in the job type's own number.

    Factors are of whole jobs: one that raises memory counts here too.
    """
    if _modelled(need, 1) is None:
        return 0
    return factors.scaled(JOB_MB, max(need.factors.of_memory(need.memory, need.job_type).value, 1))


def _modelled(need: Need, threads: int) -> int | None:
    """Host memory of a rank by its model; on GPUs images are shifted and weighed there."""
    return _of_model(need.memory, need.problem, threads, need.gpu != "none")


@lru_cache(maxsize=4096)  # one job is laid out in hundreds of ways
def _of_model(model: str, problem: Problem, threads: int, on_gpu: bool) -> int | None:
    if on_gpu:
        problem = replace(problem, translations=0, samples=0, finest_samples=0)
    return host_mem_mb(model, problem, threads)


def memory_model(need: Need, threads: int) -> str:
    """Name the model of host memory whose number is taken: `FLAT` where it knows nothing."""
    return need.memory if _modelled(need, threads) is not None else factors.FLAT


def memory_factor(need: Need, threads: int) -> Factor:
    """Return what host memory is multiplied by, and why."""
    return need.factors.of_memory(memory_model(need, threads), need.job_type)


def threads_of(need: Need, cores: int) -> int:
    """Threads of a rank that may use some cores.

    A program without ``--j`` gets more than one core only where its type or a user says so.
    """
    if not need.threads:
        return max(min(need.nthread or 1, cores), 1)
    return max(need.nthread or min(cores, need.max_threads or cores), 1)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shape(room: Room, ranks_on: tuple[int, ...], threads: int, note: str) -> Size:
    """Return a size on CPUs that still lacks memory and time."""
    return Size(ranks_on=ranks_on, cpus_per_task=threads, partition=room.name, notes=(note,))

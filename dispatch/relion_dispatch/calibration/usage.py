"""What finished jobs took, from ``sacct`` and from RELION's own words: pure functions of texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from relion_dispatch.frozen import dataclass

MIB_PER = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "": 1 / 1024**2}

#: What `read` needs of ``sacct --parsable2 --noheader --format=…``.
FORMAT = "JobID,State,ElapsedRaw,MaxRSS,NTasks,NNodes,End,Partition"

_SIZE = re.compile(r"([\d.]+)([KMGT]?)i?B?", re.IGNORECASE)
_ESTIMATE = re.compile(r"Estimated memory for (\w+)\s+step > ([\d.eE+-]+) Gb")
_ELAPSED = re.compile(r"relion-dispatch: exit code (\d+) after (\d+) s")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a job: its script, or what ``srun`` (also that of ``mpirun``) has started.

    Attributes
    ----------
    name
        ``batch``, or a number.
    max_rss_mb
        Most memory of one of its tasks in MiB.
    tasks, nodes
        How many tasks it had, on how many nodes.
    """

    name: str
    max_rss_mb: float
    tasks: int
    nodes: int

    @property
    def of_node_mb(self) -> float:
        """Memory on one node in MiB, at most."""
        return self.max_rss_mb * -(-self.tasks // self.nodes)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one job took.

    Attributes
    ----------
    state
        How it ended, in the scheduler's word.
    elapsed_s
        How long it ran.
    nodes
        How many nodes it had.
    end, partition
        When it ended, as the scheduler writes it, and where it ran.
    steps
        Its steps.
    """

    state: str
    elapsed_s: int
    nodes: int = 1
    end: str = ""
    partition: str = ""
    steps: tuple[Step, ...] = field(default_factory=tuple)

    @property
    def peak_mb(self) -> float | None:
        """Most memory that one node held, in MiB, at most; None where nothing was recorded.

        The script and what it runs itself count as a task of step ``batch``, on the first node; so
        do the ranks that ``mpirun`` starts there. Those on other nodes are children of one task
        for each node. Ranks that ``srun`` starts are tasks of their own, also on the first node.
        Steps follow each other.
        """
        batch = sum(step.of_node_mb for step in self.steps if step.name == "batch")
        others = [step for step in self.steps if step.name != "batch"]
        everywhere = [step.of_node_mb for step in others if step.nodes >= self.nodes]
        peak = max([batch + max(everywhere, default=0.0), *(step.of_node_mb for step in others)])
        return peak or None


def read(text: str) -> dict[str, Usage]:
    """Read what ``sacct`` prints in `FORMAT`: by the job's id."""
    jobs: dict[str, Usage] = {}
    steps: dict[str, list[Step]] = {}
    for line in text.splitlines():
        cells = (line.split("|") + [""] * 8)[:8]
        job_id, dot, name = cells[0].partition(".")
        if not dot:
            jobs[job_id] = Usage(
                state=cells[1].split(" ")[0],
                elapsed_s=_whole(cells[2]),
                nodes=max(_whole(cells[5]), 1),
                end=cells[6],
                partition=cells[7],
            )
        elif name != "extern":
            steps.setdefault(job_id, []).extend(_step(name, cells))
    return {
        job_id: Usage(**{**vars(job), "steps": tuple(steps.get(job_id, ()))})
        for job_id, job in jobs.items()
    }


def _step(name: str, cells: list[str]) -> Iterator[Step]:
    size = mib(cells[3])
    if size is not None:
        tasks, nodes = max(_whole(cells[4]), 1), max(_whole(cells[5]), 1)
        yield Step(name=name, max_rss_mb=size, tasks=tasks, nodes=nodes)


def mib(text: str) -> float | None:
    """Return a size as ``sacct`` writes it in MiB; None for none."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return float(found[1]) * MIB_PER[found[2].upper()]
    except ValueError:
        return None


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else 0


def sampled_every_s(config: str) -> int:
    """Return how often a scheduler looks at memory, from ``scontrol show config``; 30 if unsaid."""
    found = re.search(r"^JobAcctGatherFrequency\s*=\s*(?:\S*task=)?(\d+)", config, re.MULTILINE)
    return int(found[1]) if found else 30


def estimated_mb(run_out: str) -> float | None:
    """Return the memory of a rank, in MiB, that RELION itself says it needs at least.

    ``relion_refine --verb 2`` prints both its steps at each iteration (``MlOptimiser::
    expectationSetup`` in src/ml_optimiser.cpp); the largest counts.
    """
    sizes = [_number(size) * 1024 for _, size in _ESTIMATE.findall(run_out)]
    return max(sizes, default=None)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def ran_for_s(run_out: str) -> int | None:
    """Return how long the last run took that ended well, from what its script printed."""
    ends = _ELAPSED.findall(run_out)
    return int(ends[-1][1]) if ends and ends[-1][0] == "0" else None

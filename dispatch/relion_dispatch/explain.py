"""A plan in words: which type and why, what it costs, where it goes, and the script."""

from __future__ import annotations

from collections.abc import Iterator

from relion_dispatch.needs import count
from relion_dispatch.plan import Plan


def explanation(plan: Plan) -> str:
    """Return what ``explain`` prints."""
    return "\n".join(
        [
            *_section("Job type", _job_type(plan)),
            *_section("Changed by", plan.changes),
            *_section("Size", _size(plan)),
            *_section("Warnings", plan.warnings),
            *_section("Why", plan.notes),
            *_section("Commands", plan.commands),
            *_section("Submitted with", _submission(plan)),
            f"{plan.script_path}",
            "-" * max(len(plan.script_path), 40),
            plan.script,
        ]
    )


def _section(title: str, lines: object) -> Iterator[str]:
    found = list(lines) if isinstance(lines, tuple | list | Iterator) else []
    if found:
        yield title
        yield from (f"  {line}" for line in found)
        yield ""


def _job_type(plan: Plan) -> Iterator[str]:
    yield f"{plan.job_type} ({plan.relion_job}): {' -> '.join(reversed(plan.chain))}"
    yield f"template {plan.template}"


def _size(plan: Plan) -> Iterator[str]:
    nodes = f", on the nodes {'+'.join(map(str, plan.ranks_on))}" if plan.nodes > 1 else ""
    yield f"{count(plan.ntasks, 'rank')} of {count(plan.cpus_per_task, 'thread')}{nodes}"
    if plan.gpus:
        need = (
            f", {plan.gpu_mem_mb_per_rank} MB of each for a rank"
            if plan.gpu_mem_mb_per_rank
            else ""
        )
        yield f'{count(plan.gpus_per_node, "GPU")} a node{need}, --gpu "{plan.gpu_map}"'
    where = f"partition {plan.partition}, " if plan.partition else ""
    time = f", {plan.runtime_min} minutes" if plan.runtime_min else ""
    yield f"{where}{plan.mem_mb} MB of memory a node{time}"


def _submission(plan: Plan) -> Iterator[str]:
    yield plan.submit_command or "nothing: it runs here"

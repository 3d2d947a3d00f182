"""What the jobs have taken: time, cores, GPUs and memory, and what was tried again, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from relion_dispatch.failures import tail
from relion_dispatch.report import svg, tools
from relion_dispatch.report.axes import axis
from relion_dispatch.report.content import Block, Facts, Figure, Listing, Table, Text
from relion_dispatch.report.jobs import Job
from relion_dispatch.report.source import Part, Source
from relion_dispatch.status.model import State

#: Rows of the figure of times, at most: the longest jobs.
MOST_ROWS = 40
#: Kinds of steps whose share of the time is drawn.
SHARES = 12
ROW, LEFT, WIDTH = 17.0, 128.0, 380.0


def build(source: Source) -> Iterator[Block]:
    """Make the part."""
    found = source.jobs
    if not found:
        yield Text(text="No job has begun yet.", kind="missing")
        return
    yield from failures(source)
    yield Facts(facts=tuple(totals(found)))
    if drawn := timeline(found):
        yield drawn
    if drawn := shares(found):
        yield drawn
    yield table(found)
    if tried := retries(found):
        yield tried
    else:
        yield Text(text="Nothing had to be tried again.")


def failures(source: Source) -> Iterator[Listing]:
    """Yield what jobs said last that did not succeed."""
    for job in source.jobs:
        if job.state not in (State.FAILED, State.ABORTED):
            continue
        lines = tail(source.file(f"{job.directory}/run.err"))
        printable = [
            "".join(each if each.isprintable() else " " for each in line) for line in lines
        ]
        title = f"{job.step} {job.state.value}: the end of {job.directory}/run.err"
        yield Listing(title=title, text="\n".join(printable), open=True)


def totals(found: Sequence[Job]) -> Iterator[tuple[str, str]]:
    """Yield sums over all jobs."""
    known = [job for job in found if job.elapsed_s is not None]
    seconds = sum(job.elapsed_s or 0 for job in known)
    core_s = sum((job.elapsed_s or 0) * job.cores for job in known)
    gpu_s = sum((job.elapsed_s or 0) * job.gpus for job in known)
    began = [job.began for job in found if job.began]
    ended = [job.ended for job in found if job.ended]
    yield "jobs", str(len(found))
    if began and ended:
        yield "from first to last", tools.duration(max(ended) - min(began))
    yield "all jobs together", tools.duration(seconds)
    yield "CPU-hours", f"{core_s / 3600:.2f}"
    yield "GPU-hours", f"{gpu_s / 3600:.2f}"
    yield "tried again", str(sum(each.number > 1 for job in found for each in job.attempts))


def timeline(found: Sequence[Job]) -> Figure | None:
    """Draw when each job ran; None where no times are known."""
    timed = [job for job in found if job.began and job.ended]
    if not timed:
        return None
    longest = sorted(timed, key=lambda job: -(job.elapsed_s or 0))[:MOST_ROWS]
    rows = [job for job in timed if job in longest]
    start = min(job.began or 0 for job in rows)
    span = max(job.ended or 0 for job in rows) - start
    unit, seconds = _unit(span)
    along = axis(f"time ({unit})", [0, span / seconds], zero=True)
    foot = ROW * len(rows) + 8
    body = []
    for value, words in along.ticks:
        across = LEFT + along.fraction(value) * (WIDTH - LEFT - 14)
        body.append(
            f'<line class="grid" x1="{across:.1f}" y1="4" x2="{across:.1f}" y2="{foot:.1f}"/>'
        )
        body.append(svg.text(across, foot + 15, words, "tick", "middle"))
    body.append(svg.text((LEFT + WIDTH) / 2, foot + 34, along.label, "label", "middle"))
    for row, job in enumerate(rows):
        ends = [((at or 0) - start) / seconds for at in (job.began, job.ended)]
        left, right = (LEFT + along.fraction(end) * (WIDTH - LEFT - 14) for end in ends)
        top = 6 + row * ROW
        body.append(svg.text(LEFT - 6, top + 11, job.step, "tick", "end"))
        kind = "s1" if job.state is State.FINISHED else "s2"
        tip = f"{job.step}: {tools.duration(job.elapsed_s)}, {tools.many(job.cores, 'core')}"
        body.append(
            svg.box(left, top, max(1.5, right - left), ROW - 5, kind=f"bar {kind}", tip=tip)
        )
    drawing = svg.wrap(body, title="When each job ran", width=WIDTH, height=foot + 40)
    stamp = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    more = len(timed) - len(rows)
    caption = f"From {stamp} on." + (f" {more} shorter jobs are not drawn." if more else "")
    return Figure(svg=drawing, title="When each job ran", caption=caption)


def shares(found: Sequence[Job]) -> Figure | None:
    """Draw which kinds of steps have taken the cores' time; None where no times are known."""
    sums: dict[str, float] = {}
    for job in found:
        kind = re.sub(r"_\d+$", "", job.step)
        sums[kind] = sums.get(kind, 0.0) + (job.elapsed_s or 0.0) * job.cores
    total = sum(sums.values())
    if not total:
        return None
    most = sorted(sums.items(), key=lambda each: -each[1])[:SHARES]
    body = []
    for row, (kind, core_s) in enumerate(most):
        top, width = 6 + row * ROW, (WIDTH - LEFT - 60) * core_s / most[0][1]
        tip = f"{kind}: {tools.duration(core_s)} on one core"
        body.append(svg.text(LEFT - 6, top + 11, kind, "tick", "end"))
        body.append(svg.box(LEFT, top, max(1.0, width), ROW - 5, kind="bar s1", tip=tip))
        share = f"{core_s / total:.0%}" if core_s >= 0.005 * total else "<1%"
        body.append(svg.text(LEFT + width + 5, top + 11, share, "tick"))
    title = "Where the cores' time went"
    drawing = svg.wrap(body, title=title, width=WIDTH, height=ROW * len(most) + 10)
    caption = "Starts and rounds together; cores times time."
    return Figure(svg=drawing, title=title, caption=caption)


def _unit(span_s: float) -> tuple[str, float]:
    if span_s < 600:
        return "s", 1.0
    return ("min", 60.0) if span_s < 4 * 3600 else ("h", 3600.0)


def table(found: Sequence[Job]) -> Table:
    """List the jobs with what they asked for and what they took."""
    head = ("step", "directory", "state", "time", "time asked", "ranks", "threads", "CPU used")
    return Table(
        title="Asked for and used",
        head=(*head, "GPUs", "memory", "memory asked"),
        rows=tuple(map(_row, found)),
        right=tuple(range(3, 11)),
        caption="A dash: nobody has noted it. Memory that was used is that of all processes, as the"
        " scheduler measures it, or as a look once a second tells on this machine.",
    )


def _row(job: Job) -> tuple[str, ...]:
    parts = f" ({len(job.shards) - 1} parts)" if job.shards else ""
    return (
        f"{job.step}{parts}",
        job.directory,
        job.state.value,
        tools.duration(job.elapsed_s),
        _minutes(job.asked.get("runtime_min")),
        tools.shown(job.asked.get("ntasks")),
        tools.shown(job.asked.get("cpus_per_task")),
        _share_of_cpus(job),
        str(job.gpus) if job.asked else "–",
        _memory(job.used.get("mem_mb")),
        _memory(job.asked.get("mem_mb")),
    )


def _share_of_cpus(job: Job) -> str:
    """Say how busy a job's cores were."""
    used, elapsed_s = job.used.get("cpu_s"), job.used.get("elapsed_s") or job.elapsed_s
    if not isinstance(used, int | float) or not elapsed_s:
        return "–"
    return f"{used / elapsed_s / job.cores:.0%}"


def _memory(mem_mb: object) -> str:
    if not isinstance(mem_mb, int | float) or mem_mb <= 0:
        return "–"
    return f"{mem_mb:.0f} MB" if mem_mb < 1024 else f"{mem_mb / 1024:.1f} GB"


def _minutes(runtime_min: object) -> str:
    if not isinstance(runtime_min, int | float) or runtime_min <= 0:
        return "–"
    return tools.duration(60 * runtime_min)


def retries(found: Sequence[Job]) -> Table | None:
    """List the attempts that failed, and what was done about it; None where all went well."""
    rows = [
        (
            job.step,
            str(attempt.number),
            attempt.state or "not ended",
            attempt.failure or "–",
            " ".join(attempt.evidence) or "–",
            attempt.decision or "–",
        )
        for job in found
        for attempt in job.attempts
        if attempt.failure or attempt.decision
    ]
    if not rows:
        return None
    head = ("step", "attempt", "ended", "why", "evidence", "what was done")
    return Table(title="Tried again, and why", head=head, rows=tuple(rows), right=(1,))


PART = Part(name="resources", title="Time and resources", files=lambda _: (), build=build)

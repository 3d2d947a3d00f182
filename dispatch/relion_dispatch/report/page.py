"""The page: one HTML file that needs no network and runs no script."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import __version__
from relion_dispatch.report.content import Block, Figure, Findings, Picture, Pictures, Stage, Stages
from relion_dispatch.report.source import Source
from relion_dispatch.report.tools import angst
from relion_dispatch.status.model import Job, State

if TYPE_CHECKING:
    from relion_dispatch.report.refresh import Section

TEMPLATES = Path(__file__).with_name("templates")
#: Maps that the head of the page may show, the best last.
MAPS = ("initial-model", "class3d", "refine3d")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands above all parts.

    Attributes
    ----------
    project
        The directory's name.
    state, detail
        ``finished``, ``failed`` or ``in progress``, and a sentence more.
    resolution
        Of the best map so far; empty before there is one.
    resolution_of
        The stage that it belongs to.
    level
        Of the last verdict; empty before there is one.
    pictures
        Three views of the last map.
    made
        When the page was made.
    version
        Of this package.
    """

    project: str
    state: str
    detail: str
    resolution: str
    resolution_of: str
    level: str
    pictures: tuple[Picture, ...]
    made: str
    version: str


def render(source: Source, sections: Sequence[Section]) -> str:
    """Write the page.

    Parameters
    ----------
    source
        The project.
    sections
        The finished parts, in order.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        head=head(source, sections),
        sections=[(section, list(grouped(section.blocks))) for section in sections],
        style=style,
        style_hash=_hash(style),
    )


def grouped(blocks: Sequence[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Put drawings, and judgements, that follow each other side by side."""
    for kind, some in groupby(blocks, type):
        if kind in (Figure, Findings):
            yield kind.__name__, list(some)
        else:
            yield from ((kind.__name__, [block]) for block in some)


def head(source: Source, sections: Sequence[Section]) -> Head:
    """Collect what stands above all parts."""
    state, detail = progress(source, sections)
    stage = next((s for s in reversed(_stages(sections)) if s.resolution), None)
    judged = [b.level for s in sections for b in s.blocks if isinstance(b, Findings)]
    return Head(
        project=source.root.resolve().name,
        state=state,
        detail=detail,
        resolution=stage.resolution if stage else "",
        resolution_of=stage.name if stage else "",
        level=judged[-1] if judged else "",
        pictures=_hero(sections),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def progress(source: Source, sections: Sequence[Section]) -> tuple[str, str]:
    """Say whether all is done, something failed, or what is still missing."""
    failed = [job for job in source.jobs if job.state in (State.FAILED, State.ABORTED)]
    if failed:
        names = "; ".join(
            f"{job.step} in {job.directory}, {job.now.detail or job.state}" for job in failed
        )
        return "failed", f"Did not succeed: {names}. What it said last is under Time and resources."
    if all(source.has(name) for name in source.paths.targets):
        return "finished", "Everything that the configuration asks for is there."
    running = [_running(job.now) for job in source.jobs if job.state is State.RUNNING]
    waiting = [section.title for section in sections if section.state == "waiting"]
    words = [f"Running: {'; '.join(running)}."] if running else []
    words += [f"Not there yet: {', '.join(waiting)}."] if waiting else []
    return "in progress", " ".join(words)


def _running(job: Job) -> str:
    """Say how far a running job is."""
    words = job.step or job.folder
    if job.iteration is not None:
        words += f", iteration {job.iteration}"
        words += f" of {job.iterations}" if job.iterations else ""
    return f"{words}, {angst(job.resolution)}" if job.resolution else words


def _stages(sections: Sequence[Section]) -> list[Stage]:
    return [
        stage
        for section in sections
        for block in section.blocks
        if isinstance(block, Stages)
        for stage in block.stages
    ]


def _hero(sections: Sequence[Section]) -> tuple[Picture, ...]:
    shown: tuple[Picture, ...] = ()
    for section in sections:
        if section.name.startswith(MAPS):
            for block in section.blocks:
                if isinstance(block, Pictures) and len(block.pictures) >= 9:
                    shown = block.pictures[:3]
                    break
    return shown


def _hash(style: str) -> str:
    """Return what the page's security policy knows its own style sheet by."""
    return "sha256-" + base64.b64encode(sha256(style.encode()).digest()).decode()

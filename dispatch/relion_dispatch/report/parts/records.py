"""All parameters, versions and commands, to look up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from relion_dispatch.pipeline import settings
from relion_dispatch.report import tools
from relion_dispatch.report.content import Block, Listing, Table
from relion_dispatch.report.source import Part, Source
from relion_dispatch.resources import workflow_dir


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options of nested blocks by their full names."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def parameters(source: Source) -> tuple[Table, Table]:
    """List the options that differ from their defaults, and all."""
    defaults = dict(flat(settings.read(workflow_dir() / "config" / "config.yaml")))
    used = list(flat(asdict(source.settings)))
    changed = [
        (name, tools.shown(value), tools.shown(defaults.get(name)))
        for name, value in used
        if tools.shown(value) != tools.shown(defaults.get(name))
    ]
    return (
        Table(
            title=f"{tools.many(len(changed), 'option')} set by the user",
            head=("option", "value", "default"),
            rows=tuple(changed),
            folded=True,
        ),
        Table(
            title=f"All {len(used)} options",
            head=("option", "value"),
            rows=tuple((name, tools.shown(value)) for name, value in used),
            folded=True,
        ),
    )


def build(source: Source) -> Iterator[Block]:
    """Make the part."""
    yield from parameters(source)
    if source.versions:
        yield Table(
            title="Versions",
            head=("program", "version"),
            rows=tuple((name, str(version)) for name, version in source.versions.items()),
            folded=True,
        )
    found = [job for job in source.jobs if job.commands]
    if found:
        text = "\n\n".join("\n".join((f"# {job.step}", *job.commands)) for job in found)
        yield Listing(title=f"The commands of {tools.many(len(found), 'job')}", text=text)


PART = Part(name="records", title="Parameters, versions, commands", files=lambda _: (), build=build)

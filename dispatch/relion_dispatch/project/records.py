"""What a run plans about each job, kept for the jobs themselves: they begin on other machines.

A record is a JSON file in ``.relion_dispatch/jobs``. A directory without one is no job of the
pipeline's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from relion_dispatch.atomic import write_text
from relion_dispatch.project.flavours import FLAVOURS, Flavour
from relion_dispatch.project.joblist import NO_ALIAS, Job

FOLDER = Path(".relion_dispatch", "jobs")

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A planned job, written as its version of RELION writes it.

    Attributes
    ----------
    name
        Its directory, with a slash at the end.
    step
        Name of the step; the window shows it as the job's alias.
    version
        Of RELION: a key of `flavours.FLAVOURS`.
    type
        Its type.
    options
        The window's fields.
    late
        Files that fields are in once the job has run, by the fields' names.
    inputs, outputs
        Files with their kinds.
    commands
        The commands as planned, without launcher and size.
    """

    name: str
    step: str
    version: str
    type: str
    options: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, str] = field(default_factory=dict)
    inputs: Pairs = ()
    outputs: Pairs = ()
    commands: tuple[str, ...] = ()

    @property
    def flavour(self) -> Flavour:
        """How its version of RELION writes."""
        return FLAVOURS[self.version]

    @property
    def job(self) -> Job:
        """The job as RELION's job list has it."""
        folder = self.name.partition("/")[0]
        return Job(
            name=self.name,
            type=self.type,
            alias=f"{folder}/{self.step}/" if self.step else NO_ALIAS,
            inputs=self.inputs,
            outputs=self.outputs,
        )


def path(project: Path, name: str) -> Path:
    """Return where the record of a job directory is."""
    return project / FOLDER / f"{name.strip('/').replace('/', '-')}.json"


def write(project: Path, record: Record) -> None:
    """Keep a record; one that is there already with the same content is left alone.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    text = json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"
    file = path(project, record.name)
    try:
        if file.read_text(encoding="utf-8", errors="surrogateescape") == text:
            return
    except OSError:
        pass
    write_text(file, text)


def read(project: Path, name: str) -> Record | None:
    """Return the record of a job directory; None when there is none that can be read."""
    return _read(path(project, name))


def read_all(project: Path) -> Iterator[Record]:
    """Yield the records of a project."""
    for file in sorted((project / FOLDER).glob("*.json")):
        record = _read(file)
        if record is not None:
            yield record


def _read(file: Path) -> Record | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8", errors="surrogateescape"))
        pairs = {name: tuple(map(tuple, found[name])) for name in ("inputs", "outputs")}
        return Record(**{**found, **pairs, "commands": tuple(found["commands"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None

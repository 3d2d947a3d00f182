"""The project as the report sees it: its configuration as it was used, and where its files are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings, versions
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.paths import Paths
from relion_dispatch.report import jobs
from relion_dispatch.report.content import Block
from relion_dispatch.report.jobs import read_json
from relion_dispatch.report.star import MissingFileError

#: What the check before the first job writes; see `relion_dispatch.pipeline.check.run`.
KEPT_CONFIG = ".relion_dispatch/config.yaml"
KEPT_CHECK = ".relion_dispatch/check.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A project.

    Attributes
    ----------
    root
        Its directory.
    paths
        Its steps and their files, relative to it.
    check
        What the check before the first job has found; empty before it.
    """

    root: Path
    paths: Paths
    check: Mapping[str, Any]

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.paths.settings

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of all programs, by name."""
        found: Mapping[str, str] = self.check.get("versions", {})
        return found

    def file(self, name: str) -> Path:
        """Path of a file of the project; an absolute name stays what it is."""
        return self.root / name

    def need(self, name: str) -> Path:
        """Path of a file that must be there.

        Raises
        ------
        MissingFileError
            When it is not.
        """
        if not self.file(name).exists():
            raise MissingFileError(name)
        return self.file(name)

    def has(self, name: str) -> bool:
        """Whether a file of the project is there."""
        return self.file(name).exists()

    def relative(self, path: Path) -> str:
        """Name of a file as the project's own files have it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        """Numbers of the refinements: 0, and those of the rounds."""
        enabled = self.settings.refine3d.enabled
        return (0, *self.paths.rounds) if enabled else ()

    @cached_property
    def jobs(self) -> Sequence[jobs.Job]:
        """The jobs that have begun, in their order."""
        return jobs.read(self.root)

    def verdict(self, name: str) -> Mapping[str, Any]:
        """Read a verdict; empty where there is none."""
        return read_json(self.file(name))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the report.

    Attributes
    ----------
    name, title
        For the page's links, and for people.
    files
        The files that it is made from. It is made again when one of them has changed.
    build
        Makes it; a file that is missing (`star.MissingFileError`) is told in its place.
    applies
        Whether the project has such a part at all.
    """

    name: str
    title: str
    files: Callable[[Source], Sequence[str]]
    build: Callable[[Source], Iterable[Block]]
    applies: Callable[[Source], bool] = lambda _: True


def load(root: Path) -> Source:
    """Read what is known of a project.

    Raises
    ------
    InputError
        When it is no project of this pipeline, or its configuration is wrong.
    """
    check = read_json(root / KEPT_CHECK)
    chosen = _settings(root)
    version = _version(chosen, check)
    paths = Paths(settings=chosen, version=version, layout=Layout(chosen.first_job))
    return Source(root=root, paths=paths, check=check)


def _settings(root: Path) -> Settings:
    """Load the configuration that was used last; without one, the one that would be used now."""
    kept, own = root / KEPT_CONFIG, root / "config.yaml"
    if kept.is_file():
        try:
            return settings.load(settings.read(kept), source=KEPT_CONFIG)
        except InputError:
            if not own.is_file():
                raise
    if not own.is_file():
        raise InputError(
            f"{root}: has no config.yaml; give the directory of a project that relion-dispatch init"
            " has made"
        )
    return settings.load(settings.read(own), source="config.yaml")


def _version(chosen: Settings, check: Mapping[str, Any]) -> versions.Version:
    ran = str(check.get("versions", {}).get("RELION", ""))
    if ran[:1].isdigit():
        return versions.Version.parse(ran)
    return versions.resolve(chosen.relion_version)

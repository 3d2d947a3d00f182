"""One run of the whole pipeline on simulated movies, which many tests look at."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demo import runner

LOCAL = str(runner.ROOT / "profiles" / "local")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished pipeline: the simulated data, the project, and what Snakemake did."""

    data: Path
    project: Path
    run: runner.Run

    def score(self, map_: str) -> float:
        """Å at FSC 0.5 against the truth."""
        return _score(self.data, str(self.project / map_))

    def copy(self, folder: Path) -> Path:
        """Copy the project, with its times, so that a test may change it."""
        return Path(shutil.copytree(self.project, folder, symlinks=True))


@functools.cache
def _score(data: Path, map_: str) -> float:
    _, scores = runner.truth(data, map_)
    found: float = scores["maps"][map_]["fsc05"]["angstrom"]
    return found


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated movies and their truth."""
    return runner.simulate(tmp_path_factory.mktemp("simulated") / "demo", "--seed", "7")


@pytest.fixture(scope="session")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The whole pipeline, run once, in a folder whose name needs quoting everywhere."""
    folder = tmp_path_factory.mktemp("run") / "Grüße; a $HOME of one's own"
    project = runner.make_project(folder, data / "Movies")
    run = runner.snakemake(project, "--profile", LOCAL)
    return Finished(data=data, project=project, run=run)

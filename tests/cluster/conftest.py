"""A Slurm cluster for the tests of this folder, started when the first of them asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import grid_engine as grid_engine_cluster
from tests.cluster import slurm_cluster
from tests.cluster.project import Project, queue, wait_until
from tests.cluster.slurm_conf import Cluster


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running Slurm like M3, with accounting; ``SLURM_CONF`` leads every client to it."""
    if reason := slurm_cluster.missing(accounting=True):
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("slurm", numbered=True)
    cluster = Cluster(root=root, accounting=True)
    with slurm_cluster.running(cluster), pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        yield cluster


@pytest.fixture(scope="module")
def grid_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running Grid Engine; the environment leads every client to it."""
    if reason := grid_engine_cluster.missing():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("sge", numbered=True)
    with grid_engine_cluster.running(root) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield root


@pytest.fixture
def project(slurm: Cluster, tmp_path: Path) -> Iterator[Project]:
    """An empty project; whatever it leaves in the queue is cancelled."""
    project = Project(tmp_path)
    yield project
    project.kill_heads()
    subprocess.run(["scancel", "--user=root"], check=False)
    wait_until(lambda: not queue())


@pytest.fixture(scope="session")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MPI program that says where its ranks are, compiled."""
    program = tmp_path_factory.mktemp("where") / "where"
    source = Path(__file__).with_name("where.c")
    subprocess.run(["mpicc", "-Wall", "-Werror", "-o", program, source], check=True)
    return program

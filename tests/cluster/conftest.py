"""A Slurm cluster for the tests of this folder, started when the first of them asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import slurm_cluster
from tests.cluster.slurm_cluster import Cluster


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

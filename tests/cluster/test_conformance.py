"""Snakemake's own tests of executors."""

from __future__ import annotations

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase

from snakemake_executor_plugin_relion_dispatch import ExecutorSettings
from tests.cluster.project import PROFILE
from tests.cluster.slurm_cluster import Cluster


@pytest.mark.slurm
@pytest.mark.filterwarnings("ignore")  # Snakemake's own are none of ours
class TestConformance(TestWorkflowsLocalStorageBase):  # type: ignore[misc] # no types there
    __test__ = True

    @pytest.fixture(autouse=True)
    def cluster(self, slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every test of the base class needs the cluster, and starts Snakemake in this process."""
        monkeypatch.setenv("RELION_DISPATCH_PROFILE", "")  # the executor sets it; taken back after

    def get_executor(self) -> str:
        return "relion-dispatch"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(profile=str(PROFILE))

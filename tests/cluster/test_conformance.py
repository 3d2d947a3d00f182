"""Snakemake's own tests of executors."""

from __future__ import annotations

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase

from snakemake_executor_plugin_relion_dispatch import ExecutorSettings
from tests.cluster.project import PROFILE


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
@pytest.mark.filterwarnings("ignore")  # Snakemake's own are none of ours
class TestConformance(TestWorkflowsLocalStorageBase):  # type: ignore[misc] # no types there
    __test__ = True

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The base class starts Snakemake in this process."""
        monkeypatch.setenv("RELION_DISPATCH_PROFILE", "")  # the executor sets it; taken back after

    def get_executor(self) -> str:
        return "relion-dispatch"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(profile=str(PROFILE))

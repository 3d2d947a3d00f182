"""A trial whose jobs go through a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch import cli
from tests.cluster.project import lines, wait_until
from tests.cluster.slurm_cluster import Cluster
from tests.demo import runner

pytestmark = [pytest.mark.slurm, pytest.mark.relion]

PROFILE = Path(__file__).with_name("profile")


def test_variants_are_jobs_of_the_cluster(slurm: Cluster, tmp_path: Path) -> None:
    data = runner.simulate(tmp_path / "data", "--seed", "3", "--movies", "1")
    project = runner.make_project(tmp_path / "project", data / "Movies")
    words = ["--step=ctf", "--set", "max_resolution=8,10", "--micrographs=1", "--quiet"]
    assert cli.main(["try", str(project), *words, "--profile", str(PROFILE)]) == 0
    assert (project / "Try/001/index.html").read_text().count("<figure>") == 2
    # Accounting hears of the jobs' ends a moment later.
    wait_until(lambda: sum("CtfFind" in name for name in accounted(project)) == 2)
    names = accounted(project)
    assert sum("MotionCorr" in name for name in names) == 1, "what comes before is done once"


def accounted(project: Path) -> list[str]:
    """Names and folders of the jobs in a project, as the accounting has them."""
    words = ["sacct", "--noheader", "--allocations", "--parsable2", "--format=JobName,WorkDir"]
    return [line for line in lines(words) if str(project) in line]

"""Data on which every fast initial model is wrong, while every program ends with success."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo import runner
from tests.pipeline.conftest import LOCAL

pytestmark = pytest.mark.relion


def test_hard_data_end_with_the_right_map_or_an_honest_stop(tmp_path: Path) -> None:
    data = runner.simulate(tmp_path / "simulated", "--preset", "hard")
    project = runner.make_project(tmp_path / "project", data / "Movies")
    run = runner.snakemake(project, "--profile", LOCAL, "--until", "judge_refine3d")
    if run.returncode:
        assert "stopped by the sanity check" in run.output
        return
    _, scores = runner.truth(data, str(project / "Refine3D/job035/run_class001.mrc"))
    (score,) = scores["maps"].values()
    assert score["fsc05"]["angstrom"] <= 15

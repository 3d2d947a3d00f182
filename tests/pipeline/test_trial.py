"""A trial with real RELION: several values side by side, and one of them taken over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from relion_dispatch import cli
from relion_dispatch.trial import results
from tests.demo import runner
from tests.pipeline.conftest import LOCAL

pytestmark = pytest.mark.relion


def test_thresholds_of_picking_side_by_side(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = runner.make_project(tmp_path / "my project", data / "Movies")
    words = ["--step=picking", "--set", "log.threshold=0,3", "--micrographs=2"]
    assert cli.main(["try", str(project), *words, "--profile", LOCAL]) == 0
    told = capsys.readouterr().out
    trial = project / "Try/001"
    counts = [int(results.medians(results.read(trial / name))["picks"]) for name in ("1", "2")]
    assert counts[0] > counts[1] > 0
    assert re.search(r"^1: picking.log.threshold = 0: .*picks \d", told, re.MULTILINE)

    text = (trial / "index.html").read_text()
    assert text.count("<figure>") == 4
    assert text.count("<circle") >= sum(counts)
    assert text.count("data:image/png;base64,") == 4
    assert not (project / "AutoPick").exists(), "the project has no job of it"

    assert cli.main(["try", str(project), "--choose", "2"]) == 0
    config = (project / "config.yaml").read_text()
    assert yaml.safe_load(config)["picking"]["log"]["threshold"] == 3
    assert "# The simulated demo data" in config


def test_a_variant_that_fails_is_told_beside_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = runner.make_project(tmp_path / "project", data / "Movies")
    words = ["--step=ctf", "--set", "executable=null,/no/such/program", "--micrographs=1"]
    assert cli.main(["try", str(project), *words, "--set", "program=ctffind4"]) == 2
    told = capsys.readouterr().out
    assert "2: ctf.executable = /no/such/program, ctf.program = ctffind4: failed" in told
    assert "failed" in (project / "Try/001/index.html").read_text()

"""What the benchmarks measure with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relion_dispatch.command import Command
from relion_dispatch.data import read_facts
from tests.bench import submitting
from tests.bench.costs import costs

pytestmark = pytest.mark.slow


def test_the_benchmarks_particles_are_read_as_relions(tmp_path: Path) -> None:
    submitting.particles(tmp_path / "particles.star", rows=450)
    facts = read_facts([Command.parse(submitting.JOB)], tmp_path)

    assert (facts.n_particles, facts.box, facts.angpix) == (450, 256, 1.1)


def test_costs_are_those_of_each_command(tmp_path: Path) -> None:
    lazy = [sys.executable, "-IS", "-c", "import time; time.sleep(0.2)"]
    busy = [
        sys.executable,
        *("-IS", "-c", "import time\nwhile time.process_time() < 0.2: pass"),
    ]
    slept, worked = costs([(lazy, tmp_path), (busy, tmp_path)], repeats=1)

    assert slept.wall_s > 0.2 > slept.cpu_s
    assert worked.cpu_s >= 0.2


def test_what_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        costs([(["false"], tmp_path)], repeats=1)

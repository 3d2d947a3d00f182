"""Clean-ups of a finished project: what goes, and that nothing has to be done again for it."""

from __future__ import annotations

import os
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.demo import runner
from tests.pipeline.conftest import LOCAL, Finished

pytestmark = pytest.mark.relion


def files(project: Path, *, below: str = "") -> set[str]:
    """Files of a project but for Snakemake's own and the notes about the run."""
    found = (project / below).rglob("*")
    names = (str(path.relative_to(project)) for path in found if path.is_file())
    return {name for name in names if not name.startswith((".snakemake", ".relion_dispatch"))}


def nothing_to_do(project: Path) -> bool:
    run = runner.snakemake(project, "--profile", LOCAL, "-n")
    assert run.returncode == 0, run.output
    return "Nothing to be done" in run.output


def test_nothing_has_to_be_done_again_after_a_clean_up(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "a project")
    before = files(project)

    gentle = runner.snakemake(project, "--profile", LOCAL, "clean_gentle")
    assert gentle.returncode == 0, gentle.output
    assert "moved to Trash/" in gentle.output
    taken = before - files(project)
    assert any(name.startswith("Refine3D/job035/run_it000_") for name in taken)
    kept = ("MotionCorr/*/Movies/*.mrc", "Extract/*/Movies/*.mrcs", "Polish/*/Movies/*_shiny.*")
    assert not any(fnmatch(name, pattern) for name in taken for pattern in kept)
    assert {f"Trash/{name}" for name in taken} == files(project, below="Trash")
    assert nothing_to_do(project)

    harsh = runner.snakemake(project, "--profile", LOCAL, "clean_harsh")
    assert harsh.returncode == 0, harsh.output
    taken = before - files(project)
    assert "MotionCorr/job002/Movies/mov001.mrc" in taken
    assert any(name.startswith("Polish/job043/Movies/") for name in taken)
    assert nothing_to_do(project)


def test_a_step_runs_again_after_a_gentle_clean_up(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    run = runner.snakemake(project, "--profile", LOCAL, "clean_gentle")
    assert run.returncode == 0, run.output
    shutil.rmtree(project / "Trash")
    # From the micrographs and from the movies' by-products: what a gentle clean-up must leave.
    for step, made in (("polishing_1", "Polish/job043"), ("extraction", "Extract/job005")):
        again = runner.snakemake(
            project,
            "--profile",
            LOCAL,
            "--forcerun",
            step,
            "--until",
            step,
            "--rerun-triggers",
            "mtime",
        )
        assert again.returncode == 0, again.output
        assert list(again.steps) == [step]
        assert (project / made / "RELION_JOB_EXIT_SUCCESS").exists()


def test_data_that_a_later_step_needs_stay(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    os.unlink(project / "Polish/job043/RELION_JOB_EXIT_SUCCESS")
    os.unlink(project / "Polish/job043/run.exit")
    run = runner.snakemake(project, "--profile", LOCAL, "clean_harsh")
    assert run.returncode == 0, run.output
    assert re.search(r"MotionCorr/job002 +left alone: .* needed by Polish/job043", run.output)
    assert (project / "MotionCorr/job002/Movies/mov001.mrc").exists()
    assert any(project.glob("Polish/job043/Movies/*_shiny.mrcs"))

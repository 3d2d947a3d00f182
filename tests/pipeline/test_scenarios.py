"""Other ways through the pipeline, with real RELION on what the demo's run left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relion_dispatch.init import SNAKEFILE
from tests.demo import runner
from tests.pipeline import variants
from tests.pipeline.conftest import LOCAL, Finished

pytestmark = pytest.mark.relion

DEMO = variants.merged()
QUICK: dict[str, dict[str, Any]] = {
    "class2d": {"iterations": 3},
    "select2d": {"resolution_factor": 3, "min_fraction": 0.0},
    "initial_model": {
        "starts": 1,
        "sgd": {
            **DEMO["initial_model"]["sgd"],
            "initial_iterations": 3,
            "inbetween_iterations": 4,
            "final_iterations": 3,
        },
    },
    "class3d": {"iterations": 2},
    "select3d": {"resolution_factor": 3},
    # So quick a model is not right; here it is only to pass through.
    "verdict": {"stop": False},
}


def project_with(folder: Path, blocks: Mapping[str, Any]) -> Path:
    """Make a project with the demo's configuration, made quick, and some options changed."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(variants.merged(QUICK, blocks)))
    (folder / "Snakefile").write_text(SNAKEFILE)
    return folder


def test_start_from_micrographs_with_given_coordinates(finished: Finished, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "start": "micrographs",
        "micrographs": "Movies/*.mrc",
        "picking": {"method": "coordinates", "coordinates": "Movies/*_autopick.star"},
        "refine3d": {"enabled": False},
        "local_resolution": {"enabled": False},
        "polishing_rounds": 0,
        "polishing": {"enabled": False},
        "ctf": {"use_power_spectra": False},
    }
    project = project_with(tmp_path / "micrographs", options)
    (project / "Movies").mkdir()
    for source in finished.project.glob("MotionCorr/job002/Movies/*.mrc"):
        if not source.stem.endswith("_PS"):
            shutil.copy(source, project / "Movies")
    for source in finished.project.glob("AutoPick/job004/Movies/*_autopick.star"):
        shutil.copy(source, project / "Movies")
    run = runner.snakemake(project, "--profile", LOCAL)
    assert run.returncode == 0, run.output
    assert {"import_coordinates", "ctf", "select3d"} <= set(run.steps)
    assert not {"motion_correction", "picking", "refine3d"} & set(run.steps)
    assert (project / "Select/job033/best_class.mrc").is_file()


def test_start_from_particles_with_an_own_model(finished: Finished, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "start": "particles",
        "particles": "particles.star",
        "sample": {"box_size": 32, "small_box_size": 32},
        "optics": {"pixel_size": 5.25},
        "class2d": {"enabled": False},
        "initial_model": {"reference": "model.mrc"},
        "refine3d": {"enabled": False},
        "local_resolution": {"enabled": False},
        "polishing_rounds": 0,
        "polishing": {"enabled": False},
    }
    project = project_with(tmp_path / "particles", options)
    shutil.copy(finished.project / "Select/job007/particles.star", project)
    shutil.copy(finished.project / "Select/job031/initial_model.mrc", project / "model.mrc")
    (project / "Extract").symlink_to(finished.project / "Extract")
    run = runner.snakemake(project, "--profile", LOCAL)
    assert run.returncode == 0, run.output
    steps = {"relion_import", "own_reference", "class3d", "select3d", "report_end", "all"}
    assert set(run.steps) == steps
    assert "no 2D classes" in (project / "Select/job033/verdict.txt").read_text()


def test_bad_input_is_told_before_anything_runs(finished: Finished, tmp_path: Path) -> None:
    options: dict[str, Any] = {"optics": {"pixel_size": 4.5}, "dose": {"per_frame": 300}}
    project = project_with(tmp_path / "bad", options)
    (project / "Movies").mkdir()
    for source in finished.data.glob("Movies/*.mrcs"):
        (project / "Movies" / source.name).symlink_to(source)
    broken = project / "Movies/mov001.mrcs"
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    run = runner.snakemake(project, "--profile", LOCAL)
    assert run.returncode != 0
    assert set(run.steps) == set()
    for said in ("mov001.mrcs", "pixel", "dose"):
        assert said in run.output
    assert not list(project.glob("Import/job001/*.star"))


def test_a_misspelt_option_names_the_right_one(tmp_path: Path) -> None:
    project = project_with(tmp_path / "misspelt", {"class2d": {"clases": 6}})
    run = runner.snakemake(project, "-n")
    assert run.returncode != 0
    assert "class2d.clases" in run.output
    assert "classes" in run.output

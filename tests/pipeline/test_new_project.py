"""From ``relion-dispatch init`` to the first jobs, with folders and movies as users have them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relion_dispatch import init
from tests.unit import tiny_images
from tests.unit.test_records import frames_mdoc

pytestmark = pytest.mark.relion


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that init made of three empty movies."""
    for number in range(3):
        tiny_images.write_mrc(tmp_path / f"my data/m{number}.mrcs")
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    words = ["--voltage=300", "--dose-per-frame=3", "--diameter=120", "--ctf=builtin"]
    folder = tmp_path / "it's {a} project"
    movies = str(tmp_path / "my data")
    assert init.main(parser.parse_args([str(folder), "--movies", movies, *words])) == 0
    return folder


def test_simulated_movies_need_no_editing(data: Path, tmp_path: Path) -> None:
    """Movies with what SerialEM leaves beside them: one flag, and the pipeline runs."""
    (tmp_path / "session").mkdir()
    for movie in sorted((data / "Movies").glob("*.mrcs"))[:3]:
        os.link(movie, tmp_path / "session" / movie.name)
        frames_mdoc(tmp_path / "session" / f"{movie.name}.mdoc", angpix=3.5)
    folder = tmp_path / "project"
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    words = ["--diameter=140", "--symmetry=D2", "--ctf=builtin", "--profile=local"]
    movies = str(tmp_path / "session")
    assert init.main(parser.parse_args([str(folder), "--movies", movies, *words])) == 0
    before = (folder / "config.yaml").read_bytes()

    planned = snakemake(folder, "-n")
    assert planned.returncode == 0, planned.stdout
    assert "local_resolution" in planned.stdout
    done = snakemake(folder, "--until", "extraction")
    assert done.returncode == 0, done.stdout
    assert (folder / "config.yaml").read_bytes() == before
    micrographs = (folder / "CtfFind/job003/micrographs_ctf.star").read_text()
    assert "300.000" in micrographs
    assert "3.500" in micrographs
    assert micrographs.count("MotionCorr/job002/Movies/") >= 3
    assert (folder / "Extract/job005/particles.star").exists()


def snakemake(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def test_new_project_runs(project: Path) -> None:
    done = snakemake(project, "--until", "relion_import")
    assert done.returncode == 0, done.stdout
    imported = (project / "Import/job001/movies.star").read_text()
    assert imported.count("Movies/m") == 3
    report = json.loads((project / ".relion_dispatch/check.json").read_text())
    assert report["ok"]
    assert report["versions"]["RELION"][0].isdigit()


@pytest.mark.parametrize("name", ["m1.mrcs", "my {x} movie.mrcs"])
def test_bad_movie_stops_before_the_first_job(project: Path, name: str) -> None:
    path = tiny_images.write_mrc(project / "Movies" / name)
    os.truncate(path, 100_000)
    done = snakemake(project)
    assert done.returncode != 0
    assert "cut off: 100,000 bytes" in done.stdout
    assert "[unreadable]" in done.stdout
    assert ("[odd-names]" in done.stdout) == (" " in name)
    assert "Traceback" not in done.stdout
    assert not (project / "Import").exists()


def test_wrong_numbers_are_told_together(project: Path) -> None:
    config = project / "config.yaml"
    text = config.read_text()
    config.write_text(
        text.replace("voltage: 300 ", "voltage: 300000 ").replace("per_frame: 3 ", "per_frame: 36 ")
    )
    done = snakemake(project)
    assert done.returncode != 0
    assert "[voltage]" in done.stdout
    assert "[dose]" in done.stdout
    config.write_text(
        text.replace("voltage: 300 ", "voltag: 300 ").replace("per_frame: 3 ", "per_frame: no ")
    )
    done = snakemake(project)
    assert done.returncode != 0
    assert "did you mean optics.voltage?" in done.stdout
    assert "dose.per_frame must be" in done.stdout
    assert not (project / "Import").exists()

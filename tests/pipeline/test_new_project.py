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


def snakemake(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
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

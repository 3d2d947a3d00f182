"""Small projects for single steps: simulated movies, pieces of a finished run, stand-ins."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.demo import runner
from tests.pipeline.conftest import LOCAL

if TYPE_CHECKING:
    from pandas import DataFrame

#: Two movies without junk, small and nearly still, and the gain reference they need.
SMALL = {
    "movies": 2, "size": 384, "frames": 6, "particles": 15, "junk": 0, "seed": 3,
    "drift": 3, "local-motion": 0, "gain-rot": 1, "gain-flip": 2,
}  # fmt: skip
#: What such small movies need.
ON_SMALL: dict[str, Any] = {
    "gain": {"file": "Movies/gain.mrc", "rotation": 1, "flip": 2},
    "motion_correction": {"power_spectra": False},
    "ctf": {"box_size": 256, "max_resolution": 8},
}

STANDINS = Path(__file__).with_name("standins")

Options = Mapping[str, Any]


def merged(*blocks: Options) -> dict[str, Any]:
    """Lay options over the demo's, block by block and option by option."""
    config: dict[str, Any] = yaml.safe_load(runner.CONFIG.read_text())
    for changes in blocks:
        for name, value in changes.items():
            old = config.get(name)
            config[name] = {**old, **value} if isinstance(old, dict) else value
    return config


def make(folder: Path, movies: Path, *blocks: Options) -> Path:
    """Make a project on a folder of movies, with the demo's options but for some."""
    return runner.make_project(folder, movies, yaml.safe_dump(merged(*blocks)))


def take(project: Path, source: Path, *jobs: str) -> None:
    """Copy job directories of another project, with their times."""
    for job in jobs:
        shutil.copytree(source / job, project / job, symlinks=True)


def make_only(project: Path, *rules: str, environ: dict[str, str] | None = None) -> set[str]:
    """Run these rules and no others, on what is there; return those that ran."""
    words = ("--profile", LOCAL, *rules, "--allowed-rules", *rules)
    run = runner.snakemake(project, *words, environ=environ)
    assert run.returncode == 0, run.output
    return set(run.steps)


def refused(project: Path, *words: str) -> str:
    """Run a pipeline that must not start; return all it says, on one line."""
    run = runner.snakemake(project, "--profile", LOCAL, *words)
    assert run.returncode != 0
    assert run.steps == {}
    assert not list(project.glob("*/job*/run.out"))
    return " ".join(run.output.split())


def planned(project: Path) -> str:
    """Return what a dry run of the whole pipeline prints, with its commands."""
    run = runner.snakemake(project, "--profile", LOCAL, "-n", "--printshellcmds")
    assert run.returncode == 0, run.output
    return run.output


def star(path: Path) -> dict[str, DataFrame]:
    """Read all tables of a STAR file."""
    import starfile

    return dict(starfile.read(path, always_dict=True))


def keep(path: Path, table: str, rows: int) -> None:
    """Keep only the first rows of a table of a STAR file, and the file's time."""
    import starfile

    times = path.stat()
    tables = star(path)
    tables[table] = tables[table].head(rows)
    starfile.write(tables, path, overwrite=True)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def stand_in(path: Path, name: str) -> Path:
    """Write a program that runs one of the stand-ins."""
    path.parent.mkdir(exist_ok=True)
    program = shlex.join([sys.executable, str(STANDINS / f"{name}.py")])
    path.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    path.chmod(0o755)
    return path


def first_on_path(folder: Path) -> dict[str, str]:
    """Give an environment in which a folder's programs come before all others."""
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def with_gpu(project: Path) -> None:
    """Say that this machine has one GPU, and cores enough beside it."""
    local = {"cores": 8, "gpus_per_node": 1, "gpu_mem_mb": 16000}
    cluster = {"partitions": {"local": local}}
    (project / "dispatch.yaml").write_text(yaml.safe_dump({"cluster": cluster}))

"""Preprocessing in shards, and of movies that arrive one after the other, with real RELION.

What comes out is compared, file by file, with one job for all movies.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from relion_dispatch.pipeline import commands, settings
from relion_dispatch.pipeline.versions import V3_1
from tests.cluster import slurm_cluster
from tests.cluster.slurm_conf import Cluster, NodeGroup
from tests.demo import runner
from tests.pipeline import variants
from tests.pipeline.conftest import LOCAL

pytestmark = pytest.mark.relion

#: As large as RELION's patches need, and with a gain reference that has to be turned.
SIX = {**variants.SMALL, "movies": 6}
SETTINGS: dict[str, Any] = {
    **variants.ON_SMALL,
    "motion_correction": {
        "patches_x": 3, "patches_y": 3, "save_non_dose_weighted": True,
        "extra_arguments": "--ps_size 256",
    },
    # Spectra of 512 pixels would need larger movies; these have 256.
    "check": {"accept": "small-movies"},
}  # fmt: skip
STEPS = (
    "Import/job001",
    "MotionCorr/job002",
    "CtfFind/job003",
    "AutoPick/job004",
    "Extract/job005",
)
#: Files that tell of the run rather than of its result.
OF_THE_RUN = re.compile(
    r"(^|/)(run[._].*|note\.txt|job\.star|job_pipeline\.star|attempts\.jsonl|RELION_JOB_EXIT_\w+)$"
    r"|(^|/)\.shards(/|$)"
)
#: Moments, random numbers and numbers of threads in files that are equal otherwise.
MOMENTS = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\d\d-\w{3}-\d\d +\d\d:\d\d:\d\d|D:\d{14}[-+Z\d']*"
    # Ghostscript writes a file's number in hexadecimal, or as text where that is shorter.
    rb"|/ID ?\[(?:<\w+>|\((?:\\.|[^\\)])*\)){2}\]|uuid:[-0-9a-f]+|with \d+ thread\(s\)",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small movies and their gain reference."""
    words = [word for name, value in SIX.items() for word in (f"--{name}", str(value))]
    return runner.simulate(tmp_path_factory.mktemp("six") / "data", *words, "--gain") / "Movies"


@pytest.fixture(scope="module")
def whole(six: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on all of them, with one job for each step up to extraction."""
    project = variants.make(tmp_path_factory.mktemp("whole") / "project", six, SETTINGS)
    run = runner.snakemake(project, "--profile", LOCAL, "extraction")
    assert run.returncode == 0, run.output
    return project


def results(project: Path) -> dict[str, Path]:
    """All results of the steps up to extraction, by path in the project."""
    files = (path for step in STEPS for path in (project / step).rglob("*"))
    named = {str(path.relative_to(project)): path for path in files}
    return {
        name: path
        for name, path in named.items()
        if (path.is_file() or path.is_symlink()) and not OF_THE_RUN.search(name)
    }


def differences(project: Path, other: Path) -> list[str]:
    """Names of results that only one of two projects has, or that differ but for moments."""
    ours, theirs = results(project), results(other)
    assert len(ours) > 60
    differing = [
        name for name in ours.keys() & theirs.keys() if not alike(ours[name], theirs[name])
    ]
    return sorted(ours.keys() ^ theirs.keys()) + sorted(differing)


def alike(first: Path, second: Path) -> bool:
    """Whether two files are equal, byte for byte, but for the moment that they were written."""
    if first.is_symlink() != second.is_symlink():
        return False
    one, other = (MOMENTS.sub(b"", path.read_bytes()) for path in (first, second))
    return one == other


# ---------------------------------------------------------------------------------- the microscope


@contextmanager
def watching(project: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Watch a project as from a terminal of its own; end what is left at the end."""
    program = str(Path(sys.executable).with_name("relion-dispatch"))
    words = ["watch", str(project), "--profile", LOCAL, "--every", "0.2", "--quiet", "1"]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [program, *words, "--patience", "0"], stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        yield process
        if process.poll() is None:
            process.terminate()
        assert process.wait(300) == 0, log.read_text()


def until(holds: Callable[[], bool], log: Path, timeout_s: float = 1000) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def extracted(project: Path) -> int:
    """Count the micrographs of which particles were extracted and joined."""
    star = project / "Extract/job005/particles.star"
    if not star.is_file() or (project / "Extract/job005/RELION_JOB_EXIT_FAILURE").exists():
        return 0
    return len(set(re.findall(r"MotionCorr/job002/Movies/mov\d+\.mrc\b", star.read_text())))


def test_movies_that_come_in_three_batches_are_as_all_at_once(
    six: Path, whole: Path, tmp_path: Path
) -> None:
    movies, log = tmp_path / "microscope", tmp_path / "watch.log"
    movies.mkdir()
    shutil.copy(six / "gain.mrc", movies)
    changes = {"preprocessing": {"movies_per_job": 2}}
    project = variants.make(tmp_path / "my project", movies, SETTINGS, changes)
    done = project / "MotionCorr/job002/.shards"

    def arrive(*numbers: int) -> None:
        for number in numbers:
            shutil.copy(six / f"mov{number:03d}.mrcs", movies)

    arrive(2, 5)
    with watching(project, log):
        until(lambda: extracted(project) == 2, log)
        first = {path: path.stat().st_mtime_ns for path in results(project).values()}
        # One is still being written: it is left alone until it is whole.
        cut_off = (six / "mov004.mrcs").read_bytes()
        (movies / "mov004.mrcs").write_bytes(cut_off[: len(cut_off) // 2])
        # Another is taken, and replaced later.
        replaced = shutil.copy(six / "mov006.mrcs", tmp_path / "mov001.mrcs")
        os.replace(replaced, movies / "mov001.mrcs")
        until((done / "0002").exists, log)
    # Stopped in the middle of a run, and started again.
    assert (done / "0001/corrected_micrographs.star").exists()
    assert "stopped" in log.read_text()
    with watching(project, log):
        until(lambda: extracted(project) == 3, log)
        assert "0003" not in os.listdir(done)
        os.replace(shutil.copy(six / "mov001.mrcs", tmp_path), movies / "mov001.mrcs")
        (movies / "mov004.mrcs").write_bytes(cut_off)
        arrive(3, 6)
        until(lambda: extracted(project) == 6, log)
        until(lambda: log.read_text().rstrip().endswith("s"), log)

    assert differences(project, whole) == []
    movie = [path for path in first if "/Movies/" in str(path)]
    assert len(movie) > 20
    assert all(path.stat().st_mtime_ns == first[path] for path in movie)
    again = runner.snakemake(project, "--profile", LOCAL, "extraction")
    assert again.returncode == 0, again.output
    assert again.steps == {}


def test_a_shard_that_was_killed_is_redone(six: Path, whole: Path, tmp_path: Path) -> None:
    changes = {"preprocessing": {"movies_per_job": 6}}
    project = variants.make(tmp_path / "project", six, SETTINGS, changes)
    # RELION does two movies; then everything is killed, as by a power cut.
    stuck = tmp_path / "bin/relion_run_motioncorr"
    stuck.parent.mkdir()
    real = shutil.which(stuck.name)
    stuck.write_text(f'#!/bin/sh\n{real} "$@" --do_at_most 2 && touch half && exec sleep 600\n')
    stuck.chmod(0o755)
    log = tmp_path / "log"
    words = [sys.executable, "-m", "snakemake", "--profile", LOCAL, "motion_correction"]
    with log.open("wb") as output:
        run = subprocess.Popen(
            words, cwd=project, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **variants.first_on_path(stuck.parent)},
        )  # fmt: skip
    shard = project / "MotionCorr/job002/.shards/0001"
    until((shard / "half").exists, log)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert len(list(shard.glob("MotionCorr/job002/Movies/*_noDW.mrc"))) == 2
    assert not list(project.glob("MotionCorr/job002/Movies/*"))
    for action in (("--unlock",), ()):
        found = runner.snakemake(project, "--profile", LOCAL, "motion_correction", *action)
        assert found.returncode == 0, found.output
    ours, theirs = results(project), results(whole)
    named = [name for name in theirs if name.startswith("MotionCorr")]
    assert len(named) > 30
    assert [name for name in named if not alike(ours[name], theirs[name])] == []


@pytest.mark.slurm
def test_shards_are_jobs_of_their_own_on_slurm(six: Path, whole: Path, tmp_path: Path) -> None:
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    changes = {"preprocessing": {"movies_per_job": 3}}
    project = variants.make(tmp_path / "project", six, SETTINGS, changes)
    nodes = NodeGroup(partition="cpu", count=2, cpus=3, mem_mb=64000)
    cluster = Cluster(root=tmp_path / "slurm", groups=(nodes,), min_job_age_s=7200)
    cluster.root.mkdir()
    profile = str(Path(__file__).with_name("slurm_profile"))
    with slurm_cluster.running(cluster) as started:
        run = runner.snakemake(project, "--profile", profile, "extraction", environ=started.env)
        assert run.returncode == 0, run.output
        told = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%j|%T|%N"],
            env={**os.environ, **started.env}, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    jobs = [line.split("|") for line in told.splitlines()]
    assert len([name for name, *_ in jobs if "_shards-" in name]) == 8
    assert len(jobs) == 13
    assert {state for _, state, _ in jobs} == {"COMPLETED"}
    assert {node for *_, node in jobs} == set(nodes.names)
    assert differences(project, whole) == []


# ---------------------------------------------------------------------- MotionCor2 on folders

#: What RELION leaves of each start of MotionCor2 itself, and its plots of the tracks.
OF_A_START = re.compile(r"\.(arguments|com|err|out)$|_shifts\.eps$|logfile\.pdf(\.lst)?$")
MOTIONCOR2: dict[str, Any] = {
    "program": "motioncor2", "first_frame": 2, "last_frame": 5, "bfactor": 200,
    "other_args": "-Tor 0.5", "extra_arguments": "",
}  # fmt: skip
TWO_GPUS = {"cores": 8, "gpus_per_node": 2, "gpu_mem_mb": 16000}


def with_motioncor2(folder: Path, six: Path, *, serial: bool) -> Path:
    """Make a project with a stand-in for MotionCor2, which cannot be had, and with two GPUs."""
    program = variants.stand_in(folder / "bin/MotionCor2", "motioncor2")
    motion = {**MOTIONCOR2, "executable": str(program), "serial": serial}
    changes = {
        "motion_correction": motion,
        "preprocessing": {"movies_per_job": 4 if serial else None},
        # What the check says of this RELION is true, and not of what stands in for its CUDA.
        "check": {"accept": "" if serial else "no-cuda"},
    }
    project = variants.make(folder / "project", six, SETTINGS, changes)
    cluster = {"partitions": {"local": TWO_GPUS}}
    (project / "dispatch.yaml").write_text(yaml.safe_dump({"cluster": cluster}))
    return project


@pytest.fixture(scope="module")
def wrapper(six: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Motion correction by RELION's own wrapper, which starts the stand-in for each movie.

    Debian's RELION counts no GPUs; a preloaded library makes it believe in one.
    """
    folder = tmp_path_factory.mktemp("wrapper")
    project = with_motioncor2(folder, six, serial=False)
    library = folder / "one_gpu.so"
    source = variants.STANDINS / "one_gpu.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    variants.make_only(project, "relion_import")
    chosen = settings.load(yaml.safe_load((project / "config.yaml").read_text()))
    (line,) = commands.motion_correction(
        chosen, V3_1, movies="Import/job001/movies.star", out="MotionCorr/job002/"
    )
    (project / "MotionCorr/job002").mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["bash", "-c", f"LD_PRELOAD={library} {line} --gpu 0"],
        cwd=project, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return project


@pytest.mark.parametrize("logs", ["each movie's", "none"])
def test_motioncor2_on_folders_leaves_what_relion_s_wrapper_leaves(
    six: Path, wrapper: Path, tmp_path: Path, logs: str
) -> None:
    """With a stand-in that writes real files in MotionCor2's formats."""
    project = with_motioncor2(tmp_path, six, serial=True)
    environ = {"MOTIONCOR2_LOGS": "none" if logs == "none" else ""}
    target = "MotionCorr/job002/corrected_micrographs.star"
    run = runner.snakemake(project, "--profile", LOCAL, target, environ=environ)
    assert run.returncode == 0, run.output
    said = (project / "MotionCorr/job002/.shards/0001/run.out").read_text()
    assert "GPU 0: folder 1" in said
    assert "GPU 1: folder 1" in said
    ours, theirs = results(project), results(wrapper)
    names = {name for name in theirs if not OF_A_START.search(name)}
    if logs == "none":
        names = {name for name in names if not name.endswith(".log")}
    missing = [name for name in names if name not in ours]
    assert missing == []
    if logs == "none":
        # Without the logs nothing tells of patches; whole frames are on standard output.
        assert_whole_frames_only(ours, theirs)
        names = {name for name in names if not re.search(r"Movies/\w+\.star$", name)}
    assert [name for name in names if not alike(ours[name], theirs[name])] == []
    assert len([name for name in names if name.endswith(".mrc")]) == 13


def assert_whole_frames_only(ours: dict[str, Path], theirs: dict[str, Path]) -> None:
    for number in range(1, 7):
        name = f"MotionCorr/job002/Movies/mov{number:03d}.star"
        text = theirs[name].read_text()
        assert ours[name].read_text() == text[: text.index("\n# version", text.index("data_glo"))]

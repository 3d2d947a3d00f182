"""How long things take to start, as ratios measured side by side."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.demo import runner

REPEATS = 7
EMPTY = "rule all:\n    input: []\n"
JOB = (
    "`which relion_refine_mpi` --o Class3D/job032/run --i particles.star --ref map.mrc --ctf"
    " --iter 25 --tau2_fudge 4 --particle_diameter 200 --K 4 --flatten_solvent --zero_mask"
    " --oversampling 1 --healpix_order 2 --offset_range 5 --offset_step 2 --sym C1 --norm --scale"
    " --j 4 --gpu --pipeline_control Class3D/job032/"
)


def seconds(commands: Sequence[tuple[Sequence[str], Path]], repeats: int = REPEATS) -> list[float]:
    """Run commands in turn, several times; the median time of each."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(repeats + 1):
        for found, (command, folder) in zip(times, commands, strict=True):
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
            found.append(time.perf_counter() - began)
    # The first round fills caches.
    return [statistics.median(found[1:]) for found in times]


def dry_run(folder: Path) -> tuple[float, float]:
    """Return the seconds of ``snakemake -n`` on an empty Snakefile and on the whole pipeline."""
    data = runner.simulate(folder / "simulated", "--seed", "7")
    project = runner.make_project(folder / "dry", data / "Movies")
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "Snakefile").write_text(EMPTY)
    command = [str(Path(sys.executable).with_name("snakemake")), "-n"]
    nothing, pipeline = seconds([(command, empty), (command, project)])
    return nothing, pipeline


def hook(folder: Path) -> tuple[float, float]:
    """Return the seconds of bare Python and of the GUI's hook, without a scheduler's answer."""
    script = folder / "run_submit.script"
    script.write_text(f"{folder}/run.out\n{folder}/run.err\n{JOB}\n")
    program = str(Path(sys.executable).with_name("relion-dispatch"))
    submit = [program, "submit", "--profile", "m3", "--dry-run", str(script)]
    bare, dispatch = seconds([([sys.executable, "-c", "pass"], folder), (submit, folder)])
    return bare, dispatch

"""How long things take to start, as ratios measured side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.costs import costs
from tests.demo import runner

EMPTY = "rule all:\n    input: []\n"
JOB = (
    "`which relion_refine_mpi` --o Class3D/job032/run --i particles.star --ref map.mrc --ctf"
    " --iter 25 --tau2_fudge 4 --particle_diameter 200 --K 4 --flatten_solvent --zero_mask"
    " --oversampling 1 --healpix_order 2 --offset_range 5 --offset_step 2 --sym C1 --norm --scale"
    " --j 4 --gpu --pipeline_control Class3D/job032/"
)


def dry_run(folder: Path) -> tuple[float, float]:
    """Return the seconds of ``snakemake -n`` on an empty Snakefile and on the whole pipeline."""
    data = runner.simulate(folder / "simulated", "--seed", "7")
    project = runner.make_project(folder / "dry", data / "Movies")
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "Snakefile").write_text(EMPTY)
    command = [str(Path(sys.executable).with_name("snakemake")), "-n"]
    nothing, pipeline = costs([(command, empty), (command, project)])
    return nothing.wall_s, pipeline.wall_s


def hook(folder: Path) -> tuple[float, float]:
    """Return the seconds of bare Python and of the GUI's hook, without a scheduler's answer."""
    script = folder / "run_submit.script"
    script.write_text(f"{folder}/run.out\n{folder}/run.err\n{JOB}\n")
    program = str(Path(sys.executable).with_name("relion-dispatch"))
    submit = [program, "submit", "--profile", "m3", "--dry-run", str(script)]
    bare, dispatch = costs([([sys.executable, "-c", "pass"], folder), (submit, folder)])
    return bare.wall_s, dispatch.wall_s

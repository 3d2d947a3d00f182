"""What ``relion-dispatch submit`` costs over ``sbatch``, on the tests' own Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.costs import Cost, costs
from tests.cluster import slurm_cluster
from tests.cluster.slurm_cluster import Cluster

#: Rows of the small particle file, and of the large one.
ROWS = (1_000, 1_000_000)
FOLDER = "Class3D/job032"
JOB = (
    "`which relion_refine_mpi` --o Class3D/job032/run --i particles.star --ref map.mrc --ctf"
    " --iter 25 --tau2_fudge 4 --particle_diameter 200 --K 4 --flatten_solvent --zero_mask"
    " --oversampling 1 --healpix_order 2 --offset_range 5 --offset_step 2 --sym C1 --norm --scale"
    " --j 4 --gpu --pipeline_control Class3D/job032/"
)
OPTICS = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnImagePixelSize #5
_rlnImageSize #6
_rlnImageDimensionality #7
opticsGroup1 1 300.000000 2.700000 1.100000 256 2


# version 30001

data_particles

loop_
"""
COLUMNS = (
    *("rlnCoordinateX", "rlnCoordinateY", "rlnImageName", "rlnMicrographName", "rlnOpticsGroup"),
    *("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfMaxResolution"),
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
)
ROW = (
    "{x:12.6f} {y:12.6f} {at:06d}@Extract/job012/Movies/micrograph_{film:05d}.mrcs"
    " MotionCorr/job002/Movies/micrograph_{film:05d}.mrc 1 {x:12.6f} {y:12.6f} {x:12.6f} 4.2"
    " {x:12.6f} {y:12.6f} {x:12.6f} 0.500000 -1.250000\n"
)
ROWS_OF_A_FILM = 200


@dataclass(frozen=True, kw_only=True)
class Submitting:
    """A job with particles in so many rows, submitted both ways."""

    rows: int
    sbatch: Cost
    dispatch: Cost


def particles(path: Path, rows: int) -> None:
    """Write a particle file as RELION writes it."""
    labels = "".join(f"_{name} #{at}\n" for at, name in enumerate(COLUMNS, start=1))
    with path.open("w") as file:
        file.write(OPTICS + labels)
        for at in range(rows):
            x, y = at * 37 % 3838 + 0.5, at * 41 % 3710 + 0.25
            film, number = divmod(at, ROWS_OF_A_FILM)
            file.write(ROW.format(x=x, y=y, at=number + 1, film=film))


def project(folder: Path, rows: int) -> list[list[str]]:
    """Make a project; return the commands that submit its job: ``sbatch``, and the dispatcher.

    Both submit the same script.
    """
    (folder / FOLDER).mkdir(parents=True)
    particles(folder / "particles.star", rows)
    asked = f"{FOLDER}/run_submit.script"
    (folder / asked).write_text(f"{FOLDER}/run.out\n{FOLDER}/run.err\n{JOB}\n")
    program = [str(Path(sys.executable).with_name("relion-dispatch")), "submit", "--profile", "m3"]
    dry = [*program, "--dry-run", asked]
    made = subprocess.run(dry, cwd=folder, check=True, capture_output=True, timeout=120).stdout
    (folder / "plain.sh").write_bytes(made)
    return [["sbatch", "plain.sh"], [*program, asked]]


@contextmanager
def scheduler(root: Path) -> Iterator[None]:
    """Start a Slurm that takes jobs and starts none of them, so that they disturb nobody."""
    cluster = Cluster(root=root)
    before = dict(os.environ)
    # An installed package is compiled; where nothing may be written it would be at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with slurm_cluster.running(cluster):
        os.environ.update(cluster.env)
        try:
            for group in cluster.groups:
                down = ["scontrol", "update", f"PartitionName={group.partition}", "State=DOWN"]
                subprocess.run(down, check=True, timeout=60)
            yield
        finally:
            subprocess.run(["scancel", "--user=root"], check=False, timeout=60)
            os.environ.clear()
            os.environ.update(before)


def measure() -> list[Submitting]:
    """Submit a job with a small and with a large particle file, both ways."""
    with tempfile.TemporaryDirectory(prefix="submitting-") as temporary:
        folders = [Path(temporary, f"project-{rows}") for rows in ROWS]
        with scheduler(Path(temporary, "slurm")):
            commands = [
                (command, folder)
                for folder, rows in zip(folders, ROWS, strict=True)
                for command in project(folder, rows)
            ]
            found = costs(commands)
    pairs = zip(ROWS, found[::2], found[1::2], strict=True)
    return [
        Submitting(rows=rows, sbatch=sbatch, dispatch=dispatch) for rows, sbatch, dispatch in pairs
    ]

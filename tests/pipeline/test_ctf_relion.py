"""RELION's own relion_run_ctffind drives the built-in CTF estimator."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from relion_dispatch import processes
from relion_dispatch.ctf.model import Ctf
from relion_dispatch.processes import Completed
from tests.thon_rings import KRIOS, amplitude_image, micrograph, power_spectrum, write_mrc
from tests.thon_rings import Rings as Strength

pytestmark = pytest.mark.relion

ANGPIX = 1.4
TRUTH = {
    "a": Ctf(defocus_u=12300.0, defocus_v=12000.0, angle_deg=30.0),
    "b": Ctf(defocus_u=21000.0, defocus_v=20800.0, angle_deg=-70.0),
}
COMMAND = (
    "relion_run_ctffind --i MotionCorr/job002/corrected_micrographs.star --o CtfFind/job003/ "
    "--Box 512 --ResMin 30 --ResMax 5 --dFMin 5000 --dFMax 50000 --FStep 500 --dAst 300 "
    "--ctffind_exe relion-dispatch-ctffind --is_ctffind4"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A RELION project after motion correction: micrographs, power spectra, STAR file."""
    rows = []
    for seed, (name, truth) in enumerate(TRUTH.items()):
        image = micrograph(truth, seed, shape=(1000, 1100), angpix=ANGPIX)
        spectrum = power_spectrum(truth, Strength(), seed, size=512, angpix=ANGPIX)
        write_mrc(tmp_path / f"MotionCorr/job002/{name}.mrc", image, ANGPIX)
        write_mrc(tmp_path / f"MotionCorr/job002/{name}_PS.mrc", amplitude_image(spectrum), ANGPIX)
        rows.append(
            {
                "rlnMicrographName": f"MotionCorr/job002/{name}.mrc",
                "rlnCtfPowerSpectrum": f"MotionCorr/job002/{name}_PS.mrc",
                "rlnOpticsGroup": 1,
            }
        )
    write_star(tmp_path / "MotionCorr/job002/corrected_micrographs.star", rows)
    return tmp_path


def write_star(path: Path, rows: list[dict[str, object]]) -> None:
    optics = {
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnOpticsGroup": 1,
        "rlnVoltage": KRIOS.voltage_kv,
        "rlnSphericalAberration": KRIOS.cs_mm,
        "rlnAmplitudeContrast": KRIOS.amplitude_contrast,
        "rlnMicrographPixelSize": ANGPIX,
    }
    tables = {"optics": pd.DataFrame([optics]), "micrographs": pd.DataFrame(rows)}
    starfile.write(tables, path)


def run_ctffind(project: Path, *options: str) -> Completed:
    """Run RELION with the installed command on PATH, as a user's shell has it."""
    scripts = Path(sys.executable).parent
    assert (scripts / "relion-dispatch-ctffind").exists(), "install the package: pip install -e ."
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "RELION_SHELL": "bash",
    }
    argv = [*shlex.split(COMMAND), *options]
    return processes.run(argv, timeout_s=300, cwd=project, env=environment)


def results(project: Path) -> dict[str, dict[str, float]]:
    """What RELION made of it: one row a micrograph, by name."""
    tables = starfile.read(project / "CtfFind/job003/micrographs_ctf.star", always_dict=True)
    table = tables["micrographs"]
    assert isinstance(table, pd.DataFrame)
    rows = table.set_index(table["rlnMicrographName"].map(lambda name: Path(name).stem))
    return {
        str(name): {str(label): value for label, value in row.items()}
        for name, row in rows.to_dict("index").items()
    }


def check(row: dict[str, float], truth: Ctf) -> None:
    mean = (row["rlnDefocusU"] + row["rlnDefocusV"]) / 2
    true_mean, true_cos2, true_sin2 = truth.components
    assert mean == pytest.approx(true_mean, rel=0.005)
    half = (row["rlnDefocusU"] - row["rlnDefocusV"]) / 2
    angle = 2 * math.radians(row["rlnDefocusAngle"])
    off = math.hypot(half * math.cos(angle) - true_cos2, half * math.sin(angle) - true_sin2)
    assert off < 100
    assert row["rlnCtfAstigmatism"] == pytest.approx(2 * half, abs=0.1)
    assert 0.02 < row["rlnCtfFigureOfMerit"] < 1
    assert 2.8 <= row["rlnCtfMaxResolution"] < 8


@pytest.mark.parametrize("options", [["--use_given_ps"], [], ["--fast_search"]])
def test_relion_reads_the_true_values(options: list[str], project: Path) -> None:
    done = run_ctffind(project, *options)
    assert done.returncode == 0, done.stderr
    rows = results(project)
    for name, truth in TRUTH.items():
        check(rows[name], truth)


def test_relion_reads_a_phase_shift(project: Path) -> None:
    truth = Ctf(defocus_u=12300.0, defocus_v=12000.0, angle_deg=30.0, phase_shift=math.pi / 2)
    spectrum = power_spectrum(truth, Strength(), 7, size=512, angpix=ANGPIX)
    path = project / "MotionCorr/job002/a_PS.mrc"
    write_mrc(path, amplitude_image(spectrum), ANGPIX)
    done = run_ctffind(project, "--use_given_ps", "--do_phaseshift", "--phase_step", "20")
    assert done.returncode == 0, done.stderr
    row = results(project)["a"]
    assert row["rlnPhaseShift"] == pytest.approx(90, abs=10)
    assert row["rlnDefocusU"] == pytest.approx(truth.defocus_u, rel=0.02)


def test_a_bad_micrograph_is_named_and_left_out(project: Path) -> None:
    (project / "MotionCorr/job002/a.mrc").write_bytes(b"damaged")
    done = run_ctffind(project)
    complaints = [line for line in done.stderr.splitlines() if "relion-dispatch-ctffind" in line]
    assert len(complaints) == 1
    assert "/a.mrc: is no MRC file" in complaints[0]
    assert set(results(project)) == {"b"}


def test_relion_can_show_the_diagnostic_image(project: Path) -> None:
    assert run_ctffind(project, "--use_given_ps").returncode == 0
    image = str(results(project)["a"]["rlnCtfImage"])
    done = processes.run(
        ["relion_image_handler", "--i", image, "--stats"], timeout_s=60, cwd=project
    )
    assert done.returncode == 0, done.stderr
    assert "512 x 512" in done.stdout.replace("(x,y,z,n)", "")


def test_finished_micrographs_are_not_done_again(project: Path) -> None:
    assert run_ctffind(project, "--use_given_ps").returncode == 0
    before = {p: p.stat().st_mtime_ns for p in project.glob("CtfFind/job003/**/*_PS.txt")}
    assert len(before) == 2
    assert run_ctffind(project, "--use_given_ps", "--only_do_unfinished").returncode == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert np.isfinite([row["rlnDefocusU"] for row in results(project).values()]).all()

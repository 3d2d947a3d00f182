"""What is to be feared of a job is said before it is submitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import cli
from relion_dispatch.cluster import Partition
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Request, plan
from relion_dispatch.explain import explanation
from relion_dispatch.profiles import load_profile

if TYPE_CHECKING:
    import pytest

COMMAND = "`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --i a.star --ref a.mrc"
LARGE = DataFacts(box=400, n_particles=1_000_000)


def test_a_job_that_is_too_long_is_told_beforehand() -> None:
    profile = load_profile("slurm")
    short = Partition(cores=8, mem_mb=400_000, max_runtime_min=60)
    profile = replace(profile, cluster=replace(profile.cluster, partitions={"short": short}))
    made = plan(Request(commands=(COMMAND,), data=LARGE), profile)
    (warning,) = made.warnings
    assert "more than any partition allows (short: 60)" in warning
    assert f"Warnings\n  {warning}\n" in explanation(made)
    assert made.to_json()["warnings"] == [warning]


def test_a_job_without_data_is_nothing_to_fear() -> None:
    assert plan(Request(commands=(COMMAND,)), load_profile("m3")).warnings == ()


def test_the_window_tells_it_where_the_user_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dispatch.yaml").write_text(
        "cluster: {scheduler: {submit: ['true']}, partitions: {m3h: {max_runtime_min: 1},"
        " m3c: {max_runtime_min: 1}, m3g: {max_runtime_min: 1}, comp: {max_runtime_min: 1}}}\n"
    )
    rows = "".join(f"{number:06d}@s.mrcs 1\n" for number in range(1, 2000))
    (tmp_path / "a.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n1 1.0 400\n\n"
        f"data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n{rows}\n"
    )
    folder = tmp_path / "Refine3D/job019"
    folder.mkdir(parents=True)
    script = folder / "run_submit.script"
    script.write_text(f"Refine3D/job019/run.out\nRefine3D/job019/run.err\n{COMMAND}\n")
    assert cli.main(["submit", "--profile", "m3", "Refine3D/job019/run_submit.script"]) == 0
    assert "relion-dispatch: warning: It may take about" in capfd.readouterr().err
    assert "relion-dispatch: warning: It may take about" in (folder / "run.out").read_text()

"""What makes a start fast: light imports, and files that are read once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relion_dispatch import config, profiles, remembered, starscan

pytestmark = pytest.mark.slow

HEAVY = ("jinja2", "jsonschema", "mrcfile", "numpy", "pandas", "snakemake", "starfile", "yaml")


@pytest.mark.parametrize(
    "module",
    ["cli", "engine", "submit", "profiles", "render", "explain", "report.stages", "report.command"],
)
def test_nothing_heavy_is_imported_at_start(module: str) -> None:
    code = f"import sys, relion_dispatch.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(HEAVY) & set(done.stdout.split()) == set()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "dispatch.yaml"
    path.write_text("cluster: {partitions: {a: {cores: 3}}}\n")
    return path


def cores(path: Path) -> object:
    return config.load([config.DEFAULTS, path]).cluster.partitions["a"].cores


def test_files_are_read_once_until_they_change(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores(cluster) == 3

    def fail(path: Path) -> config.Source:
        raise AssertionError(f"{path} was read again")

    with monkeypatch.context() as patched:
        patched.setattr(config, "read", fail)
        assert cores(cluster) == 3
    cluster.write_text("cluster: {partitions: {a: {cores: 44}}}\n")
    assert cores(cluster) == 44


def test_what_is_remembered_is_what_is_read(cluster: Path) -> None:
    paths = [config.DEFAULTS, cluster]

    assert config.load(paths) == config.load(paths) == config.layer(list(map(config.read, paths)))


def test_a_broken_memory_is_no_memory(cluster: Path, tmp_path: Path) -> None:
    assert cores(cluster) == 3
    for path in (tmp_path / "cache/relion-dispatch").iterdir():
        path.write_text("{")
    assert cores(cluster) == 3


def test_a_folder_that_cannot_be_written_does_no_harm(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cluster / "no folder"))

    assert cores(cluster) == 3
    assert remembered.recall([cluster]) is None


def test_the_auto_of_a_profile_is_not_remembered() -> None:
    partition = profiles.load_profile("local").cluster.partitions["local"]
    assert partition.cores != "auto"


def test_times_in_yaml_are_text(cluster: Path) -> None:
    cluster.write_text(
        "job_types: {submit: {job_parameters: {runtime: 10:00:00, nproc: 12, x: 1.5}}}"
    )
    parameters = config.load([config.DEFAULTS, cluster]).job_types["submit"].job_parameters

    assert (parameters["runtime"], parameters["nproc"], parameters["x"]) == ("10:00:00", 12, 1.5)


@pytest.mark.parametrize("after, exact", [("\n", False), ("\ndata_more\n\n_rlnX 1\n", True)])
def test_rows_of_a_very_large_table_are_estimated(tmp_path: Path, after: str, exact: bool) -> None:
    path = tmp_path / "particles.star"
    row = "  {0}.5 {1:06d}@Extract/job001/m{2}.mrcs {2}\n"
    rows = "".join(row.format(at % 4000, at, at // 200) for at in range(500_000))
    path.write_text(f"data_particles\n\nloop_\n_rlnX #1\n_rlnImageName #2\n_rlnM #3\n{rows}{after}")
    assert path.stat().st_size > starscan.LARGE
    (found, *rest) = starscan.scan(path)

    assert found.n_rows == pytest.approx(500_000, rel=0 if exact else 0.01)
    assert [block.name for block in rest] == (["more"] if exact else [])

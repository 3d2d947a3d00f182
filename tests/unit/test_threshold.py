from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.threshold import main, threshold
from tests.unit import phantoms
from tests.unit.phantoms import ANGPIX, Array

VOLUME = phantoms.blobs(1)


def ball(side: int = 24, radius: float = 6.0) -> Array:
    axes = np.indices((side,) * 3) - side // 2
    return np.asarray((axes**2).sum(axis=0) <= radius**2, dtype=np.float64)


def test_the_particle_is_above_and_the_solvent_below() -> None:
    solvent = 0.05 * np.random.default_rng(1).normal(size=(24, 24, 24))
    value = threshold(ball() + solvent, ANGPIX, 15.0)
    assert 0.05 < value < 0.5
    assert 0.1 < value / threshold(ball(), ANGPIX, 15.0) < 1.2


def test_it_follows_the_density() -> None:
    assert threshold(7.5 * VOLUME, ANGPIX, 15.0) == pytest.approx(
        7.5 * threshold(VOLUME, ANGPIX, 15.0)
    )


def test_a_stronger_filter_lowers_it() -> None:
    values = [threshold(VOLUME, ANGPIX, lowpass) for lowpass in (10.0, 20.0, 40.0)]
    assert values == sorted(values, reverse=True)


def test_single_hot_voxels_do_not_count() -> None:
    hot = ball()
    hot[0, 0, 0] = 1000
    assert threshold(hot, ANGPIX, 2.0) < 2 * threshold(ball(), ANGPIX, 2.0)


@pytest.mark.parametrize(
    "density", [np.zeros((8, 8, 8)), np.full((8, 8, 8), np.nan), -np.ones((8, 8, 8))]
)
def test_maps_without_density_are_refused(density: Array) -> None:
    with pytest.raises(InputError, match=r"mask\.threshold"):
        threshold(density, ANGPIX, 15.0)


def test_the_command_writes_the_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    map_ = phantoms.write(tmp_path / "map.mrc", VOLUME)
    out = tmp_path / "job036/threshold.txt"
    assert main([str(map_), "--lowpass", "15", "--o", str(out)]) == 0
    number = float(out.read_text())
    assert number == pytest.approx(threshold(VOLUME, ANGPIX, 15.0), rel=1e-4)
    assert capsys.readouterr().out == f"mask threshold {number:.6g}\n"


@pytest.mark.parametrize("content", [None, b"no map", b""])
def test_the_command_tells_what_is_wrong(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    map_ = tmp_path / "map.mrc"
    if content is not None:
        map_.write_bytes(content)
    out = tmp_path / "threshold.txt"
    assert main([str(map_), "--lowpass", "15", "--o", str(out)]) == 2
    assert f"error: {map_}: cannot be read as MRC" in capsys.readouterr().err
    assert not out.exists()


def test_the_command_refuses_an_empty_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    map_ = phantoms.write(tmp_path / "map.mrc", np.zeros((8, 8, 8)))
    assert main([str(map_), "--lowpass", "15", "--o", str(tmp_path / "threshold.txt")]) == 2
    assert "no positive density" in capsys.readouterr().err

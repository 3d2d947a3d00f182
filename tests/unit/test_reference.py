from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import reference
from tests.unit import phantoms
from tests.unit.phantoms import ANGPIX, Array

VOLUME = phantoms.blobs(1)


def gaussian(side: int, angpix: float, centre_angst: tuple[float, float, float]) -> Array:
    """A round particle of 20 Å at a place relative to the centre of the box."""
    axes = (np.indices((side,) * 3) - side // 2) * angpix
    squared = ((axes - np.array(centre_angst)[:, None, None, None]) ** 2).sum(axis=0)
    return np.asarray(np.exp(-squared / (2 * 20.0**2)))


@settings(max_examples=8)
@given(
    st.integers(24, 40),
    st.floats(3.0, 7.0),
    st.integers(12, 20).map(lambda half: 2 * half),
    st.floats(3.0, 7.0),
)
def test_the_particle_keeps_its_place_size_and_density(
    side: int, angpix: float, new_side: int, new_angpix: float
) -> None:
    place = (6.0, -4.0, 2.0)
    made = reference.resample(gaussian(side, angpix, place), angpix, new_angpix, new_side)
    expected = gaussian(new_side, new_angpix, place)
    inside = (
        np.abs(np.indices(made.shape) - new_side // 2) * new_angpix < 0.3 * side * angpix
    ).all(0)
    assert np.abs(made - expected)[inside].max() < 0.05


def test_the_same_size_is_the_same_map() -> None:
    same = reference.resample(VOLUME, ANGPIX, ANGPIX, len(VOLUME))
    assert same == pytest.approx(VOLUME, abs=1e-6)


def test_what_the_new_pixels_cannot_hold_is_left_out() -> None:
    stripes = np.zeros((32, 32, 32))
    stripes[::2] = 1.0
    coarse = reference.resample(stripes, 1.0, 2.0, 8)
    assert np.ptp(coarse) < 0.01


def test_a_larger_box_is_empty_outside() -> None:
    large = reference.resample(VOLUME, ANGPIX, ANGPIX, 48)
    assert large[8:40, 8:40, 8:40] == pytest.approx(VOLUME, abs=1e-6)
    assert not large[:7].any()


def test_a_file_as_relion_wants_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = phantoms.write(tmp_path / "own.mrc", VOLUME, 1.37)
    out = tmp_path / "initial_model.mrc"
    words = ["--i", str(own), "--o", str(out), "--angpix", "1.7", "--box", "26"]
    assert reference.main(words) == 0
    with mrcfile.open(out) as handle:
        assert handle.data.shape == (26, 26, 26)
        assert handle.data.dtype == np.float32
        assert float(handle.voxel_size.z) == pytest.approx(1.7)
        assert handle.is_volume()
    assert capsys.readouterr().out == f"{own}: 32 px of 1.37 Å to 26 px of 1.7 Å\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "data,angpix,message",
    [
        (VOLUME, 0.0, "is no map in a cubic box with a pixel size"),
        (VOLUME[:8], 1.0, "is no map in a cubic box"),
        (VOLUME[0], 1.0, "is no map in a cubic box"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: Array, angpix: float, message: str) -> None:
    own = phantoms.write(tmp_path / "own.mrc", data, angpix)
    with pytest.raises(InputError, match=message):
        reference.convert(own, tmp_path / "out.mrc", 2.0, 16)


def test_an_unreadable_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--i", str(tmp_path / "own.mrc"), "--o", "out.mrc", "--angpix", "2", "--box", "16"]
    assert reference.main(words) == 2
    assert "own.mrc: cannot be read as MRC" in capsys.readouterr().err


def test_a_mask_stays_between_0_and_1_in_the_size_of_particles(tmp_path: Path) -> None:
    axes = np.indices((24,) * 3) - 12
    sphere = (axes**2).sum(axis=0) < 36  # a hard edge, which splines overshoot
    with mrcfile.new(tmp_path / "mask.mrc", sphere.astype(np.float32)) as handle:
        handle.voxel_size = 5.0
    optics = "data_optics\n\nloop_\n_rlnImagePixelSize #1\n_rlnImageSize #2\n4.0 30\n"
    (tmp_path / "shiny.star").write_text(optics)
    paths = ["--i", str(tmp_path / "mask.mrc"), "--o", str(tmp_path / "made.mrc")]
    assert reference.main([*paths, "--like", str(tmp_path / "shiny.star"), "--mask"]) == 0
    with mrcfile.open(tmp_path / "made.mrc") as handle:
        made, angpix = np.array(handle.data), float(handle.voxel_size.x)
    assert made.shape == (30, 30, 30)
    assert angpix == pytest.approx(4.0)
    assert (made.min(), made.max()) == (0, 1)


def test_particles_without_their_size_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.star").write_text("data_\n\nloop_\n_rlnImageName #1\n1@a.mrcs\n")
    words = ["--i", "map.mrc", "--o", "made.mrc", "--like", str(tmp_path / "old.star")]
    assert reference.main(words) == 2
    assert "does not say its particles' size" in capsys.readouterr().err

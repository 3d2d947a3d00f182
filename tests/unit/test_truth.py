"""The truth check: it finds what is right however it lies, and says when it is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tests.simulator import tables, truth
from tests.simulator.align import Pose, mirror, relabellings, rotation_grid, transform
from tests.simulator.files import read_map, write_map, write_truth
from tests.simulator.fourier import fourier_resize, lowpass, resize_centred, within
from tests.simulator.fsc import Curve, fsc, radii, resample, resolution_at, soft_sphere
from tests.simulator.movie import draw_movie
from tests.simulator.scores import match, score_defocus, score_picks
from tests.simulator.settings import Settings
from tests.simulator.simulate import make_camera
from tests.simulator.specimen import pseudo_protein, true_map

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]

BOX, ANGPIX = 32, 5.25
SETTINGS = Settings(
    seed=5,
    box=BOX,
    angpix=ANGPIX,
    size=128,
    movies=2,
    frames=3,
    particles=3,
    junk=0,
    dose_per_frame=1,
)
QUARTER_TURN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.fixture(scope="module")
def atoms() -> Floats:
    return pseudo_protein(np.random.default_rng(5), "D2", 120, 9)


@pytest.fixture(scope="module")
def true(atoms: Floats) -> Floats:
    return true_map(atoms, SETTINGS)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory, true: Floats) -> Path:
    """A data set without its movies."""
    folder = tmp_path_factory.mktemp("data")
    rng, camera = make_camera(SETTINGS)
    movies = [draw_movie(rng, camera, name) for name in ("mov001", "mov002")]
    write_truth(folder, movies, SETTINGS)
    write_map(folder / "truth.mrc", true, ANGPIX)
    return folder


def gaussian(box: int, angpix: float, sigma: float, centre: tuple[float, float, float]) -> Floats:
    axes = [(np.arange(box) - box // 2) * angpix - c for c in centre]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.asarray(np.exp(-(x**2 + y**2 + z**2) / (2 * sigma**2)))


class TestCurve:
    @given(st.floats(0.1, 0.9), st.integers(2, 20))
    def test_interpolates_a_straight_line_exactly(self, threshold: float, shells: int) -> None:
        curve = Curve(values=np.linspace(1, 0, shells + 1), width=100.0)
        found = resolution_at(curve, threshold)
        if found.status == "crossed":
            assert found.angstrom == pytest.approx(100 / (shells * (1 - threshold)))
        else:
            assert found.status == "coarser"
            assert shells * (1 - threshold) < 1

    def test_takes_the_first_crossing(self) -> None:
        curve = Curve(values=np.array([1, 0.9, 0.4, 0.9, 0.1]), width=100.0)
        assert resolution_at(curve, 0.5).angstrom == pytest.approx(100 / 1.8)

    def test_never_below_is_at_least_the_last_shell(self) -> None:
        found = resolution_at(Curve(values=np.ones(11), width=100.0), 0.5)
        assert (found.angstrom, found.status, str(found)) == (10.0, "finer", "<= 10.00 Å")

    def test_below_from_the_first_shell_is_at_best_the_box(self) -> None:
        found = resolution_at(Curve(values=np.array([1, 0.1, 0.9]), width=100.0), 0.5)
        assert (found.angstrom, found.status, str(found)) == (100.0, "coarser", ">= 100.00 Å")


class TestFsc:
    def test_a_map_agrees_with_itself_to_nyquist(self, true: Floats) -> None:
        curve = fsc(true, 3 * true, ANGPIX)
        assert np.allclose(curve.values, 1)
        assert curve.finest == pytest.approx(2 * ANGPIX)

    def test_noise_of_equal_power_halves_it(self) -> None:
        rng = np.random.default_rng(1)
        common, noise = rng.normal(size=(2, 32, 32, 32))
        curve = fsc(common, common + noise, 1.0)
        assert curve.values[8:].mean() == pytest.approx(np.sqrt(0.5), abs=0.02)

    def test_stops_where_a_map_holds_nothing(self) -> None:
        volume = np.random.default_rng(1).normal(size=(32, 32, 32))
        assert fsc(volume, volume, 1.0, finest=4.0).finest == pytest.approx(4.0)
        assert len(fsc(volume, volume, 1.0, finest=1.0).values) == 17

    def test_an_empty_map_agrees_with_nothing(self) -> None:
        volume = np.random.default_rng(1).normal(size=(16, 16, 16))
        assert fsc(volume, 0 * volume, 1.0).values.tolist() == [0] * 9


class TestSampling:
    @pytest.mark.parametrize("box, angpix", [(48, 3.5), (40, 4.1), (31, 6.0), (64, 3.5)])
    def test_resample_keeps_a_shape(self, box: int, angpix: float) -> None:
        given_map = gaussian(box, angpix, 12.0, (5.0, -8.0, 14.0))
        expected = gaussian(BOX, ANGPIX, 12.0, (5.0, -8.0, 14.0))
        assert np.allclose(resample(given_map, angpix, BOX, ANGPIX), expected, atol=0.01)

    def test_padding_undoes_cropping(self, true: Floats) -> None:
        assert np.allclose(resize_centred(resize_centred(true, 48), 32), true)
        smooth = within(true, ANGPIX, 2.2 * ANGPIX)
        assert np.allclose(fourier_resize(fourier_resize(smooth, 48), 32), smooth)

    def test_lowpass_halves_amplitudes_where_it_should(self) -> None:
        wave = np.cos(2 * np.pi * np.arange(32) / 8)[:, None, None] * np.ones((32, 32, 32))
        assert lowpass(wave, 2.0, 16.0).max() == pytest.approx(np.exp(-0.5))

    def test_mask_holds_the_specimen_and_ends_in_the_box(self, true: Floats) -> None:
        mask = soft_sphere(true, ANGPIX)
        assert mask[true > 0.1 * true.max()].min() == 1
        assert mask[radii(BOX, ANGPIX) > 84].max() == 0


class TestPoses:
    def test_relabellings_are_six_rotations_that_d2_does_not_join(self) -> None:
        found = relabellings()
        assert np.allclose(np.linalg.det(found), 1)
        assert len({tuple(np.abs(matrix).ravel()) for matrix in found}) == 6

    def test_grid_reaches_every_rotation(self) -> None:
        grid = Rotation.from_matrix(rotation_grid(3000))
        random = Rotation.random(200, rng=np.random.default_rng(1))
        nearest = [np.rad2deg((grid * r.inv()).magnitude().min()) for r in random]
        assert max(nearest) < 20

    def test_mirroring_twice_changes_nothing(self, true: Floats) -> None:
        assert np.array_equal(mirror(mirror(true)), true)

    def test_a_quarter_turn_is_exact(self, true: Floats) -> None:
        pose = Pose(matrix=QUARTER_TURN, shift=np.zeros(3), mirrored=False)
        away_from_edges = radii(BOX, ANGPIX) < 75
        turned = np.roll(np.rot90(within(true, ANGPIX, 2 * ANGPIX), -1, (1, 2)), 1, 2)
        difference = transform(true, pose, ANGPIX) - turned
        assert np.abs(difference[away_from_edges]).max() < 0.02 * true.max()


def moved(atoms: Floats, rotation: Rotation, shift: Floats, *, mirrored: bool) -> Floats:
    """Return the map of a specimen turned, shifted (Å; x, y, z) and then perhaps mirrored."""
    placed = rotation.apply(atoms) + shift
    return true_map(placed * [1, 1, -1] if mirrored else placed, SETTINGS)


class TestAlignment:
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_finds_rotation_shift_and_hand(
        self, atoms: Floats, true: Floats, mirrored: bool
    ) -> None:
        turn = Rotation.from_matrix(relabellings()[4]) * Rotation.from_rotvec([0.05, -0.03, 0.04])
        volume = moved(atoms, turn, np.array([2.0, -3.0, 1.5]), mirrored=mirrored)
        found = truth.score_map(volume, ANGPIX, true, ANGPIX, "D2")
        assert found.mirrored == mirrored
        assert found.shift == pytest.approx(np.linalg.norm([2.0, -3.0, 1.5]), abs=0.1)
        assert found.correlation > 0.995
        assert found.curve.values[1:-1].min() > 0.98

    @pytest.mark.slow
    def test_finds_any_orientation_of_c1(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(8), "C1", 120, 12)
        turn = Rotation.random(rng=np.random.default_rng(2))
        volume = moved(atoms, turn, np.array([6.0, 4.0, -7.0]), mirrored=True)
        found = truth.score_map(volume, ANGPIX, true_map(atoms, SETTINGS), ANGPIX, "C1")
        assert found.mirrored
        assert found.curve.values[1:-1].min() > 0.98

    def test_sees_through_another_sampling(self, atoms: Floats, true: Floats) -> None:
        fine = true_map(atoms, replace(SETTINGS, box=48, angpix=3.5))
        found = truth.score_map(fine, 3.5, true, ANGPIX, "D2")
        assert found.fsc05.status == "finer"
        assert found.fsc05.angstrom == pytest.approx(2 * ANGPIX)

    def test_a_coarse_map_is_judged_as_far_as_it_goes(self, atoms: Floats) -> None:
        fine = true_map(atoms, replace(SETTINGS, box=48, angpix=3.5))
        coarse = true_map(atoms, SETTINGS)
        found = truth.score_map(coarse, ANGPIX, fine, 3.5, "D2")
        assert found.fsc05.status == "finer"
        assert found.fsc05.angstrom == pytest.approx(2 * ANGPIX)

    def test_another_specimen_is_wrong(self, true: Floats) -> None:
        other = true_map(pseudo_protein(np.random.default_rng(6), "D2", 120, 9), SETTINGS)
        found = truth.score_map(other, ANGPIX, true, ANGPIX, "D2")
        assert found.fsc05.angstrom > 25

    def test_random_phases_are_wrong(self, true: Floats) -> None:
        noise = np.fft.fftn(np.random.default_rng(1).normal(size=true.shape))
        scrambled = np.fft.ifftn(np.abs(np.fft.fftn(true)) * noise / np.abs(noise)).real
        found = truth.score_map(scrambled, ANGPIX, true, ANGPIX, "D2")
        assert found.fsc05.angstrom > 50
        assert found.correlation < 0.5


class TestPicks:
    truth = np.array([[100.0, 100.0], [300.0, 100.0], [100.0, 300.0]])

    def test_pairs_each_particle_once(self) -> None:
        hits, double = self.truth + np.array([3.0, -4.0]), self.truth[:1] + 10
        picks = np.vstack([hits, double, [[500.0, 500.0]]])
        score = score_picks({"a": picks}, {"a": self.truth}, 30)
        assert (score.picks, score.matched) == (5, 3)
        assert (score.recall, score.precision) == (1.0, 0.6)
        assert (score.rms_error, score.offset_x, score.offset_y) == pytest.approx((5.0, 3.0, -4.0))

    def test_movies_without_picks_cost_recall(self) -> None:
        score = score_picks({"a": self.truth}, {"a": self.truth, "b": self.truth}, 30)
        assert (score.recall, score.precision) == (0.5, 1.0)

    def test_nothing_found_has_no_position_error(self) -> None:
        score = score_picks({"a": self.truth + 100}, {"a": self.truth}, 30)
        assert (score.matched, score.recall, score.precision) == (0, 0.0, 0.0)
        assert np.isnan(score.rms_error)

    @given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), max_size=6), st.floats(1, 40))
    def test_never_pairs_beyond_the_tolerance(
        self, picks: list[tuple[float, float]], tolerance: float
    ) -> None:
        pairs = match(np.array(picks).reshape(-1, 2), self.truth / 5, tolerance)
        assert len(pairs) <= min(len(picks), 3)
        assert (np.linalg.norm(pairs, axis=1) <= tolerance).all()


COORDINATES = pd.DataFrame({"rlnCoordinateX": [10.0, 20.0], "rlnCoordinateY": [30.0, 40.0]})
IN_ANGSTROM = [[20.0, 60.0], [40.0, 80.0]]


class TestReadPicks:
    def read(self, path: Path) -> dict[str, list[list[float]]]:
        found = tables.read_picks(path, ["mov001", "mov002"], 2.0)
        return {name: places.tolist() for name, places in found.items()}

    def test_relion_31_job(self, tmp_path: Path) -> None:
        job = tmp_path / "AutoPick" / "job004"
        (job / "Movies").mkdir(parents=True)
        (job / "coords_suffix_autopick.star").write_text("CtfFind/job003/micrographs_ctf.star\n")
        (job / "summary.star").write_text("not coordinates")
        for movie in ("mov001", "mov002"):
            starfile.write({"": COORDINATES}, job / "Movies" / f"{movie}_autopick.star")
        expected = {"mov001": IN_ANGSTROM, "mov002": IN_ANGSTROM}
        assert self.read(job) == expected
        assert self.read(job / "coords_suffix_autopick.star") == expected
        assert self.read(job / "Movies" / "mov002_autopick.star") == {"mov002": IN_ANGSTROM}

    def test_relion_4_list_of_coordinate_files(self, tmp_path: Path) -> None:
        job = tmp_path / "AutoPick" / "job004"
        (job / "Movies").mkdir(parents=True)
        starfile.write({"": COORDINATES}, job / "Movies" / "mov001_autopick.star")
        listed = pd.DataFrame(
            {
                "rlnMicrographName": ["MotionCorr/job002/Movies/mov001.mrc"],
                "rlnMicrographCoordinates": ["AutoPick/job004/Movies/mov001_autopick.star"],
            }
        )
        starfile.write({"coordinate_files": listed}, job / "autopick.star")
        assert self.read(job) == {"mov001": IN_ANGSTROM}
        (job / "Movies" / "mov001_autopick.star").unlink()
        with pytest.raises(ValueError, match="in no folder above it"):
            self.read(job)

    def test_aligned_particles_are_shifted(self, tmp_path: Path) -> None:
        particles = COORDINATES.assign(
            rlnMicrographName=["MotionCorr/job002/Movies/mov001.mrc", "a/mov002.mrc"],
            rlnOriginXAngst=[1.0, 0.0],
            rlnOriginYAngst=[-2.0, 0.0],
        )
        optics = pd.DataFrame({"rlnOpticsGroup": [1]})
        starfile.write({"optics": optics, "particles": particles}, tmp_path / "particles.star")
        assert self.read(tmp_path / "particles.star") == {
            "mov001": [[19.0, 62.0]],
            "mov002": [[40.0, 80.0]],
        }

    @pytest.mark.parametrize(
        "name, message", [("gone.star", "does not exist"), (".", "holds no autopick.star")]
    )
    def test_says_what_is_missing(self, tmp_path: Path, name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            self.read(tmp_path / name)

    def test_refuses_a_stranger(self, tmp_path: Path) -> None:
        starfile.write({"": COORDINATES}, tmp_path / "mov0015_autopick.star")
        with pytest.raises(ValueError, match="belongs to none of the 2 simulated movies"):
            self.read(tmp_path / "mov0015_autopick.star")


class TestDefocus:
    def test_errors_are_relative_to_the_mean(self) -> None:
        true = {"a": np.array([10100.0, 9900.0, 20.0]), "b": np.array([20000.0, 20000.0, 0.0])}
        found = {"a": np.array([10200.0, 10000.0, 20.0]), "b": np.array([20000.0, 20000.0, 50.0])}
        score = score_defocus(found, true)
        assert score.worst_percent == pytest.approx(1.0)
        assert score.rms_percent == pytest.approx(np.sqrt(0.5))
        assert score.offset == pytest.approx(50)
        assert score.rms_astigmatism == pytest.approx(0, abs=1e-9)

    @given(st.floats(-90, 90), st.sampled_from([-180, 0, 180]))
    def test_other_names_for_the_same_astigmatism(self, angle: float, turn: float) -> None:
        true = {"a": np.array([10200.0, 9800.0, angle])}
        for same in ([10200.0, 9800.0, angle + turn], [9800.0, 10200.0, angle + 90]):
            assert score_defocus({"a": np.array(same)}, true).rms_astigmatism < 1e-6

    def test_counts_what_is_missing(self) -> None:
        true = {name: np.array([1e4, 1e4, 0.0]) for name in "abc"}
        assert score_defocus({"a": true["a"]}, true).missing == 2
        with pytest.raises(ValueError, match="no simulated movie"):
            score_defocus({}, true)


class TestCommandLine:
    def test_the_truth_itself_passes(
        self, data_set: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        picks, ctf = data_set / "truth_particles.star", data_set / "truth_micrographs.star"
        options = ["--picks", str(picks), "--defocus", str(ctf), "--require-fsc05", "12", "--json"]
        path = str(data_set / "truth.mrc")
        assert truth.main([str(data_set), path, *options]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["maps"][path]["fsc05"] == {"angstrom": 10.5, "status": "finer"}
        assert found["picks"][str(picks)]["recall"] == 1.0
        assert found["picks"][str(picks)]["rms_error"] == pytest.approx(0, abs=0.01)
        assert found["defocus"]["rms_percent"] == 0
        assert found["failures"] == []

    def test_a_wrong_map_fails_and_is_named(
        self, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wrong = tmp_path / "wrong.mrc"
        write_map(wrong, np.random.default_rng(1).normal(size=(BOX,) * 3), ANGPIX)
        assert truth.main([str(data_set), str(wrong), "--require-fsc05", "12"]) == 1
        output = capsys.readouterr()
        assert "FSC 0.5 >= 168.00 Å" in output.out
        assert f"{wrong} agrees with the truth only to >= 168.00 Å" in output.err
        assert "12 Å or better is required" in output.err

    def test_no_picks_matched_is_null_in_json(
        self, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nowhere = pd.DataFrame({"rlnCoordinateX": [-999.0], "rlnCoordinateY": [-999.0]})
        path = tmp_path / "mov001_manualpick.star"
        starfile.write({"": nowhere}, path)
        assert truth.main([str(data_set), "--picks", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["picks"][str(path)]["rms_error"] is None

    def test_text_names_everything_asked_for(
        self, data_set: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        picks, ctf = data_set / "truth_particles.star", data_set / "truth_micrographs.star"
        assert truth.main([str(data_set), "--picks", str(picks), "--defocus", str(ctf)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "6 picks, recall 1.000, precision 1.000" in lines[0]
        assert "2 micrographs, 0 missing" in lines[1]

    def test_a_folder_without_truth_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert truth.main([str(tmp_path)]) == 2
        assert "is no simulated data set" in capsys.readouterr().err
        (tmp_path / "params.json").write_text('{"angpix": 3.5}')
        assert truth.main([str(tmp_path)]) == 2
        assert "lacks diameter, symmetry" in capsys.readouterr().err


class TestReadMap:
    def test_needs_a_cube(self, tmp_path: Path) -> None:
        write_map(tmp_path / "flat.mrc", np.zeros((4, 8, 8)), 1.0)
        with pytest.raises(ValueError, match="cubic"):
            read_map(tmp_path / "flat.mrc")

    def test_needs_a_pixel_size(self, tmp_path: Path) -> None:
        with mrcfile.new(tmp_path / "bare.mrc") as mrc:
            mrc.set_data(np.zeros((8, 8, 8), np.float32))
            mrc.voxel_size = 0
        with pytest.raises(ValueError, match="pixel size"):
            read_map(tmp_path / "bare.mrc")

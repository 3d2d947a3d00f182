"""Simulated data sets: reproducible, and of the physics they claim."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

from tests.simulator.gain import as_recorded, gain_pattern, oriented
from tests.simulator.motion import LocalMotion, jitter, settling, stage_drift
from tests.simulator.movie import Camera, draw_movie, draw_places, record, render
from tests.simulator.optics import MICROSCOPE, Defocus, ctf, dose_filter
from tests.simulator.settings import DEMO, PRESETS, Settings
from tests.simulator.simulate import main, make_camera, make_movies, parse
from tests.simulator.specimen import (
    euler_matrix,
    pseudo_protein,
    scatterer_filter,
    splat,
    true_map,
)

if TYPE_CHECKING:
    from pathlib import Path

TINY = Settings(
    seed=3, movies=1, size=128, frames=3, angpix=5.0, particles=2, junk=1, box=32, helices=3
)
TINY_OPTIONS = [
    *("--movies", "1", "--size", "128", "--frames", "3", "--angpix", "5"),
    *("--particles", "2", "--junk", "1", "--box", "32", "--helices", "3"),
]


def counts_of(settings: Settings) -> np.ndarray:
    rng, camera = make_camera(settings)
    return next(make_movies(rng, camera))[1]


def test_same_seed_same_counts() -> None:
    assert np.array_equal(counts_of(TINY), counts_of(TINY))


def test_other_seed_other_specimen() -> None:
    other = replace(TINY, seed=TINY.seed + 1)
    assert not np.array_equal(make_camera(TINY)[1].atoms[:10], make_camera(other)[1].atoms[:10])


def test_demo_is_the_data_set_that_settings_were_measured_on() -> None:
    rng, camera = make_camera(DEMO)
    movie = draw_movie(rng, camera, "mov001")
    found = (movie.defocus.u, movie.defocus.v, movie.particles[0].x, movie.particles[0].y)
    assert found == pytest.approx((19091.45, 18951.69, 580.620, 244.020), abs=0.01)


def test_presets_differ_in_what_makes_hard_hard() -> None:
    demo, hard = PRESETS["demo"], PRESETS["hard"]
    assert (demo.atom_sigma, demo.snr, demo.seed) == (2.2, 0.6, 7)
    assert (hard.atom_sigma, hard.snr, hard.seed, hard.movies) == (1.3, 0.7, 11, 12)


@pytest.mark.parametrize(
    "wrong",
    [{"size": 127}, {"symmetry": "C2"}, {"frames": 0}, {"box": 16}, {"mode": "int8", "angpix": 6}],
)
def test_settings_refuse_what_no_data_set_can_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(TINY, **wrong)  # type: ignore[arg-type]


class TestSpecimen:
    def test_d2_maps_onto_itself(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(1), "D2", 120, 4)
        for signs in ((-1, -1, 1), (1, -1, -1), (-1, 1, -1)):
            turned = {tuple(row) for row in (atoms * signs).round(3) + 0.0}
            assert turned == {tuple(row) for row in atoms.round(3) + 0.0}

    def test_c1_is_centred_and_has_no_mates(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(1), "C1", 120, 4)
        assert np.allclose(atoms.mean(0), 0)
        assert not np.allclose(sorted(atoms[:, 0]), sorted(-atoms[:, 0]), atol=1)

    def test_fits_its_diameter(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(2), "D2", 120, 9)
        assert np.linalg.norm(atoms, axis=1).max() < 60 + 4.6

    def test_helices_keep_apart(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(3), "C1", 120, 5)
        backbone = atoms[::2]
        steps = np.linalg.norm(np.diff(backbone, axis=0), axis=1)
        assert np.median(steps) == pytest.approx(3.83, abs=0.05)  # CA to CA in an alpha-helix
        assert (steps > 5).sum() == 4

    def test_refuses_what_holds_no_helix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.simulator.specimen._TRIES", 200)
        with pytest.raises(ValueError, match="enlarge diameter"):
            pseudo_protein(np.random.default_rng(1), "D2", 20, 1)

    @given(*(st.floats(-180, 180) for _ in range(3)))
    def test_euler_matrix_is_relions(self, rot: float, tilt: float, psi: float) -> None:
        expected = Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).as_matrix().T
        assert np.allclose(euler_matrix(rot, tilt, psi), expected)

    def test_splat_keeps_weight_and_centre(self) -> None:
        grid = splat(np.array([[3.0, -4.5, 7.25]]), 16, 2.0)
        z, y, x = (np.indices(grid.shape) - 8) * 2.0
        assert grid.sum() == pytest.approx(1)
        assert [(grid * axis).sum() for axis in (x, y, z)] == pytest.approx([3.0, -4.5, 7.25])

    def test_projection_is_the_central_slice_of_the_true_map(self) -> None:
        atoms = pseudo_protein(np.random.default_rng(4), "C1", 120, 5)
        volume = np.fft.fftn(np.fft.ifftshift(true_map(atoms, TINY)))
        filtered = np.fft.rfft2(np.fft.ifftshift(splat(atoms[:, :2], 32, 5.0)))
        projected = filtered * scatterer_filter(32, 5.0, TINY.atom_sigma)
        low = np.s_[:5, :5]  # finer than 32 Å the projection's grid shows
        assert np.allclose(volume[0][low], projected[low], rtol=0.02, atol=0.005 * len(atoms))


class TestOptics:
    def test_wavelength_at_300_kv(self) -> None:
        assert MICROSCOPE.wavelength == pytest.approx(0.019687, rel=1e-4)

    def test_amplitude_contrast_at_zero_frequency(self) -> None:
        assert ctf(np.zeros(1), np.zeros(1), Defocus(u=1e4, v=1e4))[0] == pytest.approx(0.1)

    @pytest.mark.parametrize("zero", [1, 2, 3, 4])
    def test_zeros_where_the_phase_is_a_multiple_of_pi(self, zero: int) -> None:
        wave, cs = MICROSCOPE.wavelength, MICROSCOPE.cs * 1e7

        def phase(k: float) -> float:
            lens = np.pi * wave * 15000 * k**2 - np.pi / 2 * cs * wave**3 * k**4
            return float(lens + np.arcsin(0.1) - zero * np.pi)

        k = np.array([brentq(phase, 0.01, 0.13)])
        assert ctf(k, 0 * k, Defocus(u=15000, v=15000))[0] == pytest.approx(0, abs=1e-9)

    def test_astigmatism_turns_with_its_angle(self) -> None:
        k, angle = np.linspace(0.01, 0.15, 50), np.deg2rad(30)
        skewed = Defocus(u=16000, v=14000, angle=30)
        along = ctf(k * np.cos(angle), k * np.sin(angle), skewed)
        across = ctf(-k * np.sin(angle), k * np.cos(angle), skewed)
        assert np.allclose(along, ctf(k, 0 * k, Defocus(u=16000, v=16000)))
        assert np.allclose(across, ctf(k, 0 * k, Defocus(u=14000, v=14000)))

    def test_twice_the_critical_dose_leaves_1_over_e(self) -> None:
        k = np.array([0.1])
        critical = 0.245 * 0.1**-1.665 + 2.81
        assert dose_filter(k, 2 * critical, 2 * critical) == pytest.approx(np.exp(-1))

    def test_damage_grows_with_dose_and_frequency(self) -> None:
        k = np.linspace(0.01, 0.2, 20)
        early, late = dose_filter(k, 0, 3), dose_filter(k, 30, 33)
        assert (np.diff(late) < 0).all()
        assert (late < early).all()


class TestMotion:
    def test_settles(self) -> None:
        profile = settling(12)
        assert profile[-1] == 1
        assert (np.diff(profile, 2) < 0).all()

    def test_drift_starts_at_the_first_frame(self) -> None:
        drift = stage_drift(np.random.default_rng(1), 12, 12.0)
        assert drift[0].tolist() == [0, 0]
        assert 6 < np.linalg.norm(drift[-1]) < 16

    def test_local_motion_is_smooth(self) -> None:
        motion = LocalMotion.draw(np.random.default_rng(1), 8.0, 640)
        step = motion.at(300, 300) - motion.at(310, 300)
        assert 0 < np.linalg.norm(step) < 0.5

    def test_jitter_grows_as_a_random_walk(self) -> None:
        rng = np.random.default_rng(1)
        ends = [jitter(rng, 16, 0.4)[-1] for _ in range(400)]
        assert np.std(ends) == pytest.approx(0.4 * 4, rel=0.1)


class TestMovie:
    def test_particles_keep_apart_and_off_the_edges(self) -> None:
        places = draw_places(np.random.default_rng(1), DEMO)
        assert len(places) == 49
        assert all(45 <= c <= 595 for place in places for c in place)
        assert min(np.hypot(a - c, b - d) for (a, b), (c, d) in combinations(places, 2)) > 150 / 3.5

    @pytest.mark.parametrize("wrong", [{"size": 80}, {"particles": 20}])
    def test_refuses_more_particles_than_fit(
        self, wrong: dict[str, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.simulator.movie._PLACING_TRIES", 500)
        with pytest.raises(ValueError, match="size"):
            draw_places(np.random.default_rng(1), replace(TINY, **wrong))  # type: ignore[arg-type]

    def test_counts_are_poissons(self) -> None:
        blank = replace(TINY, snr=0.0, ice=0.0)
        counts = counts_of(blank)
        assert counts.mean() == pytest.approx(75, rel=0.01)
        assert counts.var() == pytest.approx(75, rel=0.03)
        assert (counts == counts.round()).all()

    def test_signal_to_noise_ratio_is_the_one_asked_for(self) -> None:
        rng, camera = make_camera(replace(TINY, particles=1, junk=0, snr=2.0))
        movie = draw_movie(rng, camera, "mov001")
        still = replace(movie.particles[0], track=np.zeros((3, 2)))
        unharmed = Camera(camera.settings, camera.atoms)
        unharmed.__dict__["damage"] = np.ones_like(camera.damage)
        frames = render(unharmed, replace(movie, particles=(still,)))
        y, x = np.mgrid[:128, :128]
        inside = np.hypot(x - still.x, y - still.y) * 5.0 < 60
        # Views and defocus differ from the one that sets the scale.
        assert frames[0][inside].std() / camera.settings.shot_noise == pytest.approx(1.4, rel=0.3)

    def test_protein_is_dark_where_it_should_be(self) -> None:
        rng, camera = make_camera(replace(TINY, particles=1, junk=0, snr=5.0))
        movie = draw_movie(rng, camera, "mov001")
        particle = movie.particles[0]
        total = record(rng, camera, movie).sum(0)
        x, y = round(particle.x), round(particle.y)
        seen = total[y - 16 : y + 16, x - 16 : x + 16]
        density = gaussian_filter(splat(particle.points, 32, 5.0), 2)
        assert np.corrcoef(gaussian_filter(seen, 2).ravel(), density.ravel())[0, 1] < -0.3

    def test_a_particle_follows_its_track(self) -> None:
        rng, camera = make_camera(replace(TINY, particles=1, junk=0))
        movie = draw_movie(rng, camera, "mov001")
        moving = replace(movie.particles[0], track=np.array([[0.0, 0.0], [10.0, -15.0], [0, 0]]))
        frames = render(camera, replace(movie, particles=(moving,)))
        cross = np.fft.irfft2(np.fft.rfft2(frames[1]) * np.fft.rfft2(frames[0]).conj())
        peak = np.unravel_index(np.argmax(cross), cross.shape)
        assert [int(p) for p in peak] == [128 - 3, 2]  # 15 Å up, 10 Å to the right


class TestGain:
    @pytest.mark.parametrize("rot, flip", list(product(range(4), range(3))))
    def test_relion_turns_the_written_reference_to_the_movie(self, rot: int, flip: int) -> None:
        pattern = gain_pattern(16, 1)
        assert np.array_equal(oriented(as_recorded(pattern, rot, flip), rot, flip), pattern)

    def test_one_quarter_turn_is_clockwise(self) -> None:
        assert oriented(np.array([[1, 2], [3, 4]]), 1, 0).tolist() == [[3, 1], [4, 2]]

    def test_no_other_orientation_will_do(self) -> None:
        pattern = gain_pattern(64, 1)
        others = [oriented(pattern, r, f) for r, f in product(range(4), (0, 1))][1:]
        assert all(np.corrcoef(pattern.ravel(), o.ravel())[0, 1] < 0.9 for o in others)

    def test_multiplying_flattens_the_movie(self) -> None:
        blank = replace(TINY, snr=0.0, ice=0.0, gain=True)
        rng, camera = make_camera(blank)
        assert camera.gain is not None
        raw = next(make_movies(rng, camera))[1].mean(0)
        columns = [image.mean(0).std() for image in (raw, raw * camera.gain)]
        assert columns[1] < columns[0] / 5


class TestCommandLine:
    def test_writes_movies_and_truth(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--out", str(tmp_path), "--gain", "--gain-rot", "1", *TINY_OPTIONS]) == 0
        assert "1 movies, 2 particles" in capsys.readouterr().out
        with mrcfile.open(tmp_path / "Movies" / "mov001.mrcs") as mrc:
            assert mrc.data.dtype == np.int8
            assert mrc.data.shape == (3, 128, 128)
            assert float(mrc.voxel_size.x) == 5.0
            assert mrc.is_image_stack()
        names = {path.name for path in tmp_path.rglob("*")}
        assert {"truth.mrc", "gain.mrc", "truth_motion.json"} < names
        assert len(starfile.read(tmp_path / "truth_particles.star")) == 2
        assert len(json.loads((tmp_path / "truth_motion.json").read_text())["mov001:1"]) == 3
        assert json.loads((tmp_path / "params.json").read_text())["kV"] == 300

    def test_refuses_to_overwrite(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "Movies").mkdir()
        (tmp_path / "Movies" / "mov001.mrcs").touch()
        assert main(["--out", str(tmp_path), *TINY_OPTIONS]) == 2
        assert "holds movies already" in capsys.readouterr().err

    def test_options_override_the_preset(self) -> None:
        settings, _ = parse(["--out", "x", "--preset", "hard", "--seed", "5", "--mode", "int16"])
        assert settings == replace(PRESETS["hard"], seed=5, mode="int16")

    def test_all_kinds_of_movie_hold_the_same_counts(self, tmp_path: Path) -> None:
        stacks = []
        for mode in ("int8", "int16", "float32"):
            assert main(["--out", str(tmp_path / mode), "--mode", mode, *TINY_OPTIONS]) == 0
            stacks.append(mrcfile.read(tmp_path / mode / "Movies" / "mov001.mrcs"))
            assert stacks[-1].dtype == mode
        assert all(np.array_equal(stack, stacks[0]) for stack in stacks)

    def test_tiff_movies_are_upside_down(self, tmp_path: Path) -> None:
        tifffile = pytest.importorskip("tifffile")
        for suffix in (".tif", ".mrcs"):
            assert main(["--out", str(tmp_path / suffix), "--suffix", suffix, *TINY_OPTIONS]) == 0
        turned = tifffile.imread(tmp_path / ".tif" / "Movies" / "mov001.tif")
        upright = mrcfile.read(tmp_path / ".mrcs" / "Movies" / "mov001.mrcs")
        assert np.array_equal(turned[:, ::-1], upright)

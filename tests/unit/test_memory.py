"""Models of memory: what they grow with, and what they leave out."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import duration
from relion_dispatch.command import Command
from relion_dispatch.data import DataFacts
from relion_dispatch.host_memory import (
    BASE_MB,
    MARGIN,
    MODELS,
    MPI_BASE_MB,
    host_mem_mb,
    leader_mem_mb,
)
from relion_dispatch.memory import MIB, HostModel, Problem, TimeModel, gpu_bytes, gpu_mem_mb
from relion_dispatch.problems import problem
from relion_dispatch.searches import Search, search, symmetry_order

problems = st.builds(
    Problem,
    box=st.integers(16, 1024),
    pad=st.sampled_from([1, 2]),
    classes=st.integers(1, 10),
    dimensions=st.sampled_from([2, 3]),
    halves=st.booleans(),
    pseudo_halves=st.booleans(),
    gradient=st.booleans(),
    alone=st.booleans(),
    via_disc=st.booleans(),
    samples=st.integers(0, 10**6),
    n_frames=st.integers(1, 100),
    movie_shape=st.just((1000, 1200)),
    n_particles=st.integers(0, 10**6),
    n_micrographs=st.integers(1, 10**4),
    min_particles=st.integers(1000, 5000),
)


@given(before=problems, model=st.sampled_from(sorted(MODELS)), threads=st.integers(1, 32))
def test_more_never_needs_less(before: Problem, model: str, threads: int) -> None:
    least = host_mem_mb(model, before, threads)
    more = (
        replace(before, box=(before.box or 0) + 2),
        replace(before, pad=2),
        replace(before, classes=before.classes + 1),
        replace(before, n_frames=(before.n_frames or 0) + 1),
        replace(before, n_particles=(before.n_particles or 0) + 100),
    )
    if least is None:
        assert model == "flat"
        return
    assert least > (BASE_MB if before.alone else MPI_BASE_MB)
    assert all((host_mem_mb(model, each, threads) or 0) >= least for each in more)
    assert (host_mem_mb(model, before, threads + 1) or 0) >= least


@given(whole=problems, size=st.integers(8, 2000))
def test_early_iterations_never_need_more(whole: Problem, size: int) -> None:
    assert whole.box is not None
    early = host_mem_mb("refine", whole, 1, current_size=size)
    assert (early or 0) <= (host_mem_mb("refine", whole, 1) or 0)
    on_gpu = gpu_mem_mb("relion", whole, 1, current_size=size)
    assert (on_gpu or 0) <= (gpu_mem_mb("relion", whole, 1) or 0)
    if size >= whole.box:
        assert on_gpu == gpu_mem_mb("relion", whole, 1)
    assert gpu_mem_mb("fmi", whole, 1, current_size=size) == gpu_mem_mb("fmi", whole, 1)


def test_the_reconstruction_is_relions_own_estimate() -> None:
    # "maximization step": nine real arrays of half a padded transform (src/ml_optimiser.cpp).
    one = Problem(box=256, pad=2, alone=True, translations=0)
    relions = 9 * 8 * one.voxels() / 2 / MIB
    assert relions < (host_mem_mb("refine", one) or 0) < 1.2 * relions


def test_an_early_iteration_on_a_gpu_is_as_small_as_its_transforms() -> None:
    whole = Problem(box=400, pad=2)
    early, late = gpu_mem_mb("relion", whole, 0, current_size=100), gpu_mem_mb("relion", whole, 0)
    assert (late or 0) / (early or 1) == pytest.approx(64, rel=0.05)


def test_vdam_sums_up_twice() -> None:
    one = Problem(box=200, pad=1)
    plain = gpu_mem_mb("relion", one, 0) or 0
    assert gpu_mem_mb("relion", replace(one, pseudo_halves=True), 0) == pytest.approx(
        plain * 4 / 2.5, abs=2
    )


def test_gradients_go_on_as_gradients() -> None:
    data = DataFacts(box=128, n_particles=10**5, gradient=True, split_random_halves=False)
    goes_on = problem(Command.parse("relion_refine --continue a_optimiser.star"), data)
    began = problem(Command.parse("relion_refine --grad --denovo_3dref"), data)
    estimates = [duration.minutes("refine", each, 2, 8) or 0 for each in (goes_on, began)]
    assert (
        estimates[0]
        == estimates[1]
        < (duration.minutes("refine", replace(goes_on, gradient=False), 2, 8) or 0)
    )


def test_a_leader_holds_maps_and_rows_alone() -> None:
    one = Problem(box=160, pad=2)
    leader = leader_mem_mb(one) or 0
    assert 3 * 8 * 160**3 / MIB < leader < (host_mem_mb("refine", one) or 0) / 5
    many = leader_mem_mb(replace(one, n_particles=10**6)) or 0
    assert 1000 < many - leader < 2000
    assert leader_mem_mb(Problem()) is None


@pytest.mark.parametrize(
    "options, leader, worker",
    [
        ("", False, False),
        ("--preread_images", True, True),
        ("--preread_images --no_parallel_disc_io", True, False),
    ],
)
def test_who_reads_all_images(options: str, leader: bool, worker: bool) -> None:
    data = DataFacts(box=256, n_particles=100_000)
    line = "relion_refine_mpi --i a.star --ref b.mrc --skip_align --K 2"
    without = problem(Command.parse(line), data)
    found = problem(Command.parse(f"{line} {options}"), data)
    images = 4 * 256**2 * 100_000 / MIB
    assert found.images_mb == pytest.approx(images, abs=1)
    grown = (leader_mem_mb(found) or 0) - (leader_mem_mb(without) or 0)
    assert grown == pytest.approx(MARGIN * images * leader, abs=2)
    grown = (host_mem_mb("refine", found) or 0) - (host_mem_mb("refine", without) or 0)
    assert grown == pytest.approx(MARGIN * images * worker, abs=2)


def test_frames_of_an_eer_movie_are_grouped_and_may_be_finer() -> None:
    data = DataFacts(n_frames=1204, movie_shape=(4096, 4096), movie_format="eer")
    line = "relion_run_motioncorr --i a.star --use_own --eer_grouping 32 --eer_upsampling 2"
    found = problem(Command.parse(line), data)
    assert (found.n_frames, found.movie_shape) == (37, (8192, 8192))
    usual = problem(Command.parse("relion_run_motioncorr --i a.star --use_own"), data)
    assert (usual.n_frames, usual.movie_shape) == (30, (4096, 4096))
    tiff = replace(data, movie_format="tiff")
    assert problem(Command.parse(line), tiff).n_frames == 1204


def test_binning_first_needs_less_memory() -> None:
    whole = Problem(n_frames=40, movie_shape=(7676, 7420))
    whole_mb, binned_mb = (
        host_mem_mb("motioncorr", each) or 0 for each in (whole, replace(whole, binning=2))
    )
    assert binned_mb == pytest.approx(whole_mb * 5 / 8, rel=0.05)


def test_binning_later_needs_all_memory() -> None:
    shape = DataFacts(n_frames=40, movie_shape=(4096, 4096))
    line = "relion_run_motioncorr --use_own --bin_factor 2"
    whole = problem(Command.parse("relion_run_motioncorr --use_own"), shape)
    late = problem(Command.parse(f"{line} --no_early_binning"), shape)
    assert host_mem_mb("motioncorr", late, 1) == host_mem_mb("motioncorr", whole, 1)


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "0.5", "1e-300", "many"])
def test_numbers_that_are_none_are_as_if_nobody_said_them(value: str) -> None:
    data = DataFacts(n_frames=400, movie_shape=(4096, 4096), movie_format="eer")
    names = ("K", "iter", "bin_factor", "eer_grouping", "eer_upsampling", "min_p", "window")
    line = " ".join(["relion_run_motioncorr", *(f"--{name} {value}" for name in names)])
    found = problem(Command.parse(line), data, ("MotionCorr",))
    assert found == problem(Command.parse("relion_run_motioncorr"), data, ("MotionCorr",))


def test_bodies_that_overlap_have_more_projectors() -> None:
    data = DataFacts(box=256, n_bodies=3, split_random_halves=True)
    line = "relion_refine --continue a_optimiser.star --multibody_masks bodies.star"
    overlapping = problem(Command.parse(line), data)
    apart = problem(Command.parse(f"{line} --multibody_norm_overlap"), data)
    assert (overlapping.projectors, apart.projectors, apart.classes) == (9, 3, 3)
    voxels = 512**3
    more = gpu_bytes("relion", overlapping, 0) or 0
    assert more - (gpu_bytes("relion", apart, 0) or 0) == pytest.approx(6 * 1.05 * 4 * voxels)
    assert (leader_mem_mb(overlapping) or 0) > (leader_mem_mb(apart) or 0) + 700
    for model in ("refine", "subtract"):
        assert (host_mem_mb(model, overlapping) or 0) > 1.2 * (host_mem_mb(model, apart) or 0)


def test_polishing_to_larger_images_holds_them_of_all_frames() -> None:
    data = DataFacts(
        box=128, n_frames=40, movie_shape=(4096, 4096), n_particles=30_000, n_micrographs=100
    )
    line = "relion_motion_refine --i a.star --combine_frames"
    same, larger = (
        problem(Command.parse(f"{line}{each}"), data) for each in ("", " --window 512 --scale 512")
    )
    least = 8 * 40 * 512**2 * 300 / MIB
    assert (host_mem_mb("polish", same) or 0) < least < (host_mem_mb("polish", larger) or 0)


def test_particles_that_are_extracted_anew_are_in_every_rank() -> None:
    few = Problem(box=256, movie_shape=(4096, 4096))
    many = replace(few, n_particles=10**6)
    assert (host_mem_mb("extract", many) or 0) > (host_mem_mb("extract", few) or 0) + 500


def test_training_keeps_all_its_particles() -> None:
    line = "relion_motion_refine --params3 --min_p 5000 --eval_frac 0.5"
    data = DataFacts(box=256, n_frames=40, movie_shape=(3838, 3710), n_micrographs=500)
    found = problem(Command.parse(line), data)
    one, all_ = host_mem_mb("polish", found) or 0, host_mem_mb("polish_train", found) or 0
    assert all_ - one > 8 * 256**2 * 40 * 5000 / MIB


def test_job_types_may_name_every_model_and_no_other() -> None:
    assert set(get_args(HostModel)) == set(MODELS)
    assert set(get_args(TimeModel)) == set(duration.MODELS)


# ---- Searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, expected",
    [
        ("--ref a --healpix_order 2 --offset_range 5 --offset_step 2", (4608, 4608, 84)),
        ("--ref a --healpix_order 2 --offset_range 5 --offset_step 2 --sym D2", (1152, 1152, 84)),
        ("--ref a --healpix_order 1 --oversampling 0 --offset_range 1 --offset_step 1", (576,) * 2),
        ("--ref a --skip_align", (1, 1, 1)),
        ("--ref a --sigma_ang 2", (1728, 1728, 116)),
        ("--ref a --healpix_order x --offset_step 0 --offset_range -3", (4608, 4608, 116)),
    ],
)
def test_what_is_searched(options: str, expected: tuple[int, ...]) -> None:
    found = search(Command.parse(f"relion_refine {options}"), 3)
    values = (found.orientations, found.finest, found.translations)
    assert values[: len(expected)] == expected


def test_what_relion_says_it_searches() -> None:
    # "Oversampling= 1 NrHiddenVariableSamplingPoints= 3096576": Healpix order 2, range 5, step 2.
    line = "relion_refine --ref a --healpix_order 2 --offset_range 5 --offset_step 2"
    assert search(Command.parse(line), 3).samples(3)[0] == 3096576


def test_a_refinement_searches_finer_until_it_searches_nearby() -> None:
    line = "relion_refine --ref a --auto_refine --healpix_order 2 --auto_local_healpix_order 4"
    found = search(Command.parse(line), 3, automatic=True)
    assert (found.orientations, found.finest) == (4608, 36864)
    local = search(Command.parse(line.replace("order 2", "order 4")), 3, automatic=True)
    assert local.finest == 1728


def test_one_angle_in_two_dimensions() -> None:
    found = search(Command.parse("relion_refine --psi_step 12 --offset_range 0 --K 50"), 2)
    assert found == Search(orientations=30, finest=30, translations=4, oversampling=1)
    assert found.samples(2) == (240, 240)


@pytest.mark.parametrize(
    "name, order",
    [("C1", 1), ("c4", 4), ("D7", 14), ("T", 12), ("O", 24), ("I1", 60), ("", 1), ("X9", 1)],
)
def test_views_of_a_symmetry(name: str, order: int) -> None:
    assert symmetry_order(name) == order

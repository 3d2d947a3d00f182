from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import commands, values
from relion_dispatch.pipeline.commandline import (
    arguments,
    handed_on,
    option,
    quote,
    without_running_options,
)
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.settings import merge
from relion_dispatch.pipeline.versions import Version
from tests.unit.pipeline_chain import VERSIONS, chain, expected_file, settings_with, written
from tests.unit.test_relion_arguments import EVERYTHING, OTHERWISE

V3_1, V4_0, V5_0 = (Version.parse(version) for version in VERSIONS)
ALL = (V3_1, V4_0, V5_0)


def lines(step: str, version: Version = V3_1, **changes: Any) -> tuple[str, ...]:
    return chain(settings_with(changes), version)[step]


def line(step: str, version: Version = V3_1, **changes: Any) -> str:
    (only,) = lines(step, version, **changes)
    return only


def has(command: str, words: str) -> bool:
    """Whether options stand in a command as whole words."""
    return re.search(rf"(?<!\S){re.escape(words)}(?!\S)", command) is not None


# ------------------------------------------------------------------------ complete command lines


@pytest.mark.parametrize("version", VERSIONS)
def test_the_commands_of_the_default_settings(version: str) -> None:
    expected = expected_file(version).read_text(encoding="utf-8")
    assert written(version) == expected, (
        "if this is meant: python -m tests.unit.pipeline_chain, and look through the difference"
    )


# ------------------------------------------------------------------------------- preprocessing


def test_import_from_each_start() -> None:
    movies = line("import", optics={"group_name": "g-1", "mtf": "mtf.star"})
    assert movies.startswith("relion_import --do_movies --optics_group_name g-1")
    assert has(movies, "--optics_group_mtf mtf.star")
    assert has(movies, "--i 'Movies/*.tiff' --odir Import/job001/ --ofile movies.star")
    micrographs = line(
        "import", start="micrographs", micrographs="m/*.mrc", polishing={"enabled": False}
    )
    assert has(micrographs, "--do_micrographs")
    assert has(micrographs, "--ofile micrographs.star")
    particles = line(
        "import", start="particles", particles="my data/p.star", polishing={"enabled": False}
    )
    assert has(particles, "--do_particles --i 'my data/p.star'")
    assert has(particles, "--ofile p.star")


@pytest.mark.parametrize("version", ALL)
def test_import_of_coordinates_keeps_their_ending(version: Version) -> None:
    picks = {"method": "coordinates", "coordinates": "Movies/*_pick.star"}
    command = line("picking", version, picking=picks)
    assert has(command, "--do_coordinates --i 'Movies/*_pick.star' --odir Import/job009/")
    assert has(command, "--ofile coords_suffix_pick.star")


@pytest.mark.parametrize(
    "version,half", [(V3_1, False), (V4_0, True), (V5_0, True)]
)  # fmt: skip
def test_images_in_16_bits(version: Version, half: bool) -> None:
    for step in ("motion_correction", "extraction", "reextraction", "polishing"):
        assert has(lines(step, version)[0], "--float16") is half
        assert not has(lines(step, version, float16=False)[0], "--float16")


def test_micrographs_in_16_bits_only_with_power_spectra() -> None:
    command = line("motion_correction", V5_0, ctf={"use_power_spectra": False})
    assert not has(command, "--float16")
    assert has(line("extraction", V5_0, ctf={"use_power_spectra": False}), "--float16")


def test_motioncor2() -> None:
    motion = {"program": "motioncor2", "executable": "/opt/my mc2", "other_args": "-Tor 0.5"}
    command = line("motion_correction", V5_0, motion_correction=motion)
    assert has(command, "--use_motioncor2 --motioncor2_exe '/opt/my mc2'")
    assert has(command, "--other_motioncor2_args ' -Tor 0.5 '")
    assert not has(command, "--use_own")
    assert not has(command, "--float16")
    assert not has(command, "--grouping_for_ps")


@pytest.mark.parametrize("per_frame,frames", [(1.277, 3), (1.6, 3), (4, 1), (10, 1), (0.1, 40)])
def test_frames_per_power_spectrum_round_as_relion_does(per_frame: float, frames: int) -> None:
    command = line("motion_correction", dose={"per_frame": per_frame})
    assert has(command, f"--grouping_for_ps {frames}")


def test_gain_reference() -> None:
    command = line("motion_correction", gain={"file": "gain.mrc", "rotation": 3, "flip": 2})
    assert has(command, "--gainref gain.mrc --gain_rot 3 --gain_flip 2")
    assert "gain" not in line("motion_correction", gain={"rotation": 3})


def test_ctf_programs() -> None:
    ctffind = line("ctf", ctf={"executable": "/opt/ctffind"})
    assert has(ctffind, "--ctffind_exe /opt/ctffind")
    assert has(ctffind, "--is_ctffind4 --fast_search --use_given_ps")
    assert not has(line("ctf"), "--ctffind_exe")
    # Quoted twice: RELION puts it into a shell script as it is.
    ours = shlex.quote(shlex.quote("/opt/my ctf"))
    assert has(line("ctf", ctf={"program": "builtin"}), f"--ctffind_exe {ours} --ctfWin -1")
    gctf = line("ctf", ctf={"program": "gctf", "gctf": {"other_args": "--ac 0.1"}})
    assert has(gctf, "--use_gctf --ignore_ctffind_params --extra_gctf_options ' --ac 0.1 '")
    assert "ctffind4" not in gctf
    assert not has(gctf, "--use_given_ps")


@pytest.mark.parametrize(
    "changes,reads",
    [
        ({}, True),
        ({"ctf": {"use_power_spectra": False}}, False),
        ({"ctf": {"window": 2048}}, False),
        ({"ctf": {"program": "builtin"}}, True),
        ({"motion_correction": {"program": "motioncor2"}}, False),
        ({"motion_correction": {"power_spectra": False}}, False),
        ({"start": "micrographs", "micrographs": "*.mrc", "polishing": {"enabled": False}}, False),
    ],
)
def test_power_spectra_are_read_where_they_are(changes: Mapping[str, Any], reads: bool) -> None:
    assert has(line("ctf", **changes), "--use_given_ps") is reads


def test_phase_shifts() -> None:
    command = line("ctf", ctf={"phase_shift": {"enabled": True}})
    assert has(command, "--do_phaseshift --phase_min 0 --phase_max 180 --phase_step 10")
    assert "phase" not in line("ctf")


def test_picking_with_laplacian_of_gaussian() -> None:
    command = lines("picking")[0]
    assert has(command, "--LoG --LoG_diam_min 160 --LoG_diam_max 190 --shrink 0 --lowpass 20")
    assert "upper" not in command
    given_ = {"log": {"min_diameter": 120.5, "upper_threshold": 5, "white_particles": True}}
    command = lines("picking", picking=given_)[0]
    assert has(command, "--LoG_diam_min 120.5")
    assert has(command, "--LoG_upper_threshold 5 --Log_invert")


def test_picking_with_references() -> None:
    refs = {"file": "my refs.mrcs", "highpass": 300}
    command = lines("picking", V5_0, picking={"method": "references", "references": refs})[0]
    assert has(command, "--ref 'my refs.mrcs' --invert --ctf --ang 5 --shrink 0 --lowpass 20")
    assert has(command, "--highpass 300 --threshold 0.05 --min_distance 140")
    assert has(command, "--random_seed 1")
    assert not has(command, "--sym")
    refs = {"file": "map.mrc", "is_map": True, "map_angular_sampling": 15}
    command = lines("picking", V5_0, picking={"method": "references", "references": refs})[0]
    assert has(command, "--ref map.mrc --sym D2 --healpix_order 2")


@pytest.mark.parametrize("version,name", [(V4_0, "--topaz_exe"), (V5_0, "--fn_topaz_exe")])
def test_topaz(version: Version, name: str) -> None:
    topaz = {"executable": "/opt/topaz", "train": True, "training_particles": "p.star"}
    picking = {"method": "topaz", "topaz": topaz}
    train = line("topaz_training", version, picking=picking)
    assert has(train, f"{name} /opt/topaz --particle_diameter 180 --topaz_train")
    assert has(train, "--topaz_train_parts p.star")
    pick = commands.picking(
        settings_with({"picking": picking}),
        version,
        micrographs="m.star",
        out="AutoPick/job004/",
        model="AutoPick/job008/model_epoch10.sav",
    )
    assert len(pick) == 1
    assert has(pick[0], "--topaz_extract --topaz_model AutoPick/job008/model_epoch10.sav")
    configured = {"method": "topaz", "topaz": {"model": "m.sav", "other_args": "-r 8"}}
    assert has(
        line("picking", version, picking=configured), "--topaz_model m.sav --topaz_args ' -r 8 '"
    )


def test_coordinates_are_handed_on_as_each_version_does() -> None:
    pick, note = lines("picking", V3_1)
    assert "AutoPick/job004/" in pick
    assert note == (
        "echo CtfFind/job003/micrographs_ctf.star > AutoPick/job004/coords_suffix_autopick.star"
    )
    old = line("extraction", V3_1)
    assert has(old, "--coord_dir AutoPick/job004/ --coord_suffix _autopick.star")
    for version in (V4_0, V5_0):
        assert len(lines("picking", version)) == 1
        assert has(line("extraction", version), "--coord_list AutoPick/job004/autopick.star")


def test_given_coordinates_are_read_by_their_ending_in_every_version() -> None:
    for version in ALL:
        (command,) = commands.extraction(
            settings_with(),
            version,
            micrographs="m.star",
            coordinates="Import/job009/coords_suffix_pick.star",
            out="Extract/job005/",
        )
        assert has(command, "--coord_dir Import/job009/ --coord_suffix _pick.star")


def test_relion_3_1_reads_no_lists_of_coordinates() -> None:
    with pytest.raises(InputError, match="coords_suffix"):
        commands.extraction(
            settings_with(), V3_1, micrographs="m.star", coordinates="x/autopick.star", out="E/"
        )


@pytest.mark.parametrize(
    "sample,scale,radius",
    [
        ({}, "--scale 80", 30),  # 360 px of 0.885 Å: 80 px are 3.98 Å each
        ({"small_box_size": 90}, "--scale 90", 33),
        ({"small_box_size": 360}, "", 135),
    ],
)
def test_extraction_scales_to_the_small_box(
    sample: Mapping[str, Any], scale: str, radius: int
) -> None:
    command = line("extraction", sample=sample)
    assert has(command, "--extract --extract_size 360")
    assert has(command, scale) if scale else "--scale" not in command
    assert has(command, f"--norm --bg_radius {radius} --white_dust -1 --black_dust -1")


def test_binning_makes_larger_pixels() -> None:
    binned = settings_with({"motion_correction": {"bin_factor": 2}})
    assert commands.micrograph_pixel_size(binned) == pytest.approx(1.77)
    assert commands.small_box_size(binned) == 160
    tiny = settings_with({"optics": {"pixel_size": 5}, "sample": {"box_size": 64}})
    assert commands.small_box_size(tiny) == 64


def test_reextraction() -> None:
    command, note = lines("reextraction", V3_1)
    assert has(command, "--reextract_data_star Select/job033/particles.star")
    assert has(command, "--recenter --recenter_x 0 --recenter_y 0 --recenter_z 0")
    assert note.endswith("> Extract/job034/coords_suffix_extract.star")
    assert "--scale" not in command
    assert has(line("reextraction", V4_0), "--pick_star Extract/job034/extractpick.star")
    kept = {"recenter": False}
    assert "recenter" not in line("reextraction", V5_0, reextraction=kept)


def test_particles_that_were_never_aligned_are_not_centred() -> None:
    off = {"enabled": False}
    assert has(line("reextraction", V5_0, class2d=off), "--recenter")
    assert "recenter" not in line("reextraction", V5_0, class2d=off, class3d=off)


# ------------------------------------------------------------------------------- classification


@pytest.mark.parametrize(
    "version,algorithm,last",
    [
        (V3_1, "auto", 25),
        (V4_0, "auto", 200),
        (V5_0, "vdam", 200),
        (V4_0, "em", 25),
        (V5_0, "em", 25),
    ],
)
def test_2d_algorithms(version: Version, algorithm: str, last: int) -> None:
    changes: dict[str, Any] = {"class2d": {"algorithm": algorithm}}
    command = line("class2d", version, **changes)
    vdam = "--grad --class_inactivity_threshold 0.1 --grad_write_iter 10"
    assert has(command, vdam) is (last == 200)
    assert has(command, f"--iter {last}")
    assert commands.class2d_iterations(settings_with(changes), version) == last


def test_2d_sampling_is_doubled_for_the_coarse_search() -> None:
    command = line("class2d", class2d={"psi_sampling": 10, "offset_step": 0.5})
    assert has(command, "--oversampling 1 --psi_step 20 --offset_range 5 --offset_step 1")


def test_fast_subsets_are_for_expectation_maximisation() -> None:
    fast = {"class2d": {"fast_subsets": True}, "class3d": {"fast_subsets": True}}
    assert has(line("class2d", V3_1, **fast), "--fast_subsets")
    assert not has(line("class2d", V4_0, **fast), "--fast_subsets")
    assert has(line("class3d", V4_0, **fast), "--fast_subsets")


def test_center_classes_from_4_0_on() -> None:
    assert not has(line("class2d", V3_1), "--center_classes")
    assert has(line("class2d", V4_0), "--center_classes")


def test_initial_model_by_sgd() -> None:
    command, _ = lines("initial_model", V3_1)
    assert has(command, "--sgd_ini_iter 50 --sgd_inbetween_iter 200 --sgd_fin_iter 50")
    assert has(command, "--sgd_ini_subset 100 --sgd_fin_subset 500 --sgd --denovo_3dref")
    assert has(command, "--sym D2")
    assert has(
        command, "--pad 2 --skip_gridding --healpix_order 1 --offset_range 6 --offset_step 4"
    )
    assert "--grad" not in command
    assert commands.initial_model_map(settings_with(), V3_1) == "run_it300_class001.mrc"
    assert commands.initial_model_iterations(settings_with(), V3_1) == 300


@pytest.mark.parametrize("version", [V4_0, V5_0])
def test_initial_model_by_vdam(version: Version) -> None:
    run, unmark, align, mark, _ = lines("initial_model", version)
    assert has(run, "--iter 200 --grad --denovo_3dref")
    assert has(run, "--sym C1")
    assert has(run, "--auto_sampling --tau2_fudge 4")
    assert "sgd" not in run
    assert unmark == "rm -f InitialModel/job012/RELION_JOB_EXIT_SUCCESS"
    assert has(align, "--i InitialModel/job012/run_it200_model.star")
    assert has(align, "--sym D2 --apply_sym --select_largest_class")
    assert mark == "touch InitialModel/job012/RELION_JOB_EXIT_SUCCESS"
    assert commands.initial_model_map(settings_with(), version) == "initial_model.mrc"


def test_symmetry_during_or_after_the_initial_model() -> None:
    run, _, align, _, _ = lines("initial_model", V4_0, initial_model={"in_c1": False})
    assert has(run, "--sym D2")
    assert has(align, "--sym C1 --apply_sym")
    _, _, align, _, _ = lines("initial_model", V4_0, sample={"symmetry": "c1"})
    assert has(align, "--sym C1 --apply_sym")
    run, _, align, _, _ = lines("initial_model", V3_1, initial_model={"in_c1": True})
    assert has(run, "--sym C1")
    assert has(align, "--i InitialModel/job012/run_it300_class001.mrc")
    assert has(align, "--sym D2")
    assert "apply_sym" not in align
    assert "--box_size" not in align
    changed = settings_with({"initial_model": {"in_c1": True}})
    assert commands.initial_model_map(changed, V3_1) == "initial_model.mrc"


def test_the_largest_of_several_classes_is_the_model() -> None:
    several: dict[str, Any] = {"classes": 2}
    run, largest, score = lines("initial_model", V3_1, initial_model=several)
    assert has(run, "--K 2")
    assert has(largest, "--model InitialModel/job012/run_it300_model.star")
    assert has(largest, "--o InitialModel/job012/initial_model.mrc")
    assert has(score, "--ref InitialModel/job012/initial_model.mrc")
    in_c1 = several | {"in_c1": True}
    _, largest, _, align, _, _ = lines("initial_model", V3_1, initial_model=in_c1)
    assert has(largest, "--o InitialModel/job012/largest_class.mrc")
    assert has(align, "--i InitialModel/job012/largest_class.mrc")
    assert len(lines("initial_model", V4_0, initial_model=several)) == 5


@pytest.mark.parametrize("version", [V3_1, V4_0, V5_0])
def test_finished_starts_are_compared_alike(version: Version) -> None:
    changes: dict[str, Any] = {"initial_model": {"scoring_resolution": 18}}
    score = lines("initial_model", version, **changes)[-1]
    map_ = commands.initial_model_map(settings_with(changes), version)
    assert has(score, f"--ref InitialModel/job012/{map_}")
    assert has(score, "--o InitialModel/job012/score --iter 1")
    assert has(score, "--ini_high 18 --strict_highres_exp 18")
    assert has(score, "--sym D2")
    assert has(score, "--random_seed 1")
    assert not has(score, "--firstiter_cc")


def test_relion_3_1_aligns_small_maps_in_their_own_box() -> None:
    small = {"initial_model": {"in_c1": True}, "sample": {"small_box_size": 48}}
    assert has(lines("initial_model", V3_1, **small)[2], "--box_size 48")
    assert "--box_size" not in lines("initial_model", V5_0, **small)[2]


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 20), st.integers(1, 20))
def test_every_start_of_every_seed_has_a_seed_of_its_own(
    seed: int, other_seed: int, start: int, other_start: int
) -> None:
    one = dataclasses.replace(LOADED[0][1], seed=seed)
    other = dataclasses.replace(one, seed=other_seed)
    same = (seed, start) == (other_seed, other_start)
    equal = commands.start_seed(one, start) == commands.start_seed(other, other_start)
    assert equal is same


@pytest.mark.parametrize("version", ALL)
def test_the_seed_reaches_every_program_that_has_one(version: Version) -> None:
    steps = chain(settings_with({"seed": 7}), version)
    seeded = {step for step, (first, *_) in steps.items() if has(first, "--random_seed 7")}
    assert seeded == {
        "class2d", "class3d", "refine3d", "refine_polished", "postprocess", "local_resolution",
    }  # fmt: skip
    assert has(steps["initial_model"][0], "--random_seed 702")
    assert has(steps["polishing_training"][0], "--seed 7")


@pytest.mark.parametrize(
    "degrees,order",
    [(30, 0), (15, 1), (7.5, 2), (3.7, 3), (1.8, 4), (0.9, 5), (0.5, 6), (0.2, 7), (0.1, 8)],
)
def test_angular_sampling_is_the_window_s_choice(degrees: float, order: int) -> None:
    assert has(line("class3d", class3d={"angular_sampling": degrees}), f"--healpix_order {order}")
    command = line("refine3d", refine3d={"local_searches_from": degrees})
    assert has(command, f"--auto_local_healpix_order {order}")


@pytest.mark.parametrize("version", ALL)
def test_3d_classification(version: Version) -> None:
    command = line("class3d", version, class3d={"local_search_range": 5})
    assert has(command, "--ref Select/job031/initial_model.mrc")
    assert not has(command, "--firstiter_cc")
    assert has(command, "--skip_gridding") is (version == V3_1)
    assert has(command, "--ctf_corrected_ref") is (version == V3_1)
    assert has(command, "--trust_ref_size") is (version == V5_0)
    assert has(command, "--sigma_ang 1.6667")
    assert has(command, "--K 4 --flatten_solvent --zero_mask")


@pytest.mark.parametrize("version", ALL)
def test_a_reference_of_the_user_s_own(version: Version) -> None:
    own = {"reference": "map.mrc", "reference_ctf_corrected": False}
    command = line("class3d", version, initial_model=own)
    assert has(command, "--firstiter_cc")
    assert not has(command, "--ctf_corrected_ref")
    assert has(command, "--ctf_uncorrected_ref") is (version > V3_1)
    scaled = own | {"reference_absolute_greyscale": True}
    assert not has(line("class3d", version, initial_model=scaled), "--firstiter_cc")


# ---------------------------------------------------------------------------------- refinement


@pytest.mark.parametrize("version", ALL)
def test_refinement(version: Version) -> None:
    command = line("refine3d", version)
    assert has(command, "--auto_refine --split_random_halves --i Extract/job034/particles.star")
    assert has(command, "--firstiter_cc")
    assert has(command, "--healpix_order 2 --auto_local_healpix_order 4")
    assert has(command, "--sym D2 --low_resol_join_halves 40 --norm --scale")
    assert not has(command, "--solvent_mask")
    assert has(command, "--skip_gridding") is (version == V3_1)


def test_refinement_of_polished_particles() -> None:
    command = line("refine_polished", refine_polished={"ini_high": 8})
    assert has(command, "--i Polish/job043/shiny.star --ref Refine3D/job035/run_class001.mrc")
    assert has(command, "--ini_high 8")
    assert has(command, "--solvent_mask MaskCreate/job036/mask.mrc --solvent_correct_fsc")
    assert not has(command, "--firstiter_cc")
    unmasked = line("refine_polished", refine_polished={"use_mask": False})
    assert "solvent_mask" not in unmasked
    assert "solvent_correct_fsc" not in unmasked


def test_extra_arguments_of_refinements_add_up() -> None:
    changes: dict[str, Any] = {
        "refine3d": {"extra_arguments": "--a 1"},
        "refine_polished": {"extra_arguments": "--b 2"},
    }
    assert has(line("refine_polished", **changes), "--a 1 --b 2")
    assert not has(line("refine3d", **changes), "--b 2")


def test_blush_only_where_asked_for() -> None:
    assert not any("--blush" in command for command in chain(settings_with(), V5_0)["refine3d"])
    blush = {"class3d": {"blush": True}, "refine3d": {"blush": True}}
    for step in ("class3d", "refine3d", "refine_polished"):
        assert has(line(step, V5_0, **blush), "--blush")


def test_mask() -> None:
    assert has(line("mask"), "--lowpass 15 --ini_threshold 0.0123 --extend_inimask 3")
    (command,) = commands.mask(
        settings_with(), map_="map.mrc", threshold="$(cat threshold)", out="MaskCreate/job036/"
    )
    assert "--ini_threshold $(cat threshold) " in command


def test_postprocessing() -> None:
    command = line("postprocess")
    assert has(command, "--angpix -1 --auto_bfac --autob_lowres 10")
    assert "--mtf" not in command
    changes: dict[str, Any] = {
        "optics": {"mtf": "mtf.star"},
        "postprocess": {
            "auto_bfactor": False,
            "adhoc_bfactor": -50,
            "lowpass": 4.5,
            "calibrated_pixel_size": 0.9,
        },
    }
    command = line("postprocess", **changes)
    assert has(command, "--angpix 0.9 --mtf mtf.star --mtf_angpix 0.885 --adhoc_bfac -50")
    assert has(command, "--skip_fsc_weighting --low_pass 4.5")
    assert has(line("local_resolution", **changes), "--adhoc_bfac -100")
    assert has(line("local_resolution", **changes), "--mtf mtf.star --mtf_angpix 0.885")


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({}, "--fit_defocus --kmin_defocus 30 --fit_mode fpmff"),
        (
            {"phase_shift": "per_micrograph", "bfactor": "per_particle", "astigmatism": "none"},
            "--fit_mode mpffp",
        ),
        (
            {"beam_tilt": True, "trefoil": True, "fourth_order": True, "min_resolution": 20},
            "--fit_beamtilt --kmin_tilt 20 --odd_aberr_max_n 3 --fit_aberr",
        ),
        (
            {"magnification": True, "defocus": "none", "astigmatism": "none"},
            "--o CtfRefine/job041/ --fit_aniso --kmin_mag 30",
        ),
    ],
)
def test_ctf_refinement(changes: Mapping[str, Any], expected: str) -> None:
    assert has(line("ctf_refinement", ctf_refinement=changes), expected)


def test_beam_tilt_alone() -> None:
    fits = {"defocus": "none", "astigmatism": "none", "beam_tilt": True}
    command = line("ctf_refinement", ctf_refinement=fits)
    assert "defocus" not in command
    assert has(command, "--fit_beamtilt")


def test_polishing() -> None:
    command = line("polishing")
    assert has(command, "--corr_mic MotionCorr/job002/corrected_micrographs.star")
    assert has(command, "--s_vel 0.2 --s_div 5000 --s_acc 2 --combine_frames")
    assert has(command, "--bfac_minfreq 20 --bfac_maxfreq -1")
    boxes = {"box_size": 512, "scaled_size": 256, "parameters_file": "opt.txt"}
    command = line("polishing", polishing=boxes)
    assert has(command, "--window 512 --scale 256")
    assert has(command, "--params_file opt.txt")
    assert "--s_vel" not in command


def test_polishing_with_parameters_trained_here() -> None:
    (command,) = commands.polishing(
        settings_with({"polishing": {"train": True}}),
        V3_1,
        particles="p.star",
        postprocess="post.star",
        micrographs="m.star",
        out="Polish/job043/",
        parameters="Polish/job042/opt_params_all_groups.txt",
    )
    assert has(command, "--params_file Polish/job042/opt_params_all_groups.txt")


def test_training() -> None:
    training = {"training": {"evaluation_fraction": 0.4, "min_particles": 500}}
    command = line("polishing_training", polishing=training)
    assert has(command, "--min_p 500 --eval_frac 0.4 --align_frac 0.6 --params3 --seed 1")
    assert has(line("polishing_training", polishing={"sigma_acc": -1}), "--params2")


# -------------------------------------------------------------------------------------- wording


def test_options_and_values() -> None:
    assert option("--K", 4) == "--K 4"
    assert option("--angpix", 1.0) == "--angpix 1"
    assert option("--angpix", 0.8857) == "--angpix 0.8857"
    assert option("--zero_mask", True) == "--zero_mask"
    assert option("--zero_mask", False) is None
    assert option("--mask", None) is None
    assert option("--ofile", "") == "--ofile ''"
    assert handed_on("--args", "  ") is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0$"), max_size=30))
def test_quoted_words_are_one_word_for_the_shell(word: str) -> None:
    assert shlex.split(quote(word)) == [word]


@pytest.mark.parametrize(
    "word,expected",
    [
        ("$SCRATCH/my data", "/a b/my data"),
        ("x${SCRATCH}x", "x/a bx"),
        ("$(touch x)$SCRATCH", "$(touch x)/a b"),
        ("`touch x`$SCRATCH", "`touch x`/a b"),
        ("a'b\"$SCRATCH\\", "a'b\"/a b\\"),
        ("$5 $ $SCRATCH $5 $", "$5 $ /a b $5 $"),
        ("$SCRATCH; exit 1", "/a b; exit 1"),
        ("$(touch x)", "$(touch x)"),
        ("*", "*"),
    ],
)
def test_only_environment_variables_are_expanded(word: str, expected: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quote(word)}"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "SCRATCH": "/a b"},
    )
    assert done.stdout == expected


def test_extra_arguments_are_words_and_nothing_else() -> None:
    assert arguments("--a  1 --b 'x y' ; rm -rf / | tee $HOME") == (
        "--a 1 --b 'x y' ';' rm -rf / '|' tee \"$HOME\""
    )
    assert arguments("") == ""


@pytest.mark.parametrize("step", ["class2d", "refine3d", "postprocess", "ctf", "polishing"])
def test_extra_arguments_stand_before_the_pipeline_control(step: str) -> None:
    extra = {step: {"extra_arguments": '--note "my note"'}}
    assert re.search(r" --note 'my note' --pipeline_control \S+$", line(step, V5_0, **extra))


ODD_PATH = "my data/o'neil & sons; (1)"


@pytest.mark.parametrize("version", ALL)
def test_odd_paths_stay_whole(version: Version) -> None:
    odd = merge(EVERYTHING, {"optics": {"mtf": ODD_PATH}, "class3d": {"mask": ODD_PATH}})
    steps = chain(settings_with(odd), version)
    for step in ("import", "postprocess", "local_resolution", "class3d"):
        assert shlex.split(steps[step][0]).count(ODD_PATH) == 1


def test_a_job_directory_with_a_number_of_four_digits() -> None:
    command = chain(settings_with({"first_job": 900}), V3_1)["extraction"][0]
    assert command.endswith("--pipeline_control Extract/job904/")
    assert Layout(900).start(20) == "InitialModel/job929/"


# ------------------------------------------------------------------------- what makes a step rerun


@pytest.mark.parametrize(
    "compute",
    [
        {"pool": 30, "preread_images": True},
        {"scratch_dir": "$TMPDIR/my scratch"},
        {"scratch_dir": "/it's"},
        {"parallel_disc_io": False, "combine_through_disc": True},
    ],
)
@pytest.mark.parametrize("version", ALL)
def test_how_data_are_read_is_no_science(version: Version, compute: Mapping[str, Any]) -> None:
    plain, changed = (chain(settings_with(c), version) for c in ({}, {"compute": compute}))
    for step in plain:
        science = without_running_options(plain[step])
        assert without_running_options(changed[step]) == science
        if step in {"class2d", "initial_model", "class3d", "refine3d", "refine_polished"}:
            assert changed[step] != plain[step]
            assert "--pool" not in science[0]
            assert len(shlex.split(science[0])) < len(shlex.split(plain[step][0]))


# ------------------------------------------------------------------------------ no dead options

# Read by other parts of the workflow, or only where a step is left out.
ELSEWHERE = re.compile(
    r"(check|preprocessing|select2d|select3d|verdict|sizing)(\.|$)|"
    r"(class2d|reextraction|refine3d|ctf_refinement|polishing|local_resolution)\.enabled|polishing\.train$|picking\.topaz\.train$|relion_version|"
    r"corrected_micrographs|polishing_rounds|initial_model\.starts|mask\.threshold"
)
OTHER_CHOICES = {"sample.symmetry": ["O"], "picking.references.map_symmetry": ["O"]}
TOPAZ = {"picking": {"method": "topaz"}}
BASES: tuple[tuple[Version, Mapping[str, Any]], ...] = (
    (V3_1, {}),
    (V3_1, EVERYTHING),
    (V3_1, OTHERWISE),
    (V3_1, {"ctf": {"program": "gctf"}}),
    (V5_0, {}),
    (V5_0, EVERYTHING),
    (V5_0, OTHERWISE),
    (V5_0, TOPAZ),
    (V5_0, {"start": "micrographs", "micrographs": "m/*.mrc", "polishing": {"enabled": False}}),
    (V5_0, {"start": "particles", "particles": "p.star", "polishing": {"enabled": False}}),
    (V5_0, {"picking": {"method": "coordinates", "coordinates": "Movies/*.box"}}),
    (V5_0, {"postprocess": {"auto_bfactor": False}}),
)


def leaves(block: type = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, hint in values.fields(block).items():
        if dataclasses.is_dataclass(hint):
            yield from leaves(typing.cast("type", hint), (*path, name))
        elif not ELSEWHERE.match(".".join((*path, name))):
            yield (*path, name)


def replaced(block: Any, path: tuple[str, ...], value: object) -> Any:
    """Settings with one option changed."""
    name, *rest = path
    inner = replaced(getattr(block, name), tuple(rest), value) if rest else value
    return dataclasses.replace(block, **{name: inner})


def choices(hint: object) -> Iterator[object]:
    """All texts that a type names."""
    for part in typing.get_args(hint):
        yield from [part] if isinstance(part, str) else choices(part)


def others(path: tuple[str, ...], hint: object, value: object) -> Iterator[object]:
    """Values, some of which are of the option's type and differ from its value in effect."""
    yield from OTHER_CHOICES.get(".".join(path), ())
    yield from choices(hint)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (value + 2, value / 2, 3.7)
    yield from (True, False, 0.5, 4, 30, "text")


def effective(path: tuple[str, ...], version: Version, base: Settings) -> bool:
    """Whether some other value of the option changes a command."""
    before = chain(base, version)
    hint: Any = Settings
    now: Any = base
    for name in path:
        hint, now = values.fields(hint)[name], getattr(now, name)
    for value in others(path, hint, now):
        found: list[str] = []
        typed = values.check(hint, value, "", found)
        if not found and chain(replaced(base, path, typed), version) != before:
            return True
    return False


LOADED = [(version, settings_with(changes)) for version, changes in BASES]


@pytest.mark.parametrize("path", sorted(leaves()), ids=".".join)
def test_every_option_has_an_effect(path: tuple[str, ...]) -> None:
    assert any(effective(path, version, base) for version, base in LOADED)

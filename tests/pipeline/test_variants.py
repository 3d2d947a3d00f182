"""Variants of single steps that the demo does not run, with real RELION on small data.

Where a program cannot be had (MotionCor2, Gctf), a stand-in writes what RELION reads back.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from tests.demo import runner
from tests.pipeline import variants
from tests.pipeline.conftest import Finished
from tests.simulator.align import correlation
from tests.simulator.fsc import resample
from tests.simulator.truth import Truth

pytestmark = pytest.mark.relion

CORRECTED = "MotionCorr/job002/corrected_micrographs.star"
WITH_CTF = "CtfFind/job003/micrographs_ctf.star"
MTF = "data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0 1\n0.25 0.8\n0.5 0.5\n"
#: As long as a model takes that only has to exist.
SGD = {
    "initial_iterations": 2, "inbetween_iterations": 2, "final_iterations": 2,
    "initial_subset": 10, "final_subset": 20,
    "angular_sampling": 30, "offset_range": 2, "offset_step": 2,
}  # fmt: skip
#: What rounds of CTF refinement and polishing read.
REFINED = ("Extract/job034", "Refine3D/job035", "MaskCreate/job036", "PostProcess/job037")
NO_FITS = {"defocus": "none", "astigmatism": "none"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small movies that need their gain reference turned and flipped."""
    words = [word for name, value in variants.SMALL.items() for word in (f"--{name}", str(value))]
    return runner.simulate(tmp_path_factory.mktemp("small") / "data", *words, "--gain")


@pytest.fixture(scope="module")
def corrected(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on them, up to their CTFs by the CTFFIND4 protocol from whole micrographs."""
    ctffind = Path(sys.executable).with_name("relion-dispatch-ctffind")
    changes: dict[str, Any] = {
        "optics": {"mtf": "mtf.star"},
        "motion_correction": {"save_non_dose_weighted": True},
        "ctf": {
            "program": "ctffind4",
            "executable": str(ctffind),
            "use_power_spectra": False,
            "use_non_dose_weighted": True,
        },
    }
    folder = tmp_path_factory.mktemp("corrected") / "project"
    project = variants.make(folder, small / "Movies", variants.ON_SMALL, changes)
    (project / "mtf.star").write_text(MTF)
    rules = ("relion_import", "motion_correction", "ctf")
    assert variants.make_only(project, *rules) == set(rules)
    return project


def image(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read an image or a map."""
    with mrcfile.open(path) as mrc:
        return np.asarray(mrc.data, dtype=float)


def angpix(path: Path) -> float:
    """Read an image's pixel size."""
    with mrcfile.open(path, header_only=True) as mrc:
        return float(mrc.voxel_size.x)


def alike(first: Path, second: Path) -> float:
    """Correlate two maps of one object, sampled as the coarser of them."""
    fine, coarse = sorted((first, second), key=angpix)
    volume = image(coarse)
    return correlation(resample(image(fine), angpix(fine), len(volume), angpix(coarse)), volume)


def write_sphere(path: Path, side: int, radius: float, angpix_: float) -> None:
    """Write a mask of a soft sphere, its sizes in voxels."""
    z, y, x = np.mgrid[:side, :side, :side] - side // 2
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.clip(radius - np.sqrt(x * x + y * y + z * z), 0, 1).astype(np.float32))
        mrc.voxel_size = angpix_


def left_of_gain(micrograph: Path, gain: Path) -> float:
    """Correlate a micrograph with the gain reference that its movies were multiplied with."""
    pattern = image(gain)
    return float(np.corrcoef(image(micrograph).ravel(), 1 / pattern.ravel())[0, 1])


# -------------------------------------------------------------------------------- motion correction
def test_gain_reference_is_turned_and_flipped(corrected: Path) -> None:
    turned = corrected / "MotionCorr/job002/gain.mrc"
    for number in (1, 2):
        micrograph = corrected / f"MotionCorr/job002/Movies/mov{number:03d}_noDW.mrc"
        assert abs(left_of_gain(micrograph, turned)) < 0.05
    with mrcfile.open(corrected / "Movies/mov001.mrcs") as mrc:
        recorded = mrc.data.astype(float).sum(axis=0)
    # The same measure finds the gain in what was recorded.
    assert np.corrcoef(recorded.ravel(), 1 / image(turned).ravel())[0, 1] > 0.5


def test_tiff_movies_are_the_same_movies(corrected: Path, small: Path, tmp_path: Path) -> None:
    import tifffile

    movies = tmp_path / "Movies"
    movies.mkdir()
    shutil.copy(small / "Movies/gain.mrc", movies)
    for path in small.glob("Movies/*.mrcs"):
        # RELION turns TIFF files over when it reads them.
        frames = mrcfile.read(path)[:, ::-1].astype(np.uint8)
        tifffile.imwrite(movies / f"{path.stem}.tif", frames, photometric="minisblack")
    changes: dict[str, Any] = {
        "movies": "Movies/*.tif",
        "motion_correction": {"save_non_dose_weighted": True},
    }
    project = variants.make(tmp_path / "tiff", movies, variants.ON_SMALL, changes)
    variants.make_only(project, "relion_import", "motion_correction")
    for name in ("mov001.mrc", "mov002_noDW.mrc"):
        of_tiff, of_mrc = (
            image(each / f"MotionCorr/job002/Movies/{name}") for each in (project, corrected)
        )
        np.testing.assert_allclose(of_tiff, of_mrc, atol=1e-3 * of_mrc.std())


def test_super_resolution_movies_in_part(small: Path, tmp_path: Path) -> None:
    motion: dict[str, Any] = {
        "bin_factor": 2,
        "first_frame": 2,
        "last_frame": 5,
        "patches_x": 3,
        "patches_y": 3,
        "dose_weighting": False,
    }
    changes = {
        "gain": {"defects": "defects.txt"},
        "motion_correction": motion,
        "sample": {"box_size": 32, "small_box_size": 32},
    }
    project = variants.make(tmp_path / "half", small / "Movies", variants.ON_SMALL, changes)
    (project / "defects.txt").write_text("100 200 8 2\n")
    variants.make_only(project, "relion_import", "motion_correction")
    tables = variants.star(project / CORRECTED)
    assert tables["optics"]["rlnMicrographPixelSize"][0] == 7
    assert tables["optics"]["rlnMicrographOriginalPixelSize"][0] == 3.5
    assert image(project / tables["micrographs"]["rlnMicrographName"][0]).shape == (192, 192)
    metadata = variants.star(project / tables["micrographs"]["rlnMicrographMetadata"][0])
    assert metadata["general"]["rlnMicrographStartFrame"] == 2
    said = (project / "MotionCorr/job002/Movies/mov001.log").read_text()
    assert "Frames to be used: 2 3 4 5" in said
    assert "Patches: X = 3 Y = 3" in said
    assert metadata["general"]["rlnMicrographDefectFile"] == "defects.txt"


def test_motioncor2_is_refused_where_relion_cannot_start_it(small: Path, tmp_path: Path) -> None:
    program = variants.stand_in(tmp_path / "bin/MotionCor2", "motioncor2")
    changes = {"motion_correction": {"program": "motioncor2", "executable": str(program)}}
    project = variants.make(tmp_path / "cpu", small / "Movies", variants.ON_SMALL, changes)
    assert "runs on GPUs only, but no partition of the profile has GPUs" in variants.refused(
        project
    )
    variants.with_gpu(project)
    assert "built without CUDA" in variants.refused(project)


def test_motioncor2_and_gctf(small: Path, tmp_path: Path) -> None:
    """With stand-ins for both, and for the part of RELION that starts MotionCor2."""
    programs = tmp_path / "bin"
    motioncor2 = variants.stand_in(programs / "MotionCor2", "motioncor2")
    gctf = variants.stand_in(programs / "Gctf", "gctf")
    variants.stand_in(programs / "relion_run_motioncorr", "motioncorr_with_cuda")
    changes: dict[str, Any] = {
        "motion_correction": {
            "program": "motioncor2",
            "executable": str(motioncor2),
            "patches_x": 3,
            "patches_y": 4,
            "group_frames": 2,
            "bfactor": 200,
            "save_non_dose_weighted": True,
            "other_args": "-Tor 0.5 -Iter 7",
        },
        "dose": {"pre_exposure": 1.5},
        "ctf": {
            "program": "gctf",
            "executable": str(gctf),
            "gctf": {"ignore_search_parameters": False, "other_args": "--do_Hres_ref 1"},
        },
    }
    project = variants.make(tmp_path / "gpu", small / "Movies", variants.ON_SMALL, changes)
    variants.with_gpu(project)
    environ = variants.first_on_path(programs)
    variants.make_only(project, "relion_import", "motion_correction", "ctf", environ=environ)

    words = json.loads((project / "MotionCorr/job002/Movies/mov002.arguments").read_text())
    said = " ".join(words)
    for part in (
        "-InMrc Movies/mov002.mrcs -OutMrc MotionCorr/job002/Movies/mov002.mrc",
        "-Bft 200 -PixSize 3.5 -Patch 3 4 -Group 2 -Gain MotionCorr/job002/gain.mrc",
        "-FmDose 3 -InitDose 1.5 -Tor 0.5 -Iter 7 -Gpu 0",
    ):
        assert part in said
    turned = project / "MotionCorr/job002/gain.mrc"
    assert abs(left_of_gain(project / "MotionCorr/job002/Movies/mov002.mrc", turned)) < 0.05
    micrographs = variants.star(project / CORRECTED)["micrographs"]
    assert len(micrographs) == 2
    assert "rlnCtfPowerSpectrum" not in micrographs
    assert (project / micrographs["rlnMicrographNameNoDW"][1]).is_file()

    said = " ".join(json.loads((project / "CtfFind/job003/Movies/mov001.arguments").read_text()))
    assert "--apix 3.5 --cs 2.7 --kV 300 --ac 0.1" in said
    assert "--resH 8 --defL 5000 --defH 35000" in said
    assert "-gid 0 --do_Hres_ref 1" in " ".join(said.split())
    found = variants.star(project / WITH_CTF)["micrographs"]
    assert list(found["rlnDefocusU"]) == [13000, 13000]
    assert list(found["rlnCtfMaxResolution"]) == [8.5, 8.5]


# ---------------------------------------------------------------------------------------------- CTF
def test_ctffind4_on_whole_micrographs(corrected: Path, small: Path) -> None:
    score = Truth.read(small).score_defocus(corrected / WITH_CTF)
    assert (score.micrographs, score.missing) == (2, 0)
    assert score.worst_percent < 3
    read = (corrected / "CtfFind/job003/Movies/mov001_noDW_ctffind4.com").read_text()
    assert "--amplitude-spectrum-input" not in read


def test_the_optics_group_names_the_mtf(corrected: Path) -> None:
    assert variants.star(corrected / WITH_CTF)["optics"]["rlnMtfFileName"][0] == "mtf.star"


# ------------------------------------------------------------------------------------------ picking
@pytest.mark.parametrize(
    "references",
    [
        {"file": "Select/job007/class_averages.star", "pixel_size": 5.25},
        {"file": "Refine3D/job035/run_class001.mrc", "is_map": True},
    ],
    ids=["2D", "3D"],
)
def test_picking_with_references(
    finished: Finished, tmp_path: Path, references: dict[str, Any]
) -> None:
    search = {"threshold": 0.4, "angular_sampling": 15, "lowpass": 30, "min_distance": 100}
    changes = {"picking": {"method": "references", "references": {**references, **search}}}
    project = variants.make(tmp_path / "picking", finished.data / "Movies", changes)
    variants.take(project, finished.project, "MotionCorr/job002", "CtfFind/job003")
    variants.take(project, finished.project, "Class2D/job006", "Select/job007", "Refine3D/job035")
    variants.keep(project / WITH_CTF, "micrographs", 2)
    assert variants.make_only(project, "picking") == {"picking"}
    score = Truth.read(finished.data).score_picks(project / "AutoPick/job004")
    assert score.matched / (2 * 45) > 0.75
    assert score.precision > 0.55


def test_what_this_relion_cannot_do_is_refused_first(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "picking": {"method": "topaz"},
        "class2d": {"algorithm": "vdam"},
        "class3d": {"blush": True},
        "refine3d": {"blush": True},
        "extraction": {"min_figure_of_merit": 0.1},
    }
    project = variants.make(tmp_path / "new", finished.data / "Movies", changes)
    said = variants.refused(project, "-n")
    for option in ("picking.method: topaz", "class2d.algorithm: vdam", "class3d.blush: true"):
        assert f"{option} is not for RELION 3.1" in said
    assert "refine3d.blush: true is not for RELION 3.1" in said
    assert "extraction.min_figure_of_merit is not for RELION 3.1" in said


# ---------------------------------------------------------------------------------------- particles
def test_initial_model_in_c1_with_several_classes(finished: Finished, tmp_path: Path) -> None:
    options = {"starts": 1, "in_c1": True, "classes": 2, "sgd": SGD, "max_significants": 5}
    changes = {"initial_model": options, "verdict": {"stop": False}}
    project = variants.make(tmp_path / "c1", finished.data / "Movies", changes)
    variants.take(project, finished.project, "Extract/job005", "Class2D/job006", "Select/job007")
    variants.keep(project / "Select/job007/particles.star", "particles", 40)
    rules = ("initial_model_1", "rank_starts")
    assert variants.make_only(project, *rules) == set(rules)
    job = project / "InitialModel/job011"
    classes = variants.star(job / "run_it006_model.star")["model_classes"]
    largest = classes.sort_values("rlnClassDistribution")["rlnReferenceImage"].iloc[-1]
    np.testing.assert_array_equal(image(job / "largest_class.mrc"), image(project / largest))
    assert "refined solution is ROT" in (job / "run.out").read_text()
    model = image(project / "Select/job031/initial_model.mrc")
    np.testing.assert_array_equal(model, image(job / "initial_model.mrc"))
    assert model.shape == (32, 32, 32)
    assert "only one start" in (project / "Select/job031/verdict.txt").read_text()


def test_own_map_and_all_particles_at_full_size(finished: Finished, tmp_path: Path) -> None:
    off = {"enabled": False}
    own = {"initial_model": {"reference": "our map.mrc"}}
    project = variants.make(
        tmp_path / "own", finished.data / "Movies", own, {"class2d": off, "class3d": off}
    )
    shutil.copy(finished.project / "Refine3D/job035/run_class001.mrc", project / "our map.mrc")
    variants.take(
        project, finished.project, "MotionCorr/job002", "CtfFind/job003", "Extract/job005"
    )
    variants.keep(project / "Extract/job005/particles.star", "particles", 60)
    rules = ("own_reference", "reextraction")
    assert variants.make_only(project, *rules) == set(rules)
    small, full = (
        project / "Select/job031/initial_model.mrc",
        project / "Extract/job034/reference.mrc",
    )
    assert (image(small).shape[0], angpix(small)) == (32, 5.25)
    assert (image(full).shape[0], angpix(full)) == (48, 3.5)
    tables = variants.star(project / "Extract/job034/particles.star")
    assert len(tables["particles"]) == 60
    assert tables["optics"]["rlnImageSize"][0] == 48
    assert alike(full, project / "our map.mrc") > 0.99


def test_first_model_at_full_size_without_3d_classes(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "class3d": {"enabled": False},
        "initial_model": {"starts": 4},
        "reextraction": {"recenter": False},
    }
    project = variants.make(tmp_path / "no3d", finished.data / "Movies", changes)
    variants.take(project, finished.project, "MotionCorr/job002", "CtfFind/job003")
    variants.take(project, finished.project, "Extract/job005", "Select/job007", "Select/job031")
    variants.keep(project / "Select/job007/particles.star", "particles", 60)
    assert variants.make_only(project, "reextraction") == {"reextraction"}
    full = project / "Extract/job034/reference.mrc"
    assert (image(full).shape[0], angpix(full)) == (48, 3.5)
    where = ["rlnCoordinateX", "rlnCoordinateY"]
    before, after = (
        variants.star(project / job / "particles.star")["particles"][where]
        for job in ("Select/job007", "Extract/job034")
    )
    # Not centred: the particles stay where they were picked.
    np.testing.assert_allclose(after.sort_values(where), before.sort_values(where), atol=0.01)
    assert alike(full, project / "Select/job031/initial_model.mrc") > 0.99


def test_2d_classes_in_fast_subsets(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "class2d": {
            "fast_subsets": True,
            "iterations": 20,
            "classes": 2,
            "psi_sampling": 30,
            "resolution_limit": 25,
            "zero_mask": False,
        },
        "select2d": {"max_resolution": 40, "resolution_factor": 3, "min_particles": 10},
    }
    project = variants.make(tmp_path / "class2d", finished.data / "Movies", changes)
    variants.take(project, finished.project, "Extract/job005")
    variants.keep(project / "Extract/job005/particles.star", "particles", 60)
    assert variants.make_only(project, "class2d", "select2d") == {"class2d", "select2d"}
    classes = variants.star(project / "Class2D/job006/run_it020_model.star")["model_classes"]
    assert len(classes) == 2
    assert classes["rlnEstimatedResolution"].min() >= 25
    kept = variants.star(project / "Select/job007/particles.star")["particles"]
    assert 10 <= len(kept) <= 60


def test_3d_classes_in_a_mask_with_local_searches(finished: Finished, tmp_path: Path) -> None:
    options = {"iterations": 2, "mask": "our mask.mrc", "local_search_range": 15}
    changes: dict[str, Any] = {
        "class3d": {**options, "resolution_limit": 15, "zero_mask": False},
        "verdict": {"stop": False},
    }
    project = variants.make(tmp_path / "class3d", finished.data / "Movies", changes)
    variants.take(project, finished.project, "Extract/job005", "Class2D/job006", "Select/job007")
    variants.take(project, finished.project, "Select/job031")
    variants.keep(project / "Select/job007/particles.star", "particles", 60)
    write_sphere(project / "our mask.mrc", 32, 13, 5.25)
    assert variants.make_only(project, "class3d", "select3d") == {"class3d", "select3d"}
    best = image(project / "Select/job033/best_class.mrc")
    assert np.abs(best[0]).max() < 1e-6 < best.max()


# ---------------------------------------------------------------------------- maps and their rounds
def test_refinement_in_a_mask(finished: Finished, tmp_path: Path) -> None:
    options = {"mask": "our mask.mrc", "solvent_corrected_fsc": True, "finer_faster": True}
    changes: dict[str, Any] = {"refine3d": {**options, "ini_high": 40, "zero_mask": False}}
    project = variants.make(tmp_path / "refine3d", finished.data / "Movies", changes)
    variants.take(project, finished.project, "Extract/job034")
    variants.keep(project / "Extract/job034/particles.star", "particles", 16)
    write_sphere(project / "our mask.mrc", 48, 20, 3.5)
    assert variants.make_only(project, "refine3d") == {"refine3d"}
    said = (project / "Refine3D/job035/run.out").read_text()
    assert "Auto-refine: Refinement has converged" in said
    assert "Calculating solvent-corrected gold-standard FSC" in said
    # RELION masks what it goes on with, not what it ends with.
    half = image(project / "Refine3D/job035/run_it001_half1_class001.mrc")
    assert np.abs(half[0]).max() < 1e-6 < half.max()


def test_given_threshold_bfactor_and_mtf(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "mask": {"threshold": 0.02, "lowpass": 20},
        "postprocess": {"auto_bfactor": False, "adhoc_bfactor": -300, "mtf": "mtf.star"},
        "polishing_rounds": 0,
    }
    project = variants.make(tmp_path / "map", finished.data / "Movies", changes)
    (project / "mtf.star").write_text(MTF)
    variants.take(project, finished.project, "Refine3D/job035")
    rules = ("mask", "postprocess", "local_resolution")
    assert variants.make_only(project, *rules) == set(rules)
    assert (image(project / "LocalRes/job038/relion_locres_filtered.mrc")).std() > 0
    said = (project / "PostProcess/job037/run.out").read_text()
    assert "apply b-factor of: -300" in " ".join(said.split())
    assert "Dividing map by the MTF" in said
    found = variants.star(project / "PostProcess/job037/postprocess.star")["general"]
    assert found["rlnBfactorUsedForSharpening"] == -300


@pytest.mark.parametrize(
    "fits, columns",
    [
        (
            {**NO_FITS, "beam_tilt": True, "trefoil": True, "fourth_order": True},
            {"rlnBeamTiltX", "rlnBeamTiltY", "rlnOddZernike", "rlnEvenZernike"},
        ),
        ({**NO_FITS, "magnification": True}, {"rlnMagMat00", "rlnMagMat11"}),
        (
            {"defocus": "per_micrograph", "bfactor": "per_micrograph"},
            {"rlnCtfBfactor", "rlnCtfScalefactor"},
        ),
    ],
    ids=["aberrations", "magnification", "bfactor"],
)
def test_kinds_of_ctf_refinement(
    finished: Finished, tmp_path: Path, fits: dict[str, Any], columns: set[str]
) -> None:
    project = variants.make(tmp_path / "ctf", finished.data / "Movies", {"ctf_refinement": fits})
    variants.take(project, finished.project, *REFINED)
    variants.keep(project / "Refine3D/job035/run_data.star", "particles", 60)
    assert variants.make_only(project, "ctf_refinement_1") == {"ctf_refinement_1"}
    tables = variants.star(project / "CtfRefine/job041/particles_ctf_refine.star")
    assert len(tables["particles"]) == 60
    assert columns <= {*tables["optics"], *tables["particles"]}


def test_polishing_of_given_particles(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "start": "particles",
        "particles": "particles.star",
        "corrected_micrographs": "MotionCorr/job002/corrected_micrographs.star",
        "polishing": {"parameters_file": "our sigmas.txt", "first_frame": 2, "last_frame": 9},
        "optics": {"pixel_size": None},
    }
    project = variants.make(tmp_path / "given", finished.data / "Movies", changes)
    (project / "our sigmas.txt").write_text("1.5 9000 2.5\n")
    shutil.copy(finished.project / "Select/job007/particles.star", project)
    variants.take(project, finished.project, "Extract/job005", "MotionCorr/job002")
    variants.take(project, finished.project, *REFINED, "CtfRefine/job041")
    variants.keep(project / "CtfRefine/job041/particles_ctf_refine.star", "particles", 8)
    assert variants.make_only(project, "polishing_1") == {"polishing_1"}
    said = (project / "Polish/job043/run.out").read_text()
    assert "s_vel: 1.5, s_div: 9000, s_acc: 2.5" in said
    found = variants.star(project / "Polish/job043/shiny.star")
    assert len(found["particles"]) == 8
    assert found["optics"]["rlnImageSize"][0] == 48


def test_polishing_with_training_to_another_size(finished: Finished, tmp_path: Path) -> None:
    """As short as it can be: two steps on a few particles, whose result says nothing."""
    training = {"min_particles": 5, "extra_arguments": "--par_iters 2"}
    size = {"box_size": 64, "scaled_size": 40}
    changes = {"polishing": {"train": True, "training": training, **size}}
    project = variants.make(tmp_path / "train", finished.data / "Movies", changes)
    variants.take(project, finished.project, *REFINED, "MotionCorr/job002", "CtfRefine/job041")
    variants.keep(project / "CtfRefine/job041/particles_ctf_refine.star", "particles", 8)
    rules = ("polishing_training_1", "polishing_1")
    assert variants.make_only(project, *rules) == set(rules)
    sigmas = [
        float(word)
        for word in (project / "Polish/job042/opt_params_all_groups.txt").read_text().split()
    ]
    assert len(sigmas) == 3
    assert all(sigma > 0 for sigma in sigmas)
    used = (project / "Polish/job043/run.out").read_text()
    assert "using parameters from: Polish/job042/opt_params_all_groups.txt" in used
    assert len(variants.star(project / "Polish/job043/shiny.star")["particles"]) == 8
    # 64 px of the movies scaled to 40: map and mask follow, as RELION wants them of one size.
    for name in ("reference", "mask"):
        assert image(project / f"Polish/job043/{name}.mrc").shape == (40, 40, 40)
        assert angpix(project / f"Polish/job043/{name}.mrc") == pytest.approx(3.5 * 64 / 40)
    refined = project / "Refine3D/job035/run_class001.mrc"
    assert alike(project / "Polish/job043/reference.mrc", refined) > 0.98


# ------------------------------------------------------------------------------- what would be done
def test_two_rounds(finished: Finished, tmp_path: Path) -> None:
    project = variants.make(tmp_path / "two", finished.data / "Movies", {"polishing_rounds": 2})
    said = variants.planned(project)
    for job in ("Refine3D/job044", "CtfRefine/job051", "Polish/job053", "Refine3D/job054"):
        assert f"{job}/run.out" in said
    assert "LocalRes/job057/relion_locres.mrc" in said
    assert "--i Refine3D/job044/run_data.star --f PostProcess/job046/postprocess.star" in said
    assert "--ref Refine3D/job044/run_class001.mrc" in said


@pytest.mark.parametrize("left_out", ["ctf_refinement", "polishing"])
def test_half_a_round(finished: Finished, tmp_path: Path, left_out: str) -> None:
    changes = {left_out: {"enabled": False}}
    said = variants.planned(variants.make(tmp_path / "half", finished.data / "Movies", changes))
    without, particles = {
        "ctf_refinement": ("CtfRefine", "relion_motion_refine` --i Refine3D/job035/run_data.star"),
        "polishing": ("Polish", "--i CtfRefine/job041/particles_ctf_refine.star"),
    }[left_out]
    assert f"{without}/" not in said
    assert particles in said
    assert "Refine3D/job044/run_class001.mrc" in said


def test_refinement_of_what_was_extracted_first(finished: Finished, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"reextraction": {"enabled": False}, "first_job": 101}
    said = variants.planned(variants.make(tmp_path / "small", finished.data / "Movies", changes))
    assert "Extract/job134/" not in said
    refine = "--i Select/job133/particles.star --ref Select/job133/best_class.mrc"
    assert refine in said

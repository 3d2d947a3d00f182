from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.paths import Paths
from relion_dispatch.pipeline.versions import Version
from tests.unit.pipeline_chain import settings_with

OWN_MODEL = {"initial_model": {"reference": "own.mrc"}}
NO_BOX: Mapping[str, Any] = {"start": "particles", "particles": "data/my.star"}
UNKNOWN_BOX = {"optics": {"pixel_size": None}, "sample": {"box_size": None}, "polishing_rounds": 0}


def paths(changes: Mapping[str, Any] | None = None, version: str = "3.1") -> Paths:
    checked = settings_with(changes)
    return Paths(settings=checked, version=Version.parse(version), layout=Layout(checked.first_job))


# -------------------------------------------------------------------------------- the user's files


def test_the_user_s_files_are_found_by_their_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Movies").mkdir()
    for name in ("b.tiff", "a.tiff", "a.mrcs", "a_pick.star"):
        (tmp_path / "Movies" / name).touch()
    assert paths().inputs == ["Movies/a.tiff", "Movies/b.tiff"]
    assert paths({"movies": "Movies/c*"}).inputs == []
    given = {"picking": {"method": "coordinates", "coordinates": "Movies/*_pick.star"}}
    assert paths(given).coordinate_files == ["Movies/a_pick.star"]
    assert paths().coordinate_files == []


def test_names_that_snakemake_would_read_wildcards_into_are_left_to_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Movies").mkdir()
    for name in ("good.tiff", "{bad}.tiff"):
        (tmp_path / "Movies" / name).touch()
    assert paths().inputs == ["Movies/good.tiff"]


def test_particles_are_one_file_and_keep_its_name() -> None:
    found = paths({**NO_BOX, **UNKNOWN_BOX})
    assert found.inputs == ["data/my.star"]
    assert found.imported == found.extracted == "Import/job001/my.star"


# --------------------------------------------------------------------------- what goes from where


@pytest.mark.parametrize(
    "changes,micrographs",
    [
        ({}, "MotionCorr/job002/corrected_micrographs.star"),
        (
            {
                "start": "micrographs",
                "micrographs": "Micrographs/*.mrc",
                "corrected_micrographs": "old.star",
            },
            "Import/job001/micrographs.star",
        ),
    ],
)
def test_where_micrographs_come_from(changes: Mapping[str, Any], micrographs: str) -> None:
    assert paths(changes).micrographs == micrographs


def test_polishing_takes_an_earlier_motion_correction() -> None:
    assert paths().corrected_micrographs == paths().micrographs
    changes = {"corrected_micrographs": "old.star"}
    assert paths(changes).corrected_micrographs == "old.star"


@pytest.mark.parametrize(
    "method,version,file",
    [
        ("log", "3.1", "AutoPick/job004/coords_suffix_autopick.star"),
        ("log", "4.0", "AutoPick/job004/autopick.star"),
        ("coordinates", "3.1", "Import/job009/coords_suffix_pick.star"),
        ("coordinates", "5.0", "Import/job009/coords_suffix_pick.star"),
    ],
)
def test_coordinates_by_version(method: str, version: str, file: str) -> None:
    picking = {"method": method, "coordinates": "Movies/*_pick.star"}
    assert paths({"picking": picking}, version).coordinates == file


def test_each_classification_passes_its_choice_on() -> None:
    off = {"enabled": False}
    both = paths()
    assert both.chosen_2d == "Select/job007/particles.star"
    assert both.class_averages == "Select/job007/class_averages.star"
    assert both.chosen_3d == "Select/job033/particles.star"
    assert both.chosen_map == "Select/job033/best_class.mrc"
    neither = paths({"class2d": off, "class3d": off})
    assert neither.chosen_2d == neither.chosen_3d == neither.extracted
    assert neither.class_averages is None
    assert neither.chosen_map == neither.model == "Select/job031/initial_model.mrc"


def test_the_user_s_map_is_brought_to_the_particles_box() -> None:
    found = paths(OWN_MODEL)
    assert found.scales_own_reference
    assert found.model == "Select/job031/initial_model.mrc"
    assert list(found.starts) == []


def test_the_user_s_map_is_taken_as_it_is_where_the_box_is_unknown() -> None:
    found = paths({**NO_BOX, **UNKNOWN_BOX, **OWN_MODEL})
    assert not found.scales_own_reference
    assert found.model == "own.mrc"


def test_boxes() -> None:
    # 360 px of 0.885 Å are 318.6 Å: 80 px of about 4 Å.
    found = paths()
    assert found.full_box == (360, 0.885)
    box, angpix = found.extracted_box or (0, 0)
    assert box == 80
    assert box * angpix == pytest.approx(360 * 0.885)
    binned = paths({"motion_correction": {"bin_factor": 2}, "sample": {"particle_diameter": 320}})
    assert binned.full_box == (360, 1.77)
    given = {"optics": {"pixel_size": 2.0}, "sample": {"box_size": 128}, "polishing_rounds": 0}
    assert paths({**NO_BOX, **given}).extracted_box == (128, 2.0)
    assert paths({**NO_BOX, **UNKNOWN_BOX}).full_box is None
    assert paths({**NO_BOX, **UNKNOWN_BOX}).extracted_box is None


def test_particles_are_extracted_again_where_that_is_possible() -> None:
    assert paths().full_particles == "Extract/job034/particles.star"
    assert paths().reference == "Extract/job034/reference.mrc"
    without = paths({"reextraction": {"enabled": False}})
    assert without.full_particles == without.chosen_3d
    assert without.reference == without.chosen_map
    assert not paths({**NO_BOX, **UNKNOWN_BOX}).extracts_again


# ----------------------------------------------------------------------------------- rounds, ends


def test_a_round_goes_from_the_last_refinement_to_the_next() -> None:
    found = paths({"polishing_rounds": 2})
    assert list(found.rounds) == [1, 2]
    assert found.ctf_refined(2) == "CtfRefine/job051/particles_ctf_refine.star"
    assert found.polished(2) == "Polish/job053/shiny.star"
    assert found.refined("run_data.star", 2) == "Refine3D/job054/run_data.star"
    assert found.verdict_before(2) == "Refine3D/job044/verdict.json"
    assert found.verdict_before(1) == "Refine3D/job035/verdict.json"


def test_a_step_that_is_left_out_of_a_round_passes_its_input_on() -> None:
    off = {"enabled": False}
    no_fits = paths({"ctf_refinement": off})
    assert no_fits.ctf_refined(1) == "Refine3D/job035/run_data.star"
    no_polishing = paths({"polishing": off})
    assert no_polishing.polished(1) == no_polishing.ctf_refined(1)


def test_polished_particles_of_another_size_come_with_maps_of_theirs() -> None:
    same = paths()
    assert same.polished_files(1) == {"particles": "Polish/job043/shiny.star"}
    other = paths({"polishing": {"box_size": 512, "scaled_size": 384}})
    assert other.polished_files(1) == {
        "particles": "Polish/job043/shiny.star",
        "reference": "Polish/job043/reference.mrc",
        "mask": "Polish/job043/mask.mrc",
    }


def test_training_is_asked_for() -> None:
    assert paths().trained(1) is None
    trained = paths({"polishing": {"train": True}})
    assert trained.trained(1) == "Polish/job042/opt_params_all_groups.txt"
    assert paths({"polishing": {"train": True, "enabled": False}}).trained(1) is None


@pytest.mark.parametrize(
    "changes,before",
    [
        ({}, "Select/job033/verdict.json"),
        ({"class3d": {"enabled": False}}, "Select/job031/verdict.json"),
        ({"class3d": {"enabled": False}, **OWN_MODEL}, None),
    ],
)
def test_the_verdict_before_the_first_refinement(
    changes: Mapping[str, Any], before: str | None
) -> None:
    assert paths(changes).verdict_before(0) == before


NO_REFINEMENT: Mapping[str, Any] = {
    "refine3d": {"enabled": False},
    "local_resolution": {"enabled": False},
    "polishing_rounds": 0,
}


@pytest.mark.parametrize(
    "changes,targets",
    [
        (
            {"polishing_rounds": 0},
            [
                "PostProcess/job037/postprocess.mrc",
                "Refine3D/job035/verdict.json",
                "LocalRes/job038/relion_locres.mrc",
            ],
        ),
        (
            {"local_resolution": {"enabled": False}},
            ["PostProcess/job046/postprocess.mrc", "Refine3D/job044/verdict.json"],
        ),
        (NO_REFINEMENT, ["Select/job033/verdict.json"]),
        ({**NO_REFINEMENT, "class3d": {"enabled": False}}, ["Select/job031/initial_model.mrc"]),
    ],
)
def test_what_the_pipeline_ends_with(changes: Mapping[str, Any], targets: list[str]) -> None:
    assert paths(changes).targets == targets


# ------------------------------------------------------------------------------- names of results


@pytest.mark.parametrize(
    "version,algorithm,root",
    [
        ("3.1", "auto", "Class2D/job006/run_it025"),
        ("4.0", "auto", "Class2D/job006/run_it200"),
        ("5.0", "em", "Class2D/job006/run_it025"),
    ],
)
def test_the_last_iteration_of_2d_classification(version: str, algorithm: str, root: str) -> None:
    assert paths({"class2d": {"algorithm": algorithm}}, version).class2d_last == root


def test_starts_have_directories_of_their_own() -> None:
    found = paths({"initial_model": {"starts": 3}})
    assert list(found.starts) == [1, 2, 3]
    maps = {found.start_map(start) for start in found.starts}
    models = {found.start_model(start) for start in found.starts}
    assert len(maps) == len(models) == 3
    for start in found.starts:
        assert found.start_map(start).startswith(f"InitialModel/job01{start}/")
        assert found.start_model(start).startswith(f"InitialModel/job01{start}/")


def test_all_jobs_can_begin_at_another_number() -> None:
    found = paths({"first_job": 101})
    assert found.chosen_2d == "Select/job107/particles.star"
    assert found.start_map(1).startswith("InitialModel/job111/")
    assert found.polished(1).startswith("Polish/job143/")

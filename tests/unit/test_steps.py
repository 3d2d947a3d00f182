from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import evidence, judge, reference, selection, starts
from relion_dispatch.pipeline.settings import merge
from relion_dispatch.pipeline.steps import Project
from relion_dispatch.pipeline.verdict import Thresholds
from relion_dispatch.this_python import python_command
from tests.unit.pipeline_chain import MINIMUM


def project(changes: Mapping[str, Any] | None = None, version: str = "3.1") -> Project:
    config = merge({**MINIMUM, "relion_version": version}, changes or {})
    return Project.load(config, "local")


def words(command: str, module: str) -> list[str]:
    """Arguments of a command that runs a module of the pipeline."""
    start = shlex.split(python_command(f"pipeline.{module}"))
    found = shlex.split(command)
    assert found[: len(start)] == start
    return found[len(start) :]


def options(command: str) -> dict[str, str]:
    """Options of a RELION command, by name."""
    found = shlex.split(command)
    return dict(zip(found[2::2], found[3::2], strict=True))


def test_a_wrong_configuration_names_the_file() -> None:
    with pytest.raises(InputError, match=r"config\.yaml: seed must be a whole number"):
        project({"seed": "one"})


def test_what_relion_cannot_do_is_refused() -> None:
    with pytest.raises(InputError, match=r"class3d\.blush: true is not for RELION 4\.0"):
        project({"class3d": {"blush": True}}, "4.0")


# ------------------------------------------------------------- commands of this package's modules


def test_2d_classes_are_selected_as_configured() -> None:
    limits = {
        "min_fraction": 0.02,
        "resolution_factor": 1.4,
        "max_resolution": 12,
        "min_particles": 7,
    }
    found = project({"select2d": limits}, "4.0")
    args = selection._arguments(words(found.select("select2d", found.class2d_last), "selection"))
    assert args.model == Path("Class2D/job006/run_it200_model.star")
    assert args.data == Path("Class2D/job006/run_it200_data.star")
    assert (args.o, args.relion) == (Path("Select/job007"), "4")
    given = (args.min_fraction, args.resolution_factor, args.max_resolution, args.min_particles)
    assert given == (0.02, 1.4, 12.0, 7)


def test_3d_classes_are_selected_and_the_best_one_judged() -> None:
    select, judging = project({"select3d": {"min_fraction": 0.2}}).select_3d()
    chosen = selection._arguments(words(select, "selection"))
    assert chosen.best_map == Path("Select/job033/best_class.mrc")
    assert (chosen.min_fraction, chosen.max_resolution, chosen.min_particles) == (0.2, None, 0)
    args = judge._arguments(words(judging, "judge"))
    assert (args.step, args.map) == ("class3d", chosen.best_map)
    assert args.model == chosen.model
    assert (args.kept, args.of) == (Path("Select/job033/particles.star"), chosen.data)
    assert (args.class_fraction, args.class_factor) == (0.2, chosen.resolution_factor)
    assert args.before == Path("Select/job031/verdict.json")
    assert args.o == Path("Select/job033/verdict.json")


def test_a_classification_of_the_user_s_map_has_nothing_before() -> None:
    found = project({"initial_model": {"reference": "own.mrc"}})
    assert judge._arguments(words(found.select_3d()[1], "judge")).before is None


def test_all_starts_are_ranked() -> None:
    found = project({"initial_model": {"starts": 3}})
    args = starts._arguments(words(found.rank(), "starts"))
    pairs = [[Path(found.start_map(s)), Path(found.start_model(s))] for s in (1, 2, 3)]
    assert args.start == pairs
    assert args.o == Path("Select/job031")
    assert args.class_averages == Path("Select/job007/class_averages.star")


@pytest.mark.parametrize("round_,name", [(0, "refine3d"), (2, "refine3d round 2")])
def test_refinements_are_judged(round_: int, name: str) -> None:
    found = project({"polishing_rounds": 2})
    command = found.judge_refinement(round_)["command"](None, None)
    args = judge._arguments(words(command, "judge"))
    folder = Path(found.layout.dir("refine3d", round=round_))
    assert args.step == name
    assert {args.model.parent, args.map.parent, args.kept.parent, args.o.parent} == {folder}
    assert args.of == Path(found.chosen_2d)
    assert str(args.before) == found.verdict_before(round_)
    assert args.particle_diameter == 200.0


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"stop": False},
        {"max_resolution": 12.5},
        {
            "stop_agreement": 0.5,
            "doubt_agreement": 0.6,
            "doubt_share": 0.7,
            "doubt_pmax": 0.8,
        },
    ],
)
def test_limits_of_the_verdict_reach_the_judge(block: dict[str, Any]) -> None:
    found = project({"verdict": block})
    for command, module, parser in (
        (found.rank(), "starts", starts._arguments),
        (found.select_3d()[1], "judge", judge._arguments),
    ):
        args = parser(words(command, module))
        assert evidence.thresholds(args) == Thresholds(**block)


def test_without_2d_classes_there_is_nothing_to_compare_with() -> None:
    found = project({"class2d": {"enabled": False}})
    assert starts._arguments(words(found.rank(), "starts")).class_averages is None


def test_programs_of_this_package_are_beside_this_python() -> None:
    assert project().builtin_ctf == str(Path(sys.executable).parent / "relion-dispatch-ctffind")


# ------------------------------------------------------------------------------------ references


def test_the_chosen_map_is_scaled_to_the_full_box() -> None:
    found = project()
    command = found.scale_reference()
    assert command.startswith("`which relion_image_handler` ")
    given = options(command)
    assert given["--i"] == "Select/job033/best_class.mrc"
    assert given["--o"] == found.reference
    assert given["--new_box"] == "360"
    # RELION rounds the new box; it must come out whole.
    ratio = float(given["--angpix"]) / float(given["--rescale_angpix"])
    assert 80 * ratio == pytest.approx(360, abs=1e-4)


def test_the_user_s_map_is_scaled_to_the_small_box() -> None:
    found = project({"initial_model": {"reference": "my map.mrc"}})
    assert words(found.scale_own_reference(), "reference") == [
        *("--i", "my map.mrc", "--o", found.model, "--angpix", "3.9825", "--box", "80")
    ]


# ------------------------------------------------------------------------------------------ jobs


def test_jobs_begin_clean_in_their_own_directory() -> None:
    job = project().refinement(1)
    assert (job.step, job.out) == ("refine3d", "Refine3D/job044/")
    assert job.lines[0].startswith(python_command("pipeline.begin", "Refine3D/job044/", "--clean"))
    assert "--root Refine3D/job044/run --science " in job.lines[0]
    assert job.lines[1:] == job.commands


def test_a_round_goes_on_from_the_one_before() -> None:
    found = project({"polishing_rounds": 2})
    assert found.refinement_inputs(0) == {
        "particles": "Extract/job034/particles.star",
        "reference": "Extract/job034/reference.mrc",
    }
    assert found.refinement_inputs(2) == {
        "particles": "Polish/job053/shiny.star",
        "reference": "Refine3D/job044/run_class001.mrc",
        "mask": "MaskCreate/job045/mask.mrc",
        "verdict": "Refine3D/job044/verdict.json",
    }
    (command,) = found.refinement(2).commands
    assert "--i Polish/job053/shiny.star" in command
    assert "--solvent_mask MaskCreate/job045/mask.mrc" in command


def test_the_threshold_of_a_mask_is_found_from_the_map() -> None:
    threshold, mask = project().mask(0).commands
    given = words(threshold, "threshold")
    assert given[0] == "Refine3D/job035/run_class001.mrc"
    assert given[-2:] == ["--o", "MaskCreate/job036/threshold.txt"]
    assert '--ini_threshold "$(cat MaskCreate/job036/threshold.txt)"' in mask


def test_the_threshold_of_a_mask_can_be_given() -> None:
    (mask,) = project({"mask": {"threshold": 0.02}}).mask(1).commands
    assert "--ini_threshold 0.02 " in mask


def test_polishing_is_trained_if_asked_for() -> None:
    plain, trained = project(), project({"polishing": {"train": True}})
    assert "--s_vel" in plain.polishing(1).commands[0]
    parameters = "Polish/job042/opt_params_all_groups.txt"
    assert f"--params_file {parameters}" in trained.polishing(1).commands[0]
    assert trained.training(1).out == "Polish/job042/"


def test_local_resolution_is_of_the_last_map() -> None:
    for rounds, half in ((0, "Refine3D/job035/"), (2, "Refine3D/job054/")):
        (command,) = project({"polishing_rounds": rounds}).local_resolution().commands
        assert f"--i {half}run_half1_class001_unfil.mrc" in command


# ---------------------------------------------------------------------------- what is known ahead

SMALL, FULL = (80, 3.9825), (360, 0.885)


def known(found: Project, step: str) -> tuple[int, float] | None:
    data = found.job(step, ("true",)).data
    return (data["box"], pytest.approx(data["angpix"])) if data else None  # type: ignore[return-value]


@pytest.mark.parametrize(
    "changes,classified,refined",
    [
        ({}, SMALL, FULL),
        ({"reextraction": {"enabled": False}}, SMALL, SMALL),
        ({"sample": {"small_box_size": 360}}, FULL, FULL),
        ({"start": "particles", "particles": "p.star", "polishing_rounds": 0}, FULL, FULL),
        (
            {
                "start": "particles",
                "particles": "p.star",
                "polishing_rounds": 0,
                "sample": {"box_size": None},
            },
            None,
            None,
        ),
    ],
)
def test_sizes_are_planned_for_the_box_at_hand(
    changes: dict[str, Any], classified: Any, refined: Any
) -> None:
    found = project(changes)
    for step in ("class2d", "class3d"):
        assert known(found, step) == classified, step
    for step in ("refine3d", "mask", "postprocess"):
        assert known(found, step) == refined, step


def test_maps_follow_polished_particles_of_another_size() -> None:
    found = project({"polishing": {"box_size": 512, "scaled_size": 384}, "polishing_rounds": 2})
    *_, map_, mask = found.polishing(2).commands
    args = reference._arguments(words(map_, "reference"))
    assert (args.i, args.o) == (
        Path("Refine3D/job044/run_class001.mrc"),
        Path("Polish/job053/reference.mrc"),
    )
    assert (args.like, args.mask) == (Path("Polish/job053/shiny.star"), False)
    args = reference._arguments(words(mask, "reference"))
    assert (args.i, args.mask) == (Path("MaskCreate/job045/mask.mrc"), True)
    (refine,) = found.refinement(2).commands
    assert "--ref Polish/job053/reference.mrc" in refine
    assert "--solvent_mask Polish/job053/mask.mrc" in refine
    assert found.refinement(2).data == {"box": 384}
    assert found.refinement(0).data["box"] == 360
    assert len(project().polishing(1).commands) == 1


def test_extraction_cuts_the_full_box() -> None:
    assert known(project(), "extraction") == FULL


def test_starts_know_that_they_run_side_by_side() -> None:
    job = project().job("initial_model", ("true",), out="InitialModel/job013/", concurrent=4)
    assert (job.out, job.concurrent) == ("InitialModel/job013/", 4)
    assert project().job("class3d", ("true",)).concurrent == 1

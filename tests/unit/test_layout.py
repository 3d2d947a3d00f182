from __future__ import annotations

import pytest

from relion_dispatch.pipeline.layout import (
    MAX_ROUNDS,
    MAX_STARTS,
    ROUND_STEPS,
    STEP_NAMES,
    STEPS,
    Layout,
)


def all_directories(layout: Layout) -> list[str]:
    once = [layout.dir(step) for step in STEPS]
    starts = [layout.start(start) for start in range(1, MAX_STARTS + 1)]
    rounds = [
        layout.dir(step, round=number)
        for number in range(1, MAX_ROUNDS + 1)
        for step in ROUND_STEPS
    ]
    return once + starts + rounds


def test_no_two_jobs_share_a_number() -> None:
    numbers = [directory[-4:-1] for directory in all_directories(Layout())]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(
    "step,directory",
    [
        ("import", "Import/job001/"),
        ("motion_correction", "MotionCorr/job002/"),
        ("ctf", "CtfFind/job003/"),
        ("picking", "AutoPick/job004/"),
        ("extraction", "Extract/job005/"),
        ("class2d", "Class2D/job006/"),
        ("select2d", "Select/job007/"),
        ("rank_starts", "Select/job031/"),
        ("class3d", "Class3D/job032/"),
        ("refine3d", "Refine3D/job035/"),
        ("local_resolution", "LocalRes/job038/"),
    ],
)
def test_numbers_stay_as_they_are(step: str, directory: str) -> None:
    assert Layout().dir(step) == directory


def test_starts_and_rounds() -> None:
    layout = Layout()
    assert layout.start(1) == "InitialModel/job011/"
    assert layout.start(20) == "InitialModel/job030/"
    assert layout.dir("ctf_refinement", round=1) == "CtfRefine/job041/"
    assert layout.dir("refine3d", round=2) == "Refine3D/job054/"
    assert layout.dir("refine3d", round=0) == layout.dir("refine3d") == "Refine3D/job035/"


def test_the_first_job_shifts_every_number() -> None:
    pairs = zip(all_directories(Layout(1)), all_directories(Layout(101)), strict=True)
    assert all(int(later[-4:-1]) == int(first[-4:-1]) + 100 for first, later in pairs)


def test_a_number_may_have_four_digits() -> None:
    assert Layout(990).dir("class3d") == "Class3D/job1021/"


def test_a_file_in_a_step() -> None:
    assert (
        Layout(11).path("class3d", "run_it025_model.star") == "Class3D/job042/run_it025_model.star"
    )
    assert Layout().path("polishing", "shiny.star", round=1) == "Polish/job043/shiny.star"


@pytest.mark.parametrize("start", [0, 21, -1])
def test_no_such_start(start: int) -> None:
    with pytest.raises(ValueError, match=f"no start {start}"):
        Layout().start(start)


@pytest.mark.parametrize(
    "step,number", [("polishing", None), ("class3d", 1), ("Class3D", None), ("mask", 7)]
)
def test_no_such_step(step: str, number: int | None) -> None:
    with pytest.raises(ValueError, match="there is no"):
        Layout().dir(step, round=number)


def test_the_names_of_all_steps() -> None:
    assert set(STEP_NAMES) == {*STEPS, *ROUND_STEPS, "initial_model"}

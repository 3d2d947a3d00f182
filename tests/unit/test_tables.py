from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import tables
from tests.unit.star_files import class_row, loop, pairs, write_model, write_particles

in_one_folder = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_what_decisions_need_from_a_model(tmp_path: Path) -> None:
    rows = [class_row(0.75, 16.8, 5.1, 2.4, "run_class001.mrc"), class_row(0.25, 21.0)]
    model = tables.read_model(write_model(tmp_path / "run_model.star", rows, particles=397))
    assert [each.number for each in model.classes] == [1, 2]
    first = model.classes[0]
    assert (first.image, first.fraction, first.resolution_angst) == ("run_class001.mrc", 0.75, 16.8)
    assert (first.rotation_deg, first.translation_angst) == (5.1, 2.4)
    assert (model.log_likelihood, model.pmax, model.particles) == (320225.3, 0.911, 397)
    assert (model.box_size, model.angpix) == (32, 5.25)


def test_a_model_of_one_class(tmp_path: Path) -> None:
    model = tables.read_model(write_model(tmp_path / "run_model.star", [class_row(1.0, 10.5)]))
    assert [each.fraction for each in model.classes] == [1.0]
    assert model.best_resolution_angst == 10.5


@pytest.mark.parametrize("estimate", ["999.000000", "0.000000", "inf", "nan", "1234.5"])
def test_no_estimate_is_no_number(tmp_path: Path, estimate: str) -> None:
    rows = [class_row(1.0, estimate, estimate, estimate)]
    (only,) = tables.read_model(write_model(tmp_path / "run_model.star", rows)).classes
    assert only.resolution_angst == math.inf
    assert math.isnan(only.rotation_deg)
    assert math.isnan(only.translation_angst)


def test_the_best_resolution_is_of_a_class_with_particles(tmp_path: Path) -> None:
    rows = [class_row(0.0, 8.0), class_row(1.0, 20.0)]
    model = tables.read_model(write_model(tmp_path / "a.star", rows))
    assert model.best_resolution_angst == 20.0
    empty = tables.read_model(write_model(tmp_path / "b.star", [class_row(0.0, 8.0)]))
    assert empty.best_resolution_angst == math.inf


@in_one_folder
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(1, 998), st.floats(0.01, 90), st.floats(0.01, 90)),
        min_size=1,
        max_size=6,
    ),
    st.floats(-1e7, 1e7),
)
def test_numbers_come_back(
    tmp_path: Path, rows: list[tuple[float, float, float, float]], likelihood: float
) -> None:
    file = write_model(
        tmp_path / "run_model.star",
        [class_row(fraction, angst, rot, shift) for fraction, angst, rot, shift in rows],
        likelihood=likelihood,
    )
    model = tables.read_model(file)
    assert model.log_likelihood == pytest.approx(likelihood, rel=1e-5, abs=1e-5)
    read = [
        (c.fraction, c.resolution_angst, c.rotation_deg, c.translation_angst) for c in model.classes
    ]
    assert read == [pytest.approx(row) for row in rows]


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    particles = tables.read_particles(write_particles(tmp_path / "data.star", [1, 2]))
    assert list(particles["rlnMicrographName"]) == ["007", "007"]
    assert list(particles["rlnClassNumber"]) == [1, 2]


def test_class_averages_are_read_from_a_selection(tmp_path: Path) -> None:
    labels = ("rlnReferenceImage", "rlnClassDistribution", "rlnEstimatedResolution")
    rows = [("000002@a.mrcs", 0.5, 12.0), ("000005@a.mrcs", 0.25, 14.0)]
    file = tmp_path / "class_averages.star"
    file.write_text(loop("", labels, rows))
    chosen = tables.read_averages(file)
    assert [each.image for each in chosen] == ["000002@a.mrcs", "000005@a.mrcs"]
    assert [each.fraction for each in chosen] == [0.5, 0.25]


# ----------------------------------------------------------------------------------- bad files


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run_model\.star: missing; did the step before"):
        tables.read_model(tmp_path / "run_model.star")


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "has no model_general; is it a model STAR file"),
        ("no table at all\n", "has no model_general"),
        (pairs("model_general", rlnPixelSize=1.0), "has no model_classes"),
        (
            pairs("model_general", rlnPixelSize=1.0)
            + loop("model_classes", ("rlnClassDistribution",), [(1.0,)]),
            "has no rlnReferenceImage",
        ),
        ("data_model_general\n_rlnPixelSize 1 2 3\n", "no readable STAR file"),
        ("data_model_general\nloop_\n_rlnA #1\n1\n2 3\n", "no readable STAR file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run_model.star"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        tables.read_model(file)


def test_files_without_particles_or_averages(tmp_path: Path) -> None:
    file = tmp_path / "any.star"
    file.write_text(loop("movies", ("rlnMicrographMovieName",), [("a.tiff",)]))
    with pytest.raises(InputError, match="has no table of particles"):
        tables.read_particles(file)
    with pytest.raises(InputError, match="has no rlnReferenceImage; is it from a selection"):
        tables.read_averages(file)
    file.write_text("")
    with pytest.raises(InputError, match="is it from a selection"):
        tables.read_averages(file)

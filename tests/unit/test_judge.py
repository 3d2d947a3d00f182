from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import judge
from relion_dispatch.pipeline.jobs import portable
from relion_dispatch.pipeline.judge import Fsc
from tests.unit import phantoms
from tests.unit.star_files import class_row, loop, write_fsc, write_model, write_particles

FALLING = (1.0, 1.0, 0.9, 0.7, 0.343, 0.043, 0.0)
QUIET = (1.0, 0.9, 0.3, 0.1, 0.0, 0.0, 0.0)


def fsc(*corrected: float) -> Fsc:
    inverse = tuple(0.01 * shell or 0.001 for shell in range(len(corrected)))
    return Fsc(inverse_angst=inverse, corrected=corrected, randomised=(0.0,) * len(corrected))


# ---------------------------------------------------------------------------------- resolution


def test_the_resolution_lies_between_shells() -> None:
    # From 0.343 in shell 4 to 0.043 in shell 5; 0.143 is two thirds of the way.
    assert fsc(*FALLING).resolution_angst == pytest.approx(100 / (4 + 2 / 3))


def test_a_curve_that_never_falls_ends_at_the_last_shell() -> None:
    assert fsc(1.0, 0.9, 0.8, 0.7).resolution_angst == pytest.approx(100 / 3)


def test_a_curve_that_is_down_at_once_has_the_box_s_resolution() -> None:
    assert fsc(1.0, 0.1, 0.05, 0.0).resolution_angst == pytest.approx(100.0)
    assert fsc(1.0, -0.2, -0.2, 0.9).resolution_angst == pytest.approx(100.0)


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_every_curve_has_a_resolution_within_its_shells(curve: list[float]) -> None:
    last = len(curve)
    found = fsc(1.0, *curve).resolution_angst
    assert 100 / last - 1e-9 <= found <= 100 + 1e-9


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0, 1))
def test_a_higher_curve_is_no_worse(curve: list[float], lift: float) -> None:
    higher = [min(1.0, value + lift) for value in curve]
    assert fsc(1.0, *higher).resolution_angst <= fsc(1.0, *curve).resolution_angst + 1e-9


def test_curves_are_read_from_post_processing(tmp_path: Path) -> None:
    curves = judge.read_fsc(write_fsc(tmp_path / "postprocess.star", FALLING, QUIET))
    assert curves.corrected == FALLING
    assert curves.randomised == QUIET
    assert curves.inverse_angst[:3] == (0.001, 0.01, 0.02)


def test_other_files_have_no_curves(tmp_path: Path) -> None:
    file = tmp_path / "postprocess.star"
    file.write_text(loop("fsc", ("rlnResolution",), [(0.1,)]))
    with pytest.raises(InputError, match=r"has no rlnFourier.*is it from post-processing"):
        judge.read_fsc(file)
    file.write_text("")
    with pytest.raises(InputError, match="has no fsc"):
        judge.read_fsc(file)


# ---------------------------------------------------------------------------------- the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A refinement after a 3D classification."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "Refine3D/job035"
    write_model(out / "run_model.star", [class_row(1.0, 10.5)], pmax=0.4)
    write_particles(out / "run_data.star", [1] * 8)
    write_particles(tmp_path / "Select/job007/particles.star", [1] * 10)
    write_fsc(tmp_path / "PostProcess/job037/postprocess.star", FALLING, QUIET)
    (tmp_path / "before.json").write_text('{"resolution_angst": 25.0}')
    return tmp_path


def run(*more: str) -> int:
    return judge.main(
        [
            *("--step", "refine3d", "--model", "Refine3D/job035/run_model.star"),
            *("--map", "Refine3D/job035/run_class001.mrc", "--o", "Refine3D/job035/verdict.json"),
            *("--particle_diameter", "140", *more),
        ]
    )


def verdict_of(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "Refine3D/job035/verdict.json").read_text())
    return found


REFINEMENT = (
    *("--postprocess", "PostProcess/job037/postprocess.star", "--before", "before.json"),
    *("--kept", "Refine3D/job035/run_data.star", "--of", "Select/job007/particles.star"),
)


def test_a_refinement_is_judged_by_all_there_is(project: Path) -> None:
    assert run(*REFINEMENT) == 0
    judged = verdict_of(project)
    assert judged["verdict"] == "fine"
    assert judged["resolution_angst"] == pytest.approx(100 / (4 + 2 / 3))
    texts = {each["name"]: each["text"] for each in judged["evidence"]}
    assert list(texts) == [
        "resolution",
        "Pmax",
        "alignment",
        "share of particles",
        "FSC beyond the resolution",
        "FSC of the mask",
    ]
    assert texts["share of particles"].startswith("8 of 10 particles (80%)")
    assert texts["resolution"].endswith("after 25.0 Å before")


def test_a_classification_is_judged_by_its_best_class(project: Path) -> None:
    rows = [class_row(0.1, 9.0), class_row(0.6, 15.0), class_row(0.3, 14.0)]
    write_model(project / "Refine3D/job035/run_model.star", rows)
    assert run("--class_fraction", "0.2", "--class_factor", "1.3") == 0
    assert verdict_of(project)["resolution_angst"] == 14.0


@pytest.mark.parametrize(
    "more,name",
    [
        (("--limits", '{"doubt_pmax": 0.5}'), "Pmax"),
        (("--limits", '{"doubt_share": 0.9}'), "share of particles"),
    ],
)
def test_limits_make_doubt(project: Path, more: tuple[str, ...], name: str) -> None:
    assert run(*REFINEMENT, *more) == 0
    judged = verdict_of(project)
    assert judged["verdict"] == "doubtful"
    assert [e["name"] for e in judged["evidence"] if e["level"] == "doubtful"] == [name]


def test_a_map_worse_than_allowed_stops(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*REFINEMENT, "--limits", '{"max_resolution": 20}') == 2
    assert "worse than verdict.max_resolution 20 Å" in capsys.readouterr().out
    assert not (project / "Refine3D/job035/verdict.json").exists()
    assert run(*REFINEMENT, "--limits", '{"max_resolution": 20, "stop": false}') == 0
    assert verdict_of(project)["verdict"] == "stop"


def test_a_map_is_compared_with_the_class_averages(project: Path) -> None:
    volume = phantoms.blobs(1)
    phantoms.write(project / "Refine3D/job035/run_class001.mrc", volume)
    phantoms.write(project / "classes.mrcs", phantoms.views(volume, 1))
    labels = ("rlnReferenceImage", "rlnClassDistribution")
    (project / "averages.star").write_text(loop("", labels, [("000001@classes.mrcs", 1.0)]))
    assert run("--class_averages", "averages.star") == 0
    last = verdict_of(project)["evidence"][-1]
    assert last["name"] == "agreement with 2D"
    assert last["value"] > 0.95
    assert last["level"] == "fine"


def test_class_averages_of_another_box_leave_it_unknown(project: Path) -> None:
    phantoms.write(project / "Refine3D/job035/run_class001.mrc", phantoms.blobs(1), 1.0)
    phantoms.write(project / "classes.mrcs", phantoms.views(phantoms.blobs(1), 1))
    labels = ("rlnReferenceImage", "rlnClassDistribution")
    (project / "averages.star").write_text(loop("", labels, [("000001@classes.mrcs", 1.0)]))
    assert run("--class_averages", "averages.star") == 0
    assert "its box is 32 Å and the class averages' 168 Å" in verdict_of(project)["unknown"][0]


@pytest.mark.parametrize(
    "missing,message",
    [
        ("Refine3D/job035/run_model.star", "run_model.star: missing"),
        ("PostProcess/job037/postprocess.star", "postprocess.star: missing"),
        ("Select/job007/particles.star", "particles.star: missing"),
        ("before.json", "before.json: no verdict of the step before"),
    ],
)
def test_a_missing_file_is_told(
    project: Path, missing: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / missing).unlink()
    assert run(*REFINEMENT) == 2
    assert message in capsys.readouterr().err


def test_limits_change_no_result() -> None:
    command = (
        "/x/python -m relion_dispatch.pipeline.judge --step a --limits '{\"stop\": true}' --o b"
    )
    assert portable(command).endswith("judge --step a --o b")

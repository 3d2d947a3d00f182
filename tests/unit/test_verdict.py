from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings, verdict
from relion_dispatch.pipeline.verdict import Evidence, Level, Thresholds, Verdict
from relion_dispatch.resources import workflow_dir

LIMITS = Thresholds(
    doubt_agreement=0.9, stop_agreement=0.8, doubt_share=0.3, doubt_pmax=0.05, max_resolution=20
)


def evidence(level: Level) -> Evidence:
    return Evidence(name="any", value=1.0, level=level, text=f"this is {level.name}")


def with_levels(*levels: Level) -> Verdict:
    return Verdict(
        step="class3d",
        evidence=tuple(map(evidence, levels)),
        unknown=(verdict.HAND,),
        resolution_angst=12.5,
    )


def test_the_defaults_are_those_of_the_configuration() -> None:
    block = settings.read(workflow_dir() / "config" / "config.yaml")["verdict"]
    assert Thresholds(**block) == Thresholds()


# ------------------------------------------------------------------------------ one piece each


@pytest.mark.parametrize(
    "angst,before,level,said",
    [
        (10.0, 15.0, Level.FINE, "after 15.0 Å before"),
        (16.4, 15.0, Level.FINE, "after 15.0 Å before"),
        (16.6, 15.0, Level.DOUBTFUL, "worse than 15.0 Å before"),
        (10.0, None, Level.FINE, "no earlier step to compare with"),
        (20.1, 25.0, Level.STOP, "worse than verdict.max_resolution 20 Å"),
    ],
)
def test_resolution(angst: float, before: float | None, level: Level, said: str) -> None:
    found = verdict.resolution(angst, before, LIMITS)
    assert (found.level, found.value) == (level, angst)
    assert said in found.text


@pytest.mark.parametrize(
    "value,level",
    [
        (0.95, Level.FINE),
        (0.9, Level.FINE),
        (0.89, Level.DOUBTFUL),
        (0.8, Level.DOUBTFUL),
        (0.79, Level.STOP),
        (-1.0, Level.STOP),
        (math.nan, Level.STOP),
    ],
)
def test_agreement(value: float, level: Level) -> None:
    found = verdict.agreement(value, LIMITS)
    assert found.level is level
    assert f"{value:.3f}" in found.text


@pytest.mark.parametrize(
    "value,level",
    [(0.9, Level.FINE), (0.05, Level.FINE), (0.04, Level.DOUBTFUL), (math.nan, Level.DOUBTFUL)],
)
def test_pmax(value: float, level: Level) -> None:
    assert verdict.pmax(value, LIMITS).level is level


def test_errors_of_alignment_blur_the_edge() -> None:
    good = verdict.alignment(2.0, 3.0, 100.0, 10.0)
    assert good.value == pytest.approx(math.hypot(100 * math.radians(2.0), 3.0))
    assert good.level is Level.FINE
    bad = verdict.alignment(6.0, 3.0, 100.0, 10.0)
    assert bad.level is Level.DOUBTFUL
    assert bad.text.endswith("more than the resolution")


def test_alignment_without_an_estimate_says_so() -> None:
    found = verdict.alignment(math.nan, 3.0, 100.0, 10.0)
    assert found.level is Level.FINE
    assert "no estimate" in found.text


@pytest.mark.parametrize(
    "kept,of,level",
    [
        (300, 1000, Level.FINE),
        (299, 1000, Level.DOUBTFUL),
        (5, 5, Level.FINE),
        (0, 0, Level.DOUBTFUL),
    ],
)
def test_share_of_particles(kept: int, of: int, level: Level) -> None:
    found = verdict.share(kept, of, LIMITS)
    assert found.level is level
    assert f"{kept} of {of} particles" in found.text


# ---------------------------------------------------------------------------------- FSC curves

FALLING = (1.0, 0.99, 0.9, 0.5, 0.1, 0.02, -0.03)
QUIET = (1.0, 0.9, 0.3, 0.1, 0.05, 0.0, 0.0)


def test_a_curve_that_falls_and_stays_down() -> None:
    beyond, mask = verdict.fsc_shape(FALLING, QUIET)
    assert (beyond.level, mask.level) == (Level.FINE, Level.FINE)
    assert beyond.value == 0.1
    assert mask.value == 0.05  # at the shell where the curve ends


def test_a_curve_that_rises_again() -> None:
    beyond, _ = verdict.fsc_shape((*FALLING, 0.6, 0.7), (*QUIET, 0.0, 0.0))
    assert (beyond.level, beyond.value) == (Level.DOUBTFUL, 0.7)
    assert "rises again" in beyond.text


def test_a_mask_that_makes_the_resolution_itself() -> None:
    _, mask = verdict.fsc_shape(FALLING, (1.0, 0.9, 0.8, 0.6, 0.4, 0.3, 0.2))
    assert mask.level is Level.DOUBTFUL
    assert "too tight or too sharp" in mask.text


def test_a_curve_that_never_falls_says_only_that() -> None:
    (only,) = verdict.fsc_shape((1.0, 0.9, 0.8), (1.0, 0.2, 0.1))
    assert only.level is Level.DOUBTFUL
    assert "never falls below 0.143" in only.text


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40))
def test_every_curve_can_be_judged(curve: list[float]) -> None:
    found = verdict.fsc_shape([1.0, *curve], [0.0] * (len(curve) + 1))
    assert 1 <= len(found) <= 2
    assert all(each.level is not Level.STOP for each in found)


# --------------------------------------------------------------------------------- all together


@pytest.mark.parametrize(
    "levels,level",
    [
        ((Level.FINE, Level.FINE), Level.FINE),
        ((Level.FINE, Level.DOUBTFUL), Level.DOUBTFUL),
        ((Level.DOUBTFUL, Level.STOP, Level.FINE), Level.STOP),
        ((), Level.DOUBTFUL),
    ],
)
def test_the_worst_evidence_decides(levels: tuple[Level, ...], level: Level) -> None:
    assert with_levels(*levels).level is level


def test_the_text_has_all_evidence_and_what_is_unknown() -> None:
    lines = with_levels(Level.FINE, Level.DOUBTFUL).text().splitlines()
    assert lines == [
        "class3d: doubtful",
        "  fine      this is FINE",
        "  doubtful  this is DOUBTFUL",
        f"  unknown   {verdict.HAND}",
    ]


def test_a_verdict_for_programs() -> None:
    values = json.loads(with_levels(Level.FINE, Level.DOUBTFUL).to_json())
    assert values["verdict"] == "doubtful"
    assert [each["level"] for each in values["evidence"]] == ["fine", "doubtful"]
    assert values["unknown"] == [verdict.HAND]


def test_a_verdict_hands_its_resolution_on(tmp_path: Path) -> None:
    file = tmp_path / "Refine3D/job035/verdict.json"
    verdict.settle(with_levels(Level.DOUBTFUL), file, LIMITS)
    assert verdict.earlier_resolution(file) == 12.5
    assert verdict.earlier_resolution(None) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"resolution_angst": null}'])
def test_an_earlier_verdict_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "verdict.json"
    with pytest.raises(InputError, match=r"verdict\.json: no verdict"):
        verdict.earlier_resolution(file)
    file.write_text(text)
    with pytest.raises(InputError, match=r"verdict\.json: no verdict"):
        verdict.earlier_resolution(file)


def test_a_stop_leaves_the_evidence_but_nothing_to_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "verdict.json"
    with pytest.raises(InputError, match=r"class3d: stopped.*verdict\.txt.*initial_model\.starts"):
        verdict.settle(with_levels(Level.STOP), file, LIMITS)
    assert not file.exists()
    text = (tmp_path / "verdict.txt").read_text()
    assert text.startswith("class3d: stop\n")
    assert capsys.readouterr().out == text


def test_a_user_may_go_on_regardless(tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    verdict.settle(with_levels(Level.STOP), file, Thresholds(stop=False))
    assert json.loads(file.read_text())["verdict"] == "stop"


def test_refined_maps_may_agree_a_little_less() -> None:
    limits = verdict.Thresholds()
    between = limits.stop_agreement - 0.01
    assert verdict.agreement(between, limits).level is Level.STOP
    assert verdict.agreement(between, limits.refined()).level is Level.DOUBTFUL

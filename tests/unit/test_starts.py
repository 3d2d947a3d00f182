from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.pipeline import starts, verdict
from relion_dispatch.pipeline.evidence import Against2D
from relion_dispatch.pipeline.starts import EQUAL, Start
from relion_dispatch.pipeline.tables import ClassStatistics, Model
from relion_dispatch.pipeline.verdict import Level, Thresholds
from tests.unit import phantoms
from tests.unit.star_files import class_row, loop, write_model

PARTICLES = 400


def start(number: int, likelihood: float, pmax: float = 0.9) -> Start:
    """A start with a log-likelihood per particle."""
    only = ClassStatistics(
        number=1,
        image="run_class001.mrc",
        fraction=1.0,
        resolution_angst=16.8,
        rotation_deg=2.0,
        translation_angst=1.0,
    )
    model = Model(
        classes=(only,),
        log_likelihood=likelihood * PARTICLES,
        pmax=pmax,
        particles=PARTICLES,
        box_size=32,
        angpix=5.25,
    )
    return Start(number=number, map=Path(f"start{number}.mrc"), model=model)


def numbers(ranked: list[Start]) -> list[int]:
    return [each.number for each in ranked]


# -------------------------------------------------------------------------------------- ranking


def test_the_likeliest_comes_first() -> None:
    ranked = starts.rank([start(1, 790.0), start(2, 801.0), start(3, 799.0)])
    assert numbers(ranked) == [2, 3, 1]


def test_likelihoods_below_zero_are_ranked_too() -> None:
    assert numbers(starts.rank([start(1, -20.0), start(2, -10.0), start(3, 0.0)])) == [3, 2, 1]


def test_pmax_decides_between_equals() -> None:
    assert numbers(starts.rank([start(1, 800.0, 0.7), start(2, 800.0, 0.8)])) == [2, 1]


@given(st.permutations([start(number, 800.0 - number) for number in range(1, 7)]))
def test_the_order_of_the_starts_does_not_matter(shuffled: list[Start]) -> None:
    assert numbers(starts.rank(shuffled)) == [1, 2, 3, 4, 5, 6]


def test_the_ranking_is_shown() -> None:
    lines = starts.table(starts.rank([start(1, 790.0), start(2, 801.25)])).splitlines()
    assert lines[0].split()[:2] == ["rank", "start"]
    assert lines[1].split() == ["1", "2", "801.25", "0.900", "16.8", "Å", "start2.mrc"]
    assert lines[2].split()[:3] == ["2", "1", "790.00"]


# ------------------------------------------------------------------------------------- evidence


def test_how_many_starts_support_the_winner() -> None:
    ranked = starts.rank([start(1, 800.0), start(2, 800.0 - EQUAL / 2), start(3, 790.0)])
    found = starts.support(ranked)
    assert (found.value, found.level) == (2.0, Level.FINE)
    assert found.text.endswith(
        "2 of 3 starts are as likely as the best; the next is less likely by 10.0 per particle"
    )


def test_all_starts_are_equal() -> None:
    found = starts.support([start(1, 800.0), start(2, 800.0)])
    assert found.value == 2.0
    assert "less likely" not in found.text


def test_a_winner_that_no_other_start_found_is_doubtful() -> None:
    found = starts.support([start(1, 800.0), start(2, 790.0), start(3, 780.0)])
    assert (found.value, found.level) == (1.0, Level.DOUBTFUL)
    assert "1 of 3 starts" in found.text


def test_a_single_start_is_doubtful() -> None:
    found = starts.support([start(1, 800.0)])
    assert found.level is Level.DOUBTFUL
    assert "only one start" in found.text


def test_what_a_ranking_cannot_know() -> None:
    nothing = Against2D(classes=(), diameter_angst=140.0)
    judged = starts.judge([start(1, 800.0), start(2, 790.0)], nothing, Thresholds())
    assert judged.resolution_angst == 16.8
    assert {verdict.HAND, verdict.SYMMETRY} < set(judged.unknown)
    assert any("all starts share one mistake" in each for each in judged.unknown)
    assert any("there are no 2D classes" in each for each in judged.unknown)


# ---------------------------------------------------------------------------------- the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three finished starts, the second the likeliest, and 2D classes of what its map shows."""
    monkeypatch.chdir(tmp_path)
    for number, likelihood in ((1, 3.10e5), (2, 3.20e5), (3, 3.197e5)):
        out = tmp_path / f"InitialModel/job01{number}"
        write_model(out / "score_it001_model.star", [class_row(1.0, 16.8)], likelihood=likelihood)
        phantoms.write(out / "map.mrc", phantoms.blobs(2 if number == 2 else 1))
    phantoms.write(tmp_path / "good.mrcs", phantoms.views(phantoms.blobs(2), 2))
    phantoms.write(tmp_path / "other.mrcs", phantoms.views(phantoms.blobs(1), 2))
    for name in ("good", "other"):
        rows = [(f"00000{number}@{name}.mrcs", 0.5, 12.0) for number in (1, 2)]
        labels = ("rlnReferenceImage", "rlnClassDistribution", "rlnEstimatedResolution")
        (tmp_path / f"{name}.star").write_text(loop("", labels, rows))
    return tmp_path


def rank(*more: str) -> int:
    words = ["--o", "Select/job031", "--particle_diameter", str(phantoms.DIAMETER_ANGST)]
    for number in (1, 2, 3):
        out = f"InitialModel/job01{number}"
        words += ["--start", f"{out}/map.mrc", f"{out}/score_it001_model.star"]
    return starts.main([*words, *more])


def test_the_best_map_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rank("--class_averages", "good.star") == 0
    best = project / "Select/job031/initial_model.mrc"
    assert best.read_bytes() == (project / "InitialModel/job012/map.mrc").read_bytes()
    ranking = (project / "Select/job031/ranking.txt").read_text()
    assert [line.split()[1] for line in ranking.splitlines()[1:]] == ["2", "3", "1"]
    judged = json.loads((project / "Select/job031/verdict.json").read_text())
    assert judged["verdict"] == "fine"
    assert judged["evidence"][-1]["name"] == "agreement with 2D"
    assert ranking in capsys.readouterr().out


def test_a_best_map_that_shows_something_else_stops(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank("--class_averages", "other.star") == 2
    assert "initial_model: stopped by the sanity check" in capsys.readouterr().err
    assert (project / "Select/job031/ranking.txt").exists()
    assert "stop" in (project / "Select/job031/verdict.txt").read_text()
    assert not (project / "Select/job031/verdict.json").exists()
    assert not (project / "Select/job031/initial_model.mrc").exists()


def test_without_2d_classes_that_stays_unknown(project: Path) -> None:
    assert rank() == 0
    judged = json.loads((project / "Select/job031/verdict.json").read_text())
    assert judged["unknown"][0].endswith("there are no 2D classes")


def test_a_missing_start_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "InitialModel/job013/score_it001_model.star").unlink()
    assert rank() == 2
    assert "InitialModel/job013/score_it001_model.star: missing" in capsys.readouterr().err

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import selection, tables
from relion_dispatch.pipeline.selection import Limits
from relion_dispatch.pipeline.tables import ClassStatistics
from tests.unit.star_files import class_row, write_model, write_particles


def statistics(
    number: int, fraction: float, angst: float, rotation: float = 2.0
) -> ClassStatistics:
    return ClassStatistics(
        number=number,
        image=f"{number:06d}@run_classes.mrcs",
        fraction=fraction,
        resolution_angst=angst,
        rotation_deg=rotation,
        translation_angst=1.0,
    )


def kept(limits: Limits, *classes: ClassStatistics) -> list[int]:
    return [each.statistics.number for each in selection.judge(classes, limits) if each.kept]


all_classes = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.floats(1, 100), st.just(math.inf))),
    min_size=1,
    max_size=8,
).map(lambda rows: [statistics(number, *row) for number, row in enumerate(rows, start=1)])
all_limits = st.builds(
    Limits,
    min_fraction=st.floats(0, 0.5),
    resolution_factor=st.floats(1, 3),
    max_resolution_angst=st.none() | st.floats(1, 100),
)


quick = settings(max_examples=30)


# ------------------------------------------------------------------------------------ judgement


def test_small_and_coarse_classes_are_left_out() -> None:
    limits = Limits(min_fraction=0.05, resolution_factor=1.5)
    classes = (statistics(1, 0.5, 10), statistics(2, 0.4, 15.1), statistics(3, 0.04, 10))
    assert kept(limits, *classes) == [1]
    _, coarse, small = selection.judge(classes, limits)
    assert coarse.reason == "reaches 15.1 Å, not 15.0 Å"
    assert small.reason == "holds 4.0% of the particles, less than 5.0%"


def test_a_class_that_is_too_small_sets_no_standard() -> None:
    limits = Limits(min_fraction=0.05, resolution_factor=1.5)
    assert kept(limits, statistics(1, 0.01, 4), statistics(2, 0.99, 10)) == [2]


def test_a_fixed_limit_of_resolution() -> None:
    limits = Limits(min_fraction=0, resolution_factor=3, max_resolution_angst=12)
    assert kept(limits, statistics(1, 0.5, 10), statistics(2, 0.5, 13)) == [1]


def test_classes_without_an_estimate_are_never_kept() -> None:
    limits = Limits(min_fraction=0, resolution_factor=2)
    assert kept(limits, statistics(1, 0.6, math.inf), statistics(2, 0.4, 30)) == [2]
    assert kept(limits, statistics(1, 1.0, math.inf)) == []


@quick
@given(all_classes, all_limits)
def test_every_class_is_judged_and_every_refusal_has_a_reason(
    classes: list[ClassStatistics], limits: Limits
) -> None:
    judged = selection.judge(classes, limits)
    assert [each.statistics for each in judged] == classes
    assert all(each.kept != bool(each.reason) for each in judged)
    for each in judged:
        if each.kept:
            assert each.statistics.fraction >= limits.min_fraction
            assert math.isfinite(each.statistics.resolution_angst)
    assert len(selection.report(judged).splitlines()) == 1 + len(classes)


@quick
@given(all_classes, all_limits, st.floats(1, 3))
def test_a_looser_factor_keeps_no_fewer(
    classes: list[ClassStatistics], limits: Limits, factor: float
) -> None:
    low, high = sorted([limits.resolution_factor, factor])
    strict, loose = (
        Limits(min_fraction=limits.min_fraction, resolution_factor=each) for each in (low, high)
    )
    assert set(kept(strict, *classes)) <= set(kept(loose, *classes))


@quick
@given(all_classes, st.floats(0, 0.5), st.floats(1, 3))
def test_the_best_filled_class_is_kept(
    classes: list[ClassStatistics], share: float, factor: float
) -> None:
    filled = [each for each in classes if each.fraction >= share]
    best = min(filled, key=lambda each: each.resolution_angst, default=None)
    if best is not None and math.isfinite(best.resolution_angst):
        assert best.number in kept(Limits(min_fraction=share, resolution_factor=factor), *classes)


def test_the_best_class_has_resolution_then_accuracy_then_particles() -> None:
    limits = Limits(min_fraction=0, resolution_factor=3)

    def best(*classes: ClassStatistics) -> int:
        return selection.best_class(selection.judge(classes, limits)).number

    assert best(statistics(1, 0.9, 12), statistics(2, 0.1, 10)) == 2
    assert best(statistics(1, 0.5, 10, math.nan), statistics(2, 0.5, 10, 4.0)) == 2
    assert best(statistics(1, 0.5, 10, 3.0), statistics(2, 0.5, 10, 4.0)) == 1
    assert best(statistics(1, 0.4, 10, 3.0), statistics(2, 0.6, 10, 3.0)) == 2


def test_no_class_at_all_is_an_error_with_every_reason() -> None:
    judged = selection.judge(
        [statistics(1, 0.1, 10), statistics(2, 0.9, math.inf)],
        Limits(min_fraction=0.2, resolution_factor=1.5),
    )
    with pytest.raises(InputError, match=r"class 1 holds 10\.0%.*class 2 reaches inf.*loosen"):
        selection.best_class(judged)


# -------------------------------------------------------------------------------- the Select job


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classification in three classes, of which the first two are good."""
    monkeypatch.chdir(tmp_path)
    rows = [
        class_row(0.5, 10, image="Class3D/job032/run_class001.mrc"),
        class_row(0.3, 11, image="Class3D/job032/run_class002.mrc"),
        class_row(0.2, 40, image="Class3D/job032/run_class003.mrc"),
    ]
    write_model(tmp_path / "Class3D/job032/run_model.star", rows)
    write_particles(tmp_path / "Class3D/job032/run_data.star", [1, 2, 3, 1, 2, 1])
    (tmp_path / "Class3D/job032/run_class001.mrc").write_bytes(b"the best map")
    return tmp_path


def select(*more: str, factor: str = "1.3") -> int:
    files = ("--model", "Class3D/job032/run_model.star", "--data", "Class3D/job032/run_data.star")
    limits = ("--min_fraction", "0.05", "--resolution_factor", factor)
    return selection.main([*files, "--o", "Select/job033/", *limits, *more])


def test_particles_of_kept_classes_go_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select() == 0
    chosen = tables.read(project / "Select/job033/particles.star")
    assert list(chosen) == ["optics", "particles"]
    assert list(chosen["particles"]["rlnClassNumber"]) == [1, 2, 1, 2, 1]
    names = [name[:6] for name in chosen["particles"]["rlnImageName"]]
    assert names == ["000001", "000002", "000004", "000005", "000006"]
    said = capsys.readouterr().out
    assert "kept 5 particles; best class 1 at 10.0 Å" in said
    assert "    3  20.0%      40.0 Å  no: reaches 40.0 Å, not 13.0 Å" in said


def test_selected_particles_lose_nothing(project: Path) -> None:
    select()
    before = tables.read_particles(project / "Class3D/job032/run_data.star")
    after = tables.read_particles(project / "Select/job033/particles.star")
    before = before[before["rlnClassNumber"] < 3].reset_index(drop=True)
    assert after.equals(before)
    assert list(after["rlnMicrographName"]) == ["007"] * 5


@pytest.mark.parametrize("value", [1.23456789e-7, 12345.678901, -0.5, 1e12])
def test_numbers_keep_their_digits(tmp_path: Path, value: float) -> None:
    import pandas as pd

    file = tmp_path / "numbers.star"
    selection.write_star({"particles": pd.DataFrame({"rlnPhaseShift": [value, 0.5]})}, file)
    written = tables.read(file)["particles"]["rlnPhaseShift"]
    assert written[0] == pytest.approx(value, rel=1e-11)


def test_averages_of_kept_classes(project: Path) -> None:
    select()
    averages = tables.read_averages(project / "Select/job033/class_averages.star")
    assert [each.image for each in averages] == [
        "Class3D/job032/run_class001.mrc",
        "Class3D/job032/run_class002.mrc",
    ]
    assert [each.fraction for each in averages] == [0.5, 0.3]


def test_one_kept_class_is_still_a_table(project: Path) -> None:
    assert select(factor="1.0") == 0
    averages = tables.read_averages(project / "Select/job033/class_averages.star")
    assert [each.fraction for each in averages] == [0.5]


def test_the_window_finds_the_selection(project: Path) -> None:
    select()
    flags = (project / "Select/job033/backup_selection.star").read_text().split()[-3:]
    assert flags == ["1", "1", "0"]


@pytest.mark.parametrize(
    "relion,particles,averages",
    [
        ("3", "3", "5"),
        ("4", "ParticlesData.star.relion", "ImagesData.star.relion.classaverages"),
        (
            "5",
            "ParticleGroupMetadata.star.relion",
            "Image2DGroupMetadata.star.relion.classaverages",
        ),
    ],
)
def test_the_window_knows_the_results(
    project: Path, relion: str, particles: str, averages: str
) -> None:
    select("--relion", relion)
    text = (project / "Select/job033/RELION_OUTPUT_NODES.star").read_text()
    assert text.splitlines()[-2:] == [
        f"Select/job033/particles.star {particles}",
        f"Select/job033/class_averages.star {averages}",
    ]


def test_the_best_map_is_copied(project: Path) -> None:
    assert select("--best_map", "Select/job033/best_class.mrc") == 0
    assert (project / "Select/job033/best_class.mrc").read_bytes() == b"the best map"
    assert not list((project / "Select/job033").glob(".*"))


def test_too_few_particles_are_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select("--min_particles", "6") == 2
    said = capsys.readouterr().err
    assert "5 particles are left, fewer than min_particles: 6" in said
    assert "Class3D/job032/" in said
    assert select("--min_particles", "5") == 0


def test_no_particle_at_all_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_particles(project / "Class3D/job032/run_data.star", [3, 3])
    assert select() == 2
    assert "no particle is in the good classes (1, 2)" in capsys.readouterr().err
    assert not (project / "Select/job033/particles.star").exists()


def test_a_missing_map_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "Class3D/job032/run_class001.mrc").unlink()
    assert select("--best_map", "Select/job033/best_class.mrc") == 2
    assert "run_class001.mrc: cannot be copied" in capsys.readouterr().err

"""Which iteration is the newest whole one, and what a run is given to go on behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_dispatch.healing.iterations import for_continuing, newest
from relion_dispatch.starscan import scan
from tests.unit.iterations_files import iteration

ROOT = "Refine3D/job019/run"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("halves", [True, False])
def test_the_newest_whole_iteration_is_found(halves: bool) -> None:
    for number in (0, 1, 2, 10):
        iteration(ROOT, number, halves=halves, size=20 + number)
    found = newest(ROOT)
    assert found is not None
    assert (found.number, found.current_size, found.root) == (10, 30, ROOT)


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("cut", [None, 1, 30])
def test_an_iteration_with_any_file_missing_or_cut_short_is_none(
    which: int, cut: int | None
) -> None:
    iteration(ROOT, 3)
    files = iteration(ROOT, 4)
    assert len(files) == 7
    if cut is None:
        files[which].unlink()
    else:
        os.truncate(files[which], files[which].stat().st_size - cut)
    found = newest(ROOT)
    assert found is not None
    assert found.number == 3


def test_iterations_of_other_names_do_not_count() -> None:
    iteration("Refine3D/job019/run_ct3", 9)
    iteration("Refine3D/job019/run", 2)
    found = newest(ROOT)
    assert found is not None
    assert found.number == 2
    assert newest("Class3D/job020/run") is None


def test_iterations_of_an_earlier_run_do_not_count() -> None:
    for path in iteration(ROOT, 9):
        os.utime(path, (1000, 1000))
    iteration(ROOT, 2)
    found = newest(ROOT, since=2000)
    assert found is not None
    assert found.number == 2


@pytest.mark.parametrize("which", range(7))
def test_an_iteration_with_a_file_of_an_earlier_run_is_none(which: int) -> None:
    os.utime(iteration(ROOT, 4)[which], (1000, 1000))
    assert newest(ROOT, since=2000) is None
    assert newest(ROOT) is not None


def test_masks_of_bodies_may_be_older() -> None:
    _, model, *_ = iteration(ROOT, 4)
    Path("mask.mrc").write_bytes(Path(f"{ROOT}_it004_half1_class001.mrc").read_bytes())
    os.utime("mask.mrc", (1000, 1000))
    model.write_text(model.read_text().replace(" 1.0 \n", " mask.mrc \n"))
    assert newest(ROOT, since=2000) is not None


def test_a_run_goes_on_under_its_own_name() -> None:
    iteration(ROOT, 5)
    found = newest(ROOT)
    assert found is not None
    before = scan(found.optimiser)[0].pairs
    Path("continue.star").write_text(for_continuing(found))
    after = scan("continue.star")[0].pairs
    assert before.pop("rlnOutputRootName") == ROOT
    assert after.pop("rlnOutputRootName") not in (ROOT, "")
    assert after == before

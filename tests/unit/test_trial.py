"""Trials of a step: what is tried, where, how it is shown and taken over."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import cli
from relion_dispatch.errors import InputError
from relion_dispatch.meter import Meter
from relion_dispatch.pipeline.configtext import put_in
from relion_dispatch.trial import choice, results, running, scratch
from relion_dispatch.trial.page import page
from relion_dispatch.trial.perform import Trial
from relion_dispatch.trial.results import Micrograph, medians
from relion_dispatch.trial.variants import Variant, changed, spread, variants

CONFIG: dict[str, Any] = {
    "movies": "Movies/*.mrcs",
    "optics": {"pixel_size": 1.0, "voltage": 300},
    "dose": {"per_frame": 1.0},
    "gain": {"file": "gain.mrc"},
    "sample": {"particle_diameter": 100, "box_size": 128},
    "preprocessing": {"movies_per_job": 5},
}
TEXT = """\
# My project.
movies: "Movies/*.mrcs"  # all of them
optics: {pixel_size: 1.0, voltage: 300}
dose:
  per_frame: 1.0
sample:
  particle_diameter: 100   # Å
  box_size: 128
ctf:
  box_size: 512  # px
  # the end
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Movies").mkdir()
    for number in range(9):
        (tmp_path / f"Movies/m{number}.mrcs").touch()
    (tmp_path / "gain.mrc").touch()
    (tmp_path / "config.yaml").write_text(TEXT)
    return tmp_path


# ------------------------------------------------------------------------------------ what is tried


def test_every_combination_is_a_variant() -> None:
    found = variants("ctf", ["max_resolution=4,5", "exhaustive_search=true,false"], CONFIG)
    assert [each.number for each in found] == [1, 2, 3, 4]
    assert found[1].values == {"ctf.max_resolution": 4, "ctf.exhaustive_search": False}
    assert found[1].label == "ctf.max_resolution = 4, ctf.exhaustive_search = false"


@pytest.mark.parametrize(
    "step, text, option",
    [
        ("picking", "log.threshold=0,1.5", "picking.log.threshold"),
        ("picking", "picking.log.threshold=0,1.5", "picking.log.threshold"),
        ("motion_correction", "patches_x=1,5", "motion_correction.patches_x"),
        ("motion_correction", "gain.rotation=0,1", "gain.rotation"),
        ("motion_correction", "dose.per_frame=0.5,1", "dose.per_frame"),
    ],
)
def test_options_of_the_step_go_without_its_block(step: str, text: str, option: str) -> None:
    assert list(variants(step, [text], CONFIG)[0].values) == [option]


@pytest.mark.parametrize(
    "given_, why",
    [
        ([], "try what"),
        (["max_resolution"], "expected OPTION=VALUE"),
        (["max_resolutoin=4,5"], "did you mean ctf.max_resolution"),
        (["max_resolution=4,no"], "ctf.max_resolution"),
        (["max_resolution=[4,5"], "no values"),
        (["max_resolution=4", "ctf.max_resolution=5"], "twice"),
        (["max_resolution=4,5,6,7,8", "min_resolution=20,25,30,35,40"], "too many"),
    ],
)
def test_wrong_values_are_told_before_anything_runs(given_: list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        variants("ctf", given_, CONFIG)


@given(st.integers(1, 40), st.integers(1, 60))
def test_micrographs_are_spread_evenly(count: int, there: int) -> None:
    names = [f"{number:03d}" for number in range(there)]
    found = spread(names, count)
    assert len(found) == len(set(found)) == min(count, there)
    assert found == sorted(found)
    assert count < 2 or (found[0], found[-1]) == (names[0], names[-1])


# ---------------------------------------------------------------------------------- small projects


def test_a_small_project_has_some_movies_and_all_files(project: Path) -> None:
    names = scratch.images(project, CONFIG, 3)
    assert names == ["Movies/m0.mrcs", "Movies/m4.mrcs", "Movies/m8.mrcs"]
    folder = scratch.new_folder(project)
    scratch.make(folder / "1", project, CONFIG, names)
    assert sorted(os.listdir(folder / "1/Movies")) == ["m0.mrcs", "m4.mrcs", "m8.mrcs"]
    assert os.readlink(folder / "1/gain.mrc") == str(project / "gain.mrc")
    written = yaml.safe_load((folder / "1/config.yaml").read_text())
    assert written["preprocessing"]["movies_per_job"] is None
    assert written["optics"] == CONFIG["optics"]


def test_every_trial_has_a_folder_of_its_own(project: Path) -> None:
    first, second = scratch.new_folder(project), scratch.new_folder(project)
    assert (first.name, second.name) == ("001", "002")
    assert scratch.latest(project) == second
    assert not list(project.glob("*/job*"))


def test_large_files_are_linked_and_small_ones_copied(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / ".snakemake/locks").mkdir(parents=True)
    (base / "MotionCorr").mkdir()
    (base / "MotionCorr/a.mrc").write_bytes(bytes(2 << 20))
    (base / "MotionCorr/a.star").write_text("a")
    os.utime(base / "MotionCorr/a.star", (5, 5))
    (base / "Movies").symlink_to(tmp_path)
    scratch.copy(base, tmp_path / "1")
    assert (tmp_path / "1/MotionCorr/a.mrc").samefile(base / "MotionCorr/a.mrc")
    assert not (tmp_path / "1/MotionCorr/a.star").samefile(base / "MotionCorr/a.star")
    assert (tmp_path / "1/MotionCorr/a.star").stat().st_mtime == 5
    assert (tmp_path / "1/Movies").is_symlink()
    assert not (tmp_path / "1/.snakemake/locks").exists()


def test_cores_of_this_machine_are_shared() -> None:
    here = running.Place(profile="", local=True, cores=8)
    assert here.words(3) == ["--cores", "2"]
    assert here.words(20) == ["--cores", "1"]
    assert running.Place(profile="/p", local=False, cores=8).words(3) == ["--profile", "/p"]


HERE = running.Place(profile="", local=True, cores=1)
FOLDERS = {name: Path(name) for name in "abc"}


def test_a_trial_tells_that_it_runs_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = threading.Event()
    monkeypatch.setattr(Meter, "at", lambda *_: told.set())
    monkeypatch.setattr(running, "_run", lambda *_: told.wait(5))
    assert running.run_all(FOLDERS, "ctf", HERE, quiet=False) == set()


def test_ctrl_c_starts_no_other_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[Path] = []
    going, end = threading.Event(), threading.Event()

    def one(folder: Path, *_: object) -> bool:
        began.append(folder)
        going.set()
        return end.wait(60)

    def interrupted(*_: object, **__: object) -> None:
        assert going.wait(60)
        raise KeyboardInterrupt

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            end.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(running, "_run", one)
    monkeypatch.setattr(running, "wait", interrupted)
    monkeypatch.setattr(running, "ThreadPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt):
        running.run_all(FOLDERS, "ctf", HERE, quiet=True)
    assert began == [Path("a")]


# ----------------------------------------------------------------------------------------- the page


def micrograph(name: str, picks: int) -> Micrograph:
    return Micrograph(
        name=name,
        numbers={"picks": float(picks), "motion": 3.0},
        image=np.arange(12.0, dtype=np.float32).reshape(3, 4),
        factor=2.0,
        spectrum=None,
        track=((0.0, 0.0), (1.0, -2.0)),
        picks=((1.0, 2.0),) * picks,
    )


def test_the_page_stands_alone_and_shows_every_variant() -> None:
    tried = tuple(Variant(number=n, values={"picking.log.threshold": n}) for n in (1, 2, 3))
    found = {n: [micrograph("a<b>", n), micrograph("c", n + 1)] for n in (1, 2)}
    text = page("picking", tried, found, {3: "no & more"}, diameter_px=9, choose="relion-dispatch")
    assert text.count("<figure>") == 4
    assert text.count("<circle") == 1 + 2 + 2 + 3
    assert "a&lt;b&gt;" in text
    assert "3: no &amp; more" in text
    assert "<td>2.5</td>" in text, "the median of 2 and 3"
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "<polyline" not in text
    moved = page("motion_correction", tried, found, {}, diameter_px=9, choose="x")
    assert moved.count("<polyline") == 4


FITS = """
data_micrographs

loop_
_rlnMicrographName #1
_rlnCtfFigureOfMerit #2
MotionCorr/job002/Movies/m.mrc 0.1
"""


def test_a_micrograph_without_picks_has_none(tmp_path: Path) -> None:
    (tmp_path / "CtfFind/job003").mkdir(parents=True)
    (tmp_path / "CtfFind/job003/micrographs_ctf.star").write_text(FITS)
    picks = tmp_path / "AutoPick/job004/Movies/m_autopick.star"
    picks.parent.mkdir(parents=True)
    picks.touch()
    (found,) = results.read(tmp_path)
    assert found.numbers == {"figure of merit": 0.1, "picks": 0}


def test_a_variant_that_leaves_nothing_takes_no_page_away(project: Path) -> None:
    config = yaml.safe_load(TEXT)
    trial = Trial(
        project=project,
        folder=project,
        step="ctf",
        config=config,
        images=(),
        variants=variants("ctf", ["box_size=256,512"], config),
    )
    for number, text in (("1", FITS), ("2", "")):
        (project / f"{number}/CtfFind/job003").mkdir(parents=True)
        (project / f"{number}/CtfFind/job003/micrographs_ctf.star").write_text(text)
    found, failed = trial.results({})
    told = list(trial.report(found, failed))
    assert list(failed) == [2]
    assert told[0] == "1: ctf.box_size = 256: figure of merit 0.1"
    assert told[1].startswith("2: ctf.box_size = 512: failed: no micrograph is left: ")
    assert f"relion-dispatch try {project} --trial" in (project / "index.html").read_text()


def test_reasons_are_the_job_s_or_the_check_s(tmp_path: Path) -> None:
    (tmp_path / "trial.log").write_text(
        'echo "relion-dispatch: exit code $code"\nERROR: gain.file: a.mrc: no such\n  file\n'
        "  -> correct it [gain-unreadable]\nWARNING: dose: 1 [dose]\nmore\n"
    )
    assert running.reason(tmp_path) == (
        "ERROR: gain.file: a.mrc: no such file -> correct it [gain-unreadable]"
    )
    job = tmp_path / "AutoPick/job004"
    job.mkdir(parents=True)
    (job / "RELION_JOB_EXIT_FAILURE").touch()
    (job / "run.err").write_text("a\nb\nAborted\nrelion-dispatch: failed: relion_autopick\n")
    assert running.reason(tmp_path).splitlines() == [
        "AutoPick/job004 failed",
        "b",
        "Aborted",
        "relion-dispatch: failed: relion_autopick",
    ]
    (job / "m_autopick.star").touch()
    assert running.reason(tmp_path) == "nothing was picked"


def test_medians_are_those_of_the_micrographs() -> None:
    assert medians([micrograph("a", 1), micrograph("b", 5)]) == {"picks": 3.0, "motion": 3.0}
    assert medians([]) == {}


# --------------------------------------------------------------------------------------- the choice


def test_a_choice_is_written_and_all_else_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scratch.new_folder(project)
    config = yaml.safe_load(TEXT)
    tried = variants("ctf", ["box_size=256,512", "max_resolution=4,6"], config)
    choice.note(folder, "ctf", ["Movies/m0.mrcs"], tried)
    os.chmod(project / "config.yaml", 0o640)
    assert cli.main(["try", str(project), "--choose", "2"]) == 0
    assert "ctf.max_resolution: 6" in capsys.readouterr().out
    text = (project / "config.yaml").read_text()
    assert "  box_size: 256  # [Try/001, variant 2] px\n" in text
    assert "ctf:\n  max_resolution: 6  # [Try/001, variant 2]\n" in text
    assert '# My project.\nmovies: "Movies/*.mrcs"  # all of them\n' in text
    assert text.endswith("  # the end\n")
    assert (project / "config.yaml").stat().st_mode & 0o777 == 0o640
    wanted = changed(config, {"ctf.box_size": 256, "ctf.max_resolution": 6})
    assert yaml.safe_load(text) == wanted


@pytest.mark.parametrize("words", [["--choose", "9"], ["--choose", "1", "--trial", "007"]])
def test_no_such_choice(project: Path, words: list[str]) -> None:
    folder = scratch.new_folder(project)
    choice.note(folder, "ctf", [], variants("ctf", ["box_size=256"], yaml.safe_load(TEXT)))
    assert cli.main(["try", str(project), *words]) == 2
    assert (project / "config.yaml").read_text() == TEXT


def test_a_file_that_cannot_be_changed_stays(project: Path) -> None:
    inline = TEXT.replace("dose:\n  per_frame: 1.0", "dose: {per_frame: 1.0}")
    (project / "config.yaml").write_text(inline)
    tried = variants("motion_correction", ["dose.per_frame=2"], yaml.safe_load(inline))
    choice.note(scratch.new_folder(project), "motion_correction", [], tried)
    assert cli.main(["try", str(project), "--choose", "1"]) == 2
    assert (project / "config.yaml").read_text() == inline


@pytest.mark.parametrize(
    "path, expected",
    [
        ("a.b", "a:\n  b: 5  # [w]\n  c:\n    d: 1\n"),
        ("a.e", "a:\n  e: 5  # [w]\n  b: 1\n  c:\n    d: 1\n"),
        ("a.c.f", "a:\n  b: 1\n  c:\n    f: 5  # [w]\n    d: 1\n"),
        ("g.h", "a:\n  b: 1\n  c:\n    d: 1\ng:\n  h: 5  # [w]\n"),
        ("k", "a:\n  b: 1\n  c:\n    d: 1\nk: 5  # [w]\n"),
    ],
)
def test_options_are_put_where_they_belong(path: str, expected: str) -> None:
    assert put_in("a:\n  b: 1\n  c:\n    d: 1\n", {path: 5}, "w") == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "box_size=256"],
        ["--step", "ctf"],
        ["--step", "ctf", "--set", "box_size=256", "--micrographs", "0"],
        ["--step", "ctf", "--set", "box_size=256", "--profile", "/nowhere"],
        ["--choose", "1"],
    ],
)
def test_incomplete_commands_change_nothing(project: Path, words: list[str]) -> None:
    assert cli.main(["try", str(project), *words]) == 2
    assert not (project / "Try").exists()
    assert cli.main(["try", str(project / "Movies"), *words]) == 2

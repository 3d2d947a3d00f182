"""Movies that arrive: when they are whole, and when they are taken."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.cli import main
from relion_dispatch.pipeline import settings
from relion_dispatch.sharding.arrivals import Arrivals, whole
from relion_dispatch.sharding.session import Session
from tests.unit import tiny_images

STAMPS = st.tuples(st.integers(0, 3), st.integers(0, 3))
LEAST = (
    "relion_version: '3.1'\noptics: {pixel_size: 1, voltage: 300}\ndose: {per_frame: 1}\n"
    "sample: {particle_diameter: 100, box_size: 128}\n"
)
LOOKS = st.lists(st.dictionaries(st.sampled_from("abcd"), STAMPS), min_size=1, max_size=6)


def looked(looks: list[dict[str, tuple[int, int]]]) -> Arrivals:
    """Look once a second."""
    arrivals = Arrivals()
    for now, stamps in enumerate(looks):
        arrivals = arrivals.look(stamps, now)
    return arrivals


@given(LOOKS, st.integers(0, 4))
def test_a_movie_is_quiet_when_it_was_the_same_for_a_while(
    looks: list[dict[str, tuple[int, int]]], quiet_s: int
) -> None:
    now = len(looks) - 1
    found = looked(looks).quiet(now, quiet_s)
    for name in looks[-1]:
        recent = looks[max(0, now - quiet_s) :]
        same = len(recent) > quiet_s and all(look.get(name) == looks[-1][name] for look in recent)
        assert (name in found) == same


@given(LOOKS)
def test_what_is_gone_is_forgotten(looks: list[dict[str, tuple[int, int]]]) -> None:
    assert looked(looks).seen.keys() == looks[-1].keys()


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 5), st.integers(0, 25))
def test_full_shards_go_at_once_and_the_rest_when_it_has_waited(
    came: list[int], size: int, patience: int
) -> None:
    arrivals, now = Arrivals(), 20
    for second in range(now + 1):
        there = {f"{n:02d}": (1, 1) for n, first in enumerate(came) if first <= second}
        arrivals = arrivals.look(there, second)
    names = arrivals.quiet(now, 0)
    assert [came[int(name)] for name in names] == sorted(came)
    ready = arrivals.ready(names, size, now, patience)
    assert ready == names[: len(ready)]
    rest = names[len(ready) :]
    assert len(rest) < size
    assert not any(now - came[int(name)] >= patience for name in rest)
    if len(ready) % size:
        assert any(now - came[int(name)] >= patience for name in ready[-(len(ready) % size) :])


def test_a_movie_that_is_cut_off_is_not_taken() -> None:
    def read(name: str) -> None:
        if name == "b":
            raise ValueError(name)

    assert whole("abc", read, ValueError) == ["a", "c"]


def test_movies_that_cannot_be_read_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = f"movies: '*.mrcs'\n{LEAST}preprocessing: {{movies_per_job: 5}}\n"
    (tmp_path / "config.yaml").write_text(config)
    tiny_images.write_mrc(tmp_path / "a.mrcs")
    (tmp_path / "b.mrcs").write_bytes(b"no movie")
    args = argparse.Namespace(quiet=0.0, patience=5.0)
    chosen = settings.load(settings.read(Path("config.yaml")))
    session = Session(args=args, settings=chosen, size=5, lock=0)
    assert session._new() == session._new() == []
    told = capsys.readouterr().out
    assert told.count("0 still being written, 1 whole, 1 cannot be read: b.mrcs") == 1


@pytest.mark.parametrize(
    "words,message",
    [(["--until", "extractoin"], "no step extractoin"), (["--profile", "m4"], "no profile 'm4'")],
)
def test_slips_are_told_before_anything_runs(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    (tmp_path / "config.yaml").write_text(f"{LEAST}preprocessing: {{movies_per_job: 5}}\n")
    assert main(["watch", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_project_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(tmp_path)]) == 2
    assert "no Snakefile" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "start: particles\nparticles: p.star\ncorrected_micrographs: m.star\n"]
)
def test_new_movies_need_jobs_of_their_own(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    (tmp_path / "config.yaml").write_text(f"{text}{LEAST}")
    assert main(["watch", str(tmp_path)]) == 2
    assert "preprocessing.movies_per_job" in capsys.readouterr().err

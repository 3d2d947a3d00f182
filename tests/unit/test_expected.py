"""The list of expected jobs against the real rules."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.pipeline.expected import expected
from tests.unit.pipeline_chain import settings_with
from tests.unit.test_rules import STARTS, ending, needed, workflow

pytestmark = pytest.mark.slow

#: Rules that are no job of RELION's.
NO_JOBS = ("all", "judge_", "report_")
CLASSES: tuple[Mapping[str, Any], ...] = (
    {},
    {"class2d": {"enabled": False}, "class3d": {"enabled": False}},
)
ROUNDS: tuple[Mapping[str, Any], ...] = (
    {"polishing": {"train": True}},
    {"ctf_refinement": {"enabled": False}},
)
PICKING: Mapping[str, Mapping[str, Any]] = {
    "movies": {"picking": {"method": "coordinates", "coordinates": "Movies/*_pick.star"}},
    "micrographs": {},
    "particles": {},
}


@pytest.fixture(autouse=True, scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a few of the user's files, as the working directory."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "Movies").mkdir()
    for name in ("Movies/a.mrcs", "Movies/a_pick.star", "own.mrc", "own.star", "moved.star"):
        (folder / name).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("reference", [None, "own.mrc"])
@pytest.mark.parametrize("end", ["nothing", 0, 2])
def test_expected_jobs_are_those_that_the_rules_make(
    start: str, reference: str | None, end: str | int
) -> None:
    base = {
        "start": start,
        **STARTS[start],
        "movies": "Movies/*.mrcs",
        "initial_model": {"reference": reference},
        "relion_version": "3.1",
    }
    for changes in itertools.product(CLASSES, ROUNDS if end == 2 else ({},)):
        given = {**base, **ending(end), **PICKING[start]}
        for change in changes:
            given |= change
        rules = needed(workflow(given))
        jobs = {
            name: rule.files("output")[0].rpartition("/")[0]
            for name, rule in rules.items()
            if not name.startswith(NO_JOBS)
        }
        listed = expected(settings_with(given))
        assert {each.rule: each.folder for each in listed} == jobs
        order = [each.rule for each in listed]
        for name, rule in rules.items():
            for other in jobs:
                if set(rule.files("input")) & set(rules[other].files("output")) and name in jobs:
                    assert order.index(other) < order.index(name)

"""The real rules, for every way through the pipeline: the chain of files must be closed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.exceptions import WorkflowError

from relion_dispatch.pipeline.settings import merge
from tests.unit.pipeline_chain import MINIMUM
from tests.unit.rules_reader import Rule, Workflow, rules

pytestmark = pytest.mark.slow

OWN_FILES = ("own.mrc", "own.star", "picked.star", "moved.star")
JOB = re.compile(r"[A-Z]\w+/job\d{3}/")
STARTS = {
    "movies": {"movies": "Movies/*.mrcs"},
    "micrographs": {"micrographs": "Movies/*.mrcs", "corrected_micrographs": "moved.star"},
    "particles": {"particles": "own.star", "corrected_micrographs": "moved.star"},
}
#: What follows the classes: nothing, a refinement, rounds after it.
ENDS: tuple[str | int, ...] = ("nothing", 0, 1, 3)


@pytest.fixture(autouse=True, scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a few of the user's files, as the working directory."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "Movies").mkdir()
    for name in ("Movies/a.mrcs", "Movies/b.mrcs", "Movies/a_pick.star", *OWN_FILES):
        (folder / name).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def workflow(*changes: Mapping[str, Any]) -> Workflow:
    config: Mapping[str, Any] = {**MINIMUM, "relion_version": "3.1", "movies": "Movies/*.mrcs"}
    for each in changes:
        config = merge(config, each)
    return rules(config)


def ending(end: str | int) -> dict[str, Any]:
    if end == "nothing":
        off = {"enabled": False}
        return {"refine3d": off, "local_resolution": off, "polishing_rounds": 0}
    return {"polishing_rounds": end}


def needed(found: Workflow) -> dict[str, Rule]:
    """Rules that the pipeline's results need, in an order in which they can run.

    Fails when a file is made by nobody, by two rules, or needs itself.
    """
    makers: dict[str, Rule] = {}
    for rule in found.rules.values():
        for file in rule.files("output"):
            assert file not in makers, f"{file}: {rule.name} and {makers[file].name}"
            makers[file] = rule
    order: dict[str, Rule] = {}

    def add(rule: Rule, above: tuple[str, ...]) -> None:
        assert rule.name not in above, f"{rule.name} needs itself"
        if rule.name in order:
            return
        for file in rule.files("input"):
            if file in makers:
                add(makers[file], (*above, rule.name))
            else:
                assert Path(file).is_file(), f"{rule.name}: nobody makes {file}"
        order[rule.name] = rule

    for file in found.rules["all"].files("input"):
        assert file in makers, f"nobody makes {file}"
    add(found.rules["all"], ())
    return order


def commands(rule: Rule) -> str:
    """Everything a rule runs, for reading."""
    science = rule.values("params").get("science")
    if science is None:
        return ""
    lines = science(None)
    return lines if isinstance(lines, str) else "\n".join(lines)


def jobs(files: list[str] | str) -> set[str]:
    """Job directories that are named in files or commands."""
    return set(JOB.findall(files if isinstance(files, str) else "\n".join(files)))


def is_step(rule: Rule) -> bool:
    """Whether a rule is a step of the pipeline: it has a job directory of its own."""
    return not rule.name.startswith(("all", "report_", "clean_"))


def assert_closed(found: Workflow) -> dict[str, Rule]:
    """Check that every command reads only what rules before it, or the user, have made."""
    order = needed(found)
    reach: dict[str, set[str]] = {}
    maker = {file: rule.name for rule in order.values() for file in rule.files("output")}
    for rule in order.values():
        before = {maker[file] for file in rule.files("input") if file in maker}
        ancestors = set().union(*(reach[name] | {name} for name in before))
        reach[rule.name] = ancestors
        own = jobs(rule.files("output"))
        assert len(own) == is_step(rule), f"{rule.name} writes to {own}"
        there = own.union(*(jobs(order[name].files("output")) for name in ancestors))
        assert jobs(commands(rule)) <= there, rule.name
        assert rule.name == "all" or rule.files("log"), rule.name
    return order


# ------------------------------------------------------------------------------ every way through


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("class2d", [True, False])
@pytest.mark.parametrize("class3d", [True, False])
@pytest.mark.parametrize("reference", [None, "own.mrc"])
def test_the_chain_is_closed(
    start: str, class2d: bool, class3d: bool, reference: str | None
) -> None:
    way = {
        "start": start,
        **STARTS[start],
        "class2d": {"enabled": class2d},
        "class3d": {"enabled": class3d},
        "initial_model": {"reference": reference},
    }
    for end, again in (*((end, "auto") for end in ENDS), (1, False)):
        order = assert_closed(workflow(way, ending(end), {"reextraction": {"enabled": again}}))
        rounds = -1 if isinstance(end, str) else end
        extracts = rounds >= 0 and start != "particles" and again == "auto"
        assert ("reextraction" in order) == extracts
        assert ("refine3d" in order) == ("judge_refine3d" in order) == (rounds >= 0)
        for number in (1, 2, 3):
            assert (f"polishing_{number}" in order) == (number <= rounds)
            assert (f"judge_refine3d_{number}" in order) == (number <= rounds)
    assert ("motion_correction" in order) == (start == "movies")
    assert ("extraction" in order) == (start != "particles")
    assert ("class2d" in order) == ("select2d" in order) == class2d
    assert ("class3d" in order) == ("select3d" in order) == class3d
    assert ("rank_starts" in order) == ("initial_model_1" in order) == (reference is None)
    assert ("own_reference" in order) == (reference is not None)


@settings(max_examples=15)
@given(
    st.fixed_dictionaries(
        {
            "start": st.sampled_from(list(STARTS)),
            "version": st.sampled_from(["3.1", "4.0", "5.0"]),
            "method": st.sampled_from(["log", "references", "topaz", "coordinates"]),
            "program": st.sampled_from(["ctffind4", "builtin"]),
            "end": st.sampled_from(ENDS),
            "ctf_refinement": st.booleans(),
            "polishing": st.booleans(),
            "train": st.booleans(),
            "threshold": st.sampled_from(["auto", 0.01]),
            "first_job": st.integers(1, 900),
        }
    ).filter(lambda way: (way["method"], way["version"]) != ("topaz", "3.1"))
)
def test_the_chain_is_closed_for_other_programs_too(way: dict[str, Any]) -> None:
    start, method = way["start"], way["method"]
    rounds = ending(way["end"])
    if not (way["ctf_refinement"] or way["polishing"]):
        rounds["polishing_rounds"] = 0
    picking = {
        "method": method,
        "coordinates": "Movies/*_pick.star",
        "references": {"file": "own.star"},
        "topaz": {"train": True, "training_coordinates": "picked.star"},
    }
    order = assert_closed(
        workflow(
            {"start": start, **STARTS[start], "first_job": way["first_job"]},
            {"relion_version": way["version"], "ctf": {"program": way["program"]}},
            {"picking": picking, "mask": {"threshold": way["threshold"]}},
            {"ctf_refinement": {"enabled": way["ctf_refinement"]}},
            {"polishing": {"enabled": way["polishing"], "train": way["train"]}},
            rounds,
        )
    )
    picks = start != "particles"
    assert ("picking" in order) == (picks and method != "coordinates")
    assert ("import_coordinates" in order) == (picks and method == "coordinates")
    assert ("topaz_training" in order) == (picks and method == "topaz")
    has_round = bool(rounds["polishing_rounds"])
    assert ("ctf_refinement_1" in order) == (has_round and way["ctf_refinement"])
    trains = has_round and way["polishing"] and way["train"]
    assert ("polishing_training_1" in order) == trains


# --------------------------------------------------------------------------------- what rules say


@pytest.fixture(scope="module")
def whole(project: Path) -> Workflow:
    """The pipeline with two rounds and everything trained."""
    return workflow({"polishing_rounds": 2, "polishing": {"train": True}})


def steps(found: Workflow) -> list[Rule]:
    return [rule for rule in found.rules.values() if is_step(rule)]


def test_nothing_is_polished_on_a_map_that_was_judged_wrong(whole: Workflow) -> None:
    for number in (1, 2):
        verdict = f"Refine3D/job{(35, 44)[number - 1]:03d}/verdict.json"
        for step in ("ctf_refinement", "polishing_training", "polishing", "refine3d"):
            assert verdict in whole.rules[f"{step}_{number}"].files("input"), step


def test_every_job_keeps_to_its_own_directory(whole: Workflow) -> None:
    for rule in steps(whole):
        (own,) = jobs(rule.files("output"))
        assert jobs(rule.files("log")) == {own}, rule.name


def test_every_rule_has_an_environment(whole: Workflow) -> None:
    for rule in steps(whole):
        (file,) = rule.files("conda")
        assert Path(__file__).parents[2].joinpath("rules", file).is_file()


def test_every_change_of_science_is_seen_and_nothing_else(whole: Workflow) -> None:
    other = workflow(
        {"polishing_rounds": 2, "polishing": {"train": True}},
        {"compute": {"pool": 30, "preread_images": True, "scratch_dir": "/scratch"}},
        {"sizing": {"refine3d": {"nproc": 5}}, "class2d": {"classes": 7}},
    )
    changed = [
        rule.name for rule in steps(whole) if commands(rule) != commands(other.rules[rule.name])
    ]
    assert changed == ["class2d"]


def test_another_seed_is_new_science_wherever_chance_is(whole: Workflow) -> None:
    other = workflow({"polishing_rounds": 2, "polishing": {"train": True}, "seed": 2})
    changed = {
        rule.name for rule in steps(whole) if commands(rule) != commands(other.rules[rule.name])
    }
    assert {"class2d", "initial_model_1", "class3d", "refine3d", "refine3d_2"} <= changed
    assert not {"relion_import", "extraction", "select2d", "rank_starts", "mask"} & changed


def test_starts_differ_in_nothing_but_their_seed_and_place(whole: Workflow) -> None:
    texts = [commands(whole.rules[f"initial_model_{start}"]) for start in (1, 2, 3, 4)]
    assert len(set(texts)) == 4
    plain = [re.sub(r"--random_seed \d+|job\d{3}", "", text) for text in texts]
    assert len(set(plain)) == 1


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"clas2d": {}}, "config.yaml: clas2d is no option; did you mean class2d?"),
        ({"class2d": {"classes": 0}}, "class2d.classes must be a whole number"),
        ({"start": "particles", "particles": None}, "particles is missing"),
    ],
)
def test_a_wrong_configuration_is_the_user_s_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        workflow(changes)
    assert message in str(caught.value)


# ------------------------------------------------------------------------------------- the report


def test_the_report_follows_every_stage_and_no_step_follows_it(whole: Workflow) -> None:
    reports = [rule for rule in whole.rules.values() if rule.name.startswith("report_")]
    names = {rule.name.removeprefix("report_") for rule in reports}
    stages = {"micrographs", "particles", "class2d", "initial_model", "class3d"}
    assert names == stages | {"refine3d", "refine3d_1", "refine3d_2", "end"}
    made = {file for rule in reports for file in rule.files("output")}
    assert made <= set(whole.rules["all"].files("input"))
    for rule in steps(whole):
        assert not made & set(rule.files("input")), rule.name


def test_no_core_is_kept_for_a_report(whole: Workflow) -> None:
    for rule in whole.rules.values():
        if rule.name.startswith("report_"):
            assert rule.values("threads") == {"0": 0}
            assert rule.values("localrule") == {"0": True}


@pytest.mark.parametrize("start", STARTS)
def test_there_is_a_report_wherever_the_pipeline_ends(start: str) -> None:
    for end in ENDS:
        for local in (True, False) if end != "nothing" else (False,):
            found = workflow(
                {"start": start, **STARTS[start]},
                ending(end),
                {"local_resolution": {"enabled": local}},
            )
            wanted = set(found.rules["report_end"].files("input"))
            assert wanted <= set(found.rules["all"].files("input"))
            assert ("report_micrographs" in found.rules) == (start != "particles")

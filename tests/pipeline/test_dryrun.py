"""Snakemake's dry run on the real Snakefile, for one configuration a scenario."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
FILES = (
    "Movies/a.mrcs",
    "Micrographs/a.mrc",
    "Micrographs/a_pick.star",
    "particles.star",
    "corrected_micrographs.star",
    "model.mrc",
    "picked.star",
)
CLASSES = {"class2d", "select2d", "class3d", "select3d"}
STARTS = {f"initial_model_{start}" for start in (1, 2, 3, 4)} | {"rank_starts"}
MOVIES = {"relion_import", "motion_correction", "ctf", "picking", "extraction"}
REFINED = {"reextraction", "refine3d", "mask", "postprocess", "judge_refine3d", "local_resolution"}
POLISHED = {"polishing", "polishing_training", "refine3d", "mask", "postprocess", "judge_refine3d"}
RULES = {
    "movies": MOVIES
    | CLASSES
    | STARTS
    | REFINED
    | {f"{rule}_{number}" for rule in (*POLISHED, "ctf_refinement") for number in (1, 2)},
    "micrographs": {"relion_import", "import_coordinates", "ctf", "extraction"}
    | CLASSES
    | STARTS
    | REFINED,
    "particles": {"relion_import", "own_reference", "class3d", "select3d"}
    | (REFINED - {"reextraction"})
    | {f"{rule}_1" for rule in POLISHED - {"polishing_training"}},
    "topaz": MOVIES
    | CLASSES
    | REFINED
    | {"topaz_training", "initial_model_1", "initial_model_2", "rank_starts", "ctf_refinement_1"}
    | {"refine3d_1", "mask_1", "postprocess_1", "judge_refine3d_1"},
    "classes": MOVIES | CLASSES | STARTS,
}
#: Stages after which the report is made again.
REFINEMENTS = {"refine3d", "refine3d_1"}
EARLY = {"micrographs", "particles", "class2d", "initial_model", "class3d"}
REPORTS = {
    "movies": EARLY | REFINEMENTS | {"refine3d_2", "end"},
    "micrographs": EARLY | {"refine3d", "end"},
    "particles": {"class3d", "end"} | REFINEMENTS,
    "topaz": EARLY | REFINEMENTS | {"end"},
    "classes": EARLY - {"class3d"} | {"end"},
}

pytestmark = pytest.mark.workflow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the user's files of all scenarios."""
    folder = tmp_path / "my project"
    for name in FILES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def dry_run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "-n", "-s", str(ROOT / "Snakefile"), *arguments]
    return subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=False, timeout=600
    )


def configured(project: Path, scenario: str) -> Path:
    shutil.copy(SCENARIOS / f"{scenario}.yaml", project / "config.yaml")
    return project


def rules(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Rules that would run, but for the report's and the one that only names the results."""
    return {rule for rule in all_rules(done) if not rule.startswith("report_")}


def all_rules(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Rules that would run, but for the one that only names the results."""
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    table = said.partition("Job stats:")[2].partition("\ntotal ")[0]
    return set(re.findall(r"^(\w+) +\d+$", table, re.MULTILINE)) - {"all"}


def test_every_scenario_is_tested() -> None:
    assert {path.stem for path in SCENARIOS.glob("*.yaml")} == set(RULES)


@pytest.mark.parametrize("scenario", RULES)
def test_the_rules_of_each_scenario(project: Path, scenario: str) -> None:
    done = dry_run(configured(project, scenario))
    assert rules(done) == RULES[scenario]
    reports = {rule for rule in all_rules(done) if rule.startswith("report_")}
    assert reports == {f"report_{stage}" for stage in REPORTS[scenario]}
    assert not list(project.glob("*/job*")), "a dry run writes nothing"


@pytest.mark.parametrize("profile,partitions", [("local", {"local"}), ("m3", {"comp", "m3h"})])
def test_a_profile_changes_where_it_runs_and_nothing_else(
    project: Path, profile: str, partitions: set[str]
) -> None:
    done = dry_run(configured(project, "classes"), "--profile", str(ROOT / "profiles" / profile))
    assert rules(done) == RULES["classes"]
    assert set(re.findall(r"slurm_partition=(\w+)", done.stdout + done.stderr)) == partitions


def test_options_of_the_command_line_are_laid_over_those_of_the_project(project: Path) -> None:
    done = dry_run(configured(project, "particles"), "--config", "polishing_rounds=0")
    assert rules(done) == {rule for rule in RULES["particles"] if not rule.endswith("_1")}


@pytest.mark.parametrize(
    "line,message",
    [
        ("clas2d: {enabled: true}", "clas2d is no option; did you mean class2d?"),
        ("class3d: {clases: 3}", "class3d.clases is no option; did you mean class3d.classes?"),
        ("polishing_rounds: many", "polishing_rounds must be a whole number"),
    ],
)
def test_a_wrong_option_is_told_at_once(project: Path, line: str, message: str) -> None:
    file = configured(project, "classes") / "config.yaml"
    kept = [each for each in file.read_text().splitlines() if each.split(":")[0] not in line]
    file.write_text("\n".join([*kept, line]))
    done = dry_run(project)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"config.yaml:{len(kept) + 1}: {message}" in said
    assert "Traceback" not in said


def test_an_unknown_profile_is_told(project: Path) -> None:
    done = dry_run(configured(project, "classes"), "--profile", "nowhere")
    assert done.returncode != 0
    assert "nowhere" in done.stderr

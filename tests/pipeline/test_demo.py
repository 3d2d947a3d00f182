"""The whole pipeline with real RELION: the map is right, and reruns do what they should."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.demo import runner
from tests.pipeline.conftest import LOCAL, Finished

pytestmark = pytest.mark.relion

FINAL = "Refine3D/job044/run_class001.mrc"
#: Å at FSC 0.5 against the truth.
REQUIRED_ANGST = 12.0


def planned(project: Path, *arguments: str) -> set[str]:
    """Return the steps that a dry run would run; reports follow them by themselves."""
    run = runner.snakemake(project, "-n", *arguments)
    assert run.returncode == 0, run.output
    if "Nothing to be done" in run.output:
        return set()
    rules = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", run.output, re.MULTILINE)
    return {name for name in rules if name != "all" and not name.startswith("report_")}


def configure(project: Path, **blocks: object) -> None:
    """Change options in a project's configuration, block by block."""
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for name, value in blocks.items():
        if isinstance(value, dict):
            config[name] = {**config.get(name, {}), **value}
        else:
            config[name] = value
    path.write_text(yaml.safe_dump(config))


def test_the_map_is_right(finished: Finished) -> None:
    assert finished.run.returncode == 0, finished.run.output
    assert finished.score(FINAL) <= REQUIRED_ANGST
    assert finished.score("PostProcess/job046/postprocess.mrc") <= REQUIRED_ANGST


def test_each_step_improves_the_map(finished: Finished) -> None:
    start = finished.score("Select/job031/initial_model.mrc")
    refined = finished.score("Refine3D/job035/run_class001.mrc")
    assert finished.score(FINAL) < refined < start


def test_picks_and_defocus_are_right(finished: Finished) -> None:
    _, scores = runner.truth(
        finished.data,
        *("--picks", str(finished.project / "AutoPick/job004")),
        *("--defocus", str(finished.project / "CtfFind/job003/micrographs_ctf.star")),
    )
    (picks,) = scores["picks"].values()
    assert picks["recall"] > 0.9
    assert picks["precision"] > 0.75
    assert scores["defocus"]["missing"] == 0
    assert scores["defocus"]["rms_percent"] < 1


def test_polished_particles_beat_unpolished_ones(finished: Finished, tmp_path: Path) -> None:
    """In the same orientations, with the same CTFs: only the images differ."""
    scores = []
    for particles in ("Polish/job043/shiny.star", "CtfRefine/job041/particles_ctf_refine.star"):
        made = tmp_path / f"{Path(particles).stem}.mrc"
        subprocess.run(
            ["relion_reconstruct", "--i", particles, "--o", str(made), "--ctf", "--sym", "D2"],
            cwd=finished.project,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=300,
        )
        scores.append(finished.score(str(made)))
    polished, unpolished = scores
    assert polished < unpolished


def test_verdicts_give_their_evidence(finished: Finished) -> None:
    for folder in ("Select/job031", "Select/job033", "Refine3D/job035", "Refine3D/job044"):
        verdict = json.loads((finished.project / folder / "verdict.json").read_text())
        assert verdict["verdict"] in ("fine", "doubtful")
        assert {"agreement with 2D", "Pmax"} <= {each["name"] for each in verdict["evidence"]}
        assert any("hand" in sentence for sentence in verdict["unknown"])


def test_the_ranking_of_the_starts_is_shown(finished: Finished) -> None:
    ranking = (finished.project / "Select/job031/ranking.txt").read_text()
    assert len(ranking.splitlines()) == 1 + 6
    assert ranking in (finished.project / "Select/job031/run.out").read_text()


def test_versions_and_configuration_are_kept(finished: Finished) -> None:
    kept = finished.project / ".relion_dispatch"
    report = (kept / "check.txt").read_text()
    assert re.search(r"RELION +\d+\.\d+", report)
    assert any("box_size" in path.read_text() for path in kept.iterdir() if "config" in path.name)


def test_every_job_leaves_what_relion_expects(finished: Finished) -> None:
    jobs = sorted(finished.project.glob("[!.]*/job[0-9]*"))
    assert len(jobs) == 26
    for job in jobs:
        assert (job / "RELION_JOB_EXIT_SUCCESS").is_file(), job
        assert (job / "run.out").is_file()
        assert (job / "run.err").is_file()


def test_a_second_run_does_nothing(finished: Finished) -> None:
    assert planned(finished.project, "--profile", LOCAL) == set()


@pytest.mark.parametrize("profile", ["slurm", "m3"])
def test_another_profile_reruns_nothing(finished: Finished, profile: str) -> None:
    assert planned(finished.project, "--profile", str(runner.ROOT / "profiles" / profile)) == set()


def test_sizing_and_reading_options_rerun_nothing(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "sized")
    configure(project, sizing={"refine3d": {"nthread": 2}}, compute={"pool": 3})
    assert planned(project) == set()


@pytest.mark.parametrize(
    "block, options, expected",
    [
        ("local_resolution", {"sampling": 20}, {"local_resolution"}),
        (
            "refine_polished",
            {"ini_high": 20},
            {"refine3d_1", "mask_1", "postprocess_1", "judge_refine3d_1", "local_resolution"},
        ),
        (
            "polishing",
            {"sigma_vel": 2.0},
            {
                *("polishing_1", "refine3d_1", "mask_1", "postprocess_1"),
                *("judge_refine3d_1", "local_resolution"),
            },
        ),
        (
            "polishing",
            {"enabled": False},
            {"refine3d_1", "mask_1", "postprocess_1", "judge_refine3d_1", "local_resolution"},
        ),
    ],
)
def test_a_changed_option_reruns_its_step_and_what_follows(
    finished: Finished, tmp_path: Path, block: str, options: dict[str, object], expected: set[str]
) -> None:
    project = finished.copy(tmp_path / "changed")
    configure(project, **{block: options})
    assert planned(project) == expected


def test_a_forced_step_starts_clean(finished: Finished, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "forced")
    job = project / "LocalRes/job047"
    (job / "stale.mrc").touch()
    arguments = ("--profile", LOCAL, "--forcerun", "local_resolution")
    run = runner.snakemake(project, *arguments)
    assert run.returncode == 0, run.output
    assert set(run.steps) == {"local_resolution", "report_end", "all"}
    assert not (job / "stale.mrc").exists()
    assert (job / "relion_locres.mrc").is_file()
    assert "exit code 0" in (job / "run.out").read_text()


def test_a_failing_step_leaves_its_logs_and_relions_marker(
    finished: Finished, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "failing")
    configure(project, local_resolution={"extra_arguments": "--mask no_such_mask.mrc"})
    run = runner.snakemake(project, "--profile", LOCAL)
    job = project / "LocalRes/job047"
    assert run.returncode != 0
    assert (job / "RELION_JOB_EXIT_FAILURE").is_file()
    assert not (job / "RELION_JOB_EXIT_SUCCESS").exists()
    assert "no_such_mask.mrc" in (job / "run.err").read_text()
    assert "no_such_mask.mrc" in run.output
    assert not (job / "relion_locres.mrc").exists()

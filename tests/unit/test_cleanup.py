"""What a clean-up takes and what it leaves."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import cleanup, cli
from relion_dispatch.cleanup import needs, trash
from relion_dispatch.cleanup.plan import plan
from relion_dispatch.cleanup.rules import RULES, doomed
from relion_dispatch.status.model import State
from tests.unit.test_status import CONFIG

REFINE3D = [
    "run_class001.mrc",
    "run_data.star",
    "run_half1_class001_unfil.mrc",
    *(
        f"run_it{n:03d}_{end}"
        for n in range(4)
        for end in ("data.star", "half1_model.star", "half1_class001.mrc", "optimiser.star")
    ),
]
EDGES = """
data_pipeline_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeType #2
Class3D/job001/run_it001_class001.mrc 6
Extract/job003/particles.star 3

data_pipeline_input_edges

loop_
_rlnPipeLineEdgeFromNode #1
_rlnPipeLineEdgeProcess #2
Extract/job003/particles.star Class2D/job004/
Class2D/job004/run_it025_optimiser.star Select/job005/
"""


def write(path: Path, *, at: float = 100.0, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def finished(project: Path, folder: str, *names: str) -> Path:
    for name in names:
        write(project / folder / name)
    write(project / folder / "RELION_JOB_EXIT_SUCCESS")
    return project / folder


def files(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}


def gone(project: Path, *, harsh: bool = False, **states: State) -> dict[str, set[str]]:
    known = {str(p.relative_to(project)): State.FINISHED for p in project.glob("*/job*")}
    known |= {name.replace("__", "/"): state for name, state in states.items()}
    return {job.folder: set(job.files) for job in plan(project, known, harsh=harsh) if job.files}


# ------------------------------------------------------------------------------- RELION's own rules


def test_the_last_iteration_and_the_results_stay() -> None:
    taken = doomed("Refine3D", REFINE3D, harsh=True, known=())
    assert set(REFINE3D) - set(taken) == {
        "run_class001.mrc",
        "run_data.star",
        "run_half1_class001_unfil.mrc",
        *(each for each in REFINE3D if each.startswith("run_it003")),
    }


def test_an_iteration_that_something_refers_to_stays_whole() -> None:
    taken = doomed("Class3D", REFINE3D, harsh=False, known={"run_it001_half1_class001.mrc"})
    assert {each[:9] for each in taken} == {"run_it000", "run_it002"}


def test_continued_runs_count_on() -> None:
    names = [f"run_it{n:03d}_data.star" for n in (0, 1)]
    names += [f"run_ct1_it{n:03d}_data.star" for n in (2, 3)] + ["run_ct1_it003_model.star"]
    taken = doomed("Class2D", names, harsh=False, known=())
    assert sorted(set(names) - set(taken)) == names[3:]


@pytest.mark.parametrize(
    "kind, name, gentle, harsh",
    [
        ("MotionCorr", "Movies/a.log", True, True),
        ("MotionCorr", "Movies/a.mrc", False, True),
        ("MotionCorr", "corrected_micrographs.star", False, False),
        ("MotionCorr", "Movies/my notes.docx", False, False),
        ("CtfFind", "Movies/a_PS.ctf", False, True),
        ("CtfFind", "gctf0.out", True, True),
        ("AutoPick", "Movies/a_autopick.spi", True, True),
        ("AutoPick", "Movies/a_autopick.star", False, False),
        ("Extract", "Movies/a_extract.star", True, True),
        ("Extract", "Movies/a.mrcs", False, True),
        ("Extract", "particles.star", False, False),
        ("CtfRefine", "Movies/a_wAcc_optics-group_1.mrc", True, True),
        ("CtfRefine", "Movies/a_aberr-Axy_optics-group_2.mrc", True, True),
        ("Polish", "Movies/a_FCC_w0.mrc", True, True),
        ("Polish", "Movies/a_shiny.mrcs", False, True),
        ("Polish", "Movies/a_tracks.star", False, False),
        ("Subtract", "subtracted.mrcs", False, True),
        ("MultiBody", "analyse_component001_bin002.mrc", False, True),
        ("PostProcess", "postprocess_masked.mrc", False, False),
        ("Import", "movies.star", False, False),
    ],
)
def test_each_type_s_files(kind: str, name: str, *, gentle: bool, harsh: bool) -> None:
    assert bool(doomed(kind, [name], harsh=False, known=())) is gentle
    assert bool(doomed(kind, [name], harsh=True, known=())) is harsh
    assert doomed(kind, [name], harsh=True, known={name}) == []


@given(st.sampled_from(sorted(RULES)), st.lists(st.text(max_size=30), max_size=8))
def test_a_harsh_clean_takes_what_a_gentle_one_takes(kind: str, names: list[str]) -> None:
    gentle = set(doomed(kind, names, harsh=False, known=()))
    assert gentle <= set(doomed(kind, names, harsh=True, known=())) <= set(names)


# ----------------------------------------------------------------------------------- what is needed


def test_only_finished_jobs_are_touched(tmp_path: Path) -> None:
    finished(tmp_path, "Class3D/job001", *REFINE3D)
    assert gone(tmp_path)["Class3D/job001"]
    for state in set(State) - {State.FINISHED}:
        assert gone(tmp_path, Class3D__job001=state) == {}
    (tmp_path / "Class3D/job001/RELION_JOB_EXIT_SUCCESS").unlink()
    assert gone(tmp_path) == {}


def test_what_snakemake_has_made_stays(tmp_path: Path) -> None:
    finished(tmp_path, "Class3D/job001", *REFINE3D)
    records = tmp_path / ".snakemake/metadata"
    name = "Class3D/job001/run_it001_optimiser.star"
    coded = base64.urlsafe_b64encode(name.encode()).decode()
    write(records / f"@{coded[:12]}" / coded[12:])
    write(records / "no base64 at all")
    assert needs.needs(tmp_path).of("Class3D/job001") == {"run_it001_optimiser.star"}
    assert not any(each.startswith("run_it001") for each in gone(tmp_path)["Class3D/job001"])


def test_what_the_window_lists_stays(tmp_path: Path) -> None:
    finished(tmp_path, "Class3D/job001", *REFINE3D)
    write(tmp_path / "default_pipeline.star", text=EDGES)
    assert not any(each.startswith("run_it001") for each in gone(tmp_path)["Class3D/job001"])


def test_what_the_configuration_names_stays(tmp_path: Path) -> None:
    finished(tmp_path, "Class3D/job061", *REFINE3D)
    reference = "Class3D/job061/run_it002_half1_class001.mrc"
    text = CONFIG.replace("{starts: 2}", f"{{reference: {reference}}}")
    write(tmp_path / "config.yaml", text=text)
    assert not any(each.startswith("run_it002") for each in gone(tmp_path)["Class3D/job061"])


def test_data_wait_for_the_window_s_later_jobs(tmp_path: Path) -> None:
    write(tmp_path / "default_pipeline.star", text=EDGES)
    finished(tmp_path, "Extract/job003", "particles.star", "Movies/a.mrcs", "Movies/a_extract.star")
    finished(tmp_path, "Class2D/job004")
    only_gentle = {"Extract/job003": {"Movies/a_extract.star"}}
    assert gone(tmp_path, harsh=True, Select__job005=State.FAILED) == only_gentle
    finished(tmp_path, "Select/job005")
    assert "Movies/a.mrcs" in gone(tmp_path, harsh=True)["Extract/job003"]


def test_data_wait_for_the_pipeline_s_later_steps(tmp_path: Path) -> None:
    write(tmp_path / "config.yaml", text=CONFIG)
    finished(tmp_path, "MotionCorr/job002", "Movies/a.mrc", "Movies/a.log")
    finished(tmp_path, "Extract/job005", "Movies/a.mrcs")
    for folder in ("Import/job001", "CtfFind/job003", "AutoPick/job004", "Class2D/job006",
                   "Select/job007", "InitialModel/job011", "InitialModel/job012", "Select/job031",
                   "Class3D/job032", "Select/job033"):  # fmt: skip
        finished(tmp_path, folder)
    found = {job.folder: job for job in plan(tmp_path, states(tmp_path), harsh=True)}
    assert found["Extract/job005"].kept == "its data are needed by Extract/job034"
    assert set(found["MotionCorr/job002"].files) == {"Movies/a.log"}
    finished(tmp_path, "Extract/job034", "Movies/a.mrcs")
    finished(tmp_path, "CtfRefine/job041")
    found = {job.folder: job for job in plan(tmp_path, states(tmp_path), harsh=True)}
    assert set(found["Extract/job005"].files) == {"Movies/a.mrcs"}
    assert found["MotionCorr/job002"].kept == "its data are needed by Polish/job043"
    assert not found["Extract/job034"].files


def test_what_new_movies_would_be_joined_to_stays(tmp_path: Path) -> None:
    write(tmp_path / "config.yaml", text=CONFIG)
    write(tmp_path / ".relion_dispatch/shards.tsv", text="shard\tname\n")
    finished(tmp_path, "MotionCorr/job002", "Movies/a.mrc", "Movies/a.log")
    finished(tmp_path, "Extract/job005", "Movies/a.mrcs", "Movies/a_extract.star")
    finished(tmp_path, "Class2D/job006", *REFINE3D)
    for harsh in (False, True):
        found = gone(tmp_path, harsh=harsh)
        assert set(found) == {"MotionCorr/job002", "Class2D/job006"}
        assert found["MotionCorr/job002"] == {"Movies/a.log"}


def states(project: Path) -> dict[str, State]:
    return {str(path.relative_to(project)): State.FINISHED for path in project.glob("*/job*")}


def test_jobs_are_kept_from_harsh_cleans_by_a_file(tmp_path: Path) -> None:
    path = finished(tmp_path, "Extract/job003", "Movies/a.mrcs", "Movies/a_extract.star")
    write(path / needs.NO_HARSH_CLEAN)
    assert gone(tmp_path, harsh=True) == {}
    assert gone(tmp_path) == {"Extract/job003": {"Movies/a_extract.star"}}


def test_what_the_job_has_not_made_stays(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/b.mrcs")
    project = tmp_path / "project"
    path = finished(project, "Extract/job003", "Movies/a.mrcs", ".shards/1/Movies/s.mrcs")
    write(path / "Movies/mine.mrcs", at=1000.0)
    (path / "Movies/b.mrcs").symlink_to(outside)
    (path / "Elsewhere").symlink_to(tmp_path / "outside")
    for link in (path / "Movies/b.mrcs", path / "Elsewhere"):
        os.utime(link, (100, 100), follow_symlinks=False)
    assert gone(project, harsh=True) == {"Extract/job003": {"Movies/a.mrcs"}}


def test_jobs_of_tomography_have_rules_of_their_own(tmp_path: Path) -> None:
    path = finished(tmp_path, "Extract/job003", "Movies/a.mrcs")
    write(path / "job.star", text="data_job\n\n_rlnJobTypeLabel   relion.pseudosubtomo\n")
    assert gone(tmp_path, harsh=True) == {}


# ------------------------------------------------------------------------------------- the command


def clean(project: Path, *words: str) -> int:
    return cli.main(["clean", str(project), "--profile=local", *words])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    finished(tmp_path, "Extract/job003", "Movies/a.mrcs", "Movies/a_extract.star")
    finished(tmp_path, "Class3D/job004", *REFINE3D)
    return tmp_path


def test_files_go_to_the_trash_and_come_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(project)
    assert clean(project, "--harsh") == 0
    said = capsys.readouterr().out
    assert "Extract/job003  2 files" in said
    assert "moved to Trash/" in said
    assert "Trash/Extract/job003/Movies/a.mrcs" in files(project)
    assert not (project / "Extract/job003/Movies").exists()
    assert (project / "Extract/job003").is_dir()
    write(project / "Extract/job003/Movies/a.mrcs", text="newer")
    assert clean(project, "--restore") == 0
    assert files(project) - before == {"Trash/Extract/job003/Movies/a.mrcs"}
    assert (project / "Extract/job003/Movies/a.mrcs").read_text() == "newer"
    assert clean(project, "--empty-trash") == 0
    assert files(project) == before


def test_what_an_earlier_run_has_left_stays_in_the_trash(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clean(project, "--harsh") == 0
    trashed = files(project)
    # The job runs again, and is at work; then it has ended.
    marker = project / "Class3D/job004/RELION_JOB_EXIT_SUCCESS"
    marker.unlink()
    capsys.readouterr()
    assert clean(project, "--restore", "--job", "Class3D/job004") == 0
    assert "0 files are back.\nClass3D/job004  left in Trash/: " in capsys.readouterr().out
    write(marker, at=time.time() + 60)
    assert clean(project, "--restore") == 0
    said = capsys.readouterr().out
    assert "2 files are back.\nClass3D/job004  left in Trash/: " in said
    assert "Extract" not in said
    assert files(project) ^ trashed == {
        f"{start}Extract/job003/Movies/{name}"
        for start in ("", "Trash/")
        for name in ("a.mrcs", "a_extract.star")
    }


def test_folders_in_folders_that_become_empty_go(tmp_path: Path) -> None:
    names = [f"Extract/job003/Movies/{'deeper/' * depth}a.mrcs" for depth in range(12)]
    for delete in (True, False):
        for name in names:
            write(tmp_path / name)
        trash.take(tmp_path, names, delete=delete)
        assert list((tmp_path / "Extract/job003").iterdir()) == []


def test_a_dry_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(project)
    assert clean(project, "--dry-run", "--harsh") == 0
    said = capsys.readouterr().out
    assert "  Extract/job003/Movies/a.mrcs\n" in said
    assert "14 files" in said
    assert files(project) == before


def test_files_are_deleted_when_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(project, "--delete", "--job", "Class3D/job004/") == 0
    assert "12 files" in capsys.readouterr().out
    assert not (project / "Trash").exists()
    assert "Extract/job003/Movies/a_extract.star" in files(project)
    assert clean(project, "--job", "Class3D/job099") == 2
    assert clean(project / "nowhere") == 2


def test_without_knowing_what_is_needed_nothing_goes(project: Path) -> None:
    before = files(project)
    write(project / "config.yaml", text="movis: x\n")
    assert clean(project) == 2
    assert files(project) - before == {"config.yaml"}


def test_a_trash_that_is_a_link_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "elsewhere/a")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/Trash").symlink_to(tmp_path / "elsewhere")
    assert clean(tmp_path / "project", "--empty-trash") == 2
    assert "elsewhere: empty that by hand" in capsys.readouterr().err
    assert (tmp_path / "elsewhere/a").exists()


@pytest.mark.parametrize(
    "size, words", [(0, "0 bytes"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (1e16, "1e+04 TB")]
)
def test_sizes(size: float, words: str) -> None:
    assert cleanup.size_text(size) == words

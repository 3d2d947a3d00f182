"""Shards: who belongs where, what a shard sees, and where its results go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.project import joblist, planning
from relion_dispatch.project import register as register_
from relion_dispatch.project.flavours import FAILED, RELION_3_1, RUNNING, SUCCEEDED
from relion_dispatch.project.joblist import JobList
from relion_dispatch.project.records import Record
from relion_dispatch.sharding import begin, intake, keep, publish, register, rows, state, unpicked
from relion_dispatch.sharding.register import Register

NAMES = st.sets(st.text("abc/_é\udcff", min_size=1, max_size=6), max_size=20)
SIZES = st.integers(1, 7)
# As RELION writes it, with a blank at the end of lines.
MOVIES = """
# version 30001

data_optics

loop_~
_rlnOpticsGroupName #1~
_rlnOpticsGroup #2~
opticsGroup1            1~
~

# version 30001

data_movies

loop_~
_rlnMicrographMovieName #1~
_rlnOpticsGroup #2~
Movies/a.mrcs            1~
Movies/b.mrcs            1~
Movies/c.mrcs            1~
~
""".replace("~", " ")


# -------------------------------------------------------------------------------------- register


@given(st.lists(st.tuples(NAMES, SIZES), max_size=6))
def test_a_shard_never_changes(arrivals: list[tuple[set[str], int]]) -> None:
    known, seen = Register(), set[str]()
    for names, size in arrivals:
        seen |= names
        more = known.with_new(names | seen, size)
        assert list(more.shards)[: len(known.shards)] == list(known.shards)
        assert all(more.shards[shard] == members for shard, members in known.shards.items())
        new = [len(m) for shard, m in more.shards.items() if shard not in known.shards]
        assert all(0 < length <= size for length in new)
        assert not new or max(new) - min(new) <= 1
        known = more
    assert sorted(name for names in known.shards.values() for name in names) == sorted(seen)
    assert list(known.shards) == [f"{n:04d}" for n in range(1, len(known.shards) + 1)]


@given(NAMES, SIZES)
def test_the_register_is_read_as_it_was_written(names: set[str], size: int) -> None:
    made = Register().with_new(names, size)
    assert register.parse(made.to_text()) == made


@given(NAMES, SIZES, NAMES)
def test_only_what_is_there_takes_part(names: set[str], size: int, there: set[str]) -> None:
    present = Register().with_new(names, size).present(there)
    assert {name for members in present.values() for name in members} == names & there
    assert all(present.values())


@pytest.mark.parametrize(
    "text", ["", "shard\tname", "name\n", "shard\tname\n0001\n", "shard\tname\nx\ta\n"]
)
def test_a_register_that_is_none_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"shards\.tsv"):
        register.parse(text)


def test_a_name_twice_is_told() -> None:
    with pytest.raises(InputError, match="line 3"):
        register.parse("shard\tname\n0001\ta\n0002\ta\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(intake.VARIABLE, raising=False)
    intake._pending.clear()
    yield tmp_path
    intake._pending.clear()


def test_shards_are_noted_when_a_run_begins(project: Path) -> None:
    shares = intake.take(["a", "b", "c"], 2, only_noted=False)
    assert sorted(shares) == ["0001", "0002"]
    assert not (project / register.FILE).exists()
    intake.note()
    assert register.read().present("abc") == shares
    before = (project / register.FILE).stat()
    intake.take(["a", "b", "c"], 9, only_noted=False)
    intake.note()
    assert (project / register.FILE).stat().st_ino == before.st_ino


def test_a_run_inside_another_takes_what_is_noted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.write(Register().with_new(["a"], 2))
    assert intake.take(["a", "b"], 2, only_noted=True) == {"0001": ("a",)}
    monkeypatch.setenv(intake.VARIABLE, "1")
    assert intake.take(["a", "b"], 2, only_noted=False) == {"0001": ("a",)}
    intake.note()
    assert register.read().names == {"a"}


# ------------------------------------------------------------------------------------ STAR rows


@given(st.sets(st.sampled_from("abc")))
def test_rows_are_chosen_and_all_else_stays(wanted: set[str]) -> None:
    chosen = {f"Movies/{name}.mrcs" for name in wanted}
    kept = rows.keep(MOVIES, chosen.__contains__, "movies.star")
    assert rows.names(kept, "movies.star") == sorted(chosen)
    gone = [line for line in MOVIES.splitlines() if line not in kept.splitlines()]
    assert len(gone) == 3 - len(wanted)


def test_a_file_without_a_list_is_told() -> None:
    with pytest.raises(InputError, match=r"particles\.star"):
        rows.names("data_\n\nloop_\n_rlnCoordinateX #1\n1.0\n", "particles.star")


def test_the_import_keeps_what_has_a_shard(project: Path) -> None:
    register.write(Register().with_new(["Movies/a.mrcs", "Movies/c.mrcs"], 5))
    star = project / "movies.star"
    star.write_text(MOVIES)
    assert keep.main([str(star)]) == 0
    assert rows.names(star.read_text(), "") == ["Movies/a.mrcs", "Movies/c.mrcs"]
    assert star.read_text() == MOVIES.replace("Movies/b.mrcs            1 \n", "")
    assert keep.main([str(project / "none.star")]) == 1


# ---------------------------------------------------------------------------------------- bench

OUT, CTF = "MotionCorr/job002/", "CtfFind/job003/"
SHARD = Path(OUT, ".shards/0001")


def fill(project: Path) -> None:
    for name in ("Movies/a.mrcs", "Movies/b.mrcs", "Import/job001/run.out", "MotionCorr/job090/x"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / "Import/job001/movies.star").write_text(MOVIES)
    register.write(Register().with_new(["Movies/a.mrcs", "Movies/b.mrcs", "Movies/c.mrcs"], 2))


def test_a_shard_sees_the_project_with_its_own_movies(project: Path) -> None:
    fill(project)
    words = [f"{SHARD}/", "--out", OUT, "--take", "Import/job001/movies.star"]
    assert begin.main(words) == 0
    assert rows.names((SHARD / "Import/job001/movies.star").read_text(), "") == ["Movies/a.mrcs"]
    for name in ("Movies/a.mrcs", "Import/job001/run.out", "MotionCorr/job090/x"):
        assert (SHARD / name).read_text() == name
    assert [path.name for path in (SHARD / OUT).iterdir()] == [".shards"]
    (SHARD / OUT / ".shards/0001/RELION_JOB_EXIT_SUCCESS").touch()
    assert (SHARD / "RELION_JOB_EXIT_SUCCESS").exists()


def test_a_half_written_shard_is_begun_anew(project: Path) -> None:
    fill(project)
    (project / OUT / "Movies").mkdir(parents=True)
    (project / OUT / "Movies/b.mrc").write_text("of another shard")
    words = [f"{SHARD}/", "--out", OUT, "--take", "Import/job001/movies.star"]
    assert begin.main(words) == 0
    (SHARD / OUT / "Movies").mkdir()
    (SHARD / OUT / "Movies/a.mrc").write_text("half")
    (SHARD / "run.err").write_text("what happened")
    assert begin.main(words) == 0
    assert not (SHARD / OUT / "Movies").exists()
    assert (SHARD / "run.err").read_text() == "what happened"
    assert (project / OUT / "Movies/b.mrc").exists()
    assert (project / "Movies/a.mrcs").exists()


def test_results_are_published_and_the_bench_is_cleared(project: Path) -> None:
    fill(project)
    assert begin.main([f"{SHARD}/", "--out", OUT, "--take", "Import/job001/movies.star"]) == 0
    made = SHARD / OUT
    (made / "Movies").mkdir()
    for name in ("Movies/a.mrc", "gain.mrc", "corrected_micrographs.star", "some.eps"):
        (made / name).write_text(name)
    (SHARD / "run.out").write_text("")
    words = [f"{SHARD}/", "--out", OUT, "--result", "corrected_micrographs.star"]
    assert publish.main(words) == 0
    assert sorted(os.listdir(project / OUT)) == [".shards", "Movies", "gain.mrc"]
    assert (project / OUT / "Movies/a.mrc").read_text() == "Movies/a.mrc"
    left = ["attempts.jsonl", "corrected_micrographs.star", "run.out"]
    assert sorted(os.listdir(SHARD)) == left
    assert (project / "Movies/a.mrcs").exists()


def test_links_that_ctf_estimation_makes_lead_from_the_project(project: Path) -> None:
    fill(project)
    shard = Path(CTF, ".shards/0002")
    source = project / "list.star"
    source.write_text(MOVIES)
    words = [f"{shard}/", "--out", CTF, "--file", "Import/job001/movies.star", str(source)]
    assert begin.main(words) == 0
    (shard / CTF / "Movies").mkdir()
    here = os.path.realpath(shard)
    (shard / CTF / "Movies/a.mrc").symlink_to(f"{here}/MotionCorr/job090/x")
    (shard / CTF / "Movies/b.mrc").symlink_to("/elsewhere")
    (shard / CTF / "micrographs_ctf.star").touch()
    assert publish.main([f"{shard}/", "--out", CTF, "--result", "micrographs_ctf.star"]) == 0
    linked = project / CTF / "Movies/a.mrc"
    assert os.readlink(linked) == os.path.realpath(project / "MotionCorr/job090/x")
    assert os.readlink(project / CTF / "Movies/b.mrc") == "/elsewhere"


def test_nothing_is_published_before_relion_has_finished(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(project)
    assert begin.main([f"{SHARD}/", "--out", OUT, "--take", "Import/job001/movies.star"]) == 0
    (SHARD / OUT / "Movies").mkdir()
    (SHARD / OUT / "Movies/a.mrc").touch()
    words = [f"{SHARD}/", "--out", OUT, "--result", "corrected_micrographs.star"]
    assert publish.main(words) == 1
    assert "RELION has not written it" in capsys.readouterr().err
    assert not (project / OUT / "Movies").exists()


def test_a_shard_of_which_nothing_is_left_passes(project: Path) -> None:
    fill(project)
    empty = MOVIES[: MOVIES.index("# version", 30)]
    (project / "left.star").write_text(empty)
    shard = Path(CTF, ".shards/0001")
    words = [f"{shard}/", "--out", CTF, "--file", "MotionCorr/job002/all.star", "left.star"]
    (project / "MotionCorr/job002").mkdir()
    assert begin.main(words) == 0
    assert (shard / "nothing").exists()
    assert publish.main([f"{shard}/", "--out", CTF, "--result", "micrographs_ctf.star"]) == 0
    assert (shard / "micrographs_ctf.star").read_text() == empty
    assert not (shard / "nothing").exists()


def test_a_shard_without_picks_passes_if_all_of_it_was_looked_at(project: Path) -> None:
    shard, out = Path("AutoPick/job004/.shards/0001"), "AutoPick/job004/"
    listed = shard / "CtfFind/job003/micrographs_ctf.star"
    listed.parent.mkdir(parents=True)
    head = "data_\n\nloop_\n_rlnMicrographName #1\n"
    listed.write_text(head + "".join(f"MotionCorr/job002/Movies/{x}.mrc\n" for x in "ab"))
    made = shard / out / "Movies"
    made.mkdir(parents=True)
    words = ["--out", out, "--list", "CtfFind/job003/micrographs_ctf.star"]
    words = [f"{shard}/", *words, "--result", "summary.star"]
    (made / "a_autopick.star").touch()
    assert unpicked.main(words) == 1
    (made / "b_autopick.star").touch()
    assert unpicked.main(words) == 0
    assert (shard / out / "summary.star").exists()
    (made / "b_autopick.star").write_text("data_\n")
    assert unpicked.main(words) == 1


# ---------------------------------------------------------------------------- the window's list


MOTION = Record(name=OUT, step="motion_correction", version="3.1", type="1")


def in_window(project: Path) -> str:
    """Return the state of motion correction in RELION's own list."""
    found = JobList.read((project / joblist.FILE).read_text(), RELION_3_1)
    return found.state(OUT)


def test_the_window_shows_one_job_that_runs_while_its_shards_do(project: Path) -> None:
    fill(project)
    planning.enter(project, [MOTION], 101)
    assert register_.begin(project, OUT)
    (project / OUT / "RELION_JOB_EXIT_SUCCESS").touch()
    assert register_.end(project, OUT)
    assert in_window(project) == SUCCEEDED
    words = [f"{SHARD}/", "--out", OUT, "--take", "Import/job001/movies.star"]
    assert begin.main(words) == 0
    assert in_window(project) == RUNNING
    assert not (project / OUT / "RELION_JOB_EXIT_SUCCESS").exists()
    assert register_.settle(project) == ()
    (SHARD / "RELION_JOB_EXIT_FAILURE").touch()
    planning.enter(project, [MOTION], 101)
    assert in_window(project) == FAILED
    assert begin.main(words) == 0
    assert in_window(project) == RUNNING
    listed = JobList.read((project / joblist.FILE).read_text(), RELION_3_1)
    assert list(listed.names) == [OUT]


# ---------------------------------------------------------------------------------------- state


def test_shards_are_counted_by_what_they_have_left(project: Path) -> None:
    fill(project)
    folder = project / OUT
    assert state.of_job(folder, project) is None
    for shard, marker in (("0001", "RELION_JOB_EXIT_SUCCESS"), ("0009", "run.out")):
        (folder / ".shards" / shard).mkdir(parents=True)
        (folder / ".shards" / shard / marker).touch()
    found = state.of_job(folder, project)
    assert found == state.Shards(total=2, begun=1, done=1, failed=0)
    assert str(found) == "1 of 2 shards done"
    assert found.open
    (folder / ".shards/0002").mkdir()
    (folder / ".shards/0002/RELION_JOB_EXIT_FAILURE").touch()
    assert str(state.of_job(folder, project)) == "1 of 2 shards done, 1 failed"


def test_status_tells_of_a_step_s_shards(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from relion_dispatch.cli import main

    fill(project)
    (project / OUT / "RELION_JOB_EXIT_SUCCESS").parent.mkdir(parents=True)
    (project / OUT / "RELION_JOB_EXIT_SUCCESS").touch()
    for shard, marker in (("0001", "SUCCESS"), ("0002", "FAILURE")):
        (project / OUT / ".shards" / shard).mkdir(parents=True)
        (project / OUT / ".shards" / shard / f"RELION_JOB_EXIT_{marker}").touch()
    main(["status"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "job002" in line]
    assert "failed" in line
    assert "1 of 2 shards done, 1 failed" in line


# ---------------------------------------------------------------------------------------- rules


def shards_in(
    project: Path, changes: Mapping[str, Any], version: str = "3.1"
) -> tuple[Any, dict[str, str]]:
    """Return the rules of a project on three movies, and the commands of a shard's jobs."""
    from relion_dispatch.pipeline.settings import merge
    from tests.unit.pipeline_chain import MINIMUM
    from tests.unit.rules_reader import rules

    (project / "Movies").mkdir(exist_ok=True)
    for name in "abc":
        (project / f"Movies/{name}.mrcs").touch()
    config = {**MINIMUM, "relion_version": version, "movies": "Movies/*.mrcs"}
    found = rules(merge({**config, "preprocessing": {"movies_per_job": 2}}, changes))

    class Wildcards:
        shard = "0001"

    lines = {
        name: "\n".join(rule.values("params")["relion"](Wildcards, ()))
        for name, rule in found.rules.items()
        if name.endswith("_shard")
    }
    return found, lines


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.1", "4.0", "5.0"])
def test_every_step_up_to_extraction_has_its_shards(project: Path, version: str) -> None:
    found, lines = shards_in(project, {}, version)
    steps = ("motion_correction", "ctf", "picking", "extraction")
    assert sorted(lines) == sorted(f"{step}_shard" for step in steps)
    for step in steps:
        made = found.rules[step].values("input")["shards"]
        (pattern,) = found.rules[f"{step}_shard"].files("output")
        assert made == [pattern.format(shard=shard) for shard in ("0001", "0002")]
        joining = "\n".join(found.rules[step].values("params")["relion"](None, ()))
        assert "--only_do_unfinished" in joining
        assert "pipeline.begin" not in joining
    listed = version != "3.1"
    assert ("--skip_logfile" in "".join(joined(found, "motion_correction"))) == listed
    assert ("AutoPick/job004/.shards/0001/autopick.star" in lines["extraction_shard"]) == listed


@pytest.mark.slow
def test_a_shard_starts_over_and_everything_else_goes_on(project: Path) -> None:
    found, _ = shards_in(project, {"start": "movies"})

    class Wildcards:
        shard = "0001"

    body = found.rules["motion_correction_shard"].values("params")["job"](Wildcards, ())
    assert "continue.star ]" not in body
    assert "project.enter" not in body
    import_ = found.rules["class2d"].values("params")["job"](None, ())
    assert "pipeline.begin" in import_


@pytest.mark.slow
def test_shards_do_not_meet_on_a_gpu_of_this_machine(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)

    class Wildcards:
        shard = "0001"

    def threads(changes: Mapping[str, Any]) -> int:
        rule = shards_in(project, changes)[0].rules["motion_correction_shard"]
        count: int = rule.values("threads")["0"](Wildcards, attempt=1)
        return count

    local = "{cores: 8, mem_mb: 64000, gpus_per_node: 2, gpu_mem_mb: 16000}"
    (project / "dispatch.yaml").write_text(f"cluster: {{partitions: {{local: {local}}}}}\n")
    motion = {"program": "motioncor2", "executable": "MotionCor2", "serial": True}
    assert threads({"motion_correction": motion}) == 16
    assert threads({}) <= 8


def joined(found: Any, step: str) -> list[str]:
    """Commands of the job that joins a step's shards."""
    lines: list[str] = found.rules[step].values("params")["relion"](None, ())
    return lines


@pytest.mark.slow
def test_shards_depend_on_nothing_that_grows(project: Path) -> None:
    found, lines = shards_in(project, {})

    class Wildcards:
        shard = "0002"

    grown = {"MotionCorr/job002/corrected_micrographs.star", "CtfFind/job003/micrographs_ctf.star"}
    for name in lines:
        inputs = found.rules[name].values("input")
        files = inputs["files"](Wildcards)
        assert files
        assert not grown.intersection(files)
        imported = [str(path) for path in inputs["imported"]]
        assert imported == (["Import/job001/movies.star"] if "motion" in name else [])
        assert all("ancient" in path.flags for path in inputs["imported"])


@pytest.mark.slow
def test_another_optics_group_makes_shards_run_again(project: Path) -> None:
    class Wildcards:
        shard = "0001"

    def science(changes: Mapping[str, Any], step: str) -> list[str]:
        rule = shards_in(project, changes)[0].rules[f"{step}_shard"]
        lines: list[str] = rule.values("params")["science"](Wildcards)
        return lines

    for step in ("motion_correction", "ctf"):
        other = science({"optics": {"voltage": 200}}, step)
        assert (other != science({}, step)) == (step == "motion_correction")
        assert science({"compute": {"pool": 7}}, step) == science({}, step)


@pytest.mark.slow
def test_what_depends_on_all_micrographs_is_one_job(project: Path) -> None:
    coordinates = {"picking": {"method": "coordinates", "coordinates": "Movies/*_pick.star"}}
    assert sorted(shards_in(project, coordinates)[1]) == ["ctf_shard", "motion_correction_shard"]
    topaz = {"train": True, "training_coordinates": "picked.star"}
    trained = {"picking": {"method": "topaz", "topaz": topaz}}
    assert "picking_shard" not in shards_in(project, trained, "4.0")[1]


@pytest.mark.slow
def test_motioncor2_is_joined_without_a_gpu(project: Path) -> None:
    motion = {"motion_correction": {"program": "motioncor2", "executable": "MotionCor2"}}
    found, lines = shards_in(project, motion)
    *_, line = joined(found, "motion_correction")
    assert "--use_motioncor2" in lines["motion_correction_shard"]
    assert "--use_own" in line
    assert "--grouping_for_ps" not in line

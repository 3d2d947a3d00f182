"""What finished jobs teach: statistics, the scheduler's records, the file, sizes that follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import processes
from relion_dispatch.calibration import basis, collect, factors, spreads, usage
from relion_dispatch.calibration.basis import Basis
from relion_dispatch.calibration.factors import Factors, Spread
from relion_dispatch.calibration.finished import Finished, measured
from relion_dispatch.calibration.store import KEPT, Store
from relion_dispatch.calibration.usage import Usage
from relion_dispatch.cli import main
from relion_dispatch.data import DataFacts
from relion_dispatch.duration import SAFETY
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import InputError
from relion_dispatch.healing import attempts
from relion_dispatch.host_memory import host_mem_mb
from relion_dispatch.memory import Problem
from relion_dispatch.profiles import Profile, load_profile
from relion_dispatch.sharding.places import shard_dir
from tests.bench.submitting import particles

ratios = st.lists(st.floats(0.01, 50), min_size=1, max_size=40)
CLASS2D = "`which relion_refine_mpi` --o Class2D/job006/run --i p.star --K 50 --iter 25"
FACTS = DataFacts(box=128, n_particles=200_000)
BASIS = Basis(
    job_type="class2d",
    memory="refine",
    time="refine",
    problem=Problem(box=128, classes=50, dimensions=2, n_particles=200_000, iterations=25),
    ranks_on=(9,),
    gpu=True,
    gpu_speed=2.0,
    partition="m3h",
    mem_mb=20_000,
)


def job(**values: Any) -> Finished:
    return Finished(**{"job_dir": "Class2D/job006", "project": "/p", "basis": BASIS, **values})


def jobs(*peaks: float, minutes: float = 60) -> list[Finished]:
    return [
        job(job_id=str(at), peak_mem_mb=peak, elapsed_min=minutes, end=f"2026-11-22T12:{at:02}:00")
        for at, peak in enumerate(peaks)
    ]


# ------------------------------------------------------------------------------------ statistics


@given(ratios, st.floats(0, 1))
def test_a_quantile_is_between_the_least_and_the_most(values: list[float], part: float) -> None:
    assert min(values) <= spreads.quantile(values, part) <= max(values)
    assert spreads.quantile(values, 0) == min(values)
    assert spreads.quantile(values, 1) == max(values)


@given(ratios)
def test_a_factor_of_memory_is_never_below_what_was_measured(values: list[float]) -> None:
    found = spreads.of_memory(values)
    least, most = spreads.MEMORY_BOUNDS
    assert min(max(values), most) <= found.upper + 1e-3
    assert least <= found.upper <= most
    assert found.least <= found.median <= found.p90 <= found.most
    assert found.jobs == len(values)
    if len(values) < factors.MIN_JOBS:
        assert found.upper >= 1


@given(ratios)
def test_a_factor_of_time_is_above_what_was_measured(values: list[float]) -> None:
    found = spreads.of_time(values, SAFETY)
    assert min(max(values), spreads.TIME_BOUNDS[1]) <= found.upper
    if len(values) < factors.MIN_JOBS:
        assert found.upper >= SAFETY


@given(ratios, st.floats(0.01, 50))
def test_another_job_never_lowers_what_the_largest_needs(values: list[float], more: float) -> None:
    before, after = spreads.of_memory(values), spreads.of_memory([*values, more])
    assert after.most >= before.most
    if before.enough:
        assert after.upper >= before.upper


def test_one_mistake_does_not_run_away() -> None:
    assert spreads.of_memory([0.5, 0.5, 900.0]).upper == spreads.MEMORY_BOUNDS[1]
    assert spreads.of_memory([1e-9] * 5).upper == pytest.approx(0.22)


# ----------------------------------------------------------------------------- which factor counts


def spread(many: int, upper: float) -> Spread:
    return Spread(jobs=many, median=0.5, p90=0.6, least=0.4, most=upper / 1.1, upper=upper)


@pytest.mark.parametrize(
    "own,others,expected",
    [
        (None, None, 1.0),
        (spread(12, 0.6), spread(40, 1.4), 0.6),
        (spread(2, 0.9), None, 1.0),
        (spread(1, 1.3), None, 1.3),
        (spread(1, 1.3), spread(9, 1.5), 1.5),
        (None, spread(9, 1.5), 1.5),
        (None, spread(9, 0.5), 1.0),
    ],
)
def test_few_jobs_and_other_types_only_raise(
    own: Spread | None, others: Spread | None, expected: float
) -> None:
    found = {"refine/class2d": own, "refine": others}
    known = Factors(memory={name: each for name, each in found.items() if each})
    factor = known.of_memory("refine", "class2d")
    assert factor.value == expected
    assert bool(factor.reason) == (expected != 1.0)


def test_small_jobs_teach_nothing_of_large_ones() -> None:
    small = [job(peak_mem_mb=0.5 * BASIS.predicted_mem_mb, job_id=str(at)) for at in range(3)]
    known = Store().with_jobs(small).factors.of_memory("refine", "class2d")
    largest = BASIS.predicted_rank_mb
    assert known.largest_mb == largest
    assert known.of_mb(largest) == factors.scaled(largest, known.value)
    assert known.of_mb(100 * largest) > 98 * largest
    more = replace(known, value=1.5)
    assert more.of_mb(100 * largest) == 150 * largest


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.2, 4), st.integers(0, 10**5))
def test_more_is_never_made_less(one: int, other: int, value: float, largest: int) -> None:
    factor = factors.Factor(value=value, largest_mb=largest)
    least, most = sorted((one, other))
    assert factor.of_mb(least) <= factor.of_mb(most)
    assert factor.of_mb(most) >= factors.scaled(most, min(value, 1))


def test_the_reason_tells_the_jobs_and_their_range() -> None:
    known = Factors(memory={"refine/class2d": spread(12, 1.32)})
    reason = known.of_memory("refine", "class2d").reason
    assert reason == "by 12 finished jobs here: ×1.3 (0.4 to 1.2 measured)"


def test_of_two_files_the_richer_kind_counts() -> None:
    site = Factors(memory={"refine": spread(100, 1.2), "volume": spread(5, 2)})
    user = Factors(memory={"refine": spread(3, 3.0), "polish": spread(4, 0.7)})
    both = user.over(site).memory
    assert {name: each.upper for name, each in both.items()} == {
        "refine": 1.2,
        "volume": 2,
        "polish": 0.7,
    }


# ----------------------------------------------------------------------------------- sizes follow


@pytest.fixture
def m3() -> Profile:
    return replace(load_profile("m3"), factors=factors.NONE)


def sized(profile: Profile, known: Factors) -> Plan:
    request = Request(commands=(CLASS2D,), data=FACTS)
    return plan(request, replace(profile, factors=known))


def test_memory_follows_and_says_why(m3: Profile) -> None:
    before = sized(m3, factors.NONE)
    after = sized(m3, Factors(memory={"refine/class2d": spread(12, 2.0)}))
    assert after.mem_mb == pytest.approx(2 * before.mem_mb, abs=200)
    assert any(", by 12 finished jobs here: ×2 (" in note for note in after.notes)
    assert not any("finished job" in note for note in before.notes)


def test_time_follows_in_its_own_partition(m3: Profile) -> None:
    before = sized(m3, factors.NONE)
    here = Factors(time={"refine/class2d@m3h": spread(8, 6.0)})
    elsewhere = Factors(time={"refine/class2d@m3g": spread(8, 6.0)})
    assert before.partition == "m3h"
    assert before.runtime_min is not None
    assert sized(m3, elsewhere).runtime_min == before.runtime_min
    after = sized(m3, here).runtime_min
    assert after == pytest.approx(before.runtime_min * 6 / SAFETY, abs=6)
    assert any("minutes, by 8 finished jobs" in note for note in sized(m3, here).notes)


def test_where_the_data_tell_nothing_the_type_alone_counts(m3: Profile) -> None:
    line = "`which relion_import` --odir Import/job001/ --i 'Movies/*.mrcs'"

    def mem_mb(known: dict[str, Spread]) -> int:
        made = replace(m3, factors=Factors(memory=known))
        return plan(Request(commands=(line,)), made).mem_mb

    assert mem_mb({"flat/import": spread(3, 0.5)}) == mem_mb({}) / 2
    assert mem_mb({"flat/ctffind_ctffind": spread(3, 3.0)}) == mem_mb({})


@given(
    st.lists(st.floats(100, 30_000), min_size=1, max_size=12),
    st.integers(32, 300),
    st.integers(1, 12),
)
def test_no_job_would_get_less_than_it_took(peaks: list[float], box: int, threads: int) -> None:
    problem = replace(BASIS.problem, box=box)
    made = replace(BASIS, problem=problem, cpus_per_task=threads)
    found = [job(basis=made, peak_mem_mb=peak, job_id=str(peak)) for peak in peaks]
    factor = Store().with_jobs(found).factors.of_memory("refine", "class2d").value
    bound = spreads.MEMORY_BOUNDS[1] * made.predicted_mem_mb
    assert factor * made.predicted_mem_mb >= min(max(peaks), bound) * 0.9999


# ----------------------------------------------------------------------------- what a plan leaves


def test_a_basis_survives_its_file(tmp_path: Path, m3: Profile) -> None:
    made = sized(m3, Factors(memory={"refine/class2d": spread(12, 2.0)}))
    assert made.basis is not None
    kept = replace(made, script_path=str(tmp_path / "run_submit.script.run"))
    basis.note(kept)
    assert basis.read(tmp_path / "run_submit.script.json") == made.basis
    assert made.basis.partition == "m3h"
    assert made.basis.gpu_speed == 2.0


def test_a_prediction_is_the_models_own_whatever_was_learned(m3: Profile) -> None:
    plain, taught = (
        sized(m3, known).basis
        for known in (factors.NONE, Factors(memory={"refine/class2d": spread(12, 1.1)}))
    )
    assert plain is not None
    assert taught is not None
    assert taught.predicted_mem_mb == plain.predicted_mem_mb < taught.mem_mb
    per_rank = host_mem_mb("refine", plain.problem, plain.cpus_per_task) or 0
    assert plain.predicted_mem_mb > per_rank * sum(plain.ranks_on)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"job_type": "a"}', '{"problem": {}}', "\xff"])
def test_a_spoilt_basis_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    assert basis.read(tmp_path / "a.json") is None
    assert basis.read(tmp_path / "missing.json") is None


def test_submit_leaves_the_basis_beside_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = processes.Completed(returncode=0, stdout="Submitted batch job 71\n", stderr="")
    monkeypatch.setattr(processes, "run", lambda *a, **k: said)
    monkeypatch.chdir(tmp_path)
    folder = Path("Class2D/job006")
    folder.mkdir(parents=True)
    (folder / "run_submit.script").write_text(f"{folder}/run.out\n{folder}/run.err\n{CLASS2D}\n")
    assert main(["submit", "--profile", "m3", f"{folder}/run_submit.script"]) == 0
    assert "71" in capsys.readouterr().out
    kept = basis.read(folder / "run_submit.script.json")
    assert kept is not None
    assert (kept.job_type, kept.partition, kept.leader) == ("class2d", "m3h", True)


# ---------------------------------------------------------------------------- what a job has taken

SACCT = """\
7|COMPLETED|3600|||3|2026-11-22T12:00:00|m3h
7.batch|COMPLETED|3600|5000000K|1|1|2026-11-22T12:00:00|
7.extern|COMPLETED|3600|9000M|3|3|2026-11-22T12:00:00|
7.0|COMPLETED|3590|4000M|2|2|2026-11-22T12:00:00|
8|CANCELLED by 0|12|||1|2026-11-22T12:00:00|comp
8.batch|CANCELLED|12||1|1|2026-11-22T12:00:00|
9|COMPLETED|100|||2|2026-11-22T12:00:00|comp
9.batch|COMPLETED|100|20M|1|1|2026-11-22T12:00:00|
9.0|COMPLETED|90|1G|9|2|2026-11-22T12:00:00|
"""


def test_what_sacct_prints_is_read() -> None:
    found = usage.read(SACCT)
    assert [each.state for each in found.values()] == ["COMPLETED", "CANCELLED", "COMPLETED"]
    assert found["7"].peak_mb == pytest.approx(5_000_000 / 1024)  # mpirun's ranks of the first node
    assert found["8"].peak_mb is None
    assert found["9"].peak_mb == 20 + 5 * 1024  # srun's ranks, five on a node, beside the script
    assert (found["7"].elapsed_s, found["7"].nodes, found["7"].partition) == (3600, 3, "m3h")


@given(st.text(max_size=200))
def test_any_text_of_sacct_can_be_read(text: str) -> None:
    for each in usage.read(text).values():
        assert each.peak_mb is None or each.peak_mb >= 0


@given(st.floats(0.001, 10**6), st.sampled_from("KMGT"))
def test_sizes_are_read_in_any_unit(value: float, unit: str) -> None:
    assert usage.mib(f"{value:.6f}{unit}") == pytest.approx(
        round(value, 6) * usage.MIB_PER[unit], rel=1e-6
    )


@pytest.mark.parametrize("text", ["", "16?", "x", "1..2K"])
def test_what_is_no_size_is_none(text: str) -> None:
    assert usage.mib(text) is None


@pytest.mark.parametrize(
    "config,seconds",
    [
        ("JobAcctGatherFrequency  = 5\n", 5),
        ("A = 1\nJobAcctGatherFrequency  = energy=60,task=10\n", 10),
        ("JobAcctGatherFrequency = task=15,energy=30", 15),
        ("", 30),
    ],
)
def test_how_often_slurm_looks(config: str, seconds: int) -> None:
    assert usage.sampled_every_s(config) == seconds


def test_relions_own_estimates_are_found() -> None:
    text = (
        " Estimated memory for expectation  step > 1.25 Gb.\n"
        " Estimated memory for maximization step > 2.5 Gb.\n"
        " Estimated memory for expectation  step > 0.5 Gb.\n"
    )
    assert usage.estimated_mb(text) == 2560
    assert usage.estimated_mb("nothing") is None


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("relion-dispatch: exit code 0 after 71 s\n", 71),
        ("relion-dispatch: exit code 0 after 71 s\nrelion-dispatch: exit code 1 after 3 s\n", None),
        ("", None),
    ],
)
def test_how_long_a_job_ran_is_in_its_output(text: str, seconds: int | None) -> None:
    assert usage.ran_for_s(text) == seconds


def used(state: str = "COMPLETED", seconds: int = 3600, peak: float = 9000) -> Usage:
    step = usage.Step(name="batch", max_rss_mb=peak, tasks=1, nodes=1)
    return Usage(state=state, elapsed_s=seconds, steps=(step,), partition="m3h")


def test_only_jobs_that_tell_something_count() -> None:
    done = measured(job(), used(), None, 30)
    assert done is not None
    assert (done.peak_mem_mb, done.elapsed_min) == (9000, 60)
    assert measured(job(), used("FAILED"), None, 30) is None
    assert measured(job(), used("RUNNING"), None, 30) is None


def test_a_short_job_was_not_looked_at_often_enough() -> None:
    short = measured(job(), used(seconds=60), None, 30)
    assert short is not None
    assert (short.peak_mem_mb, short.memory_ratio) == (None, None)
    assert measured(job(), used(seconds=120), None, 30) != short


def test_a_job_out_of_memory_needs_more_than_it_had() -> None:
    killed = measured(job(), used("OUT_OF_MEMORY", peak=100), None, 30)
    assert killed is not None
    assert killed.memory_ratio == BASIS.mem_mb / BASIS.predicted_mem_mb
    assert killed.time_ratio is None


def test_a_job_out_of_time_needs_more_than_it_had() -> None:
    stopped = measured(job(), used("TIMEOUT"), None, 30)
    assert stopped is not None
    assert stopped.time_ratio == 60 / (BASIS.predicted_min or 0)


def test_seconds_tell_nothing_of_hours() -> None:
    assert job(elapsed_min=0.5).time_ratio is None
    assert job(elapsed_min=2).time_ratio == 2 / (BASIS.predicted_min or 0)


def test_relions_estimate_only_raises() -> None:
    quick = used(seconds=1)
    low, high = (measured(job(), quick, each, 30) for each in (1.0, 10**5))
    assert low is not None
    assert high is not None
    assert low.memory_ratio is None
    assert high.memory_ratio == pytest.approx(9e5 / BASIS.predicted_mem_mb)


# --------------------------------------------------------------------------------------- the file


def test_the_file_holds_factors_and_the_jobs_behind_them(tmp_path: Path) -> None:
    store = Store().with_jobs(jobs(5000, 6000, 7000))
    store.write(tmp_path / "calibration.json")
    data = json.loads((tmp_path / "calibration.json").read_text())
    assert data["memory"]["refine/class2d"]["jobs"] == 3
    assert {each["job_id"] for each in data["jobs"]} == {"0", "1", "2"}
    assert factors.load(tmp_path, "nobody's") == store.factors
    assert Store.read(tmp_path / "calibration.json") == store


def test_factors_of_another_version_are_worked_out_anew(tmp_path: Path) -> None:
    store = Store().with_jobs(jobs(5000, 6000, 7000))
    data = {**json.loads(store.text()), "version": "0", "memory": {}, "time": {}}
    (tmp_path / "calibration.json").write_text(json.dumps(data))
    assert factors.load(tmp_path, "nobody's") == store.factors


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1}', '{"jobs": [1, {}]}'])
def test_a_spoilt_file_teaches_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    assert factors.load(tmp_path, "nobody's") == factors.NONE


def test_a_job_counts_once_and_of_many_the_newest() -> None:
    store = Store().with_jobs(jobs(5000, 6000)).with_jobs(jobs(7000, 6000))
    assert [each.peak_mem_mb for each in store.jobs] == [7000, 6000]
    many = [job(job_id=str(at), end=f"{at:06}", peak_mem_mb=1.0) for at in range(KEPT + 7)]
    kept = Store().with_jobs(many).jobs
    assert [each.job_id for each in kept] == [str(at) for at in range(7, KEPT + 7)]


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's profile, a project with three finished jobs, and what sacct knows of them."""
    folder = tmp_path / "site"
    folder.mkdir()
    shipped = load_profile("m3").path / "dispatch.yaml"
    (folder / "dispatch.yaml").write_text(shipped.read_text())
    lines = []
    for at in (1, 2, 3, 4):
        made = tmp_path / f"project/Class2D/job00{at}"
        made.mkdir(parents=True)
        (made / "run_submit.script.json").write_text(json.dumps(BASIS.to_json()))
        (made / "run.jobid").write_text(f"Submitted batch job {70 + at}\n")
        state = "FAILED" if at == 4 else "COMPLETED"
        lines += [f"{70 + at}|{state}|9000|||1|2026-11-22T0{at}:00:00|m3h"]
        lines += [f"{70 + at}.batch|{state}|9000|{at}000M|1|1|2026-11-22T0{at}:00:00|"]
    said = {"sacct": "\n".join(lines), "scontrol": "JobAcctGatherFrequency = 30\n"}
    monkeypatch.setattr(collect, "_said", lambda argv: said[argv[0]])
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def test_a_dry_run_shows_and_keeps_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--profile", str(site), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "refine/class2d " in shown
    assert "3 finished jobs found; 3 known in all." in shown
    assert "1 left out: running, failed or cancelled." in shown
    assert not (site / "calibration.json").exists()


def test_a_calibration_goes_to_the_profile_and_is_used(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--profile", str(site), "."]) == 0
    assert str(site / "calibration.json") in capsys.readouterr().out
    known = load_profile(str(site)).factors
    expected = 3000 / BASIS.predicted_mem_mb
    assert known.memory["refine/class2d"].most == pytest.approx(expected, abs=1e-3)
    assert known.time["refine/class2d@m3h"].jobs == 3


def test_a_shipped_profile_is_left_as_it_is(site: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in load_profile("m3").path.iterdir())
    assert main(["calibrate", "--profile", "m3"]) == 0
    assert sorted(path.name for path in load_profile("m3").path.iterdir()) == before
    assert (tmp_path / "config/relion-dispatch/calibration/m3.json").exists()
    assert load_profile("m3").factors.memory["refine"].jobs == 3


def test_another_file_can_be_named(site: Path, tmp_path: Path) -> None:
    assert main(["calibrate", "--profile", str(site), "--output", f"{tmp_path}/a.json"]) == 0
    assert Store.read(tmp_path / "a.json").factors.memory["refine"].jobs == 3


def test_records_of_another_cluster_do_not_count(site: Path) -> None:
    path = Path("Class2D/job001/run_submit.script.json")
    path.write_text(json.dumps({**BASIS.to_json(), "partition": "gpu_a"}))
    found = collect.collect([Path()], scheduler=True)
    assert len(found.jobs) == 2
    assert found.left_out["the scheduler's records mean another job"] == 1


def test_without_records_the_jobs_output_tells_the_time(site: Path) -> None:
    Path("Class2D/job002/run.out").write_text("relion-dispatch: exit code 0 after 600 s\n")
    found = collect.collect([Path()], scheduler=False)
    assert [(each.peak_mem_mb, each.elapsed_min) for each in found.jobs] == [(None, 10.0)]


def test_the_time_of_a_part_is_not_that_of_the_whole(site: Path) -> None:
    attempts.note("Class2D/job001", 1, attempts.STARTED)
    attempts.note("Class2D/job001", 2, attempts.STARTED, continued=11)
    found = collect.collect([Path()], scheduler=True)
    assert [each.elapsed_min for each in found.jobs] == [None, 150, 150]
    assert all(each.peak_mem_mb for each in found.jobs)


def test_shards_are_jobs_too(site: Path) -> None:
    shard = Path(shard_dir("MotionCorr/job002/", "s0001"))
    shard.mkdir(parents=True)
    (shard / "run_submit.script.json").write_text(json.dumps(BASIS.to_json()))
    (shard / "run.out").write_text("relion-dispatch: exit code 0 after 600 s\n")
    (shard / "run.exit").write_text("0\n")
    (found,) = collect.collect([Path()], scheduler=False).jobs
    assert found.job_dir == str(shard)
    assert found.end.startswith("20")


def test_the_job_is_the_one_that_was_noted_last(site: Path) -> None:
    attempts.note("Class2D/job001", 1, attempts.SUBMITTED, job_id="73")
    assert collect.collect([Path()], scheduler=True).jobs[0].job_id == "73"


def test_a_project_that_is_none_is_told(site: Path) -> None:
    with pytest.raises(InputError, match="no directory"):
        collect.collect([Path("nowhere")], scheduler=True)


def test_nothing_found_writes_nothing(site: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["calibrate", "--profile", str(site), str(tmp_path / "empty")]) == 0
    assert not (site / "calibration.json").exists()


def test_explain_shows_what_was_learned(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["calibrate", "--profile", str(site)])
    capsys.readouterr()
    particles(Path("p.star"), rows=100)
    assert main(["explain", "--profile", str(site), "--", CLASS2D]) == 0
    assert ", by 3 finished jobs here: ×" in capsys.readouterr().out

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch.engine import Request, plan
from relion_dispatch.errors import InputError
from relion_dispatch.profiles import load_profile
from relion_dispatch.submit import Submission, planned

COMMAND = "`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --i a.star --ref map.mrc"


@pytest.mark.parametrize("asked, ranks", [("1", 9), ("5", 5), ("6", 9)])
def test_the_windows_mpi_processes_are_ranks_where_they_can_be_laid_out(
    asked: str, ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two halves of workers on two GPUs: five ranks can be laid out, six cannot."""
    monkeypatch.chdir(tmp_path)
    lines = ("Refine3D/job019/run.out", "Refine3D/job019/run.err", f"# mpinodes: {asked}", COMMAND)
    script = tmp_path / "run_submit.script"
    script.write_text("\n".join(lines) + "\n")
    made = planned(Submission(script=str(script), profile="m3"))
    assert made.ntasks == ranks
    assert any("not heeded" in note for note in made.notes) == (asked == "6")


def test_a_slip_in_a_parameters_name_is_told() -> None:
    request = Request(commands=(COMMAND,), overrides={"ntheads": 4})
    with pytest.raises(InputError, match=r"'ntheads': did you mean 'nthread'\?"):
        plan(request, load_profile("m3"))


def test_parameters_of_a_sites_own_templates_are_left_alone() -> None:
    made = plan(Request(commands=(COMMAND,), overrides={"colour": "red"}), load_profile("m3"))
    assert made.parameters["colour"] == "red"


@pytest.mark.parametrize(
    "name, value",
    [("nproc", "-3"), ("ngpu", -1), ("nthread", "-2"), ("nodes", "1.5"), ("nproc", "many")],
)
def test_numbers_are_whole_and_not_below_zero(name: str, value: object) -> None:
    request = Request(commands=(COMMAND,), overrides={name: value})
    with pytest.raises(InputError, match=f"{name}: expected a whole number, not below 0"):
        plan(request, load_profile("m3"))


@pytest.mark.parametrize(
    "name, meant",
    [("time", "runtime"), ("gpus", "ngpu"), ("ntasks", "nproc"), ("mem_mb", "mem")],
)
def test_what_templates_and_slurm_call_it_is_told_too(name: str, meant: str) -> None:
    request = Request(commands=(COMMAND,), overrides={name: 4})
    with pytest.raises(InputError, match=f"'{name}': did you mean '{meant}'"):
        plan(request, load_profile("m3"))


def test_locked_ranks_are_no_matter_of_the_window(tmp_path: Path) -> None:
    site = tmp_path / "dispatch.yaml"
    site.write_text(
        "cluster: {partitions: {gpu: {cores: 28, mem_mb: 240000, gpus_per_node: 2}}}\n"
        "job_types: {refine: {locked: [nproc]}}\n"
    )
    profile = load_profile(site)
    by_launcher = Request(commands=(f"mpirun -n 5 {COMMAND}",))
    by_window = Request(commands=(COMMAND,), overrides={"hoped_nproc": 5})

    assert plan(by_launcher, profile).ntasks == 9
    assert plan(by_window, profile).ntasks == 9


@pytest.mark.parametrize(
    "line, overrides, said",
    [
        ("relion_run_motioncorr --use_motioncor2 --i a", {"nproc": 4}, "4 ranks asked for, but"),
        ("mpirun -n 4 relion_run_ctffind_mpi --use_gctf --i a", {}, "4 ranks asked for, but"),
        ("relion_refine --denovo_3dref --i a", {"hoped_nproc": 5}, "5 ranks asked for, but"),
        ("relion_run_ctffind --i a", {"nproc": 4}, ""),
    ],
)
def test_a_program_that_takes_other_ranks_says_so(
    line: str, overrides: dict[str, object], said: str
) -> None:
    made = plan(Request(commands=(line,), overrides=overrides), load_profile("m3"))
    notes = [note for note in made.notes if "asked for, but this job takes" in note]

    assert notes == ([f"{said} this job takes {made.ntasks}."] if said else [])

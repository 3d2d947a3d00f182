"""Command lines for going on, and fingerprints of what a job computes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from relion_dispatch.command import Command
from relion_dispatch.healing.continuing import begin_command, continued, science
from relion_dispatch.healing.directory import fingerprint

REFINE = (
    "mpirun -n 3 `which relion_refine_mpi` --o Refine3D/job035/run --auto_refine"
    " --split_random_halves --i Extract/job034/particles.star --ref Extract/job034/reference.mrc"
    " --firstiter_cc --ini_high 25 --dont_combine_weights_via_disc --preread_images --pool 30"
    " --pad 1 --skip_gridding --ctf --ctf_corrected_ref --particle_diameter 140"
    " --flatten_solvent --zero_mask --oversampling 1 --healpix_order 1"
    " --auto_local_healpix_order 3 --offset_range 3 --offset_step 2 --sym D2"
    " --low_resol_join_halves 40 --norm --scale --solvent_mask 'my mask.mrc'"
    " --solvent_correct_fsc --maxsig 10 --random_seed 1 --pipeline_control Refine3D/job035/"
    ' --j 1 --gpu "0:1" >>log.txt'
)
CONTINUED = (
    "mpirun -n 3 `which relion_refine_mpi` --continue Refine3D/job035/continue.star"
    " --o Refine3D/job035/run --dont_combine_weights_via_disc --preread_images --pool 30 --pad 1"
    " --skip_gridding --particle_diameter 140 --auto_local_healpix_order 3"
    " --solvent_mask 'my mask.mrc' --solvent_correct_fsc --maxsig 10"
    ' --pipeline_control Refine3D/job035/ --j 1 --gpu "0:1" >>log.txt'
)


def going_on(line: str, job_dir: str = "Refine3D/job035/") -> str | None:
    found = continued(Command.parse(line), job_dir)
    return None if found is None else str(found)


def test_a_refinement_goes_on_with_what_relions_window_gives_it() -> None:
    assert going_on(REFINE) == CONTINUED


def test_what_goes_on_goes_on_once_more() -> None:
    assert going_on(CONTINUED) == CONTINUED
    of_window = REFINE.replace("--i ", "--continue Refine3D/job035/run_it009_optimiser.star --i ")
    assert going_on(of_window) == CONTINUED


def test_a_classification_keeps_its_iterations_and_its_mode() -> None:
    options = "--iter 25 --tau2_fudge 2 --skip_align"
    line = f"`which relion_refine` --o C/job1/run --i a.star --K 4 {options}"
    expected = f"--continue C/job1/continue.star --o C/job1/run {options}"
    assert going_on(line, "C/job1/") == f"`which relion_refine` {expected}"


@pytest.mark.parametrize(
    "program",
    ["run_motioncorr", "run_ctffind", "autopick", "preprocess", "ctf_refine", "motion_refine"],
)
def test_others_leave_out_what_is_finished(program: str) -> None:
    line = f"mpirun -n 4 `which relion_{program}_mpi` --i a.star --o X/job1/"
    assert going_on(line, "X/job1/") == f"{line} --only_do_unfinished"
    assert going_on(f"{line} --min_p 10", "X/job1/") is None


@pytest.mark.parametrize("line", ["`which relion_postprocess` --o P/job1/x", "echo hello", "true"])
def test_the_rest_starts_over(line: str) -> None:
    assert going_on(line) is None


def test_science_is_what_is_computed_not_how() -> None:
    bare = REFINE.replace("mpirun -n 3 ", "").replace("_mpi`", "`").replace(' --gpu "0:1"', "")
    assert science([REFINE]) == science([bare.replace("--j 1", "--j 7").replace("--pool 30 ", "")])
    assert science([REFINE]) != science([REFINE.replace("--sym D2", "--sym C1")])


def test_a_changed_file_is_another_computation(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    missing = fingerprint("x", [str(path)])
    path.write_text("1")
    one = fingerprint("x", [str(path)])
    path.write_text("12")
    assert len({missing, one, fingerprint("x", [str(path)]), fingerprint("y", [str(path)])}) == 4


def test_what_comes_first_knows_input_and_root() -> None:
    words = shlex.split(begin_command([REFINE], "Refine3D/job035/", clean=True))[4:]
    assert words[:4] == ["Refine3D/job035/", "--clean", "--root", "Refine3D/job035/run"]
    assert words[words.index("--input") + 1 :] == [
        "Extract/job034/particles.star",
        "Extract/job034/reference.mrc",
        "my mask.mrc",
    ]
    ctf = begin_command(
        ["`which relion_run_ctffind` --i a.star --o C/job1/"], "C/job1/", clean=False
    )
    assert "--unfinished" in ctf
    assert "--clean" not in ctf
    mask = begin_command(
        ["`which relion_mask_create` --i a.mrc --o M/job1/m.mrc"], "M/job1/", clean=True
    )
    assert shlex.split(mask)[4:] == ["M/job1/", "--clean"]

"""Which type a command is, and what its ancestors add up to."""

from __future__ import annotations

import pytest

from relion_dispatch import jobtypes
from relion_dispatch.command import Command
from relion_dispatch.errors import InputError, NoMatchError
from relion_dispatch.jobtypes import Job, JobType
from relion_dispatch.profiles import shipped_job_types


def job(line: str, directory: str = "", label: str | None = None) -> Job:
    return Job(command=Command.parse(line), directory=directory, label=label)


def shipped(line: str, directory: str = "") -> str:
    return jobtypes.find(shipped_job_types(), job(line, directory))


TYPES = {
    "base": JobType(
        match_command=("None",), job_parameters={"nproc": 1, "mem": "1G"}, ranks="every"
    ),
    "special": JobType(
        inherits="base",
        match_command=("relion_refine",),
        match_parameter=("K", "sym=C1"),
        nomatch_parameter=("ref",),
        job_parameters={"nproc": 5},
        locked=("mem",),
    ),
    "labelled": JobType(match_command=("relion_refine",), match_label=("relion.class2d*",)),
    "placed": JobType(match_directory=("External/*",)),
    "rest": JobType(inherits="special", match_command=("relion_ref*",)),
}


@pytest.mark.parametrize(
    "line, directory, label, expected",
    [
        ("relion_refine --K 3 --sym C1", "", "relion.class3d", "special"),
        ("relion_refine --K 3 --sym D2", "", "relion.class3d", "rest"),
        ("relion_refine --K 3 --sym C1 --ref a", "", "relion.class3d", "rest"),
        ("relion_refine_mpi --K 3", "", "relion.class2d.em", "labelled"),
        ("relion_refine --o a", "", None, "labelled"),  # without job.star its command must do
        ("anything --at all", "External/job001/", None, "placed"),
        ("/opt/bin/relion_refine2 --o a", "", None, "rest"),
    ],
)
def test_the_first_type_that_matches_is_taken(
    line: str, directory: str, label: str | None, expected: str
) -> None:
    assert jobtypes.find(TYPES, job(line, directory, label)) == expected


def test_what_nothing_matches_gets_the_nearest_types() -> None:
    with pytest.raises(NoMatchError) as caught:
        jobtypes.find(TYPES, job("relion_rfine --K 3"))

    message = str(caught.value)
    assert "no job type matches 'relion_rfine'" in message
    assert "special: command relion_refine, with --K --sym=C1, without --ref" in message


def test_a_chain_is_laid_over_its_base() -> None:
    found = jobtypes.resolve(TYPES, "rest")

    assert found.chain == ("base", "special", "rest")
    assert found.parameters == {"nproc": 5, "mem": "1G"}
    assert (found.ranks, found.threads, found.gpu) == ("every", False, "none")
    assert found.locked == {"mem"}


def test_a_type_that_is_asked_for_must_exist() -> None:
    with pytest.raises(InputError, match="no job type 'specail'; did you mean special"):
        jobtypes.resolve(TYPES, "specail")


# Command lines after RELION's sources of versions 3.1, 4.0 and 5.0.
@pytest.mark.parametrize(
    "line, directory, expected",
    [
        ("relion_import --do_movies", "", "import"),
        ("relion_run_motioncorr_mpi --use_own", "", "motioncorr"),
        ("relion_run_motioncorr --use_motioncor2", "", "motioncorr_motioncor2"),
        ("relion_run_ctffind --use_gctf", "", "ctffind_gctf"),
        ("relion_run_ctffind --is_ctffind4", "", "ctffind_ctffind"),
        ("relion_manualpick --i a", "", "manualpick"),
        ("relion_autopick --LoG", "", "autopick_log"),
        ("relion_autopick --ref a", "", "autopick_ref"),
        ("relion_autopick --topaz_extract", "", "autopick_topaz"),
        ("relion_autopick --topaz_train", "", "topaz_train"),
        ("relion_preprocess --extract", "", "extract"),
        ("relion_display --gui", "", "select_interactive"),
        ("relion_class_ranker --opt a", "", "select_class_ranker"),
        ("relion_star_handler --split", "Select/job1/", "select"),
        ("relion_star_handler --combine", "", "joinstar"),
        ("relion_refine --K 50 --psi_step 12", "", "class2d"),
        ("relion_refine --K 50 --grad", "", "class2d_vdam"),
        ("relion_refine --continue a --grad", "Class2D/job1/", "class2d_vdam"),
        ("relion_refine --continue a", "Class2D/job1/", "class2d_continue"),
        ("relion_refine --denovo_3dref --grad", "", "initialmodel"),
        ("relion_refine --denovo_3dref --sgd", "", "initialmodel"),
        ("relion_refine --K 3 --ref a", "", "class3d"),
        ("relion_refine --K 3 --ref a --skip_align", "", "refine_noalign"),
        ("relion_refine --continue a", "Class3D/job1/", "class3d_continue"),
        ("relion_refine --auto_refine --split_random_halves --ref a", "", "refine3d"),
        ("relion_refine --continue a", "Refine3D/job1/", "refine3d_continue"),
        ("relion_refine --continue a", "elsewhere/", "refine_continue"),
        ("relion_refine --continue a --multibody_masks b", "", "refine_multibody"),
        ("relion_flex_analyse --PCA_orient", "", "flex_analyse"),
        ("relion_mask_create --i a", "", "maskcreate"),
        ("relion_postprocess --mask a", "", "postprocess"),
        ("relion_postprocess_mpi --locres", "", "localres"),
        ("relion_particle_subtract --i a", "", "subtract"),
        ("relion_particle_subtract --revert a", "", "subtract_revert"),
        ("relion_ctf_refine --fit_defocus", "", "ctfrefine"),
        ("relion_motion_refine --combine_frames", "", "polish"),
        ("relion_motion_refine --min_p 3 --eval_frac 0.5", "", "polish_train"),
        ("relion_image_handler --i a", "", "image_handler"),
        ("relion_align_symmetry --i a", "", "tool"),
        ("relion_python_dynamight explore", "", "dynamight"),
        ("relion_python_modelangelo build", "", "modelangelo"),
        ("/opt/bin/dynamight explore", "", "dynamight"),
        ("/opt/bin/model_angelo build", "", "modelangelo"),
        ("/opt/my_dynamight.sh explore", "DynaMight/job1/", "dynamight_own"),
        ("/opt/my_angelo.sh build", "ModelAngelo/job1/", "modelangelo_own"),
        ("relion_python_tomo_import SerialEM", "", "tomo_import"),
        ("relion_python_tomo_exclude_tilt_images", "", "tomo_exclude_tilts"),
        ("relion_align_tiltseries --aretomo", "", "tomo_align_tiltseries_aretomo"),
        ("relion_align_tiltseries --imod_fiducials", "", "tomo_align_tiltseries"),
        ("relion_tomo_reconstruct_tomogram --t a", "", "tomo_reconstruct_tomograms"),
        ("relion_python_tomo_denoise train", "", "tomo_denoise"),
        ("relion_python_tomo_pick particles", "", "tomo_pick"),
        ("relion_tomo_subtomo_mpi --i a", "", "tomo_subtomo"),
        ("relion_tomo_refine_ctf --i a", "", "tomo_ctfrefine"),
        ("relion_tomo_align --i a", "", "tomo_polish"),
        ("relion_tomo_reconstruct_particle --i a", "", "tomo_reconstruct_particle"),
        ("my_script.py --o External/job7/", "External/job7/", "external"),
        ("python -m relion_dispatch.pipeline.selection --i a", "", "plain"),
        ("echo a > b", "", "plain"),
    ],
)
def test_everything_that_relion_has_is_matched(line: str, directory: str, expected: str) -> None:
    assert shipped(line, directory) == expected


@pytest.mark.parametrize("line", ["relion_frobnicate --i a", "frobnicate --i a"])
def test_what_is_unknown_is_not_guessed(line: str) -> None:
    with pytest.raises(NoMatchError):
        shipped(line)


def test_every_type_that_is_shipped_has_relions_name_and_a_template() -> None:
    types = shipped_job_types()
    matching = [name for name, each in types.items() if each.match_command != ("None",)]
    lacking = [name for name in matching if not jobtypes.resolve(types, name).relion_job]

    assert lacking == []

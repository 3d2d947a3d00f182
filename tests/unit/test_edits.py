"""Final commands: what sizing changes, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.profiles import Profile, load_profile


@pytest.fixture(scope="module")
def m3() -> Profile:
    return load_profile("m3")


@pytest.fixture(scope="module")
def here() -> Profile:
    """The local profile on a machine of two cores."""
    profile = load_profile("local")
    one = replace(profile.cluster.partitions["local"], cores=2, mem_mb=16_000)
    return replace(profile, cluster=replace(profile.cluster, partitions={"local": one}))


def planned(profile: Profile, *lines: str, **overrides: object) -> Plan:
    return plan(Request(commands=lines, overrides=overrides), profile)


@pytest.mark.parametrize(
    "line, expected",
    [
        (  # options of the launcher that are not about placement are the user's
            "mpirun --mca btl self,tcp -n 5 --hostfile h `which relion_refine_mpi` --K 2 --o a/b",
            "mpirun -n 5 --mca btl self,tcp `which relion_refine_mpi` --K 2 --o a/b",
        ),
        (  # a path, a time, a variable
            "time X=1 /opt/bin/relion_refine --K 2 --o a/b --scratch_dir $T",
            "time X=1 mpirun -n 9 /opt/bin/relion_refine_mpi --K 2 --o a/b --scratch_dir $T",
        ),
        (  # what the ranks run in is no launcher's option
            "nice -n 7 mpirun -n 5 singularity exec --nv x.sif relion_refine_mpi --K 2 --o a/b",
            "nice -n 7 mpirun -n 5 singularity exec --nv x.sif relion_refine_mpi --K 2 --o a/b",
        ),
        (
            "srun -n 3 $(which relion_refine_mpi) --o 'a b/c' --K 2 --j 6 > 'my log' 2>&1",
            "mpirun -n 3 $(which relion_refine_mpi) --o 'a b/c' --K 2 --j 4",
        ),
    ],
)
def test_what_sizing_does_not_change_stays(m3: Profile, line: str, expected: str) -> None:
    assert planned(m3, line).command.startswith(expected)


@pytest.mark.parametrize(
    "before, after",
    [
        ("--gpu --pool 3", "--gpu --pool 3"),
        ('--gpu "" --pool 3', '--gpu "" --pool 3'),
        ('--gpu "4:5:6:7" --pool 3', '--gpu "" --pool 3'),
        ("--gpu 0,1,2,3 --pool 3", '--gpu "" --pool 3'),
    ],
)
def test_gpus_of_another_machine_are_not_asked_for(m3: Profile, before: str, after: str) -> None:
    line = f"relion_refine --o Class2D/job1/run --i a --K 2 {before} --norm"

    assert after in planned(m3, line).command


def test_gpus_are_taken_off_where_there_are_none(here: Profile) -> None:
    made = planned(here, 'relion_refine --o a/run --i a --K 2 --gpu "0:1" --j 6')

    assert made.command == "relion_refine --o a/run --i a --K 2 --j 2"


def test_only_mpi_programs_of_a_job_run_in_parallel(m3: Profile) -> None:
    made = planned(
        m3,
        "mpirun -n 3 `which relion_refine_mpi` --continue MultiBody/job1/run_it008_optimiser.star"
        " --multibody_masks a.star --o MultiBody/job1/run --j 2",
        "`which relion_flex_analyse` --PCA_orient --o MultiBody/job1/analyse",
    )

    assert made.commands[0].startswith("mpirun -n 3 ")
    assert made.commands[1] == "`which relion_flex_analyse` --PCA_orient --o MultiBody/job1/analyse"


def test_programs_without_mpi_get_none(m3: Profile) -> None:
    made = planned(m3, "mpirun -n 5 `which relion_refine_mpi` --denovo_3dref --o a/run --j 1")

    assert made.command == '`which relion_refine` --denovo_3dref --o a/run --j 8 --gpu ""'


def test_a_program_without_threads_is_not_given_any(here: Profile) -> None:
    line = "`which relion_run_ctffind` --i a.star --o CtfFind/job003/ --is_ctffind4"

    assert planned(here, line).command == (
        "mpirun -n 2 `which relion_run_ctffind_mpi` --i a.star --o CtfFind/job003/ --is_ctffind4"
    )


def test_a_users_own_dynamight_has_the_gpu_and_the_cores_of_its_job(m3: Profile) -> None:
    line = "/opt/my_dm.sh explore-latent-space --output-directory DynaMight/job004/ --gpu-id 3"
    made = planned(m3, line)

    assert made.command == line.replace("--gpu-id 3", "--gpu-id 0")
    assert (made.gpus, made.cpus_per_task) == (1, 4)


def test_programs_that_are_not_relions_stay_as_they_are(m3: Profile) -> None:
    line = "my_script.py --o External/job443/ --gpu 0 --j 4"

    assert planned(m3, line).command == line


def test_lines_without_a_program_stay_as_they_are(here: Profile) -> None:
    lines = ("rm -f a/b", "`which relion_refine` --K 2 --o a/run", "echo 'x  y' > a/c")

    made = planned(here, *lines)
    assert (made.commands[0], made.commands[2]) == (lines[0], lines[2])


# The rules for a machine of two cores.
@pytest.mark.parametrize(
    "line, ranks, threads",
    [
        ("relion_import --do_movies --i 'a/*.tif' --odir Import/job001/", 1, None),
        ("`which relion_run_motioncorr` --use_own --o a/ --j 12", 1, 2),
        ("`which relion_run_ctffind` --o a/", 2, None),
        ("`which relion_autopick` --LoG --odir a/", 2, None),
        ("`which relion_preprocess` --extract --part_dir a/", 2, None),
        ("`which relion_refine` --K 6 --o a/run", 1, 2),
        ("`which relion_refine` --denovo_3dref --o a/run", 1, 2),
        ("`which relion_refine` --K 2 --ref r --o a/run", 1, 2),
        ("`which relion_refine` --auto_refine --split_random_halves --o a/run", 3, 1),
        ("relion_mask_create --i a --o b/m.mrc", 1, 2),
        ("`which relion_postprocess` --i a --o b/p", 1, None),
        ("`which relion_ctf_refine` --i a --o b/", 1, 2),
        ("`which relion_motion_refine` --i a --o b/", 1, 2),
        ("`which relion_postprocess` --locres --i a --o b/relion", 2, None),
        ("`which relion_star_handler` --i a --o b/c.star", 1, None),
        ("relion_image_handler --i a --o b/c.mrc", 1, None),
        ("python -m relion_dispatch.pipeline.selection --o a/b.star", 1, None),
    ],
)
def test_the_pipeline_on_two_cores(
    here: Profile, line: str, ranks: int, threads: int | None
) -> None:
    made = planned(here, line)

    assert made.ntasks == ranks
    assert made.main.mpi == (ranks > 1)
    assert ("mpirun" in made.main.launcher) == (ranks > 1)
    assert made.main.value("j") == (str(threads) if threads else None)
    assert made.threads <= 2 or ranks == 3


def test_jobs_side_by_side_share_the_machine(here: Profile) -> None:
    request = Request(commands=("relion_refine --denovo_3dref --o a/run",), concurrent=2)
    made = plan(request, here)

    assert made.main.value("j") == "1"
    assert made.mem_mb <= 8000


@pytest.mark.parametrize(
    "facts, ranks, gpu_map",
    [
        (DataFacts(), 9, ""),
        (DataFacts(gradient=True), 1, ""),
        (DataFacts(skip_align=True, split_random_halves=False), 18, None),
    ],
)
def test_a_continued_run_goes_on_as_it_began(
    m3: Profile, facts: DataFacts, ranks: int, gpu_map: str | None
) -> None:
    line = "relion_refine --continue somewhere/run_it003_optimiser.star --o somewhere/run --j 2"
    made = plan(Request(commands=(line,), data=facts), m3)

    assert (made.ntasks, made.gpu_map) == (ranks, gpu_map)

"""Ranks of each program, from its command line to its plan, as RELION's source wants them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relion_dispatch.cluster import Partition
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.profiles import Profile, load_profile

DATA = DataFacts(
    box=200, n_particles=100_000, n_micrographs=1500, n_frames=40, movie_shape=(3838, 3710)
)
REFINE3D = "`which relion_refine_mpi` --auto_refine --split_random_halves --i a.star --ref b.mrc"


@pytest.fixture(scope="module")
def m3() -> Profile:
    return load_profile("m3")


def planned(profile: Profile, line: str, data: DataFacts = DATA, **overrides: object) -> Plan:
    return plan(Request(commands=(line,), data=data, overrides=overrides), profile)


def one_node(profile: Profile, **values: object) -> Profile:
    """Return a profile with a single partition."""
    node = Partition(**values)  # type: ignore[arg-type]
    partitions = {"local" if profile.cluster.local else "only": node}
    return replace(profile, cluster=replace(profile.cluster, partitions=partitions))


@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("box", [100, 256, 400, 500])
def test_halves_are_equal(m3: Profile, gpus: int, nodes: int, box: int) -> None:
    profile = one_node(
        m3, cores=36, mem_mb=10**6, nodes=2, gpus_per_node=gpus, gpu_mem_mb=32_000, gpu_type="V100"
    )
    made = planned(profile, REFINE3D, replace(DATA, box=box), nodes=nodes)

    assert made.ntasks >= 3
    assert made.ntasks % 2 == 1
    assert " -n " in made.command or made.command.startswith("mpirun -n")


@pytest.mark.parametrize("options", ["", " --auto_refine", " --K 1 --continue a_optimiser.star"])
@pytest.mark.parametrize("name", ["m3", "slurm", "local", "fmi"])
def test_halves_are_equal_without_alignment_too(name: str, options: str) -> None:
    line = f"relion_refine_mpi --split_random_halves --skip_align --i a.star --ref b.mrc{options}"
    made = planned(load_profile(name), line)

    assert made.ntasks >= 3
    assert made.ntasks % 2 == 1
    assert made.gpus == 0
    assert f"-n {made.ntasks} relion_refine_mpi" in made.command


def test_one_process_where_one_is_asked_for(m3: Profile) -> None:
    made = planned(m3, "relion_refine_mpi --i a.star --ref b.mrc --K 4", nproc=1)
    assert (made.ntasks, made.command.split()[0]) == (1, "relion_refine")


@pytest.mark.parametrize("ngpu", [0, 2])
@pytest.mark.parametrize("nproc", [1, 2, 4])
def test_ranks_that_halves_cannot_have_are_refused(m3: Profile, nproc: int, ngpu: int) -> None:
    with pytest.raises(DoesNotFitError, match=f"nproc {nproc} was asked for, but two equal halves"):
        planned(m3, REFINE3D, nproc=nproc, ngpu=ngpu)


@pytest.mark.parametrize(
    "line",
    [
        "`which relion_refine_mpi` --denovo_3dref --grad --i a.star --K 1 --iter 200",
        "`which relion_refine_mpi` --denovo_3dref --sgd --i a.star --K 1",
        "`which relion_refine_mpi` --grad --i a.star --K 50 --iter 200 --psi_step 12",
        "`which relion_refine_mpi` --grad --i a.star --ref b.mrc --K 4 --iter 200",
        (
            "`which relion_motion_refine_mpi` --i a.star --f p.star --min_p 5000 --eval_frac 0.5"
            " --params3"
        ),
        "`which relion_motion_refine_mpi` --i a.star --f p.star --params2",
        "`which relion_particle_subtract_mpi` --revert a.star --o Subtract/job009/",
        "`which relion_postprocess` --i a.mrc",
        "`which relion_mask_create` --i a.mrc",
    ],
)
@pytest.mark.parametrize("name", ["m3", "slurm", "local", "fmi"])
def test_programs_without_mpi_are_one_process(name: str, line: str) -> None:
    made = planned(load_profile(name), line)

    assert made.ntasks == 1
    assert "_mpi" not in made.command
    assert "mpirun" not in made.command


@pytest.mark.parametrize(
    "line",
    [
        "`which relion_run_motioncorr_mpi` --i m.star --use_motioncor2 --gpu 0",
        "`which relion_run_ctffind_mpi` --i m.star --use_gctf --gpu 0",
        "`which relion_autopick_mpi` --i m.star --topaz_extract --gpu 0",
        "`which relion_autopick_mpi` --i m.star --ref r.mrc --gpu 0",
    ],
)
@pytest.mark.parametrize("gpus, ranks", [(1, 1), (2, 2), (4, 4)])
def test_one_rank_on_each_gpu(m3: Profile, line: str, gpus: int, ranks: int) -> None:
    profile = one_node(m3, cores=24, mem_mb=240_000, gpus_per_node=gpus, gpu_mem_mb=16_280)
    made = planned(profile, line)

    assert (made.ntasks, made.gpus) == (ranks, gpus)
    assert made.gpu_map == ":".join(map(str, range(gpus)))
    assert made.main.values("gpu") == (made.gpu_map,)


def test_where_memory_is_short_gpus_are_left_free(m3: Profile) -> None:
    line = "`which relion_run_motioncorr_mpi` --i m.star --use_motioncor2 --gpu 0"
    profile = one_node(m3, cores=24, mem_mb=14_000, gpus_per_node=4, gpu_mem_mb=16_280)
    made = planned(profile, line)

    assert (made.ntasks, made.gpus, made.gpu_map) == (2, 2, "0:1")
    assert any("2 GPUs of a node left free" in note for note in made.notes)
    few = planned(one_node(m3, cores=3, mem_mb=10**6, gpus_per_node=4, gpu_mem_mb=16_280), line)
    assert (few.ntasks, few.gpus) == (3, 3)


@pytest.mark.parametrize("frames, most", [(4, 8), (12, 24), (40, 36)])
def test_polishing_has_at_most_two_ranks_for_a_frame(m3: Profile, frames: int, most: int) -> None:
    line = "`which relion_motion_refine_mpi` --i a.star --f p.star --combine_frames"
    made = planned(m3, line, replace(DATA, n_frames=frames, box=64))

    assert made.ntasks == most


@pytest.mark.parametrize(
    "line",
    [
        "`which relion_motion_refine_mpi` --i a.star --f p.star --combine_frames",
        "`which relion_ctf_refine_mpi` --i a.star --f p.star --fit_defocus",
        "`which relion_preprocess_mpi` --i a.star --extract --extract_size 200",
        "`which relion_run_motioncorr_mpi` --i m.star --use_own",
        "`which relion_run_ctffind_mpi` --i m.star --ctffind_exe ctffind",
        "`which relion_autopick_mpi` --i m.star --LoG",
        "`which relion_refine_mpi` --i a.star --ref b.mrc --K 4 --skip_align --gpu 0",
        "`which relion_particle_subtract_mpi` --i a.star --mask m.mrc",
        "`which relion_postprocess_mpi` --locres --i a.mrc",
    ],
)
def test_no_gpu_for_a_step_that_cannot_use_one(m3: Profile, line: str) -> None:
    made = planned(m3, line, ngpu=2)

    assert (made.gpus, made.partition) == (0, "comp")
    assert "2 GPUs asked for, but this program uses none." in made.notes
    assert not made.main.has("gpu")


@pytest.mark.parametrize(
    "mem_mb, box, threads, ranks",
    [(200_000, 64, 1, 36), (20_000, 256, 9, 4), (9_000, 256, 18, 2)],
)
def test_cpu_steps_are_filled_by_cores_and_by_memory(
    m3: Profile, mem_mb: int, box: int, threads: int, ranks: int
) -> None:
    line = "`which relion_ctf_refine_mpi` --i a.star --f p.star --fit_defocus --j 1"
    profile = one_node(m3, cores=36, mem_mb=mem_mb)
    made = planned(profile, line, replace(DATA, box=box))

    assert (made.ntasks, made.cpus_per_task) == (ranks, threads)
    assert made.mem_mb <= mem_mb


# ---- A small machine of one's own --------------------------------------------------------------


@pytest.fixture(scope="module")
def here() -> Profile:
    return load_profile("local")


def test_two_cores_and_a_gpu_are_enough_for_a_refinement(here: Profile) -> None:
    small = one_node(here, cores=2, mem_mb=32_000, gpus_per_node=1, gpu_mem_mb=11_000)
    made = planned(small, REFINE3D)

    assert (made.ntasks, made.cpus_per_task, made.gpus) == (3, 1, 1)
    assert any("One leader and 2 workers" in note for note in made.notes)


def test_a_small_gpu_leaves_a_refinement_to_the_cores(here: Profile) -> None:
    small = one_node(here, cores=2, mem_mb=32_000, gpus_per_node=1, gpu_mem_mb=2_000)
    made = planned(small, REFINE3D, replace(DATA, box=256))

    assert (made.ntasks, made.gpus) == (3, 0)
    assert any(note.startswith("It runs on CPUs: ") for note in made.notes)
    assert not made.main.has("gpu")

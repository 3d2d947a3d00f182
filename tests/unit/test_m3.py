"""The scripts that M3's cryo-EM guide prints come out with the guide's numbers."""

from __future__ import annotations

import pytest

from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.profiles import Profile, load_profile

MOTIONCOR2 = (
    "mpirun `which relion_run_motioncorr_mpi` --i ./Import/job001/movies.star"
    " --o MotionCorr/job033/ --save_movies  --first_frame_sum 1 --last_frame_sum 16"
    " --use_motioncor2 --motioncor2_exe /usr/local/motioncor2/2.1/bin/motioncor2 --patch_x 5"
    ' --patch_y 5 --gpu "0:1" --dose_weighting --voltage 300 --dose_per_frame 1 --preexposure 0'
)
CLASS3D = (
    "`which relion_refine_mpi` --i Particles/shiny_2sets.star --ref emd_2660.map:mrc --iter 5"
    " --tau2_fudge 4 --particle_diameter 360 --K 6 --flatten_solvent --sym C1 --o class3d --gpu"
    " --pool 10 --dont_combine_weights_via_disc --j $SLURM_CPUS_PER_TASK"
)
REFINE3D = (
    "`which relion_refine_mpi` --o Refine3D/job001/run --auto_refine --split_random_halves --i a"
)


@pytest.fixture(scope="module")
def m3() -> Profile:
    return load_profile("m3")


def lines(made: Plan) -> list[str]:
    return made.script.splitlines()


def test_motioncor2_is_one_rank_on_each_gpu(m3: Profile) -> None:
    made = plan(Request(commands=(MOTIONCOR2,)), m3)

    assert made.job_type == "motioncorr_motioncor2"
    assert {"#SBATCH --ntasks=2", "#SBATCH --partition=m3h", "#SBATCH --gres=gpu:2"} <= set(
        lines(made)
    )
    assert {"#SBATCH --time=01:00:00", "module load relion", "module load motioncor2"} <= set(
        lines(made)
    )
    assert made.command == MOTIONCOR2.replace("mpirun", "mpirun -n 2")


def test_sixteen_workers_on_two_gpus(m3: Profile) -> None:
    made = plan(Request(commands=(f"mpirun {CLASS3D}",)), m3)

    wanted = ("ntasks=17", "cpus-per-task=1", "partition=m3h", "gres=gpu:2", "time=01:00:00")
    assert {f"#SBATCH --{option}" for option in wanted} <= set(lines(made))
    assert made.command == f"mpirun -n 17 {CLASS3D}"  # the threads are still the allocation's


@pytest.mark.parametrize(
    "line, overrides",
    [
        (f"mpirun -n 25 {CLASS3D}", {}),
        (f"mpirun {CLASS3D}", {"nodes": 3}),
        (f"mpirun {CLASS3D}", {"nproc": 25}),
        (CLASS3D, {"nodes": 3, "nthread": 1}),
    ],
)
def test_three_nodes_have_the_same_workers_on_every_gpu(
    m3: Profile, line: str, overrides: dict[str, object]
) -> None:
    made = plan(Request(commands=(line,), overrides=overrides), m3)

    assert (made.ntasks, made.ranks_on, made.ntasks_per_node) == (25, (9, 8, 8), 9)
    wanted = ("ntasks=25", "ntasks-per-node=9", "cpus-per-task=1", "partition=m3h", "gres=gpu:2")
    assert {f"#SBATCH --{option}" for option in wanted} <= set(lines(made))
    assert made.gpu_map == "0:0:0:0:1:1:1:1"
    assert made.command.startswith('mpirun -n 25 --host "$hosts" `which relion_refine_mpi`')
    assert "NR == 1 ? 9 : 8" in made.script


def test_the_advice_is_two_to_four_workers_of_two_threads(m3: Profile) -> None:
    made = plan(Request(commands=(CLASS3D.replace("$SLURM_CPUS_PER_TASK", "1"),)), m3)

    assert (made.ranks_on, made.cpus_per_task, made.gpus) == ((9,), 2, 2)
    assert made.main.value("j") == "2"


def test_the_guides_options_are_used(m3: Profile) -> None:
    made = plan(Request(commands=(f"{REFINE3D} --no_parallel_disc_io",)), m3)

    assert made.main.has("dont_combine_weights_via_disc")
    assert not made.main.has("no_parallel_disc_io")


@pytest.mark.parametrize("frames, ranks", [(12, 24), (40, 36), (2, 4)])
def test_polishing_has_at_most_two_ranks_for_a_frame(m3: Profile, frames: int, ranks: int) -> None:
    line = "`which relion_motion_refine` --i a.star --f b.star --o Polish/job016/ --j 12"
    data = DataFacts(n_frames=frames, movie_shape=(3838, 3710), box=64, n_micrographs=500)
    made = plan(Request(commands=(line,), data=data), m3)

    assert made.ntasks == ranks
    assert made.gpus == 0
    assert made.partition == "comp"
    assert made.ntasks * made.cpus_per_task <= 36


@pytest.mark.parametrize(
    "box, pad, partition, workers",
    [
        (256, 2, "m3h", 4),
        (400, 2, "m3h", 3),
        (512, 2, "m3h", 1),
        (512, 1, "m3h", 4),
        (None, 2, "m3h", 4),
    ],
)
def test_workers_fit_the_gpus(
    m3: Profile, box: int | None, pad: int, partition: str, workers: int
) -> None:
    made = plan(Request(commands=(f"{REFINE3D} --pad {pad}",), data=DataFacts(box=box)), m3)

    assert made.partition == partition
    assert made.ntasks == 1 + 2 * workers
    assert workers * (made.gpu_mem_mb_per_rank or 0) <= 16280


def test_too_large_a_box_says_what_would_fit(m3: Profile) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        plan(Request(commands=(f"{REFINE3D} --pad 2",), data=DataFacts(box=800)), m3)

    message = str(caught.value)
    assert "m3h: a worker needs" in message
    assert "16280 MB" in message
    assert "with --pad 1 instead of 2 (5327 MB for a worker)" in message
    assert "a box of 480 pixels (9060 MB for a worker)" in message
    assert "on CPUs" not in message  # two halves of this box do not fit its node either


def test_a_box_too_large_for_gpus_may_fit_cpus(m3: Profile) -> None:
    with pytest.raises(DoesNotFitError, match=r"or on CPUs \(ngpu: 0\)\."):
        plan(Request(commands=(f"{REFINE3D} --pad 2",), data=DataFacts(box=600)), m3)

    request = Request(
        commands=(f"{REFINE3D} --pad 2",), data=DataFacts(box=600), overrides={"ngpu": 0}
    )
    assert (plan(request, m3).partition, plan(request, m3).ntasks) == ("comp", 3)


def test_without_gpus_it_runs_on_the_cpu_partition(m3: Profile) -> None:
    request = Request(commands=(f'{REFINE3D} --gpu ""',), overrides={"ngpu": 0})
    made = plan(request, m3)

    assert made.partition == "comp"
    assert made.gpus == 0
    assert not made.main.has("gpu")
    assert made.ntasks % 2 == 1


def test_a_queue_of_the_users_wins(m3: Profile) -> None:
    made = plan(Request(commands=(REFINE3D,), overrides={"partition": "m3c"}), m3)

    assert (made.partition, made.gpus, made.ntasks) == ("m3c", 4, 17)

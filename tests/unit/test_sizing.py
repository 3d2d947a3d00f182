"""Ranks, threads, GPUs and memory: limits that always hold, and the rules of each program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.cluster import Cluster, Partition, Scheduler
from relion_dispatch.duration import minutes
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.host_memory import host_mem_mb
from relion_dispatch.jobtypes import Ranks
from relion_dispatch.memory import GpuModel, Problem, gpu_bytes, gpu_mem_mb
from relion_dispatch.needs import Need, Size, node_mem_mb
from relion_dispatch.sizing import size

CPU = Partition(cores=24, mem_mb=120_000, nodes=3)
GPU = Partition(
    cores=28, mem_mb=240_000, nodes=4, gpus_per_node=2, gpu_mem_mb=16_280, cost=2, gpu_type="P100"
)
BIG = Partition(cores=64, mem_mb=500_000, gpus_per_node=4, gpu_mem_mb=81_000, cost=10)
SLURM = Scheduler(submit=("sbatch",))
CLUSTER = Cluster(partitions={"cpu": CPU, "gpu": GPU, "big": BIG}, scheduler=SLURM)
HERE = Cluster(partitions={"local": Partition(cores=2, mem_mb=8000)})

REFINE = Need(
    ranks="workers", threads=True, gpu="shared", memory="refine", problem=Problem(box=128)
)
HALVES = replace(REFINE, ranks="halves")


def test_gpu_memory_is_relions_own_formula() -> None:
    problem = Problem(box=400, pad=2)

    assert gpu_bytes("relion", problem, 0) == 2.5 * 1.05 * 4 * 800**3
    assert gpu_mem_mb("relion", problem, 1) == pytest.approx(5600 * 0.954, rel=0.01)  # 5.6 GB
    assert gpu_bytes("fmi", problem, 1) == 84 * 400**3 * 2
    # RELION's own text: 1.1e-8 (2 N)^3 GB.
    assert gpu_bytes("relion", problem, 0) == pytest.approx(1.1e-8 * 800**3 * 1e9, rel=0.05)


def test_the_older_formula_is_twice_and_eight_times_as_much() -> None:
    for pad, factor in ((2, 2), (1, 8)):
        problem = Problem(box=320, pad=pad)
        ratio = (gpu_bytes("fmi", problem) or 0) / (gpu_bytes("relion", problem, 0) or 1)
        assert ratio == pytest.approx(factor, rel=0.001)


def test_two_dimensional_references_take_next_to_nothing() -> None:
    flat = Problem(box=400, classes=200, dimensions=2)

    assert gpu_mem_mb("relion", flat, 1) == 1282 + 200
    assert (host_mem_mb("refine", flat) or 0) < 6000


def test_memory_of_unknown_data_is_unknown() -> None:
    for model in ("refine", "motioncorr", "polish", "ctfrefine", "extract", "volume", "flat"):
        assert host_mem_mb(model, Problem()) is None


boxes = st.one_of(st.none(), st.integers(16, 2000))
needs = st.builds(
    Need,
    ranks=st.sampled_from(["single", "every", "workers", "halves"]),
    threads=st.booleans(),
    gpu=st.sampled_from(["none", "shared", "one_rank_each", "one_process", "one_device"]),
    memory=st.sampled_from(["refine", "flat", "volume"]),
    problem=st.builds(
        Problem,
        box=boxes,
        pad=st.sampled_from([1, 2]),
        classes=st.integers(1, 10),
        dimensions=st.sampled_from([2, 3]),
    ),
    max_ranks=st.one_of(st.none(), st.integers(1, 100)),
    nproc=st.one_of(st.none(), st.integers(1, 60)),
    nthread=st.one_of(st.none(), st.integers(1, 8)),
    nodes=st.one_of(st.none(), st.integers(1, 4)),
    mem_mb_per_rank=st.integers(100, 40_000),
    attempt=st.integers(1, 3),
)


@given(need=needs)
@settings(max_examples=300)
def test_no_limit_of_a_partition_is_ever_broken(need: Need) -> None:
    try:
        found = size(need, CLUSTER)
    except DoesNotFitError:
        return
    partition = CLUSTER.partitions[found.partition]
    assert isinstance(partition.mem_mb, int)
    assert isinstance(partition.cores, int)
    assert found.nodes <= partition.nodes
    assert found.gpus_per_node <= partition.gpus_per_node
    assert found.mem_mb <= partition.mem_mb
    if need.nthread is None:
        assert max(found.ranks_on) * found.cpus_per_task <= partition.cores
    if need.ranks == "halves" and need.gpu in ("none", "shared"):
        assert found.ntasks % 2 == 1
        assert found.ntasks >= 3
    if need.gpu == "none":
        assert found.gpu_map is None


@given(need=needs, ranks=st.sampled_from(["workers", "halves"]))
@settings(max_examples=200)
def test_every_gpu_gets_the_same_workers_and_none_more_than_it_holds(
    need: Need, ranks: Ranks
) -> None:
    need = replace(need, gpu="shared", ranks=ranks)
    try:
        found = size(need, CLUSTER)
    except DoesNotFitError:
        return
    workers = [found.ranks_on[0] - 1, *found.ranks_on[1:]]
    per_gpu = workers[0] // found.gpus_per_node
    assert workers == [per_gpu * found.gpus_per_node] * found.nodes
    limit = CLUSTER.partitions[found.partition].gpu_mem_mb
    assert limit is not None
    assert per_gpu * (found.gpu_mem_mb_per_rank or 0) <= limit


@pytest.mark.parametrize("model", ["relion", "fmi"])
@pytest.mark.parametrize("pad", [1, 2])
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("box", [128, 256, 384, 512])
def test_as_many_workers_as_fit_up_to_the_profiles_most(
    model: GpuModel, pad: int, classes: int, box: int
) -> None:
    roomy = {"gpu": replace(GPU, mem_mb=10**7)}
    cluster = replace(CLUSTER, partitions=roomy, gpu_memory_model=model)
    problem = Problem(box=box, pad=pad, classes=classes)
    need = replace(REFINE, problem=problem, nthread=1)
    per_rank = gpu_mem_mb(cluster.gpu_memory_model, problem, 1) or 0
    fitting = 16_280 // per_rank
    if not fitting:
        with pytest.raises(DoesNotFitError, match=f"{per_rank} MB"):
            size(replace(need, problem=replace(problem, halves=True)), cluster)
        return
    assert size(need, cluster).ntasks == 1 + 2 * min(fitting, 4)


def test_a_classification_may_stay_below_full_resolution() -> None:
    cluster = replace(CLUSTER, partitions={"gpu": GPU})
    benchmark = replace(REFINE, problem=Problem(box=360, classes=6))  # the M3 guide's, on P100
    found = size(benchmark, cluster)
    assert (found.ntasks, found.gpus_per_node) == (3, 2)
    assert (found.gpu_mem_mb_per_rank or 0) <= 16_280
    assert "At full resolution a worker would need 22626 MB of GPU memory" in found.notes[0]
    assert "up to 80 %" in found.notes[0]
    assert not any("does not fit" in note for note in found.notes)
    for refused in (replace(benchmark.problem, halves=True), replace(benchmark.problem, box=600)):
        with pytest.raises(DoesNotFitError):
            size(replace(benchmark, problem=refused), cluster)
    with pytest.raises(DoesNotFitError):
        size(benchmark, replace(cluster, gpu_memory_model="fmi"))


def test_the_cheapest_partition_that_fits_is_taken() -> None:
    assert size(REFINE, CLUSTER).partition == "gpu"
    found = size(replace(REFINE, problem=Problem(box=700)), CLUSTER)
    assert found.partition == "big"
    assert any("Partition gpu does not fit: a worker needs" in note for note in found.notes)


def test_a_free_gpu_memory_is_left_free() -> None:
    problem = Problem(box=400, free_gpu_memory_mb=6000)

    assert size(replace(REFINE, problem=problem), CLUSTER).ntasks == 3
    assert size(replace(REFINE, problem=Problem(box=400)), CLUSTER).ntasks == 7


def test_each_worker_leaves_gpu_memory_free() -> None:
    need = replace(REFINE, problem=Problem(box=256, free_gpu_memory_mb=3000), nthread=1)
    found = size(need, replace(CLUSTER, partitions={"gpu": GPU}))

    assert found.ntasks == 7
    assert 3 * ((found.gpu_mem_mb_per_rank or 0) + 3000) <= 16_280
    assert any("a GPU gives 13280: 3 would fit" in note for note in found.notes)


@pytest.mark.parametrize("gpus, workers, ranks", [(3, 4, 13), (3, 3, 7), (3, 1, 3), (1, 2, 3)])
def test_halves_are_equal_on_an_odd_number_of_gpus(gpus: int, workers: int, ranks: int) -> None:
    cluster = Cluster(
        partitions={"gpu": replace(GPU, gpus_per_node=gpus)},
        scheduler=SLURM,
        workers_per_gpu=workers,
    )
    found = size(HALVES, cluster)

    assert found.ntasks == ranks
    assert (found.ntasks - 1) % (2 * 1) == 0


def test_two_halves_do_not_fit_one_gpu_that_holds_one_worker() -> None:
    cluster = Cluster(partitions={"gpu": replace(GPU, gpus_per_node=1)}, scheduler=SLURM)

    with pytest.raises(DoesNotFitError, match="cannot be laid out evenly"):
        size(replace(HALVES, problem=Problem(box=500)), cluster)


def test_want_of_host_memory_is_told_with_the_numbers() -> None:
    partitions = {"big": replace(BIG, mem_mb=300_000)}
    with pytest.raises(DoesNotFitError, match=r"big: 3 ranks of \d+ MB do not fit its 300000 MB"):
        size(replace(HALVES, problem=Problem(box=900)), replace(CLUSTER, partitions=partitions))


def test_ranks_of_the_command_are_taken_where_they_can_be() -> None:
    assert size(replace(REFINE, hoped_nproc=5), CLUSTER).ntasks == 5
    found = size(replace(REFINE, hoped_nproc=80), CLUSTER)
    assert found.ntasks == 9
    assert "80 ranks, as in the command, cannot be laid out here: not heeded." in found.notes


def test_a_wish_that_cannot_be_kept_is_refused() -> None:
    asked = replace(REFINE, nproc=80, wished=frozenset({"nproc"}))
    with pytest.raises(DoesNotFitError, match="80 ranks cannot be laid out evenly"):
        size(asked, CLUSTER)
    every = Need(ranks="every", nproc=99, wished=frozenset({"nproc"}))
    with pytest.raises(DoesNotFitError, match="99 ranks on a node were asked for, 24 fit"):
        size(every, CLUSTER)


def test_programs_for_gpus_only_need_some() -> None:
    need = Need(ranks="every", gpu="one_rank_each", needs_gpu=True)

    with pytest.raises(DoesNotFitError, match="runs on GPUs only, but no partition"):
        size(need, replace(CLUSTER, partitions={"cpu": CPU}))
    assert size(need, CLUSTER).gpu_map == "0:1"


def test_one_rank_on_each_gpu_and_no_more_gpus_than_micrographs() -> None:
    found = size(Need(ranks="every", gpu="one_rank_each", max_ranks=1), CLUSTER)

    assert (found.ntasks, found.gpus_per_node, found.gpu_map) == (1, 1, "0")


def test_cpu_steps_are_filled_by_cores_memory_and_data() -> None:
    every = Need(ranks="every", threads=True)

    assert shape(size(every, CLUSTER)) == (24, 1)
    assert shape(size(replace(every, max_ranks=10), CLUSTER)) == (10, 2)
    assert shape(size(replace(every, mem_mb_per_rank=20_000), CLUSTER)) == (6, 4)
    assert shape(size(replace(every, threads=False, max_ranks=10), CLUSTER)) == (10, 1)
    assert shape(size(replace(every, nodes=2, max_ranks=30), CLUSTER)) == (30, 1)


def test_workers_on_cpus_take_more_threads_where_memory_is_short() -> None:
    cpus = replace(HALVES, gpu="none")

    assert shape(size(cpus, CLUSTER)) == (11, 2)
    found = size(replace(cpus, problem=Problem(box=256, classes=1)), CLUSTER)
    assert (
        found.ntasks * (host_mem_mb("refine", Problem(box=256), found.cpus_per_task) or 0)
        <= 120_000
    )
    assert found.ntasks % 2 == 1


@pytest.mark.parametrize("box, ranks, threads", [(128, 11, 2), (400, 5, 4), (450, 3, 8)])
def test_workers_on_cpus_keep_the_cores_busy(box: int, ranks: int, threads: int) -> None:
    """Where memory holds but few of them they have more threads."""
    found = size(replace(HALVES, gpu="none", problem=Problem(box=box)), CLUSTER)

    assert shape(found) == (ranks, threads)
    assert found.mem_mb <= 120_000


MOVIES = Need(
    ranks="every",
    threads=True,
    memory="motioncorr",
    problem=Problem(n_frames=40, movie_shape=(4096, 4096)),
)


@pytest.mark.parametrize("need", [MOVIES, REFINE, HALVES, replace(HALVES, gpu="none")])
@pytest.mark.parametrize("mem_mb", [20_000, 60_000, 115_000])
def test_memory_that_was_asked_for_holds_all_ranks(need: Need, mem_mb: int) -> None:
    need = replace(need, problem=replace(need.problem, box=256))
    found = size(replace(need, mem_mb=mem_mb, wished=frozenset({"mem"})), CLUSTER)

    assert found.mem_mb == mem_mb
    assert node_mem_mb(need, max(found.ranks_on), found.cpus_per_task) <= mem_mb
    assert found.ntasks <= size(need, CLUSTER).ntasks


@pytest.mark.parametrize("need, fewest", [(MOVIES, 1), (REFINE, 2), (HALVES, 3)])
def test_memory_that_was_asked_for_is_never_refused(need: Need, fewest: int) -> None:
    asked = replace(need, mem_mb=100, wished=frozenset({"mem"}))

    assert size(asked, CLUSTER).ntasks == fewest
    both = replace(asked, nproc=9, wished=frozenset({"mem", "nproc"}))
    assert (size(both, CLUSTER).ntasks, size(both, CLUSTER).mem_mb) == (9, 100)


def test_each_attempt_gets_more_memory_and_time() -> None:
    cluster = replace(CLUSTER, default_runtime_min=60)
    first, second = (size(Need(attempt=attempt), cluster) for attempt in (1, 2))

    assert (first.mem_mb, second.mem_mb) == (1000, 1500)
    assert (first.runtime_min, second.runtime_min) == (60, 120)


def test_time_stays_below_the_partitions_limit() -> None:
    cluster = replace(CLUSTER, partitions={"cpu": replace(CPU, max_runtime_min=90)})

    assert size(Need(runtime_min=60, attempt=2), cluster).runtime_min == 90
    with pytest.raises(DoesNotFitError, match="120 minutes were asked for, its limit is 90"):
        size(Need(runtime_min=120, wished=frozenset({"runtime"})), cluster)


def test_an_unknown_partition_is_named_with_those_that_are_known() -> None:
    with pytest.raises(DoesNotFitError, match="no partition 'm3x'; known are cpu, gpu, big"):
        size(Need(partition="m3x"), CLUSTER)


def test_on_this_machine_a_leader_takes_no_core() -> None:
    here = replace(HALVES, gpu="none")

    assert shape(size(here, HERE)) == (3, 1)
    eight = replace(HERE, partitions={"local": Partition(cores=8, mem_mb=8000)})
    assert shape(size(here, eight)) == (3, 4)
    assert shape(size(replace(here, concurrent=2), eight)) == (3, 2)


def test_this_machine_is_never_refused_for_want_of_memory() -> None:
    found = size(replace(HALVES, gpu="none", problem=Problem(box=512)), HERE)

    assert found.mem_mb == 8000
    assert any("only 8000 MB" in note for note in found.notes)


def shape(found: Size) -> tuple[int, int]:
    return found.ntasks, found.cpus_per_task


def test_time_grows_with_the_data_and_never_below_the_usual() -> None:
    partitions = {"gpu": replace(GPU, max_runtime_min=10_080)}
    cluster = replace(CLUSTER, partitions=partitions, default_runtime_min=60)
    small, large = (
        size(
            replace(REFINE, time="refine", problem=Problem(box=360, n_particles=n, iterations=25)),
            cluster,
        )
        for n in (100, 1_000_000)
    )

    assert small.runtime_min == 60
    assert 1000 < (large.runtime_min or 0) < 5000
    assert any("by a rough estimate" in note for note in large.notes)


def test_more_power_takes_less_time() -> None:
    problem = Problem(box=360, n_particles=105_000, classes=6, iterations=25)
    times = [minutes("refine", problem, speed, 10) or 0 for speed in (4, 2, 1, 0)]

    assert times == sorted(times)
    assert times[1] == pytest.approx(3 * 510, rel=0.05)  # the benchmark on two P100
    assert minutes("refine", Problem(box=360), 1, 1) is None


def test_a_larger_search_takes_longer_and_a_symmetry_makes_it_smaller() -> None:
    one = Problem(box=256, n_particles=50_000, classes=4, iterations=25)
    whole, half, none = (
        minutes("refine", replace(one, samples=samples), 2, 10) or 0
        for samples in (4 * 3_096_576, 3_096_576, 4)
    )
    assert whole == minutes("refine", one, 2, 10)
    assert half == pytest.approx(whole / 2, rel=0.05)
    assert none == pytest.approx(whole / 10, rel=0.1)


def test_gradients_look_at_a_part_of_the_images() -> None:
    one = Problem(box=128, n_particles=200_000, iterations=200)
    every, some = (
        minutes("refine", replace(one, gradient=gradient), 1, 8) or 0 for gradient in (False, True)
    )
    assert some == pytest.approx(every / 20, rel=0.05)


def test_small_micrographs_take_less_time() -> None:
    many = Problem(n_micrographs=10_000, movie_shape=(3838, 3710))
    small = replace(many, movie_shape=(959, 927))
    ratio = (minutes("micrographs", many, 0, 36) or 0) / (minutes("micrographs", small, 0, 36) or 1)
    assert 8 < ratio < 16


def test_movies_take_a_minute_or_two_on_a_core() -> None:
    movies = Problem(n_micrographs=36, n_frames=40, movie_shape=(3838, 3710))

    assert 3 <= (minutes("movies", movies, 0, 36) or 0) <= 6
    assert minutes("micrographs", Problem(n_micrographs=720), 0, 36) == 31

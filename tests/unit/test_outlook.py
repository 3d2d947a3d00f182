"""Time limits, copies of images, what is said when nothing fits, and what is said beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relion_dispatch.cluster import Cluster, Partition, Scheduler
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.memory import Problem
from relion_dispatch.needs import Need
from relion_dispatch.profiles import load_profile
from relion_dispatch.sizing import size, warnings

SLURM = Scheduler(submit=("sbatch",))
SHORT = Partition(
    cores=28, mem_mb=240_000, gpus_per_node=2, gpu_mem_mb=16_280, cost=1, max_runtime_min=120
)
LONG = replace(SHORT, cost=5, max_runtime_min=20_000)
CLUSTER = Cluster(partitions={"short": SHORT, "long": LONG}, scheduler=SLURM)
ONLY_SHORT = replace(CLUSTER, partitions={"short": SHORT})
JOB = Need(
    ranks="workers",
    threads=True,
    gpu="shared",
    memory="refine",
    time="refine",
    problem=Problem(box=360, pad=1, classes=6, iterations=25, n_particles=105_000),
)


# ---- Time --------------------------------------------------------------------------------------


def test_a_partition_that_is_too_short_is_passed_over() -> None:
    found = size(JOB, CLUSTER)
    assert found.partition == "long"
    assert (found.estimate_min or 0) > 120
    said = f"Partition short is too short: about {found.estimate_min} minutes are needed, its"
    assert f"{said} limit is 120." in found.notes
    quick = replace(JOB, problem=replace(JOB.problem, n_particles=1000))
    assert size(quick, CLUSTER).partition == "short"


def test_where_all_are_too_short_it_has_to_be_continued() -> None:
    found = size(JOB, ONLY_SHORT)
    assert (found.partition, found.runtime_min) == ("short", 120)
    assert any("it will have to be continued" in note for note in found.notes)


def test_of_partitions_that_are_all_too_short_the_one_that_gets_furthest_is_taken() -> None:
    faster = replace(SHORT, cost=9, gpu_speed=2)
    cluster = replace(CLUSTER, partitions={"short": SHORT, "faster": faster})
    assert size(JOB, cluster).partition == "faster"


def test_what_is_cut_to_the_partitions_limit_is_said() -> None:
    typed = replace(JOB, time="unknown", runtime_min=500)
    note = "500 minutes are what the job type asks for: cut to the partition's limit of 120."
    assert note in size(typed, ONLY_SHORT).notes
    again = size(replace(typed, runtime_min=100, attempt=2), ONLY_SHORT)
    assert any(note.startswith("200 minutes are what the job type") for note in again.notes)
    assert not any("cut" in note for note in size(typed, CLUSTER).notes if "500" not in note)


def test_more_time_than_there_is_gets_advice_on_time() -> None:
    asked = replace(JOB, runtime_min=500, wished=frozenset({"runtime"}))
    with pytest.raises(DoesNotFitError) as caught:
        size(asked, ONLY_SHORT)
    assert str(caught.value).splitlines() == [
        "the job fits no partition of the profile:",
        "  short: 500 minutes were asked for, its limit is 120",
        "It would fit with less time.",
    ]


# ---- What would make it fit --------------------------------------------------------------------


def test_only_what_was_tried_is_advised() -> None:
    large = replace(JOB, problem=Problem(box=700, classes=4, halves=True))
    with pytest.raises(DoesNotFitError) as caught:
        size(large, CLUSTER)
    advice = str(caught.value).splitlines()[-1]
    assert advice.startswith("It would fit with --pad 1 instead of 2 (")
    assert "one class" not in advice
    assert "on CPUs" not in advice
    assert "Ask for less" in _refused(replace(JOB, problem=Problem(box=1800)))


def test_changes_are_advised_together_where_none_helps_alone() -> None:
    large = replace(JOB, problem=Problem(box=768, classes=10, halves=True))
    assert "It would fit with --pad 1 and one class (" in _refused(large)


def test_a_training_is_told_to_take_fewer_particles() -> None:
    problem = Problem(box=360, n_frames=60, movie_shape=(5760, 4092), min_particles=10_000)
    training = Need(memory="polish_train", problem=problem)
    assert "It would fit with --min_p 1250 (" in _refused(training)


def test_bodies_that_overlap_may_be_normalised() -> None:
    bodies = Problem(box=300, classes=4, masks=16, halves=True)
    advice = _refused(replace(JOB, problem=bodies))
    assert "with --multibody_norm_overlap (" in advice
    assert "one class" not in advice


def test_wishes_that_are_in_the_way_are_named() -> None:
    asked = replace(JOB, nproc=80, wished=frozenset({"nproc"}))
    assert "with another number of ranks" in _refused(asked)
    asked = replace(JOB, mem_mb=10**6, wished=frozenset({"mem"}))
    assert _refused(asked).endswith("It would fit with less memory.")


def _refused(need: Need) -> str:
    with pytest.raises(DoesNotFitError) as caught:
        size(need, CLUSTER)
    return str(caught.value)


# ---- Beforehand --------------------------------------------------------------------------------


def _feared(need: Need, cluster: Cluster) -> tuple[str, ...]:
    return warnings(need, size(need, cluster), cluster)


def test_nothing_to_fear() -> None:
    assert _feared(replace(JOB, problem=Problem(box=100, n_particles=1000)), CLUSTER) == ()


def test_too_long_for_every_partition() -> None:
    (warning,) = _feared(JOB, ONLY_SHORT)
    assert "more than any partition allows (short: 120): it will have to be continued" in warning


def test_this_machine_may_lack_memory() -> None:
    here = Cluster(partitions={"local": Partition(cores=2, mem_mb=8000)})
    need = replace(JOB, gpu="none", ranks="halves", problem=Problem(box=512))
    assert _feared(need, here)[0].endswith("MB of memory on a node, and gets 8000 MB.")


def test_an_early_stage_fits_where_the_whole_does_not() -> None:
    whole = replace(JOB, problem=Problem(box=700, n_particles=1000, halves=True))
    assert "fits no partition" in _refused(whole)
    early = replace(whole, problem=replace(whole.problem, current_size=200))
    assert size(early, CLUSTER).partition == "short"


# ---- Copies of images --------------------------------------------------------------------------

REFINE = "`which relion_refine_mpi` --i a.star --ref b.mrc --K 4 --ctf"


def planned(options: str, particles: int | None, **overrides: object) -> Plan:
    data = DataFacts(box=200, n_particles=particles)
    request = Request(commands=(f"{REFINE} {options}",), data=data, overrides=overrides)
    return plan(request, load_profile("m3"))


def test_images_are_read_into_memory_only_where_they_fit() -> None:
    few, many = planned("--preread_images", 10_000), planned("--preread_images", 10**6)
    assert few.main.has("preread_images")
    assert any("All images are read into memory: 1526 MB in each rank." in n for n in few.notes)
    assert few.mem_mb > planned("", 10_000).mem_mb + 9 * 1526
    assert not many.main.has("preread_images")
    assert any("152588 MB of images in each rank do not fit" in note for note in many.notes)
    assert "Option --preread_images was removed." in many.notes
    assert (few.ntasks, many.ntasks) == (9, 9)
    assert not planned("--preread_images", None).main.has("preread_images")


def test_memory_that_was_asked_for_has_to_hold_the_images() -> None:
    assert planned("--preread_images", 10_000, mem="120G").main.has("preread_images")
    assert not planned("--preread_images", 10_000, mem="12G").main.has("preread_images")


def test_scratch_space_is_said() -> None:
    made = planned("--scratch_dir /local", 10**6)
    assert any("The images take 149.0 GB of each node's scratch disk" in n for n in made.notes)
    assert made.main.has("scratch_dir")
    unknown = planned("--scratch_dir /local", None)
    assert "How much scratch space the images take is unknown." in unknown.notes


def test_options_that_the_job_type_adds_count() -> None:
    profile = load_profile("m3")
    more = {"preread_images": "", "free_gpu_memory": "6000"}
    types = dict(profile.job_types)
    types["refine"] = replace(
        types["refine"], relion_add_parameter={**types["refine"].relion_add_parameter, **more}
    )
    data = DataFacts(box=256, n_particles=1000)
    request = Request(commands=(REFINE.replace("--K 4", "--pad 2 --K 1"),), data=data)
    plain, made = plan(request, profile), plan(request, replace(profile, job_types=types))

    assert (plain.ntasks, made.ntasks) == (9, 5)
    assert any("All images are read into memory: 250 MB" in note for note in made.notes)

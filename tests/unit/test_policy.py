"""What is done about failures: the chains of steps, without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Request, plan
from relion_dispatch.healing import attempts, policy
from relion_dispatch.healing.attempts import Attempt
from relion_dispatch.healing.policy import Decision, next_step
from relion_dispatch.healing.settings import Healing
from relion_dispatch.profiles import Profile, load_profile

REFINE = (
    "`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --split_random_halves"
    " --i a.star --ref a.mrc --pad 2 --j 1 --pipeline_control Refine3D/job019/"
)
CTF = "`which relion_ctf_refine_mpi` --i a.star --o CtfRefine/job020/ --fit_defocus --j 1"
ON = Healing(enabled=True)
GPUS = {
    "small": Partition(cores=28, mem_mb=240000, gpus_per_node=2, gpu_mem_mb=11000, cost=2),
    "large": Partition(cores=28, mem_mb=240000, gpus_per_node=2, gpu_mem_mb=40000, cost=5),
    "comp": Partition(cores=36, mem_mb=184000, max_runtime_min=600, cost=1),
}


def profile_with(**partitions: Partition) -> Profile:
    slurm = load_profile("slurm")
    return replace(slurm, cluster=replace(slurm.cluster, partitions=partitions or GPUS))


def attempted(
    profile: Profile, failure: str, changes: Mapping[str, Any], **values: Any
) -> tuple[Attempt, policy.Replan]:
    """Return an attempt that has failed, and what plans the next one."""
    command = values.pop("command", REFINE)
    own = values.pop("own", {})

    def replan(more: Mapping[str, object]) -> policy.Asked:
        return attempts.asked(
            plan(Request(commands=(command,), overrides={**own, **more}), profile)
        )

    return Attempt(number=1, failure=failure, asked=replan(changes), **values), replan


def chain(failure: str, profile: Profile, **values: Any) -> list[tuple[Decision, policy.Asked]]:
    """Let a job fail over and over again in the same way."""
    history: list[Attempt] = []
    found: list[tuple[Decision, policy.Asked]] = []
    changes: Mapping[str, Any] = {}
    healing = values.pop("healing", ON)
    while not found or found[-1][0].go_on:
        attempt, replan = attempted(profile, failure, changes, **values)
        decision = next_step([*history, attempt], profile.cluster, healing, replan)
        history.append(replace(attempt, number=len(history) + 1, changes=decision.changes))
        changes = decision.changes
        found.append((decision, replan(changes)))
    return found


def test_gpu_memory_fewer_workers_then_a_bigger_gpu_then_none() -> None:
    found = chain("gpu_memory", profile_with(), healing=replace(ON, attempts=9))
    sizes = [
        (size["partition"], size["workers_per_gpu"], bool(size["gpus_per_node"]))
        for decision, size in found
        if decision.go_on
    ]
    assert sizes == [
        ("small", 2, True),
        ("small", 1, True),
        ("large", 3, True),
        ("large", 1, True),
        ("comp", None, False),
    ]
    assert "cannot run without" in found[-1][0].reason


def test_a_users_ranks_give_way_to_fewer_workers() -> None:
    (decision, size), *_ = chain("gpu_memory", profile_with(), own={"nproc": 9})
    assert size["workers_per_gpu"] == 2
    assert decision.reason == "GPU memory: 4 workers on a GPU did not fit, next 2."


def test_host_memory_grows_to_what_a_node_has_then_ranks_shrink() -> None:
    profile = profile_with(comp=Partition(cores=16, mem_mb=60000))
    healing = replace(ON, attempts=9)
    found = chain("host_memory", profile, command=CTF, own={"mem": "30G"}, healing=healing)
    steps = [(size["mem_mb"], size["ntasks"]) for decision, size in found if decision.go_on]
    memories = [mem for mem, _ in steps]
    assert memories[:2] == [46100, 60000]
    ranks = [n for mem, n in steps if mem == 60000]
    assert len(ranks) > 1
    assert ranks == sorted(set(ranks), reverse=True)
    assert ranks[-1] == 1


def test_time_goes_on_as_often_as_needed_while_there_is_progress() -> None:
    profile = profile_with()
    attempt, replan = attempted(profile, "time", {}, iteration=4, continued=3)
    many = [replace(attempt, number=number) for number in range(1, 40)]
    decision = next_step(many, profile.cluster, ON, replan)
    assert decision.go_on
    assert decision.changes == {}
    assert "behind iteration 4" in decision.reason


@pytest.mark.parametrize("iteration", [None, 0, 3])
def test_time_without_progress_gets_longer_and_then_ends(iteration: int | None) -> None:
    profile = profile_with(comp=GPUS["comp"])
    found = chain("time", profile, iteration=iteration, continued=3, own={"runtime": 200})
    assert [size["runtime_min"] for decision, size in found if decision.go_on] == [400, 600]
    assert "not one iteration fits" in found[-1][0].reason


@pytest.mark.parametrize("nodes, excluded", [(3, "m3h000,m3h001"), (2, "m3h001"), (1, "m3h001")])
def test_failed_nodes_are_excluded_but_never_all(nodes: int, excluded: str) -> None:
    profile = profile_with(small=replace(GPUS["small"], nodes=nodes))
    attempt, replan = attempted(profile, "node", {}, node="m3h000")
    first = replace(attempt, changes={"failed_nodes": "m3h000"})
    second = replace(attempt, number=2, node="m3h001")
    decision = next_step([first, second], profile.cluster, ON, replan)
    assert decision.changes == {"failed_nodes": excluded}


@pytest.mark.parametrize(
    "names, excluded",
    [
        ("m3h[000,002]", "m3h000,m3h002"),
        ("m3h[008-010]", "m3h008,m3h009"),
        ("a,b[1-2]", "a,b1"),
        ("rack[1-2]-ib", "rack1-ib,rack2-ib"),
        ("", None),
    ],
)
def test_a_job_of_several_nodes_leaves_room_for_the_next(names: str, excluded: str | None) -> None:
    profile = profile_with(small=replace(GPUS["small"], nodes=4))
    attempt, replan = attempted(profile, "node", {}, node=names, own={"nodes": 2})
    decision = next_step([attempt], profile.cluster, ON, replan)
    assert decision.changes == ({"failed_nodes": excluded} if excluded else {})


def test_failed_nodes_are_excluded_beside_those_of_the_user() -> None:
    overrides = {"exclude": "m3h007", "failed_nodes": "m3h000,m3h001"}
    made = plan(Request(commands=(REFINE,), overrides=overrides), profile_with())
    assert "#SBATCH --exclude=m3h007,m3h000,m3h001\n" in made.script


def test_other_schedulers_have_no_such_option() -> None:
    profile = load_profile("pbs")
    attempt, replan = attempted(profile, "node", {}, node="n1")
    decision = next_step([attempt], profile.cluster, ON, replan)
    assert (decision.go_on, decision.changes) == (True, {})


@pytest.mark.parametrize("failure", ["cancelled", "bad_input", "relion_error"])
def test_what_would_fail_again_is_not_tried_again(failure: str) -> None:
    ((decision, _),) = chain(failure, profile_with())
    assert not decision.go_on
    assert decision.reason.startswith("Not tried again")


def test_attempts_are_counted() -> None:
    found = chain("node", profile_with(), healing=replace(ON, attempts=3), node="a")
    assert [decision.go_on for decision, _ in found] == [True, True, False]
    assert found[-1][0].reason == "Given up: 3 attempts have failed."


def test_nothing_is_healed_where_the_profile_does_not() -> None:
    ((decision, _),) = chain("node", profile_with(), healing=Healing())
    assert not decision.go_on


def test_more_memory_is_for_as_many_ranks() -> None:
    movies = "`which relion_run_motioncorr_mpi` --i m.star --use_own --o MotionCorr/job002/"
    data = DataFacts(n_micrographs=500, n_frames=40, movie_shape=(5760, 4092))
    profile = profile_with(comp=replace(GPUS["comp"], mem_mb=100_000), big=GPUS["comp"])

    def replan(more: Mapping[str, object]) -> policy.Asked:
        overrides = {"partition": "comp", **more}
        return attempts.asked(
            plan(Request(commands=(movies,), data=data, overrides=overrides), profile)
        )

    first = replan({"mem": "60G"})
    attempt = Attempt(number=1, failure="host_memory", asked=first)
    decision = next_step([attempt], profile.cluster, ON, replan)
    again = replan(decision.changes)
    assert again["mem_mb"] > first["mem_mb"]
    assert again["ntasks"] == first["ntasks"]


def test_changes_add_up() -> None:
    profile = profile_with()
    attempt, replan = attempted(profile, "host_memory", {})
    first = replace(attempt, failure="node", node="a", changes={"failed_nodes": "a"})
    decision = next_step([first, replace(attempt, number=2)], profile.cluster, ON, replan)
    assert set(decision.changes) == {"failed_nodes", "mem", "hoped_nproc"}


def test_a_cluster_without_partitions_is_no_trouble() -> None:
    attempt, replan = attempted(profile_with(), "host_memory", {})
    assert next_step([attempt], Cluster(), ON, replan).go_on

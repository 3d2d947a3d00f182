"""What is told of a job's size before its data exist, and that it is what will be submitted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.exceptions import ResourceValidationError
from snakemake.resources import Resource

from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Request, plan
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.machine import with_cores
from relion_dispatch.pipeline import foresight, wished
from relion_dispatch.pipeline.jobs import RESOURCES, Planner, StepJob
from relion_dispatch.profiles import load_profile
from tests.bench.submitting import particles

CLASS2D = (
    "`which relion_refine` --o Class2D/job006/run --i Extract/job005/particles.star --K 50"
    " --iter 25 --pool 30 --ctf --pipeline_control Class2D/job006/"
)
BOX = {"box": 64, "angpix": 4.4}


def job(tmp_path: Path, profile: str = "m3", **changes: Any) -> StepJob:
    planner = Planner(profile_name=profile, project=tmp_path, **changes.pop("planner", {}))
    values: dict[str, Any] = {
        "step": "class2d",
        "out": "Class2D/job006/",
        "commands": (CLASS2D,),
        "planner": planner,
        "data": BOX,
    }
    return StepJob(**values | changes)


def asked(made: StepJob, inputs: list[str], attempt: int = 1) -> dict[str, Any]:
    """Ask for all resources as Snakemake does; what is not told stays away."""
    found = {}
    for name, resource in made.resources.items():
        try:
            found[name] = resource(None, attempt=attempt, input=inputs)
        except FileNotFoundError as error:
            if error.filename not in inputs:  # Snakemake knows it by that
                raise
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("Extract/job005").mkdir(parents=True)
    return tmp_path


INPUTS = ["Extract/job005/particles.star"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_what_is_told_before_stays_true_when_the_data_are_there(
    project: Path, attempt: int
) -> None:
    made = job(project)
    before = asked(made, INPUTS, attempt)
    particles(project / INPUTS[0], rows=20_000)
    after = asked(made, INPUTS, attempt)

    assert {"tasks", "nodes", "slurm_partition"} <= set(before) < set(after) == set(RESOURCES)
    assert before.items() <= after.items()


def test_what_is_told_then_is_what_is_submitted(project: Path) -> None:
    made = job(project)
    asked(made, INPUTS)
    particles(project / INPUTS[0], rows=20_000)
    told = asked(made, INPUTS, attempt=2)

    request = Request(
        commands=made.params["relion"](None, None),
        data=DataFacts(**made.params["data"](None, None)),
        attempt=2,
    )
    assert plan(request, load_profile("m3")).resources() == told


def test_a_changed_file_is_another_plan(project: Path) -> None:
    made = job(project, data={})
    particles(project / INPUTS[0], rows=100)
    first = made.plan()
    assert made.plan() is first
    particles(project / INPUTS[0], rows=20_000)
    assert made.plan() is not first


@settings(max_examples=10)
@given(
    n_particles=st.integers(1, 3_000_000),
    box=st.sampled_from([32, 64, 256, 512, 1024]),
    step=st.sampled_from([CLASS2D, CLASS2D.replace("--K 50", "--K 4 --ref map.mrc --sym C1")]),
)
def test_no_data_in_between_make_it_untrue(n_particles: int, box: int, step: str) -> None:
    made = job(Path("/nowhere"), commands=(step,), data={})
    told = asked(made, ["/nowhere/particles.star"])
    request = Request(commands=(step,), data=DataFacts(box=box, n_particles=n_particles))
    try:
        found = plan(request, made.planner.profile).resources()
    except DoesNotFitError:
        return
    assert told.items() <= found.items()


def test_steps_that_need_no_data_are_told_at_once(project: Path) -> None:
    lines = ("python -m relion_dispatch.pipeline.selection --o Select/job007/",)
    made = job(project, commands=lines, data={}, job_type="plain")
    assert set(asked(made, ["missing.star"])) == set(RESOURCES)


def test_movies_tell_what_they_are(project: Path) -> None:
    for number in range(3):
        with mrcfile.new(f"{number}.mrcs", np.zeros((8, 48, 64), np.int8)) as movie:
            movie.set_image_stack()
    names = ["0.mrcs", "1.mrcs", "2.mrcs"]
    facts = foresight.of_images(names)
    assert facts == {
        "n_micrographs": 3,
        "n_frames": 8,
        "movie_shape": (64, 48),
        "movie_format": "mrc",
    }
    assert foresight.of_images(["nothing.tif"]) == {"n_micrographs": 1}
    assert foresight.of_images([]) == {}
    assert DataFacts(**facts).n_frames == 8


# ------------------------------------------------------------------------- what a user sets by hand


def test_what_is_set_by_hand_is_followed_by_the_rest(project: Path) -> None:
    particles(project / INPUTS[0], rows=100)
    by_hand = {"class2d": {"nodes": "2", "mem_mb": 30_000, "runtime": Resource("runtime", 90)}}
    given = wished.by_rule(by_hand)
    assert given == {"class2d": {"nodes": 2, "mem": "30000M", "runtime": 90}}

    made = job(project, planner={"given": given})
    asked_for = {
        name: resource(None, attempt=1, input=INPUTS, rulename="class2d")
        for name, resource in made.resources.items()
    }
    request = Request(
        commands=made.lines,
        data=DataFacts(**made.data),
        overrides={**made.overrides, **given["class2d"]},
    )
    assert asked_for == plan(request, load_profile("m3")).resources()
    assert (asked_for["tasks"], asked_for["gpu"], asked_for["mem_mb"]) == (17, 4, 30_000)
    assert asked(made, INPUTS)["nodes"] == 1, "another rule"


def test_expressions_are_left_to_snakemake() -> None:
    later = Resource("mem_mb", lambda wildcards, attempt: 1000 * attempt)
    assert wished.by_rule({"a": {"mem_mb": later, "tasks": 3}}) == {"a": {"nproc": 3}}


@given(st.integers(1, 8), st.integers(1, 4))
def test_gpus_are_those_of_all_nodes(gpus: int, nodes: int) -> None:
    found = wished.parameters({"gpu": gpus * nodes, "nodes": nodes}, ["gpu"])
    assert found == {"ngpu": gpus}


# ------------------------------------------------------------------------------------ what is wrong


def test_a_size_that_fits_nowhere_is_told_with_step_and_numbers(project: Path) -> None:
    made = job(project, planner={"sizing": {"class2d": {"nproc": 400}}})
    with pytest.raises(ResourceValidationError) as told:
        made.resources["mem_mb"](None, attempt=1, input=[])
    text = str(told.value)
    assert text.startswith("step class2d (Class2D/job006/): the job fits no partition")
    assert "m3h: 400 ranks cannot be laid out evenly on its 2 GPUs, 28 cores" in text
    with pytest.raises(ResourceValidationError):
        made.threads(None, attempt=1)


# --------------------------------------------------------------------------------- on this machine


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_snakemakes_cores_are_all_that_a_job_uses(project: Path, cores: int) -> None:
    profile = load_profile("local")
    has = profile.cluster.partitions["local"].cores
    assert isinstance(has, int)
    made = job(project, "local", planner={"cores": cores})
    planned = made.plan()
    assert planned.ntasks * planned.cpus_per_task == min(cores, has)
    assert made.threads(None, attempt=1) == min(cores, has)
    assert with_cores(profile.cluster, 1).partitions["local"].cores == 1


def test_on_a_cluster_threads_are_those_of_a_node(project: Path) -> None:
    made = job(project, planner={"cores": 1})
    assert made.threads(None, attempt=1) == made.plan().threads > 1


def test_snakemake_asks_for_resources_before_the_job(project: Path) -> None:
    from snakemake.common import get_input_function_aux_params

    offered = {"resources": SimpleNamespace(), "output": [], "input": [], "threads": 1}
    taken = get_input_function_aux_params(job(project).params["job"], offered)
    assert set(taken) == {"resources", "output"}

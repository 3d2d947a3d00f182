from __future__ import annotations

from dataclasses import replace

import pytest

from relion_dispatch.project.flavours import (
    FAILED,
    FILE_KINDS,
    FLAVOURS,
    RELION_3_1,
    RELION_4_0,
    RELION_5_0,
    RUNNING,
    SCHEDULED,
    STATES,
    SUCCEEDED,
    Flavour,
    convert_kind,
)
from relion_dispatch.project.joblist import Job, JobList, job_number

#: As RELION 3.1's window writes it, with a column and a table that nobody knows.
LIST = """
# version 30001

data_pipeline_general

_rlnPipeLineJobCounter                       9


# version 30001

data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessType #3
_rlnPipeLineProcessStatus #4
_rlnMine #5
Import/job001/       None            0            2 "my own"
Class2D/job008/ Class2D/nice/            8            0 ""


# version 30001

data_pipeline_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeType #2
Import/job001/particles.star            3


# version 30001

data_pipeline_input_edges

loop_
_rlnPipeLineEdgeFromNode #1
_rlnPipeLineEdgeProcess #2
Import/job001/particles.star Class2D/job008/


# version 30001

data_pipeline_output_edges

loop_
_rlnPipeLineEdgeProcess #1
_rlnPipeLineEdgeToNode #2
Import/job001/ Import/job001/particles.star


# version 30001

data_colours

_rlnColour red
"""
CLASSES = Job(
    name="Class2D/job106/",
    type="8",
    alias="Class2D/class2d/",
    inputs=(("Import/job001/particles.star", "3"),),
    outputs=(("Class2D/job106/a.star", "3"), ("Class2D/job106/b.star", "8")),
)


def mine() -> JobList:
    return JobList.read(LIST, RELION_3_1)


def test_nothing_is_lost_that_others_wrote() -> None:
    again = JobList.read(mine().write(), RELION_3_1)

    assert again.content == mine().content
    assert again.names == ("Import/job001/", "Class2D/job008/")
    assert again.alias("Class2D/job008/") == "Class2D/nice/"
    assert again.state("Class2D/job008/") == RUNNING
    assert '"my own"' in again.write()
    assert "_rlnColour" in again.write()


def test_a_job_is_added_behind_the_others_and_brought_up_to_date_where_it_is() -> None:
    jobs = mine()
    jobs.put(CLASSES, SCHEDULED)
    jobs.put(replace(CLASSES, name="Class3D/job107/", inputs=(), outputs=()), SCHEDULED)
    jobs.put(CLASSES, RUNNING)

    assert jobs.names[2:] == ("Class2D/job106/", "Class3D/job107/")
    assert jobs.state("Class2D/job106/") == RUNNING
    assert jobs.inputs("Class2D/job106/") == ("Import/job001/particles.star",)
    assert jobs.outputs("Class2D/job106/") == ("Class2D/job106/a.star", "Class2D/job106/b.star")
    assert jobs.write().count("Class2D/job106/a.star") == 2  # the file, and the edge to it


def test_other_inputs_take_the_place_of_the_old_ones() -> None:
    jobs = mine()
    jobs.put(CLASSES, RUNNING)
    jobs.put(replace(CLASSES, inputs=(("new.star", "3"),)), RUNNING)

    assert jobs.inputs("Class2D/job106/") == ("new.star",)
    assert jobs.inputs("Class2D/job008/") == ("Import/job001/particles.star",)


def test_the_users_alias_stays_and_no_two_jobs_share_one() -> None:
    jobs = mine()
    jobs.put(Job(name="Class2D/job008/", type="8", alias="Class2D/class2d/"), RUNNING)
    jobs.put(Job(name="Class2D/job009/", type="8", alias="Class2D/nice/"), RUNNING)

    assert jobs.alias("Class2D/job008/") == "Class2D/nice/"
    assert jobs.alias("Class2D/job009/") == ""


def test_the_counter_never_goes_back_and_is_free() -> None:
    jobs = mine()
    jobs.reserve(5)
    assert jobs.counter == 9
    jobs.reserve(101)
    assert jobs.counter == 101
    jobs.put(replace(CLASSES, name="Class2D/job250/"), RUNNING)
    jobs.reserve(101)
    assert jobs.counter == 251


def test_outputs_that_nobody_reads_can_be_dropped() -> None:
    jobs = mine()
    jobs.put(CLASSES, RUNNING)
    reader = replace(CLASSES, name="Select/job107/", inputs=(CLASSES.outputs[1],), outputs=())
    jobs.put(reader, SCHEDULED)

    dropped = jobs.drop_outputs(CLASSES.name, [name for name, _ in CLASSES.outputs])

    assert dropped == ("Class2D/job106/a.star",)
    assert jobs.outputs(CLASSES.name) == ("Class2D/job106/b.star",)
    assert jobs.kind("Class2D/job106/a.star") == ""


def test_only_scheduled_jobs_are_forgotten() -> None:
    jobs = mine()
    jobs.put(CLASSES, SCHEDULED)
    jobs.forget([CLASSES.name, "Class2D/job008/"])

    assert jobs.write() == mine().write()


@pytest.mark.parametrize("to", FLAVOURS.values(), ids=FLAVOURS)
def test_another_versions_list_is_turned_into_this_ones(to: Flavour) -> None:
    jobs = JobList.read(mine().write(), to)
    jobs.put(Job(name="Import/job001/", type=to.job_type("Import")), FAILED)
    again = JobList.read(jobs.write(), to)

    assert again.names == mine().names
    assert (again.state("Import/job001/"), again.state("Class2D/job008/")) == (FAILED, RUNNING)
    assert again.kind("Import/job001/particles.star") == to.kind("particles")
    assert ("_rlnPipeLineProcessTypeLabel" in again.write()) == to.words
    assert ("relion.class2d" in again.write()) == to.words
    assert ("_rlnPipeLineNodeTypeLabelDepth" in again.write()) == (to is RELION_5_0)
    assert ("# version 50001" in again.write()) == (to is RELION_5_0)


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_kinds_of_files_keep_their_meaning_in_other_versions(kind: str) -> None:
    number, old, new = FILE_KINDS[kind]

    assert convert_kind(old, RELION_5_0).partition(".")[0] in (
        new.partition(".")[0],
        old.partition(".")[0],
    )
    if kind not in ("model", "topazmodel"):  # the later versions have none of the first's
        assert convert_kind(old, RELION_3_1) == str(number)
        assert convert_kind(new, RELION_3_1) == str(number)
    for style in (RELION_4_0, RELION_5_0):
        assert "." in convert_kind(str(number), style)


def test_an_empty_list_is_a_list() -> None:
    jobs = JobList.read("", RELION_4_0)
    assert (jobs.names, jobs.counter) == ((), 1)
    jobs.put(replace(CLASSES, type="relion.class2d"), SUCCEEDED)
    assert JobList.read(jobs.write(), RELION_4_0).state(CLASSES.name) == SUCCEEDED


def test_states_have_relions_numbers() -> None:
    assert [RELION_3_1.state(state) for state in STATES] == ["0", "1", "2", "3", "4"]
    assert RELION_4_0.state(SUCCEEDED) == "Succeeded"


def test_job_numbers() -> None:
    assert job_number("Class2D/job1007/") == 1007
    assert job_number("Class2D/nice/") == 0

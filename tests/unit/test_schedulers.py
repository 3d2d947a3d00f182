from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import scheduler_calls
from relion_dispatch.cluster import Scheduler
from relion_dispatch.errors import SchedulerError
from relion_dispatch.ledger import new_token
from relion_dispatch.reports import State
from relion_dispatch.schedulers import DEFINITIONS, LSF, PBS, SGE, SLURM, Definition, definition_for

PRINTED = {
    "slurm": [("Submitted batch job 4711\n", "4711"), ("4711;m3\n", "4711")],
    "pbs": [("4711.pbs-01.site.org\n", "4711.pbs-01.site.org"), ("4711\n", "4711")],
    "sge": [('Your job 4711 ("refine") has been submitted\n', "4711")],
    "lsf": [("Job <4711> is submitted to default queue <normal>.\n", "4711")],
}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_the_job_id_is_found_below_a_sites_banner(definition: Definition) -> None:
    for printed, job_id in PRINTED[definition.name]:
        banner = "Welcome to cluster 42, you have 17 GB left\n"
        assert scheduler_calls.parse_job_id(definition, banner + printed) == job_id


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
def test_no_job_id_is_found_in_an_error(definition: Definition) -> None:
    assert (
        scheduler_calls.parse_job_id(definition, "error: invalid partition 3 requested\n") is None
    )


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS)
@given(label=st.text(max_size=300))
def test_every_label_makes_a_valid_name_with_its_token(definition: Definition, label: str) -> None:
    token = new_token()
    name = scheduler_calls.job_name(definition, label, token)
    assert name.endswith(token)
    assert len(name) <= definition.name_length
    assert name[0].isalpha()
    assert name.isascii()
    assert not set(name) & set(" /:@*?|'\"$`")


def test_scripts_are_submitted_under_their_name() -> None:
    assert scheduler_calls.submit_argv(SLURM, ["sbatch", "-q", "x"], "a b.run", "n") == [
        *["sbatch", "-q", "x", "--job-name=n", "a b.run"]
    ]
    assert scheduler_calls.submit_argv(PBS, (), "a.run", "n") == ["qsub", "-N", "n", "a.run"]
    assert scheduler_calls.submit_argv(LSF, (), "a.run", "n") == ["bsub", "-J", "n"]


def test_one_question_for_all_jobs() -> None:
    ids = [str(number) for number in range(700)]
    asked = list(scheduler_calls.queries(SLURM, SLURM.status, ids, "me"))
    assert len(asked) == 1
    assert "--user=me" in asked[0]
    records = list(scheduler_calls.queries(SLURM, SLURM.history, ids, "me"))
    assert [argv[-1].count(",") for argv in records] == [499, 199]
    pbs = list(scheduler_calls.queries(PBS, PBS.status, ids, "me"))
    assert [len(argv) for argv in pbs] == [302, 302, 102]


def test_a_listing_takes_no_ids() -> None:
    assert list(scheduler_calls.queries(SGE, SGE.listing, [], "me")) == [
        ["qstat", "-u", "me", "-xml"]
    ]


@pytest.mark.parametrize(
    "message",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
    ],
)
def test_time_heals_some_refusals(message: str) -> None:
    assert scheduler_calls.is_busy(SLURM, message)


def test_time_does_not_heal_a_wrong_partition() -> None:
    assert not scheduler_calls.is_busy(SLURM, "sbatch: error: invalid partition specified: m4")


def test_the_submit_command_tells_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SGE_ROOT", raising=False)
    assert definition_for(Scheduler(submit=("/opt/slurm/bin/sbatch --qos=x",))).name == "slurm"
    assert definition_for(Scheduler(submit=("qsub",))).name == "pbs"
    assert definition_for(Scheduler(submit=("bsub",))).name == "lsf"
    monkeypatch.setenv("SGE_ROOT", "/opt/sge")
    assert definition_for(Scheduler(submit=("qsub",))) == SGE


def test_commands_of_the_file_win() -> None:
    scheduler = Scheduler(submit=("qsub",), status=("my_qstat", "{job_ids}"), time_limit_s=5)
    definition = definition_for(scheduler)
    assert definition.status == ("my_qstat", "{job_ids}")
    assert definition.cancel == PBS.cancel
    assert definition.reply == "columns"
    assert definition.time_limit_s == 5
    assert scheduler_calls.read(definition, "7|R\n8|COMPLETED\n")["8"].state is State.SUCCEEDED


def test_a_scheduler_of_the_sites_own() -> None:
    scheduler = Scheduler(submit=("oarsub",), status=("oarstate", "{job_ids}"), cancel=("oardel",))
    definition = definition_for(scheduler)
    assert scheduler_calls.read(definition, "7|RUNNING\n")["7"].state is State.RUNNING
    assert scheduler_calls.submit_argv(definition, (), "a.run", "n") == ["oarsub", "a.run"]


def test_what_a_scheduler_of_the_sites_own_lacks_is_named() -> None:
    with pytest.raises(SchedulerError, match="add status and cancel to"):
        definition_for(Scheduler(submit=("oarsub",)))

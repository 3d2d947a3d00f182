from __future__ import annotations

import pytest

from relion_dispatch import scheduler_calls
from relion_dispatch.errors import SchedulerError
from relion_dispatch.reports import State
from relion_dispatch.schedulers import LSF, PBS, SGE, SLURM, Definition

SQUEUE = """\
11|PENDING|Priority|||refine.j1
12|RUNNING|None|m3h000||refine.j2
13|COMPLETED|None|m3h001||refine.j3
14|FAILED|NonZeroExitCode|m3h001||refine.j4
"""
SACCT = """\
14|FAILED|None|m3h001|3:0|refine.j4
15|CANCELLED by 1000|None|m3h001|0:15|refine.j5
16|OUT_OF_MEMORY|None|m3h001|0:125|refine.j6
17|TIMEOUT|None|m3h001|0:0|refine.j7
18|NODE_FAIL|None|m3h[001-002]|1:0|refine.j8
"""
QSTAT_F = """\
Job Id: 21.pbs01
    Job_Name = ref.j1
    job_state = Q
    comment = Not Running: Insufficient amount of resource: ngpus
\t (R: 4 A: 0 T: 8)

Job Id: 22.pbs01
    Job_Name = ref.j2
    job_state = R
    exec_host = gpu07/0*4

Job Id: 23.pbs01
    Job_Name = ref.j3
    job_state = F
    exec_host = gpu07/0*4
    Exit_status = 0

Job Id: 24.pbs01
    Job_Name = ref.j4
    job_state = F
    Exit_status = 271

Job Id: 25.pbs01
    Job_Name = ref.j5
    job_state = C
"""
QSTAT_XML = """\
<?xml version='1.0'?>
<job_info>
  <queue_info>
    <job_list state="running">
      <JB_job_number>31</JB_job_number><JB_name>refine.j1</JB_name>
      <state>r</state><queue_name>all.q@node7</queue_name>
    </job_list>
  </queue_info>
  <job_info>
    <job_list state="pending">
      <JB_job_number>32</JB_job_number><JB_name>refine.j2</JB_name>
      <state>qw</state><queue_name></queue_name>
    </job_list>
    <job_list state="pending">
      <JB_job_number>33</JB_job_number><JB_name>refine.j3</JB_name>
      <state>Eqw</state><queue_name></queue_name>
    </job_list>
  </job_info>
</job_info>
"""
QACCT = """\
==============================================================
qname        all.q
hostname     node7
jobname      refine.j4
jobnumber    34
failed       0
exit_status  0
==============================================================
hostname     node8
jobname      refine.j5
jobnumber    35
failed       100 : assumedly after job
exit_status  137                  (Killed)
==============================================================
jobnumber    36
failed       37  : qmaster enforced h_rt, h_cpu, or h_vmem limit
exit_status  137                  (Killed)
==============================================================
jobnumber    37
failed       26  : opening input/output file
exit_status  0
"""
BJOBS = """\
41|PEND|New job is waiting for scheduling|-|-|refine.j1
42|RUN|-|node7|-|refine.j2
43|DONE|-|node7|-|refine.j3
44|EXIT|-|node7|3|refine.j4
"""


def states(definition: Definition, text: str) -> dict[str, State]:
    return {job_id: each.state for job_id, each in scheduler_calls.read(definition, text).items()}


def test_slurms_queue() -> None:
    assert states(SLURM, SQUEUE) == {
        "11": State.PENDING,
        "12": State.RUNNING,
        "13": State.SUCCEEDED,
        "14": State.FAILED,
    }
    reports = scheduler_calls.read(SLURM, SQUEUE)
    assert reports["11"].reason == "Priority"
    assert reports["12"].reason == ""
    assert reports["12"].node == "m3h000"
    assert reports["14"].name == "refine.j4"
    assert reports["14"].exit_code is None


def test_slurm_holds_jobs_that_a_node_could_not_start() -> None:
    text = (
        "7|PENDING|launch failed requeued held|||one\n"
        "8|PENDING|JobHeldUser|||two\n9|PENDING|None|||three\n"
    )
    held = {job_id: report.held for job_id, report in scheduler_calls.read(SLURM, text).items()}
    assert held == {"7": True, "8": False, "9": False}


def test_slurms_records() -> None:
    reports = scheduler_calls.read(SLURM, SACCT)
    assert [each.state for each in reports.values()] == [
        State.FAILED,
        State.CANCELLED,
        State.OUT_OF_MEMORY,
        State.TIMEOUT,
        State.NODE_FAILURE,
    ]
    assert reports["14"].exit_code == 3
    assert reports["15"].exit_code == 128 + 15


def test_pbs() -> None:
    assert states(PBS, QSTAT_F) == {
        "21.pbs01": State.PENDING,
        "22.pbs01": State.RUNNING,
        "23.pbs01": State.SUCCEEDED,
        "24.pbs01": State.FAILED,
        "25.pbs01": State.ENDED,
    }
    reports = scheduler_calls.read(PBS, QSTAT_F)
    assert reports["21.pbs01"].reason.endswith("ngpus (R: 4 A: 0 T: 8)")
    assert reports["22.pbs01"].node == "gpu07"
    assert reports["24.pbs01"].exit_code == 271


def test_grid_engine() -> None:
    assert states(SGE, QSTAT_XML) == {
        "31": State.RUNNING,
        "32": State.PENDING,
        "33": State.PENDING,
    }
    assert scheduler_calls.read(SGE, QSTAT_XML)["31"].node == "node7"
    assert states(SGE, QACCT) == {
        "34": State.SUCCEEDED,
        "35": State.CANCELLED,
        "36": State.TIMEOUT,
        "37": State.FAILED,
    }
    assert scheduler_calls.read(SGE, QACCT)["35"].reason == "assumedly after job"


def test_lsf() -> None:
    assert states(LSF, BJOBS) == {
        "41": State.PENDING,
        "42": State.RUNNING,
        "43": State.SUCCEEDED,
        "44": State.FAILED,
    }
    assert scheduler_calls.read(LSF, BJOBS)["44"].exit_code == 3


@pytest.mark.parametrize("definition", [SLURM, PBS, SGE, LSF])
@pytest.mark.parametrize("text", ["", "\n", "no such thing", "|||", "Job Id: \n"])
def test_odd_replies_are_no_success(definition: Definition, text: str) -> None:
    assert State.SUCCEEDED not in states(definition, text).values()


def test_a_reply_cut_short_is_no_empty_queue() -> None:
    with pytest.raises(SchedulerError, match="XML that cannot be read"):
        states(SGE, QSTAT_XML[:-20])


def test_a_job_that_may_run_on_another_cluster_is_not_over() -> None:
    assert states(SLURM, "7|REVOKED|||\n")["7"].alive


def test_a_word_that_nobody_knows_is_no_end() -> None:
    assert states(SLURM, "7|HYPERSPACE|||\n") == {"7": State.UNKNOWN}
    assert State.UNKNOWN.alive

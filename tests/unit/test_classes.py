"""Classes of failures, from the messages that RELION, MPI and schedulers really write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.healing.classes import Failure, Remains, classify
from relion_dispatch.healing.directory import STOPPED, STOPPED_LINE
from relion_dispatch.reports import State

ALLOCATOR = """\
ERROR: CudaCustomAllocator out of memory
 [requestedSpace:             1672740864 B]
 [largestContinuousFreeSpace: 1050763264 B]
 [totalFreeSpace:             1050763264 B]"""
RELION_GPU = """\
in: /opt/relion/src/acc/cuda/custom_allocator.cuh, line 539
ERROR:
You ran out of memory on the GPU(s).
follower 2 encountered error: === Backtrace  ===
MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD"""
KERNEL = """\
ERROR: out of memory in /opt/relion/src/acc/cuda/cuda_mem_utils.h at line 576 (error-code 2)
in: /opt/relion/src/acc/cuda/cuda_settings.h, line 67
ERROR:
A GPU-function failed to execute."""
KILLED = """\
mpirun noticed that process rank 1 with PID 0 on node m3h000 exited on signal 9 (Killed).
relion-dispatch: failed: mpirun -n 3 `which relion_refine_mpi`
relion-dispatch: exit code 137 (killed, perhaps for want of memory)"""
SLURM_MEMORY = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=71.batch."
SLURM_TIME = (
    "slurmstepd: error: *** JOB 71 ON m3h000 CANCELLED AT 2026-11-22T13:00:00 DUE TO TIME LIMIT ***"
)
SLURM_NODE = (
    "slurmstepd: error: *** JOB 71 ON m3h000 CANCELLED AT 2026-11-22T13:00:00 DUE TO NODE FAILURE,"
    " SEE SLURMCTLD LOG FOR DETAILS ***"
)
SLURM_PREEMPTED = (
    "slurmstepd: error: *** JOB 71 ON m3h000 CANCELLED AT 2026-11-22T13:00:00 DUE TO PREEMPTION ***"
)
SLURM_CANCELLED = "slurmstepd: error: *** JOB 71 ON m3h000 CANCELLED AT 2026-11-22T13:00:00 ***"
SLURM_REQUEUED = f"{SLURM_CANCELLED[:-4]} DUE TO JOB REQUEUE ***"
SLURM_STEP = "slurmstepd: error: *** STEP 71.0 ON m3h000 CANCELLED AT 2026-11-22T13:00:00 ***"
#: srun's exit code is the highest of its tasks': 143, of those that it ends itself.
SRUN_OTHERS = f"{SLURM_STEP}\nsrun: error: m3h000: tasks 0,2: Terminated"
SRUN_KILLED = f"srun: error: m3h000: task 1: Killed\n{SRUN_OTHERS}"
SRUN_FAILED = f"srun: error: m3h000: task 1: Exited with exit code 1\n{SRUN_OTHERS}"
BUS_ERROR = """\
--------------------------------------------------------------------------
mpirun noticed that process rank 1 with PID 0 on node m3h000 exited on signal 7 (Bus error).
--------------------------------------------------------------------------"""
RAM = "in: ml_optimiser.cpp, line 2872\nERROR: \nThere was an issue allocating CPU memory (RAM). "
MISSING_FILE = """\
in: ./src/metadata_table.cpp, line 1148
ERROR:
MetaDataTable::read: File Extract/job007/particles.star does not exist
relion-dispatch: failed: `which relion_refine` --i Extract/job007/particles.star"""
ORTE = """\
An ORTE daemon has unexpectedly failed after launch and before
communicating back to mpirun. This could be caused by a number
of factors, including an inability to create a connection back
to mpirun due to a lack of common network interfaces and/or no
route found between them. Please check network connectivity
(including firewalls and network routing requirements)."""
SRUN_LAUNCH = """\
srun: error: Task launch for StepId=7.0 failed on node m3h001: Communication connection failure
srun: error: Application launch failed: Communication connection failure"""
OTHER = """\
in: ./src/ml_optimiser.cpp, line 1204
ERROR:
MlOptimiser::initialiseGeneral: the particles look away
relion-dispatch: failed: `which relion_refine`"""


def found(err: str = "", out: str = "", **values: object) -> tuple[Failure, str]:
    remains = Remains(err=err.splitlines(), out=out.splitlines(), **values)  # type: ignore[arg-type]
    finding = classify(remains)
    assert finding.evidence
    return finding.failure, "\n".join(finding.evidence)


@pytest.mark.parametrize(
    "err, out, failure, quoted",
    [
        (RELION_GPU, ALLOCATOR, Failure.GPU_MEMORY, "You ran out of memory on the GPU(s)."),
        ("", ALLOCATOR, Failure.GPU_MEMORY, "CudaCustomAllocator out of memory"),
        (KERNEL, "", Failure.GPU_MEMORY, "ERROR: out of memory in"),
        (KILLED, "", Failure.HOST_MEMORY, "exited on signal 9 (Killed)"),
        (SLURM_MEMORY, "", Failure.HOST_MEMORY, "oom-kill event"),
        (RAM, "", Failure.HOST_MEMORY, "issue allocating CPU memory (RAM)"),
        ("ERROR: \nAllocate: No space left", "", Failure.HOST_MEMORY, "No space left"),
        ("ERROR:\nFailed to allocate the buffer.", "", Failure.HOST_MEMORY, "the buffer"),
        ("RuntimeError: CUDA error: out of memory", "", Failure.GPU_MEMORY, "CUDA error"),
        ("OSError: [Errno 28] No space left on device", "", Failure.RELION_ERROR, "No space left"),
        (f"{MISSING_FILE}\nDisk quota exceeded", "", Failure.RELION_ERROR, "quota exceeded"),
        (BUS_ERROR, "", Failure.RELION_ERROR, "exited on signal 7 (Bus error)"),
        (f"{OTHER}\n{SRUN_KILLED}", "", Failure.RELION_ERROR, "ml_optimiser.cpp"),
        (f"{SLURM_REQUEUED}\n{RELION_GPU}", "", Failure.GPU_MEMORY, "on the GPU(s)"),
        ("terminate called\n  what():  std::bad_alloc", "", Failure.HOST_MEMORY, "std::bad_alloc"),
        (SLURM_TIME, "", Failure.TIME, "DUE TO TIME LIMIT"),
        ("=>> PBS: job killed: walltime 3617 exceeded limit 3600", "", Failure.TIME, "walltime"),
        ("=>> PBS: job killed: mem 9kb exceeded limit 8kb", "", Failure.HOST_MEMORY, "mem 9kb"),
        (SLURM_NODE, "", Failure.NODE, "NODE FAILURE"),
        (SLURM_PREEMPTED, "", Failure.NODE, "PREEMPTION"),
        ("ERROR: no CUDA-capable device is detected in x.cu", "", Failure.NODE, "CUDA-capable"),
        (ORTE, "", Failure.NODE, "An ORTE daemon has unexpectedly failed"),
        (SRUN_LAUNCH, "", Failure.NODE, "failed on node m3h001"),
        (SLURM_CANCELLED, "", Failure.CANCELLED, "CANCELLED AT"),
        (MISSING_FILE, "", Failure.BAD_INPUT, "particles.star does not exist"),
        (OTHER, "", Failure.RELION_ERROR, "ml_optimiser.cpp, line 1204"),
        ("Segmentation fault", "", Failure.RELION_ERROR, "Segmentation fault"),
    ],
)
def test_messages_tell_the_class(err: str, out: str, failure: Failure, quoted: str) -> None:
    told, evidence = found(err, out, exit_code=1, state=State.FAILED)
    assert told is failure
    assert quoted in evidence


@pytest.mark.parametrize(
    "state, word, failure",
    [
        (State.OUT_OF_MEMORY, "OUT_OF_MEMORY", Failure.HOST_MEMORY),
        (State.TIMEOUT, "TIMEOUT", Failure.TIME),
        (State.NODE_FAILURE, "NODE_FAIL", Failure.NODE),
        (State.CANCELLED, "PREEMPTED", Failure.NODE),
        (State.CANCELLED, "CANCELLED by 1000", Failure.CANCELLED),
    ],
)
def test_the_schedulers_word_tells_the_class(state: State, word: str, failure: Failure) -> None:
    told, evidence = found(OTHER, state=state, word=word)
    assert told is failure
    assert word in evidence


def test_a_job_that_slurm_cancelled_for_its_memory_was_not_cancelled_by_a_person() -> None:
    err = "slurmstepd: error: Step 7.batch exceeded memory limit (900 > 800), being killed"
    told, _ = found(f"{err}\n{SLURM_CANCELLED}", state=State.CANCELLED, word="CANCELLED")
    assert told is Failure.HOST_MEMORY


@pytest.mark.parametrize(
    "values, failure",
    [
        ({"word": "CANCELLED by 0"}, Failure.NODE),
        ({"word": "CANCELLED", "out": "Error running slurm prolog: 1"}, Failure.NODE),
        ({"word": "CANCELLED by 1000"}, Failure.CANCELLED),
        ({"word": "CANCELLED"}, Failure.CANCELLED),
        ({"word": "CANCELLED by 0", "node": ""}, Failure.CANCELLED),
        ({"word": "CANCELLED by 0", "begun": True}, Failure.CANCELLED),
        ({"word": "CANCELLED by 0", "out": "RELION version: 3.1.3"}, Failure.CANCELLED),
    ],
)
def test_a_job_that_a_node_could_not_start_was_not_cancelled_by_a_person(
    values: dict[str, object], failure: Failure
) -> None:
    usual = {"state": State.CANCELLED, "begun": False, "node": "m3h001", "user": 1000}
    told, evidence = found(**{**usual, **values})  # type: ignore[arg-type]
    assert told is failure
    assert str(values["word"]) in evidence
    assert ("before the script began on m3h001" in evidence) == (failure is Failure.NODE)


@pytest.mark.parametrize("said", [KILLED, RELION_GPU, "lost communication with a remote daemon"])
def test_what_programs_say_as_a_person_ends_them_is_no_reason(said: str) -> None:
    by_state, _ = found(said, state=State.CANCELLED, word="CANCELLED by 1000", exit_code=137)
    by_log, evidence = found(f"{said}\n{SLURM_CANCELLED}", exit_code=137)
    assert by_state is by_log is Failure.CANCELLED
    assert "CANCELLED AT" in evidence


@pytest.mark.parametrize(
    "code, failure", [(137, Failure.HOST_MEMORY), (None, Failure.NODE), (127, Failure.BAD_INPUT)]
)
def test_an_exit_code_tells_more_than_a_shells_complaint(
    code: int | None, failure: Failure
) -> None:
    noise = "/etc/profile.d/x.sh: line 3: xyz: command not found"
    assert found(noise, exit_code=code, state=State.FAILED)[0] is failure


@pytest.mark.parametrize(
    "err, failure, quoted",
    [
        (SRUN_KILLED, Failure.HOST_MEMORY, "task 1: Killed"),
        (SRUN_FAILED, Failure.RELION_ERROR, "task 1: Exited with exit code 1"),
        (f"{SRUN_FAILED}\n{MISSING_FILE}", Failure.BAD_INPUT, "does not exist"),
        (f"{SRUN_OTHERS}\n{SLURM_CANCELLED}", Failure.CANCELLED, "JOB 71"),
    ],
)
def test_the_task_that_srun_names_first_is_what_counts(
    err: str, failure: Failure, quoted: str
) -> None:
    told, evidence = found(err, exit_code=143, state=State.FAILED)
    assert told is failure
    assert quoted in evidence


def test_a_daemon_that_was_killed_for_memory_is_no_failed_node() -> None:
    err = "ORTE has lost communication with a remote daemon.\nslurmstepd: Exceeded memory limit"
    assert found(err, state=State.FAILED, exit_code=205)[0] is Failure.HOST_MEMORY


@pytest.mark.parametrize(
    "reason, failure",
    [
        ("120 s before the time limit", Failure.TIME),
        ("GPU memory would not suffice behind iteration 9", Failure.GPU_MEMORY),
    ],
)
def test_a_job_that_stopped_by_itself_says_why(reason: str, failure: Failure) -> None:
    told, evidence = found(f"{STOPPED_LINE}{reason}", exit_code=STOPPED, aborted=True)
    assert told is failure
    assert reason in evidence


def test_relions_own_abort_is_a_persons_wish() -> None:
    assert found("some warning", exit_code=2, aborted=True)[0] is Failure.CANCELLED


@pytest.mark.parametrize(
    "code, failure",
    [
        (137, Failure.HOST_MEMORY),
        (143, Failure.CANCELLED),
        (127, Failure.BAD_INPUT),
        (3, Failure.RELION_ERROR),
    ],
)
def test_an_exit_code_tells_what_is_left(code: int, failure: Failure) -> None:
    told, evidence = found(exit_code=code)
    assert told is failure
    assert f"exit code {code}" in evidence


@pytest.mark.parametrize("err", ["", "WARNING: an option was specified twice"])
@pytest.mark.parametrize("state", [None, State.ENDED, State.FAILED])
def test_a_job_that_is_gone_without_an_exit_code_is_its_nodes_fault(
    state: State | None, err: str
) -> None:
    told, evidence = found(err, state=state, word="FAILED" if state else "")
    assert told is Failure.NODE
    assert ("FAILED" in evidence) == bool(state)


def test_an_error_is_quoted_with_its_message() -> None:
    assert "the particles look away" in found(OTHER, exit_code=1)[1]


@given(st.lists(st.text()), st.sampled_from([None, *State]), st.none() | st.integers(0, 255))
def test_any_remains_have_a_class(err: list[str], state: State | None, code: int | None) -> None:
    finding = classify(Remains(err=err, state=state, exit_code=code))
    assert 1 <= len(finding.evidence) <= 3

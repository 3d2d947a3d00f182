"""What a job died of: a class of failure, and the lines that tell it.

Pure functions of what the scheduler says, of the exit code, and of the ends of the job's two logs.
The messages are RELION's own (``src/error.h``, ``src/multidim_array.h``, ``src/args.cpp``,
``src/acc/cuda/custom_allocator.cuh``, ``src/acc/cuda/cuda_settings.h``; 3.1 to 5.0), those of
Open MPI, and those of Slurm, PBS and LSF.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence

from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.directory import STOPPED, STOPPED_LINE
from relion_dispatch.reports import State

#: Most lines of evidence.
SHOWN = 3


class Failure(enum.StrEnum):
    """Classes of failures; what is done about each is the profile's business."""

    GPU_MEMORY = "gpu_memory"
    HOST_MEMORY = "host_memory"
    TIME = "time"
    NODE = "node"
    CANCELLED = "cancelled"
    BAD_INPUT = "bad_input"
    RELION_ERROR = "relion_error"


@dataclass(frozen=True, kw_only=True)
class Remains:
    """What is left of a job that has ended badly.

    Attributes
    ----------
    state
        What the scheduler or its records say; None where they are silent.
    word, reason
        The same in the scheduler's words.
    exit_code
        The job's exit code; None when nobody knows it.
    out, err
        The last lines of its output and of its errors, oldest first.
    aborted
        Whether RELION ended it because somebody asked RELION to.
    begun
        Whether its script has begun.
    node
        Where it ran or was to run; empty when nobody knows, or when it never got so far.
    user
        The number of the user whose job it was; None for unknown.
    """

    state: State | None = None
    word: str = ""
    reason: str = ""
    exit_code: int | None = None
    out: Sequence[str] = ()
    err: Sequence[str] = ()
    aborted: bool = False
    begun: bool = True
    node: str = ""
    user: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The class of a failure and its evidence, as it was written."""

    failure: Failure
    evidence: tuple[str, ...]


_GPU_MEMORY = (
    r"(Cuda|Hip)CustomAllocator out of memory",
    r"You ran out of memory on the GPU",
    r"ERROR: out of memory in .*\(error-code 2\)",
    r"GPU memory was insufficient",
    r"cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUDA_ERROR_OUT_OF_MEMORY",
    r"(CUDA|HIP)( error:)? out of memory|CUFFT_ALLOC_FAILED|CU\w+_STATUS_ALLOC_FAILED",
)
# Of a cancelled job only what schedulers write is believed: its programs die of all kinds of
# things.
_SCHEDULERS_HOST_MEMORY = (
    r"[Dd]etected \d+ oom[-_]kill event",
    r"oom[-_]kill|Out [Oo]f [Mm]emory|OUT_OF_ME",
    r"[Ee]xceeded (job |step |virtual )?memory limit",
    r"mem(ory)? \S+ exceeded limit|TERM_MEMLIMIT",
)
_HOST_MEMORY = (
    *_SCHEDULERS_HOST_MEMORY,
    r"issue allocating CPU memory|Error in askMemory$|[Ff]ailed to allocate ",
    r"Allocate: No space left",
    r"out of memory|std::bad_alloc|MemoryError|Cannot allocate memory",
    r"exited on signal 9 \(Killed\)",
)
_TIME = (r"DUE TO TIME LIMIT", r"walltime \S+ exceeded limit", r"TERM_RUNLIMIT")
_SCHEDULERS_NODE = (
    r"DUE TO NODE FAILURE|NODE_FAIL|BOOT_FAIL|Node failure on",
    r"DUE TO PREEMPTION|PREEMPTED|TERM_PREEMPT",
)
_NODE = (
    *_SCHEDULERS_NODE,
    r"no CUDA-capable device is detected|CUDA-capable devices are busy or unavailable",
    r"uncorrectable ECC error|GPU is lost|fallen off the bus",
    r"lost communication with a remote daemon|(ORTE|PRTE) daemon has unexpectedly failed",
    r"daemon .*died unexpectedly .*while attempting to launch|Task launch for \S+ failed on node",
    r"Stale file handle|Transport endpoint is not connected|Input/output error",
)
# What Slurm writes of a node that cannot start a job.
_PROLOG = (r"Error running slurm prolog|Prolog failure on node",)
# Of a step that a task has failed in srun says the same; of a job that is requeued it says why.
_CANCELLED = (r"\*\*\* JOB .* CANCELLED AT \S+ \*\*\*", r"TERM_OWNER|TERM_ADMIN")
_FULL_DISK = (r"No space left on device|[Qq]uota exceeded|[Rr]ead-only file system",)
_BAD_INPUT = (
    r"errors were encountered upon command-line parsing",
    r"Cannot get command line argument|compulsory",
    r"does not exist|cannot be (read|opened)|[Cc]annot (read|open)|Invalid input file",
    r"(is|are|was) missing|missing (in|from)|not found in|does not contain|No such file or dir",
    r"[Ii]nvalid (pixel size|box size|number|value|format)|unrecognised option",
    r"is not on PATH|command not found",
)
_RELION_ERROR = (
    r"^ *ERROR:? *\S",
    r"^in: .*, line \d+",
    r"exited on signal \d+|^signal \d+ \(",
    r"^srun: error: \S+ tasks? \S+ Exited with exit code",
)
# Of tasks that it has to end itself srun says so too, but another one has failed then.
_KILLED_TASK = (r"^srun: error: \S+ tasks? \S+ Killed",)

_Messages = tuple[tuple[Failure, tuple[str, ...]], ...]

#: Classes that a log tells, in the order in which they are believed: of two messages the more
#: telling comes first. A GPU that is full makes RELION end with an error like any other.
_TELLING: _Messages = (
    (Failure.GPU_MEMORY, _GPU_MEMORY),
    (Failure.TIME, _TIME),
    (Failure.HOST_MEMORY, _HOST_MEMORY),
    (Failure.NODE, _NODE),
)
_ERRORS: _Messages = (
    (Failure.RELION_ERROR, _FULL_DISK),
    (Failure.BAD_INPUT, _BAD_INPUT),
    (Failure.RELION_ERROR, _RELION_ERROR),
)
_OF_CANCELLED: _Messages = (
    (Failure.TIME, _TIME),
    (Failure.HOST_MEMORY, _SCHEDULERS_HOST_MEMORY),
    (Failure.NODE, _SCHEDULERS_NODE),
    (Failure.CANCELLED, _CANCELLED),
)
_STATES: Mapping[State, Failure] = {
    State.OUT_OF_MEMORY: Failure.HOST_MEMORY,
    State.TIMEOUT: Failure.TIME,
    State.NODE_FAILURE: Failure.NODE,
}
_KILLED = (137,)
_ENDED = (130, 143)
_MISSING_PROGRAM = (126, 127)


def classify(remains: Remains) -> Finding:
    """Say what a job died of.

    The scheduler's word counts most where it is a clear one; then the messages in the logs; then
    the exit code, unless a program says itself that it has failed. What none of them tells is an
    error of RELION's, with its last line as evidence.
    """
    told = _by_itself(remains) or _by_state(remains)
    told = told or _not_started(remains) or _cancelled(remains)
    told = told or _by_log(remains, _TELLING)
    if not told and not _quoted(remains, _RELION_ERROR):
        told = _by_code(remains)
    return told or _by_log(remains, _ERRORS) or _other(remains)


def _by_itself(remains: Remains) -> Finding | None:
    """Read why the job has stopped by itself, if it has."""
    if remains.exit_code != STOPPED:
        return None
    said = [line for line in remains.err if line.startswith(STOPPED_LINE)][-1:]
    memory = any("GPU memory" in line for line in said)
    failure = Failure.GPU_MEMORY if memory else Failure.TIME
    return Finding(failure=failure, evidence=tuple(said) or (f"exit code {STOPPED}",))


def _by_state(remains: Remains) -> Finding | None:
    failure = _STATES.get(remains.state) if remains.state else None
    if remains.word.upper().startswith("PREEMPTED"):
        failure = Failure.NODE
    if failure is None:
        return None
    said = ", ".join(word for word in (remains.word, remains.reason) if word)
    patterns = dict(_TELLING)[failure]
    return Finding(
        failure=failure,
        evidence=(f"the scheduler says {said}", *_quoted(remains, patterns))[:SHOWN],
    )


def _not_started(remains: Remains) -> Finding | None:
    """Say that a node could not start a job, which Slurm cancels then if it may not requeue it.

    It does so in the name of its own user (``_launch_job_fail`` in ``src/slurmd/slurmd/req.c``).
    """
    if remains.state is not State.CANCELLED or remains.begun or not remains.node:
        return None
    quoted = _quoted(remains, _PROLOG)
    by = re.fullmatch(r"CANCELLED by (\d+)", remains.word)
    silent = not (remains.out or remains.err)
    if not quoted and not (silent and by and remains.user not in (None, int(by[1]))):
        return None
    said = f"the scheduler says {remains.word} before the script began on {remains.node}"
    return Finding(failure=Failure.NODE, evidence=(said, *quoted)[:SHOWN])


def _cancelled(remains: Remains) -> Finding | None:
    """Say who has cancelled a job, a person or the scheduler, if anybody has."""
    asked = remains.state is State.CANCELLED or remains.aborted
    if not (asked or _quoted(remains, _CANCELLED)):
        return None
    by_relion = "RELION was asked to abort (RELION_JOB_EXIT_ABORTED)"
    said = by_relion if remains.aborted else f"the scheduler says {remains.word or 'cancelled'}"
    bare = Finding(failure=Failure.CANCELLED, evidence=(said,))
    return _by_log(remains, _OF_CANCELLED) or bare


def _by_log(remains: Remains, messages: _Messages) -> Finding | None:
    for failure, patterns in messages:
        if evidence := _quoted(remains, patterns):
            return Finding(failure=failure, evidence=evidence)
    return None


def _by_code(remains: Remains) -> Finding | None:
    code = remains.exit_code
    if (killed := _quoted(remains, _KILLED_TASK)) or code in _KILLED:
        said = f"exit code {code}: killed, which is what happens for want of memory"
        return Finding(failure=Failure.HOST_MEMORY, evidence=(*killed, said)[:SHOWN])
    if code in _ENDED:
        said = f"exit code {code}: it was told to end, and no scheduler says why"
        return Finding(failure=Failure.CANCELLED, evidence=(said,))
    if code is None:  # every script leaves one, unless it is killed outright
        words = ", ".join(word for word in (remains.word, remains.reason) if word)
        said = f"the job is gone without an exit code; the scheduler says {words or 'nothing'}"
        return Finding(failure=Failure.NODE, evidence=(said,))
    return None


def _other(remains: Remains) -> Finding:
    if remains.exit_code in _MISSING_PROGRAM:
        said = f"exit code {remains.exit_code}: a program is missing or cannot be run"
        return Finding(failure=Failure.BAD_INPUT, evidence=(said,))
    telling = re.compile(r"(?!relion-dispatch: ).*\w")
    lines = [line for line in remains.err if telling.match(line)][-1:]
    code = f"exit code {remains.exit_code}" if remains.exit_code is not None else ""
    evidence = tuple(line for line in (*lines, code) if line)
    return Finding(failure=Failure.RELION_ERROR, evidence=evidence or ("no message at all",))


def _quoted(remains: Remains, patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the lines that match, each once, errors before output, in the logs' order."""
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    found = dict.fromkeys(
        line.strip()
        for line in (*remains.err, *remains.out)
        if wanted.search(line) and not line.startswith("relion-dispatch: failed: ")
    )
    lines = list(found)
    return tuple(_with_following(remains, line) for line in lines[:SHOWN])


def _with_following(remains: Remains, line: str) -> str:
    """Join RELION's bare ``ERROR:`` with the message, which it writes on the next line."""
    if line.rstrip(" :") != "ERROR":
        return line
    lines = [each.strip() for each in remains.err]
    at = lines.index(line) if line in lines else len(lines)
    return " ".join([line, *lines[at + 1 : at + 2]])

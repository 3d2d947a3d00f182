"""Schedulers as data: how to submit, ask, list and cancel, and what their words for states mean.

A scheduler is one `Definition`; `scheduler_calls` turns it into argument lists and reads replies.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import SchedulerError
from relion_dispatch.frozen import dataclass
from relion_dispatch.reports import State
from relion_dispatch.this_python import argv

if TYPE_CHECKING:
    from relion_dispatch.cluster import Scheduler


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One scheduler's commands and words.

    In the commands ``{user}`` is the user's name, ``{job_ids}`` the ids with commas between them,
    a whole word ``{ids}`` the ids as words of their own, and ``{name}`` a job's name.

    Attributes
    ----------
    submit
        Submits the script whose path is appended, or which is read from standard input.
    tag
        Options that give the job the name it is found by.
    name_length
        Most characters that the scheduler keeps of a name.
    job_id_pattern
        Its first group is the id in what the submit command prints.
    status
        Reports many jobs.
    history
        The same for jobs that ``status`` has forgotten; empty when there is no such command.
    listing
        Reports all of the user's jobs of late, with their names.
    cancel
        Cancels the jobs whose ids are appended.
    reply
        How the reports are laid out, a key of `reports.READERS`.
    states
        The scheduler's words, in capitals where it has case.
    busy
        Pattern of the messages of a scheduler that would take the job later.
    held
        Pattern of the reasons for which it holds a job that a node could not start: no node will
        be given to it any more.
    arrays
        Whether like jobs may be submitted together; see `arrays`.
    ids_per_call
        Most ids of one call.
    time_limit_s
        Seconds to wait for an answer.
    """

    name: str
    submit: tuple[str, ...]
    tag: tuple[str, ...]
    name_length: int = 100
    job_id_pattern: str
    status: tuple[str, ...]
    history: tuple[str, ...] = ()
    listing: tuple[str, ...] = ()
    cancel: tuple[str, ...]
    reply: str = "columns"
    states: Mapping[str, State] = field(default_factory=dict)
    busy: str = ""
    held: str = ""
    script_on_stdin: bool = False
    arrays: bool = False
    ids_per_call: int = 500
    time_limit_s: float = 60.0


def _states(**words: str) -> dict[str, State]:
    """Turn state names and their words, apart by spaces, round: from word to state."""
    return {word: State[state] for state, these in words.items() for word in these.split()}


_SLURM_STATES = _states(
    PENDING="PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT",
    RUNNING="RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    SUCCEEDED="COMPLETED",
    FAILED="FAILED LAUNCH_FAILED",
    CANCELLED="CANCELLED PREEMPTED",
    TIMEOUT="TIMEOUT DEADLINE",
    OUT_OF_MEMORY="OUT_OF_MEMORY",
    NODE_FAILURE="NODE_FAIL BOOT_FAIL RECONFIG_FAIL",
    UNKNOWN="REVOKED",  # it may run on another cluster of a federation
)

# What sbatch says when the controller is away or overrun, or a limit on queued jobs is reached.
_SLURM_BUSY = (
    "unable to contact slurm controller|socket timed out|zero bytes were transmitted"
    "|temporarily unable|resource temporarily unavailable|connection refused|connection reset"
    "|communication connection failure|transport endpoint|unexpected message received"
    "|submit ?limit|maxsubmitjob|job violates accounting/qos policy"
)

_SQUEUE = (
    *("squeue", "--noheader", "--array", "--states=all", "--user={user}"),
    "--format=%i|%T|%r|%N||%j",
)

SLURM = Definition(
    name="slurm",
    submit=("sbatch",),
    tag=("--job-name={name}",),
    job_id_pattern=r"^(?:Submitted batch job )?(\d+(?:_\d+)?)",
    # One reply for all of the user's jobs costs the controller less than a list of ids.
    status=_SQUEUE,
    history=(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID,State,Reason,NodeList,ExitCode,JobName",
        "--jobs={job_ids}",
    ),
    listing=_SQUEUE,
    cancel=("scancel",),
    states=_SLURM_STATES,
    busy=_SLURM_BUSY,
    held="launch.failed.requeued.held",
    arrays=True,
)

PBS = Definition(
    name="pbs",
    submit=("qsub",),
    tag=("-N", "{name}"),
    name_length=15,
    job_id_pattern=r"^(\d+(?:\[\])?(?:\.[\w.-]+)?)\s*$",
    status=("qstat", "-f", "{ids}"),
    history=("qstat", "-x", "-f", "{ids}"),
    listing=("qstat", "-f"),
    cancel=("qdel",),
    reply="stanzas",
    states=_states(PENDING="Q H W T M", RUNNING="R E B S U", ENDED="C F X"),
    busy="cannot connect to server|connection refused|would exceed|exceeds? .*limit|try again",
    ids_per_call=300,
)

SGE = Definition(
    name="sge",
    submit=("qsub",),
    tag=("-N", "{name}"),
    job_id_pattern=r"Your job(?:-array)? (\d+)",
    status=("qstat", "-u", "{user}", "-xml"),
    history=("qacct", "-j", "{ids}"),
    listing=("qstat", "-u", "{user}", "-xml"),
    cancel=("qdel",),
    reply="grid_engine",
    busy="unable to contact qmaster|can't connect|commlib error|only allowed to have",
    ids_per_call=1,
)

_BJOBS = (
    *("bjobs", "-a", "-noheader", "-o"),
    "jobid stat pend_reason exec_host exit_code job_name delimiter='|'",
)

LSF = Definition(
    name="lsf",
    submit=("bsub",),
    tag=("-J", "{name}"),
    job_id_pattern=r"Job <(\d+)>",
    status=(*_BJOBS, "{ids}"),
    listing=_BJOBS,
    cancel=("bkill",),
    states=_states(
        PENDING="PEND WAIT PSUSP FWD_PEND PROV",
        RUNNING="RUN USUSP SSUSP",
        SUCCEEDED="DONE",
        FAILED="EXIT",
    ),
    busy="lsf is down|mbatchd is|cannot connect|please wait|limit has been reached|try later",
    script_on_stdin=True,
)

_LOCAL = argv("relion_dispatch.localqueue")

#: This machine, without a scheduler of its own.
LOCAL = Definition(
    name="local",
    submit=(*_LOCAL, "submit"),
    tag=("--name={name}",),
    job_id_pattern=r"^(\d+)$",
    status=(*_LOCAL, "status", "{ids}"),
    listing=(*_LOCAL, "status"),
    cancel=(*_LOCAL, "cancel"),
    states={**_SLURM_STATES, "ENDED": State.ENDED},
)

DEFINITIONS = {each.name: each for each in (SLURM, PBS, SGE, LSF)}


def definition_for(scheduler: Scheduler) -> Definition:
    """Return the definition that a cluster's file describes.

    The submit command tells which scheduler it is; where it is empty, there is none, and jobs run
    on this machine. What the file says itself wins over the shipped definition. Commands of the
    file's own print ``id|state`` and may go on with ``|reason|node|exit code|name``.

    Raises
    ------
    SchedulerError
        When it is none of the known ones and the file leaves out one of its commands.
    """
    submit = _words(scheduler.submit)
    if not submit:
        return replace(LOCAL, time_limit_s=scheduler.time_limit_s)
    base = DEFINITIONS.get(_kind(submit, _words(scheduler.status)))
    own = {
        "status": _words(scheduler.status),
        "history": _words(scheduler.history),
        "cancel": _words(scheduler.cancel),
    }
    if base is None:
        return _foreign(scheduler, submit, own)
    # The shipped words again are nothing of the file's own: they tell which scheduler it is.
    given = {name: words for name, words in own.items() if words not in ((), getattr(base, name))}
    if given.keys() & {"status", "history"} and base.reply != "columns":
        # Columns of the file's own, and what it leaves out would print something else.
        words = {**_SLURM_STATES, **base.states}
        base = replace(base, reply="columns", status=(), history=(), listing=(), states=words)
    pattern = scheduler.job_id_pattern
    if pattern == type(scheduler).job_id_pattern:  # not the file's own: the shipped one knows more
        pattern = base.job_id_pattern
    return replace(
        base,
        submit=submit,
        job_id_pattern=pattern,
        status=given.get("status", base.status),
        history=given.get("history", base.history),
        cancel=given.get("cancel", base.cancel),
        time_limit_s=scheduler.time_limit_s,
    )


def check_programs(definition: Definition) -> None:
    """Make sure that the scheduler's commands are here.

    Raises
    ------
    SchedulerError
        When one is not on PATH.
    """
    for command in (definition.submit, definition.status, definition.cancel):
        if command and shutil.which(command[0]) is None:
            raise SchedulerError(
                f"'{command[0]}' is not on PATH: jobs of this profile are submitted from a machine"
                " that has the scheduler's commands, such as a cluster's login node"
            )


def _foreign(
    scheduler: Scheduler, submit: tuple[str, ...], own: Mapping[str, tuple[str, ...]]
) -> Definition:
    lacking = [name for name in ("status", "cancel") if not own[name]]
    if lacking:
        raise SchedulerError(
            f"the scheduler behind '{' '.join(submit)}' is not known: add"
            f" {' and '.join(lacking)} to cluster.scheduler in the cluster file, or"
            " name sbatch, qsub or bsub as its submit command"
        )
    every_word = {
        word: state for each in DEFINITIONS.values() for word, state in each.states.items()
    }
    return Definition(
        name=Path(submit[0]).name,
        submit=submit,
        tag=(),
        job_id_pattern=scheduler.job_id_pattern,
        status=own["status"],
        history=own["history"],
        cancel=own["cancel"],
        states={**every_word, **_SLURM_STATES},
        ids_per_call=300,
        time_limit_s=scheduler.time_limit_s,
    )


def _words(command: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for part in command for word in shlex.split(part))


def _kind(submit: Sequence[str], status: Sequence[str]) -> str:
    """Name the scheduler by its commands; Grid Engine's ``qsub`` is told from PBS by ``-xml``."""
    program = Path(submit[0]).name if submit else ""
    if program == "qsub":
        return "sge" if "-xml" in status or "SGE_ROOT" in os.environ else "pbs"
    return {"sbatch": "slurm", "bsub": "lsf"}.get(program, "")

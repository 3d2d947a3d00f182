"""What schedulers print about jobs, read into one form."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping

from relion_dispatch.errors import SchedulerError
from relion_dispatch.frozen import dataclass


class State(enum.Enum):
    """What a job is doing, whatever the scheduler calls it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "out of time"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILURE = "node failure"
    ENDED = "ended"  # over; how it ended only the job's own exit code tells
    UNKNOWN = "unknown"  # a word that means nothing to us: keep asking

    @property
    def alive(self) -> bool:
        """Whether the job may still do something; in a state nobody understands it may."""
        return self in {State.PENDING, State.RUNNING, State.UNKNOWN}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the scheduler says of one job.

    Attributes
    ----------
    word
        The state in the scheduler's own word.
    reason
        Why it waits or ended, in the scheduler's words; empty when it does not say.
    exit_code
        The job's exit code, where the scheduler knows it.
    held
        Whether it waits for ever, because a node could not start it.
    """

    job_id: str
    state: State
    word: str = ""
    reason: str = ""
    node: str = ""
    exit_code: int | None = None
    name: str = ""
    held: bool = False


States = Mapping[str, State]
Reader = Callable[[str, States], Iterator[Report]]


def read_columns(text: str, states: States) -> Iterator[Report]:
    """Read lines of ``id|state|reason|node|exit code|name``, of which two columns are a must."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 2 or not cells[0]:
            continue
        job_id, word, reason, node, code, name = (cells + [""] * 4)[:6]
        known = word.upper().split(" ")[0]  # Slurm says `CANCELLED by 1000`
        yield Report(
            job_id=job_id,
            state=states.get(known, State.UNKNOWN),
            word=word,
            reason=_telling(reason),
            node=_telling(node),
            exit_code=_exit_code(code),
            name=name,
        )


def read_stanzas(text: str, states: States) -> Iterator[Report]:
    """Read what ``qstat -f`` of PBS and Torque prints: ``Job Id: 7.server`` and its attributes."""
    joined = re.sub(r"\n\t", "", text)  # long values go on behind a tab
    for stanza in re.split(r"^Job Id: *", joined, flags=re.MULTILINE)[1:]:
        job_id, _, rest = stanza.partition("\n")
        values = dict(re.findall(r"^ +([\w.]+) = (.*)$", rest, re.MULTILINE))
        word = values.get("job_state", "")
        code = values.get("Exit_status") or values.get("exit_status", "")
        state = states.get(word, State.UNKNOWN)
        yield Report(
            job_id=job_id.strip(),
            state=_by_code(state, _exit_code(code)),
            word=word,
            reason=values.get("comment", ""),
            node=values.get("exec_host", "").split("/")[0],
            exit_code=_exit_code(code),
            name=values.get("Job_Name", ""),
        )


def read_grid_engine(text: str, _: States) -> Iterator[Report]:
    """Read Grid Engine's ``qstat -xml`` or, of ended jobs, ``qacct -j``."""
    return _read_qacct(text) if not text.lstrip().startswith("<") else _read_qstat_xml(text)


def _read_qstat_xml(text: str) -> Iterator[Report]:
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(text)  # noqa: S314 - from the site's own scheduler
    except ET.ParseError as error:
        raise SchedulerError(f"qstat printed XML that cannot be read: {error}") from None
    for job in root.iter("job_list"):
        word = job.findtext("state", "")
        yield Report(
            job_id=job.findtext("JB_job_number", ""),
            state=_grid_engine_state(word),
            word=word,
            reason=_grid_engine_reason(word, job.findtext("JB_job_number", "")),
            node=job.findtext("queue_name", "").partition("@")[2],
            name=job.findtext("JB_name", ""),
        )


def _grid_engine_state(word: str) -> State:
    """Grid Engine's states are letters put together: ``qw``, ``hqw``, ``r``, ``dr``, ``Eqw``."""
    if "w" in word:
        return State.PENDING
    return State.RUNNING if set(word) & set("rtsSTRd") else State.UNKNOWN


def _grid_engine_reason(word: str, job_id: str) -> str:
    """Say what keeps a job from running, where its state tells."""
    if "E" in word:
        return f"in error: qstat -j {job_id} says why, qmod -cj {job_id} lets it try again"
    return "held" if "h" in word else ""


def _read_qacct(text: str) -> Iterator[Report]:
    for stanza in re.split(r"^=+$", text, flags=re.MULTILINE):
        values = dict(re.findall(r"^(\w+) +(.*?) *$", stanza, re.MULTILINE))
        if "jobnumber" not in values:
            continue
        code = _exit_code(values.get("exit_status", ""))
        failed = values.get("failed", "0")
        broken = failed.split(" ")[0] != "0"
        yield Report(
            job_id=values["jobnumber"],
            state=_broken(failed, code) if broken else _by_code(State.ENDED, code),
            word="failed" if broken or code else "done",
            reason=failed.partition(":")[2].strip(),
            node=values.get("hostname", ""),
            exit_code=code,
            name=values.get("jobname", ""),
        )


def _broken(failed: str, code: int | None) -> State:
    """Return what became of a job of Grid Engine's that did not end by itself.

    Of one that was deleted it says no more than that its script was killed.
    """
    if "h_rt" in failed:
        return State.TIMEOUT
    return State.CANCELLED if failed.startswith("100 ") and code == 128 + 9 else State.FAILED


READERS: Mapping[str, Reader] = {
    "columns": read_columns,
    "stanzas": read_stanzas,
    "grid_engine": read_grid_engine,
}


def _by_code(state: State, code: int | None) -> State:
    if state is not State.ENDED or code is None:
        return state
    return State.SUCCEEDED if code == 0 else State.FAILED


def _exit_code(text: str) -> int | None:
    """Read ``3``, or Slurm's ``3:0`` and ``0:9``, where a signal counts as 128 more."""
    found = re.match(r"(-?\d+)(?::(\d+))?", text)
    if not found:
        return None
    return int(found[1]) or (128 + int(found[2]) if found[2] and int(found[2]) else 0)


def _telling(text: str) -> str:
    """Return the text unless it is one of the scheduler's ways to say nothing."""
    return "" if text.strip("()") in {"None", "null", "N/A", "n/a", "-", "None assigned"} else text

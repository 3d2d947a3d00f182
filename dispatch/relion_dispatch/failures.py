"""What to tell a user about a job that failed: how, where, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from relion_dispatch.reports import State
from relion_dispatch.watch import Verdict

#: How much of the end of a log is shown.
TAIL_LINES = 12
TAIL_BYTES = 16384

# What Slurm (with cgroups, and watching by itself) and Grid Engine write into a job's error file.
_OUT_OF_MEMORY = re.compile(
    r"exceeded (job |step )?memory limit|oom[-_ ]kill|Out Of Memory|h_(vmem|rss) limit"
)
#: Ends of which the scheduler may not have said the real reason.
_VAGUE = {State.FAILED, State.CANCELLED, State.ENDED}

_ADVICE = {
    State.TIMEOUT: "give it more time: --set-resources {rule}:runtime=MINUTES",
    State.OUT_OF_MEMORY: "give it more memory: --set-resources {rule}:mem_mb=MB",
    State.NODE_FAILURE: "nothing is wrong with the job: start it again",
    State.CANCELLED: "somebody or something cancelled it: start it again",
}


def message(verdict: Verdict, *, rule: str, name: str, logs: Sequence[Path], script: Path) -> str:
    """Describe a failed job.

    Parameters
    ----------
    verdict
        What is known of its end.
    rule, name
        The rule it comes from and its name at the scheduler.
    logs
        Its logs, the most telling first; the end of the first one that says anything is shown.
    script
        The script that was submitted.
    """
    lines = [f"job {verdict.job_id} ({name}) {how_it_ended(verdict)}"]
    advice = _ADVICE.get(verdict.state)
    if advice:
        lines.append(advice.format(rule=rule))
    for log in logs:
        if last := tail(log):
            lines.append(f"the end of {log}:")
            lines += [f"  | {line}" for line in last]
            break
    lines.append(f"logs: {', '.join(map(str, logs)) or 'none'}; script: {script}")
    return "\n".join(lines)


def diagnosed(verdict: Verdict, logs: Sequence[Path]) -> Verdict:
    """Return the verdict with the reason that the scheduler gave in the job's log alone.

    Slurm that watches memory without cgroups calls a job ``FAILED (JobLaunchFailure)`` that it has
    killed for its memory; what it did stands in the job's error file.
    """
    if verdict.state in _VAGUE and any(
        _OUT_OF_MEMORY.search(line) for log in logs for line in tail(log)
    ):
        return replace(verdict, state=State.OUT_OF_MEMORY)
    return verdict


def how_it_ended(verdict: Verdict) -> str:
    """Return the end of a job in half a sentence: state, reason, exit code, node."""
    if verdict.state is State.ENDED:
        return (
            "is lost: the scheduler has forgotten it, its records do not hold it, and it has left"
            " no exit code; perhaps it was killed, or never started"
        )
    report = verdict.report
    words = [word for word in (report.word, report.reason) if word] if report else []
    said = f" ({', '.join(words)})" if words else ""
    code = f", exit code {verdict.exit_code}" if verdict.exit_code is not None else ""
    node = f", on {report.node}" if report and report.node else ""
    return f"ended as {verdict.state.value}{said}{code}{node}"


def tail(path: Path, count: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a file that are not blank; none when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(size - TAIL_BYTES, 0))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    # RELION redraws its progress bars behind carriage returns.
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in lines if line][-count:]

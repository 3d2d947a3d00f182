"""The shell lines by which a job stops by itself, and goes on where another one stopped.

The main command runs in the background, so that the shell hears signals while it waits: bash does
nothing about them as long as a command is in the foreground. In a process group of its own, so that
all of it can be ended.
"""

from __future__ import annotations

from shlex import quote

from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.directory import (
    CONTINUE_FILE,
    HEAL_FILE,
    JOURNAL,
    SCIENCE_FILE,
    STOPPED,
    STOPPED_FILE,
    STOPPED_LINE,
    SUCCEEDED,
)

#: What the job's last lines do about a job that has stopped by itself; ``$code``, ``$job`` and
#: ``$reason`` are theirs.
AT_EXIT = f"""\
  if [ -n "$relion_dispatch_main" ]; then
    kill -TERM -- "-$relion_dispatch_main" 2>/dev/null
    command=$relion_dispatch_label
  fi
  if [ "$code" != 0 ] && [ -e "${{job}}{STOPPED_FILE}" ]; then
    code={STOPPED} reason="stopped by itself, to go on later"
    printf '{STOPPED_LINE}%s\\n' "$(cat "${{job}}{STOPPED_FILE}")" >&2
    rm -f "${{job}}RELION_JOB_EXIT_ABORTED" "${{job}}RELION_JOB_EXIT_FAILURE"
  fi
  [ ! -e "${{job}}{STOPPED_FILE}" ] || rm -f "${{job}}{STOPPED_FILE}" "${{job}}RELION_JOB_ABORT_NOW"
  [ ! -e "${{job}}RELION_JOB_EXIT_ABORTED" ] || rm -f "${{job}}RELION_JOB_ABORT_NOW"
"""

#: Whether somebody looks after the failure of the job in ``$job``.
LOOKED_AFTER = f"""[ -e "${{job}}{HEAL_FILE}" ]"""

#: A good end is noted, and leaves no need for what going on needs.
AT_SUCCESS = f"""\
rm -f "${{job}}{SCIENCE_FILE}" "${{job}}{CONTINUE_FILE}" "${{job}}{HEAL_FILE}"
    [ ! -e "${{job}}{JOURNAL}" ] || printf '{{"event": "ended", "time": %s, "state": "%s"}}\\n' \\
      "$(date +%s)" {SUCCEEDED} >>"${{job}}{JOURNAL}\""""

_FUNCTIONS = """\
relion_dispatch_stop() {{
  relion_dispatch_signalled=1
  [ -n "$relion_dispatch_main" ] || return 0
  echo "$1" >{stopped}
  : >{job}RELION_JOB_ABORT_NOW
}}
relion_dispatch_wait() {{
  local code=0 other
  wait "$relion_dispatch_main" || code=$?
  while [ -n "$relion_dispatch_signalled" ]; do
    relion_dispatch_signalled="" code=0
    wait "$relion_dispatch_main" || code=$?
  done
  for other in $relion_dispatch_timer $relion_dispatch_guard; do
    kill -- "-$other" 2>/dev/null || :
  done
  [ "$code" = 0 ] || return "$code"
  relion_dispatch_main=""
}}
relion_dispatch_signalled="" relion_dispatch_timer="" relion_dispatch_guard=""
trap 'relion_dispatch_stop "a signal"' USR1
"""

# Where the nodes do not see this installation, jobs start over, as they would without it.
_BEGIN = """\
rm -f {file}
{begin} || echo "relion-dispatch: this job starts over: it could not be looked at" >&2
"""

_MAIN = """\
relion_dispatch_label={label}
set -m
if [ -e {file} ]; then
  {{
{continued}
  }} </dev/null &
else
  {{
{main}
  }} </dev/null &
fi
relion_dispatch_main=$!
"""

_TIMER = """\
trap 'relion_dispatch_stop "{after} s have passed, the time limit is near"' USR1
{{
  sleep {after}
  kill -USR1 $$
}} >/dev/null 2>&1 </dev/null &
relion_dispatch_timer=$!
"""

_GUARD = """\
{guard} </dev/null &
relion_dispatch_guard=$!
"""


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """How a job's main command goes on where another attempt at it has stopped.

    Attributes
    ----------
    main, continued
        The command, and the one that goes on.
    label
        What people know the command by.
    begin
        The command that makes ready for either; empty where another one of the job does so.
    stop_after_s
        Seconds after which the job stops by itself; 0 for never.
    guard
        A command that watches the main one from beside it; empty for none.
    """

    main: str
    continued: str
    label: str
    begin: str = ""
    stop_after_s: int = 0
    guard: str = ""


def at_start(job_dir: str) -> str:
    """Return the line that takes back an earlier attempt's request to stop."""
    job = quote(job_dir)
    return f"[ ! -e {job}{STOPPED_FILE} ] || rm -f {job}{STOPPED_FILE} {job}RELION_JOB_ABORT_NOW\n"


def main_lines(going_on: GoingOn, job_dir: str) -> str:
    """Return the lines that run a job's main command, from its start or from where it stopped."""
    job, file = quote(job_dir), quote(job_dir + CONTINUE_FILE)
    filled = _MAIN.format(
        label=quote(going_on.label),
        file=file,
        main=_indented(going_on.main),
        continued=_indented(going_on.continued),
    )
    after = going_on.stop_after_s
    return (
        (_BEGIN.format(begin=going_on.begin, file=file) if going_on.begin else "")
        + _FUNCTIONS.format(job=job, stopped=quote(job_dir + STOPPED_FILE))
        + filled
        + (_TIMER.format(after=after) if after else "")
        + (_GUARD.format(guard=going_on.guard) if going_on.guard else "")
        + "set +m\nrelion_dispatch_wait\n"
    )


def _indented(line: str) -> str:
    """Indent a command; lines that it goes on over are left as they are, for quotes' sake."""
    return f"    {line}"

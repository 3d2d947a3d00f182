"""The shell lines that run a job: markers, exit code and reason included.

RELION's GUI learns how a job ended from files in the job's directory alone. The lines here see to
it that there always is one, whatever becomes of the programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from shlex import quote

from relion_dispatch.frozen import dataclass
from relion_dispatch.healing import shell

#: Lines that end a job: reason into run.err, marker for the GUI, exit code into a file, and the
#: file that makes an open GUI look for ended jobs (see `submit.call_gui`). The reason comes last:
#: the GUI shows three lines, and one command may fill them.
_EXIT = """\
relion_dispatch_exit() {{
  local code=$? command=$BASH_COMMAND job={job} exit_file={exit_file} reason=failed
  trap - EXIT
  set +e
  if [ "$code" = 0 ] && [ -e "${{job}}RELION_JOB_EXIT_FAILURE" ]; then
    code=1 command="a program of the job"
  fi
{stopped}  case $code in
    126 | 127) reason="a program is missing or cannot be run" ;;
    137) reason="killed, perhaps for want of memory" ;;
    130 | 143) reason="cancelled, or out of time" ;;
  esac
  if [ "$code" != 0 ]; then
    printf 'relion-dispatch: %s\\n' "failed: $command" "exit code $code ($reason)" >&2
    rm -f "${{job}}RELION_JOB_EXIT_SUCCESS"
    if {looked_after}; then
      rm -f "${{job}}RELION_JOB_EXIT_FAILURE"
    elif ! [ -e "${{job}}RELION_JOB_EXIT_ABORTED" ]; then
      : >"${{job}}RELION_JOB_EXIT_FAILURE"
    fi
  elif ! [ -e "${{job}}RELION_JOB_EXIT_ABORTED" ]; then
    : >"${{job}}RELION_JOB_EXIT_SUCCESS"
    {at_success}
  fi
  echo "relion-dispatch: exit code $code after $SECONDS s"
  echo "$code" >"$exit_file.new" && mv -f "$exit_file.new" "$exit_file"
{enter}  [ ! -e default_pipeline.star ] || : >.pipeline_has_changed
  exit "$code"
}}
trap relion_dispatch_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"""

# A batch shell may lack `module`, and a machine may have none at all.
_MODULES = """\
# shellcheck source=/dev/null
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh 2>/dev/null ||
  module() { echo "relion-dispatch: no module command here for: module $*" >&2; }
"""

_NEED = """\
programs="{programs}"
for program in $programs; do
  command -v "$program" >/dev/null || {{
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }}
done
"""

_INFO = """\
echo "relion-dispatch: {job_type} on $(hostname), $(date '+%F %T'), {summary}"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${{CUDA_VISIBLE_DEVICES:-none}}"
"""

_HOSTS = """\
hosts=$({command} | awk '{{printf "%s%s:%d", sep, $1, NR == 1 ? {first} : {others}; sep = ","}}')
"""

_RANK_HOSTS = """\
rank_hosts=$({command} | awk '{{
  for (n = NR == 1 ? {first} : {others}; n > 0; n--) {{ printf "%s%s", sep, $1; sep = "," }} }}')
"""

#: First commands that enter a job into RELION's job list, and the word behind their commands.
_ENTERING = ("pipeline.begin ", "project.enter begin ")
_COMMANDS = "RELION_DISPATCH_COMMANDS"

_WHICH = re.compile(r"(?:`|\$\()\s*(?:\S*/)?which\s+([\w.+-]+)\s*[`)]")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the lines are made of.

    Attributes
    ----------
    job_dir
        The job's directory with a slash at its end; empty for the project's own.
    outfile, errfile, exit_file
        Where output, errors and exit code go.
    commands
        The finished commands, a shell line each.
    job_type, summary
        Shown in the output.
    modules, setup, environment
        Loaded, run and exported first.
    hosts_command, ranks_on
        For several nodes: what lists them, and how many ranks each gets.
    info
        Whether host, GPUs and modules are shown in the output.
    going_on
        How the main command goes on where an earlier attempt has stopped; None: it never does.
    """

    job_dir: str
    outfile: str
    errfile: str
    exit_file: str
    commands: Sequence[str]
    job_type: str = ""
    summary: str = ""
    modules: Sequence[str] = ()
    setup: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    hosts_command: str = ""
    ranks_on: Sequence[int] = (1,)
    info: bool = False
    going_on: shell.GoingOn | None = None


def body(script: Script) -> str:
    """Return the lines that run a job here and now, for bash.

    They append to the output files, remove a former run's exit markers, stop at the first command
    that fails, and leave by ``exit``, with the failing command's code.
    """
    return "".join([_start(script), *_environment(script), *_info(script), *_commands(script)])


def _start(script: Script) -> str:
    job, exit_file = quote(script.job_dir), quote(script.exit_file)
    folders = sorted(
        {quote(_folder(f)) for f in (script.outfile, script.errfile, script.exit_file)}
    )
    return (
        "set +u -eo pipefail\n"
        + _EXIT.format(
            job=job,
            exit_file=exit_file,
            enter=_enter_end(script),
            stopped=shell.AT_EXIT if script.going_on else "",
            looked_after=shell.LOOKED_AFTER,
            at_success=shell.AT_SUCCESS,
        )
        + f"mkdir -p {' '.join(folders)}\n"
        f"rm -f {job}RELION_JOB_EXIT_* {exit_file}\n"
        + (shell.at_start(script.job_dir) if script.going_on else "")
        + f"exec >>{quote(script.outfile)} 2>>{quote(script.errfile)}\n"
    )


def _enter_end(script: Script) -> str:
    """Enter the end of a job into RELION's job list, if its first command enters its beginning."""
    first = next(iter(script.commands), "")
    python, module, words = first.partition(" -m relion_dispatch.")
    if not (module and words.startswith(_ENTERING)):
        return ""
    return f"  {python}{module}project.enter end {quote(script.job_dir)} >&2 || :\n"


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _environment(script: Script) -> Iterable[str]:
    if script.environment:
        pairs = " ".join(f"{name}={quote(value)}" for name, value in script.environment.items())
        yield f"export {pairs}\n"
    if script.modules:
        yield _MODULES
    yield from (f"module load {quote(module)}\n" for module in script.modules)
    yield from (f"{line}\n" for line in script.setup)


def _info(script: Script) -> Iterable[str]:
    if script.info:
        yield _INFO.format(job_type=script.job_type, summary=script.summary)
    if script.info and script.modules:
        yield "module list 2>&1 || true\n"


def _commands(script: Script) -> Iterable[str]:
    programs = sorted({name for line in script.commands for name in _WHICH.findall(line)})
    if len(script.ranks_on) > 1:
        first, others = script.ranks_on[:2]
        wanted = _RANK_HOSTS if any("$rank_hosts" in each for each in script.commands) else _HOSTS
        yield wanted.format(command=script.hosts_command, first=first, others=others)
    if programs:
        yield _NEED.format(programs=" ".join(programs))
    lines = list(script.commands)
    if _enter_end(script):
        begins = lines.pop(0)
        text = "\n".join(lines)
        yield f"{begins} --commands <<'{_COMMANDS}'\n{text}\n{_COMMANDS}\n"
    for line in lines:
        if script.going_on and line == script.going_on.main:
            yield shell.main_lines(script.going_on, script.job_dir)
        else:
            yield f"{_stopping(line)}\n"


def _stopping(line: str) -> str:
    """Let a list of commands end the job when any of them fails: ``set -e`` sees only the last."""
    return f"{line} || exit" if "&&" in line and "#" not in line else line

"""A site's own ``RELION_QSUB_TEMPLATE``, turned into a template of a profile.

RELION fills ``XXXnameXXX`` and its like with what the user typed into the window. Here they become
what the engine has decided, and the line with ``XXXcommandXXX``, its launcher included, becomes the
lines that run the job and mark how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from relion_dispatch.errors import InputError
from relion_dispatch.fields import EXTRAS
from relion_dispatch.frozen import dataclass

#: RELION's fields, and what the engine says instead. Cores are those of all nodes, dedicated ones
#: those of one.
_NUMBERS = {
    "mpinodes": "job.ntasks",
    "threads": "job.cpus_per_task",
    "cores": "job.ntasks * job.cpus_per_task",
    "dedicated": "job.ntasks_per_node * job.cpus_per_task",
    "nodes": "job.nodes",
}
_TEXTS = {"outfile": "job.outfile", "errfile": "job.errfile", "queue": "job.partition"}

_MEM_PER_CORE = "job.mem_mb // (job.ntasks_per_node * job.cpus_per_task)"

#: What stands before a site's extra field in a header, and what the engine says instead.
_ASKED = (
    (re.compile(r"(--time[= ]\s*|\s-t\s*)$"), "job.time"),
    (re.compile(r"(h_rt|s_rt|walltime)=$"), "job.runtime_min * 60"),
    (re.compile(r"\s-W\s*$"), "job.runtime_min"),
    (re.compile(r"(--mem-per-cpu[= ]\s*|h_vmem=|mem_free=)$"), _MEM_PER_CORE),
    (re.compile(r"\b(mem|vmem)[= ]\s*$"), "job.mem_mb"),
    (re.compile(r"\bgpus?(:[A-Za-z]\w*)?[:=]$|--gpus(-per-node)?[= ]\s*$|\bngpus=$"), "job.ngpu"),
    (re.compile(r"--gres[= ]\s*$"), "job.gres"),
    (re.compile(r"(--account[= ]\s*|\s-A\s*)$"), "job.account"),
)

_FIELD = re.compile(r"XXX([A-Za-z]+)(\d*)XXX", re.ASCII)
#: GPUs whose type is a field too, and what stands for both: the profile says them in one (`gres`).
_TYPED_GPUS = re.compile(r"gpu:XXXextra\d+XXX:XXXextra\d+XXX")
_GRES = "XXXextra0XXX"
#: What stands behind a field for hours or minutes; the engine says the whole time.
_TIMES = ("job.time", "job.runtime_min")
_CLOCK = re.compile(r"(:\d\d)+(?!\d)")
_UNIT = re.compile(r"[KMGT]i?b?\b", re.IGNORECASE)
_HEADER = re.compile(r"\s*#(SBATCH|PBS|BSUB|\$)\s")
_SHELL = re.compile(r"(/\S*/)?(t?csh|bash|dash|ksh|zsh|sh)\b")
_JINJA = re.compile(r"\{[{%#]")
_LAUNCHER = re.compile(r"[^;&|<>(){}`]*")
_REDIRECTIONS = re.compile(r"(\s*[\d&]?>{1,2}\s*(&\d|[^\s;&|<>]+))*\s*")
_COMMAND = "XXXcommandXXX"

_DISABLE = "# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands"
_BODY = (
    "{% block preamble %}",
    "{% endblock %}",
    "{% block command %}",
    "{{ job.body }}",
    "{% endblock %}",
    "{% block postamble %}",
    "{% endblock %}",
)
_OPTIONS = (
    "{% for option in job.scheduler_options %}",
    "#SBATCH {{ option }}",
    "{% endfor %}",
)
_SUBMIT = {"SBATCH": "sbatch", "PBS": "qsub", "$": "qsub", "BSUB": "bsub"}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A template of a profile.

    Attributes
    ----------
    text
        In jinja2.
    submit
        The program that reads its header: ``sbatch``, ``qsub``, ``bsub``; empty without header.
    launcher
        What stood in front of the command, for ``launcher`` in the profile; empty for nothing.
    extras
        Extra fields of the window that it uses: the site's numbers, and their new ones.
    """

    text: str
    submit: str
    launcher: str
    extras: tuple[tuple[int, int], ...]


def imported(text: str, *, name: str = "template") -> Imported:
    """Turn a ``RELION_QSUB_TEMPLATE`` into a template of a profile.

    Parameters
    ----------
    text
        The site's template.
    name
        What to call it in messages.

    Raises
    ------
    InputError
        When it has no command or several, a field that RELION does not know, or lines that bash
        cannot run; the message names the line.
    """
    lines = [_TYPED_GPUS.sub(_GRES, line) for line in text.replace("\r\n", "\n").splitlines()]
    at = _command_at(lines, name)
    _check_shell(lines, at, name)
    headers = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    kinds = [kind[1] for number in headers if (kind := _HEADER.match(lines[number]))]
    slurm = kinds[:1] == ["SBATCH"]
    made: list[str] = ["#!/bin/bash", _DISABLE]
    for number, line in enumerate(lines):
        if number == 0 and line.startswith("#!"):
            made[0] = _SHELL.sub(_bash, line, count=1)
        elif number == at:
            made += _BODY
        else:
            made += _Line(text=line, number=number, name=name, all=lines).converted()
        if slurm and number == headers[-1]:
            made += _slurm_options(lines)
    return Imported(
        text="\n".join(made) + "\n",
        submit=_SUBMIT[kinds[0]] if kinds else "",
        launcher=_launcher(lines[at]),
        extras=tuple(_extras(lines)),
    )


def _bash(shell: re.Match[str]) -> str:
    return f"{shell[1] or ''}bash"


def _command_at(lines: Sequence[str], name: str) -> int:
    """Return the index of the line that runs the command."""
    found = [n for n, line in enumerate(lines) if _COMMAND in line and not _is_comment(line)]
    if len(found) != 1:
        lacks = "has no line with" if not found else f"has {len(found)} lines with"
        raise InputError(f"{name} {lacks} {_COMMAND}: expected one, which runs RELION's command")
    before, _, after = lines[found[0]].partition(_COMMAND)
    if not _LAUNCHER.fullmatch(before) or not _REDIRECTIONS.fullmatch(after):
        raise InputError(
            f"{name}, line {found[0] + 1}: {_COMMAND} must stand on a line of its own, with no more"
            " than a launcher in front of it and redirections behind it: take the line apart"
        )
    return found[0]


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _check_shell(lines: Sequence[str], command_at: int, name: str) -> None:
    """Refuse a template whose own lines are not for bash, in which the job's lines are written."""
    shell = _SHELL.search(lines[0]) if lines[0].startswith("#!") else None
    if shell is None or shell[2] not in ("csh", "tcsh"):
        return
    for number, line in enumerate(lines):
        if line.strip() and not _is_comment(line) and number != command_at:
            raise InputError(
                f"{name}, line {number + 1}: '{line.strip()}' is for {shell[2]}, and jobs run in"
                " bash: begin the template with #!/bin/bash, and write its own lines for bash"
            )


def _slurm_options(lines: Sequence[str]) -> Iterator[str]:
    """Yield what RELION's templates lack: old output is kept, the profile's options count."""
    header = [line for line in lines if _HEADER.match(line)]
    if not any("--open-mode" in line for line in header):
        yield "#SBATCH --open-mode=append"
    yield from _OPTIONS


def _launcher(line: str) -> str:
    """Return what stood in front of the command, as ``launcher`` in a profile has it."""
    words = line.partition(_COMMAND)[0].strip()
    words = words.replace("XXXmpinodesXXX", "{ntasks}").replace("XXXthreadsXXX", "{cpus_per_task}")
    return "" if _FIELD.search(words) else words


def _extras(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the site's extra fields that the engine knows nothing of."""
    found = {
        int(field[2])
        for line in lines
        for field in _FIELD.finditer(line)
        if field[1] == "extra" and field[2]
        if not _is_plain_comment(line) and not _engines(line, field)
    }
    yield from ((number, number + len(EXTRAS)) for number in sorted(found))


def _is_plain_comment(line: str) -> bool:
    return _is_comment(line) and not _HEADER.match(line)


def _engines(line: str, field: re.Match[str]) -> str:
    """Return what the engine says in the place of an extra field of a header; empty if nothing."""
    if not _HEADER.match(line):
        return ""
    if field[0] == _GRES:
        return "job.gres"
    before = line[: field.start()].rstrip("\"'")
    return next((said for asked, said in _ASKED if asked.search(before)), "")


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of a site's template: of its header, a comment, or shell."""

    text: str
    number: int
    name: str
    all: Sequence[str]

    def converted(self) -> list[str]:
        """Return the lines that it becomes; in a comment nothing is filled in."""
        if _is_plain_comment(self.text):
            return [_escaped(self.text)]
        done, at, needed = "", 0, []
        for field in _FIELD.finditer(self.text):
            said, condition, end = self._said(field)
            done += _escaped(self.text[at : field.start()]) + said
            needed += [condition] if condition else []
            at = end
        done += _escaped(self.text[at:])
        if _HEADER.match(self.text):
            done = _SHELL_OF_HEADER.sub(r"\1/bin/bash", done)
        if not needed:
            return [done]
        return [f"{{% if {' and '.join(dict.fromkeys(needed))} %}}", done, "{% endif %}"]

    def _said(self, field: re.Match[str]) -> tuple[str, str, int]:
        """Return what a field becomes, the condition of its line, and where it ends."""
        name, end = field[1], field.end()
        if name == "extra" and field[2]:
            return self._extra(field)
        if name == "dedicated" and self._is_tasks_per_node(field):
            return "{{ job.ntasks_per_node }}", "", end
        if name in _NUMBERS and not field[2]:
            return f"{{{{ {_NUMBERS[name]} }}}}", "", end
        if name == "name" and not field[2]:
            whole = _HEADER.match(self.text) and not re.match(r"[\w/.]", self.text[end:])
            return self._text(field, "job.name" if whole else "job.job_dir"), "", end
        if name in _TEXTS and not field[2]:
            condition = "job.partition" if name == "queue" and _HEADER.match(self.text) else ""
            return self._text(field, _TEXTS[name]), condition, end
        known = ", ".join((*_NUMBERS, *_TEXTS, "name", "command", "extra1, extra2, ..."))
        raise InputError(
            f"{self.name}, line {self.number + 1}: RELION knows no field {field[0]}; it has {known}"
        )

    def _extra(self, field: re.Match[str]) -> tuple[str, str, int]:
        said, end = _engines(self.text, field), field.end()
        if "mem_mb" in said:
            unit, kind = _UNIT.match(self.text, end), _HEADER.match(self.text)
            megabytes = "mb" if kind and kind[1] == "PBS" else "M"
            return f"{{{{ {said} }}}}{megabytes}", "", unit.end() if unit else end
        if said == "job.ngpu":
            return "{{ job.gpus_per_node }}", "job.gpus_per_node", end
        if said == "job.account":
            return "{{ job.account }}", "job.account is defined", end
        if said:
            clock = _CLOCK.match(self.text, end) if said.startswith(_TIMES) else None
            return f"{{{{ {said} }}}}", said.partition(" ")[0], clock.end() if clock else end
        own = f"job.extra{int(field[2]) + len(EXTRAS)}"
        if _HEADER.match(self.text):
            return self._text(field, own), f"{own} is defined", end
        return self._text(field, f'{own} | default("")'), "", end

    def _text(self, field: re.Match[str], expression: str) -> str:
        """Return an expression for a text, quoted as its place needs it."""
        before = self.text[: field.start()]
        kind = _HEADER.match(self.text)
        quoted = before.count('"') % 2 or before.count("'") % 2
        word = "quote" if kind is None else "sbatch" if kind[1] == "SBATCH" else ""
        return f"{{{{ {expression}{f' | {word}' if word and not quoted else ''} }}}}"

    def _is_tasks_per_node(self, field: re.Match[str]) -> bool:
        """Whether dedicated means ranks here: of a node, beside threads of their own."""
        threads = any(_HEADER.match(line) and "XXXthreadsXXX" in line for line in self.all)
        return threads and "tasks-per-node" in self.text[: field.start()]


#: Grid Engine's and PBS's ``-S``: the shell that runs the script.
_SHELL_OF_HEADER = re.compile(r"^(\s*#(?:\$|PBS)\s+-S\s+)\S+")


def _escaped(text: str) -> str:
    """Write text so that jinja2 leaves it as it is, such as bash's ``${#words}``."""
    return _JINJA.sub(lambda found: f'{{{{ "{found[0]}" }}}}', text)

"""The parameter file that RELION's GUI writes for the submit command.

RELION fills a template (``RelionJob::saveJobSubmissionScript`` in ``src/pipeline_jobs.cpp``, the
same from 3.1 to 5.0): every ``XXX…XXX`` field of a line is replaced, and the line that holds the
command's is written once for each command of the job, in order. The template shipped here
(`TEMPLATE`) makes a file of

1. the job's output file, on the first line,
2. its error file, on the second,
3. the GUI's fields as comments, ``# queue: gpu_long``,
4. the commands, one a line.

Older templates have no comments; their files are read all the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from relion_dispatch.command import Command
from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass

TEMPLATE = Path(__file__).parent / "templates_gui" / "relion_template.sh"
"""The template for ``RELION_QSUB_TEMPLATE``."""

_FIELD = re.compile(r"#\s*([A-Za-z]\w*)\s*:\s*(.*)", re.ASCII | re.DOTALL)
_PLACEHOLDER = re.compile(r"XXX\w+?XXX", re.ASCII)
_EXPECTED = "expected the output file, the error file and the commands, one a line"


@dataclass(frozen=True, kw_only=True)
class JobScript:
    """A job as RELION hands it to the submit command.

    Parameters
    ----------
    outfile, errfile
        Where the job's standard output and errors go, as written: relative to the project.
    commands
        The job's commands in order, at least one.
    comments
        The GUI's fields that were filled in, by their names in RELION's templates:
        ``queue``, ``mpinodes``, ``threads``, ``cores``, ``dedicated``, ``nodes``, ``name``,
        ``extra1``, ….
    """

    outfile: str
    errfile: str
    commands: tuple[Command, ...]
    comments: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, *, name: str = "parameter file") -> JobScript:
        r"""Read a parameter file's text.

        Parameters
        ----------
        text
            The text; lines may end in ``\r\n``; blank lines and comments count for nothing.
        name
            What to call the file in messages.

        Raises
        ------
        InputError
            When a part is missing, when the template was never filled in, or when a command
            cannot be read.
        """
        if "\0" in text:
            raise InputError(f"{name} is no text: it holds NUL characters; {_EXPECTED}")
        lines = list(_lines(text))
        comments = [line.strip() for _, line in lines if _is_comment(line)]
        rest = [(number, line) for number, line in lines if not _is_comment(line)]
        _check(rest, comments, name)
        return cls(
            outfile=rest[0][1].strip(),
            errfile=rest[1][1].strip(),
            commands=tuple(_command(line, number, name) for number, line in rest[2:]),
            comments=_fields(comments),
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> JobScript:
        """Read a parameter file; bytes that are no UTF-8 survive as surrogate escapes.

        Raises
        ------
        InputError
            When the file cannot be read, or for the reasons `parse` gives.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape")
        return cls.parse(text, name=os.fspath(path))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with something in them, with their numbers; continued lines are one."""
    number, pending = 1, ""
    lines = text.replace("\r\n", "\n").split("\n")
    for count, line in enumerate(lines, start=1):
        pending += line
        if _continues(pending) and count < len(lines):
            pending += "\n"
            continue
        if pending.strip():
            yield number, pending.removesuffix("\n")
        number, pending = count + 1, ""


def _continues(line: str) -> bool:
    backslashes = len(line) - len(line.rstrip("\\"))
    return backslashes % 2 == 1 and not _is_comment(line)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _check(rest: Sequence[tuple[int, str]], comments: Sequence[str], name: str) -> None:
    if comments and comments[0].startswith("#!"):
        raise InputError(
            f"{name} is a shell script, not RELION's parameters: {_EXPECTED}. In RELION's window"
            f" set 'Standard submission script' to {TEMPLATE} ($RELION_QSUB_TEMPLATE)"
        )
    for number, line in rest:
        if found := _PLACEHOLDER.search(line):
            raise InputError(
                f"{name}, line {number}: {found[0]} was not filled in: RELION fills the template"
                " when it submits a job; give the file that it writes (run_submit.script)"
            )
    for number, line in rest[:2]:
        if _is_command(line):
            raise InputError(
                f"{name}, line {number}: a command where a file name should be: {_EXPECTED}"
            )
    if len(rest) < 3:
        missing = ("output file", "error file", "command")[len(rest)]
        raise InputError(f"{name} has no {missing}: {_EXPECTED}")


def _is_command(line: str) -> bool:
    try:
        return Command.parse(line).relion
    except InputError:
        return False


def _command(line: str, number: int, name: str) -> Command:
    try:
        return Command.parse(line)
    except InputError as error:
        raise InputError(f"{name}, line {number}: {error}") from None


def _fields(comments: Sequence[str]) -> dict[str, str]:
    found = (match for line in comments if (match := _FIELD.fullmatch(line)))
    values = {match[1]: match[2].strip() for match in found}
    return {
        name: value for name, value in values.items() if value and not _PLACEHOLDER.search(value)
    }

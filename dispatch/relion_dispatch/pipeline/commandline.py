"""RELION command lines: how a program, its options and their values become one shell line."""

from __future__ import annotations

import re
import shlex

# Options of relion_refine that say how it reads and combines data and change no result.
RUNNING_OPTIONS = frozenset(
    {
        "--dont_combine_weights_via_disc",
        "--no_parallel_disc_io",
        "--pool",
        "--preread_images",
        "--scratch_dir",
    }
)
_VARIABLE = r"(\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\}))"

Part = str | None
Parts = tuple[Part, ...]
Commands = tuple[str, ...]


def relion(program: str, out: str, *parts: Part, extra: str = "") -> str:
    """Write a RELION command as its window does: backticks, no launcher, ``--pipeline_control``.

    Parameters
    ----------
    program
        Name without ``_mpi``: whether it runs with MPI is decided where the job is sized.
    out
        The job directory, with a slash at the end.
    parts
        Options as :func:`option` writes them; None is left out.
    extra
        The user's ``extra_arguments``.
    """
    # The window starts this one program by its bare name.
    program = program if program == "relion_import" else f"`which {program}`"
    words = [program, *parts, arguments(extra), option("--pipeline_control", out)]
    return " ".join(word for word in words if word)


def option(name: str, value: object = True) -> Part:
    """Write an option and its value; True makes a flag, None and False leave it out.

    Examples
    --------
    >>> option("--K", 4), option("--angpix", 1.0), option("--zero_mask", True)
    ('--K 4', '--angpix 1', '--zero_mask')
    >>> option("--i", "my movies.star"), option("--mask", None)
    ("--i 'my movies.star'", None)
    """
    if value is None or value is False:
        return None
    return name if value is True else f"{name} {quote(text(value))}"


def handed_on(name: str, value: str) -> Part:
    """Write an option whose value is a list of arguments for another program.

    RELION's window puts a space on each side, so that its parser does not take a value such as
    ``-Tor 0.5`` for an option of its own.
    """
    return option(name, f" {value} ") if value.strip() else None


def text(value: object) -> str:
    """Write a number without a trailing ``.0``, and anything else as it is."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def quote(word: str) -> str:
    """Quote one shell word; only the environment variables in it are expanded.

    Examples
    --------
    >>> quote("Movies/*.tiff"), quote("$TMPDIR/my data"), quote("run")
    ("'Movies/*.tiff'", '"$TMPDIR/my data"', 'run')
    """
    literal, *rest = re.split(_VARIABLE, word)
    if not rest:
        return shlex.quote(literal)
    variables, literals = rest[::2], rest[1::2]
    tail = (f"{name}{_escape(after)}" for name, after in zip(variables, literals, strict=True))
    return f'"{_escape(literal)}{"".join(tail)}"'


def _escape(literal: str) -> str:
    return re.sub(r'[\\"`$]', r"\\\g<0>", literal)


def arguments(extra: str) -> str:
    """Write a user's extra arguments, each of them quoted: no pipes, no second command."""
    return " ".join(quote(word) for word in shlex.split(extra))


def without_running_options(commands: Commands) -> Commands:
    """Leave out what changes no result, so that a change of it makes no step run again."""
    return tuple(_science(command) for command in commands)


def _science(command: str) -> str:
    pattern = "|".join(sorted(RUNNING_OPTIONS))
    value = r"""(?:\s+(?!-)(?:"[^"]*"|'[^']*'|[^\s"'])+)?"""
    return re.sub(rf"\s+(?:{pattern}){value}(?=\s|$)", "", command)

"""Values put into the text of a configuration file, with its comments and layout kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

from relion_dispatch.errors import DispatchError

_WHY = re.compile(r"\[[^]]*\] ?")  # where an earlier value came from
Scalar = str | float | bool | None
# An option's line: indentation, name, value up to a comment that stands apart, comment.
_OPTION = re.compile(
    r"""
    (?P<indent>[ ]*) (?P<name>\w+) :
    (?P<value>[ ]+ (?: "[^"]*" | [^\s"\#] [^\#]*? ) )?
    (?P<comment>\s+ \#.* )?
    $""",
    re.VERBOSE,
)


def fill_in(text: str, values: Mapping[str, Scalar], why: Mapping[str, str] | None = None) -> str:
    """Set options in the text of a YAML file.

    Parameters
    ----------
    text
        The file: nested blocks, one option a line, values on one line.
    values
        Values by path, such as ``optics.pixel_size``.
    why
        Where values come from, by path; it stands in brackets in front of the comment.

    Returns
    -------
    str
        The text with these values; everything else as it was. Comments behind a value keep
        their column where there is room.

    Raises
    ------
    DispatchError
        When the text has no such option.
    """
    left, why = dict(values), why or {}
    lines = []
    blocks: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = _OPTION.match(line)
        if found is None:
            lines.append(line)
            continue
        indent = len(found["indent"])
        blocks = [block for block in blocks if block[0] < indent]
        path = ".".join([*(name for _, name in blocks), found["name"]])
        blocks.append((indent, found["name"]))
        if path in left or path in why:
            value = scalar(left.pop(path)) if path in left else found["value"].strip()
            lines.append(_with(found, value, why.get(path, "")))
        else:
            lines.append(line)
    if left:
        raise DispatchError(f"the configuration's text has no option {', '.join(left)}")
    return "\n".join(lines) + "\n"


def put_in(text: str, values: Mapping[str, Scalar], why: str) -> str:
    """Set options in the text of a YAML file, those that it lacks too.

    Parameters
    ----------
    text
        As for `fill_in`; it may leave options out.
    values
        Values by path.
    why
        Where they come from; it stands in brackets behind each.

    Returns
    -------
    str
        The text with these values and everything else as it was. A new option is the first of its
        block; a new block is the last of the file.
    """
    for path, value in values.items():
        if path in _paths(text):
            text = fill_in(text, {path: value}, {path: why})
        else:
            text = _inserted(text, path, f"{scalar(value)}  # [{why}]")
    return text


def _paths(text: str) -> dict[str, int]:
    """Find each option and block of a text: the number of its line, by path."""
    paths: dict[str, int] = {}
    blocks: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines()):
        if found := _OPTION.match(line):
            indent = len(found["indent"])
            blocks = [block for block in blocks if block[0] < indent]
            paths[".".join([*(name for _, name in blocks), found["name"]])] = number
            blocks.append((indent, found["name"]))
    return paths


def _inserted(text: str, path: str, value: str) -> str:
    """Add an option to its block, and what is missing of that at the end."""
    lines, there = text.splitlines(), _paths(text)
    names = path.split(".")
    known = next(n for n in range(len(names) - 1, -1, -1) if not n or ".".join(names[:n]) in there)
    if known:
        above = there[".".join(names[:known])]
        indent = len(lines[above]) - len(lines[above].lstrip()) + 2
        at = above + 1
    else:
        indent, at = 0, len(lines)
    new = [f"{' ' * (indent + 2 * n)}{name}:" for n, name in enumerate(names[known:])]
    new[-1] += f" {value}"
    return "\n".join([*lines[:at], *new, *lines[at:]]) + "\n"


def _with(found: re.Match[str], value: str, why: str) -> str:
    option = f"{found['indent']}{found['name']}: {value}"
    comment = found["comment"]
    words = "" if comment is None else comment.lstrip().removeprefix("#").lstrip()
    said = _WHY.sub("", words) if why else words
    told = f"# [{why}] {said}".rstrip() if why else f"# {said}"
    if comment is None:
        return f"{option}  {told}" if why else option
    column = found.start("comment") + len(comment) - len(comment.lstrip())
    return f"{option:{max(column - 2, len(option))}}  {told}"


def scalar(value: Scalar) -> str:
    """Write one value as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][\w./-]*", value)
        return value if plain and value.lower() not in _RESERVED else _quoted(value)
    if abs(value) >= 1e-4 or value == 0:
        return f"{value:.10g}"
    return f"{value:.12f}".rstrip("0")  # YAML takes 1e-05 for a text


def _quoted(value: str) -> str:
    escaped = (
        f"\\U{ord(c):08x}" if not c.isprintable() else f"\\{c}" if c in '"\\' else c for c in value
    )
    return f'"{"".join(escaped)}"'


_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

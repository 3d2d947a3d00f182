"""Checking of plain values against annotated types: a mapping in, frozen dataclasses out."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from relion_dispatch.pipeline.options.kinds import Choices, Even, Pattern, Range

UNIONS = (typing.Union, types.UnionType)


class _UnfitError(Exception):
    """A value is not of the type asked for."""


@functools.cache
def fields(block: type) -> dict[str, Any]:
    """Names and annotated types of a dataclass's fields, in order."""
    hints = typing.get_type_hints(block, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(block)}


def check_block(block: type, values: Mapping[str, Any], path: str, problems: list[str]) -> object:
    """Build a dataclass from a mapping of its fields.

    Parameters
    ----------
    block
        The dataclass.
    values
        Its fields' values by name.
    path
        Where the block stands, such as ``ctf.phase_shift``; empty at the top.
    problems
        Gets a sentence for each thing that is wrong.

    Returns
    -------
    object
        An instance of ``block``, or None when something is wrong.
    """
    prefix = f"{path}." if path else ""
    known = fields(block)
    before = len(problems)
    problems += [_unknown(prefix, str(name), known) for name in values if name not in known]
    checked = {
        name: check(hint, values.get(name), prefix + name, problems) for name, hint in known.items()
    }
    return block(**checked) if len(problems) == before else None


def check(hint: object, value: object, path: str, problems: list[str]) -> object:
    """Check one value against its annotated type; return it as that type."""
    if isinstance(value, Mapping) and dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return check_block(hint, value, path, problems)
    if isinstance(value, Mapping) and typing.get_origin(hint) is Mapping:
        _, item = typing.get_args(hint)
        return {key: check(item, part, f"{path}.{key}", problems) for key, part in value.items()}
    try:
        return _fit(hint, value)
    except _UnfitError:
        problems.append(f"{path} must be {words(hint)}, not {_shown(value)}")
        return None


def words(hint: object) -> str:
    """Say in words what a type takes."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return " or ".join(dict.fromkeys(words(part) for part in parts))
    if origin is Annotated:
        text = words(parts[0])
        for mark in parts[1:]:
            text = _marked(text, mark)
        return text
    if origin is Literal:
        return " or ".join(str(choice) for choice in parts)
    return _WORDS.get(hint, "a block of options")


_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
}


def _marked(text: str, mark: object) -> str:
    match mark:
        case Range(ge=least, gt=above, le=most):
            limits = {"at least": least, "more than": above, "at most": most}
            said = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
            return f"{text} of {' and '.join(said)}"
        case Even():
            return text.replace("a whole", "an even")
        case Choices(values=choices):
            return "one of " + ", ".join(f"{choice:g}" for choice in choices)
        case Pattern(words=meaning):
            return meaning
    return text


def _fit(hint: object, value: object) -> object:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return _fit_one_of(parts, value)
    if origin is Annotated:
        fitted = _fit(parts[0], value)
        if not all(_holds(mark, fitted) for mark in parts[1:]):
            raise _UnfitError
        return fitted
    if origin is Literal:
        return _fit_literal(parts, value)
    if hint is Any:
        return value
    return _fit_plain(hint, value)


def _fit_one_of(hints: tuple[object, ...], value: object) -> object:
    for hint in hints:
        try:
            return _fit(hint, value)
        except _UnfitError:
            continue
    raise _UnfitError


def _fit_literal(choices: tuple[object, ...], value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(float(value))  # YAML reads an unquoted 4.0 as a number
    if value not in choices:
        raise _UnfitError
    return value


def _fit_plain(hint: object, value: object) -> object:
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is int and type(value) is float and value.is_integer():
        return int(value)
    if hint is types.NoneType and value is None:
        return None
    raise _UnfitError


def _holds(mark: object, value: Any) -> bool:
    match mark:
        case Range(ge=least, gt=above, le=most):
            return (
                (least is None or value >= least)
                and (above is None or value > above)
                and (most is None or value <= most)
            )
        case Even():
            return bool(value % 2 == 0)
        case Choices(values=choices):
            return value in choices
        case Pattern(regex=regex):
            return re.fullmatch(regex, value) is not None
    return True


def _unknown(prefix: str, name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {prefix}{near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"{prefix}{name} is no option; {advice}"


def _shown(value: object) -> str:
    if value is None:
        return "null (nothing)"
    if isinstance(value, bool):
        return str(value).lower()
    return f"the text {value!r}" if isinstance(value, str) else repr(value)

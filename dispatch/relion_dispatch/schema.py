"""From plain mappings to frozen dataclasses and back to a JSON schema: one definition for both.

The dataclasses say everything: field types give the accepted values, docstrings the descriptions.
Accepted field types are str, int, float, bool, object, Literal, ``X | None``, ``tuple[X, ...]``
(a lone value stands for a tuple of one), ``Mapping[str, X]`` and other dataclasses.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

#: What keys begin with that may stand anywhere, even repeatedly, and mean nothing: ``__comment__``.
COMMENT = "__"

Path = tuple[str, ...]
#: Called with where a value stands and what is wrong with it; raises.
Complain = Callable[[Path, str], typing.NoReturn]
T = TypeVar("T")


def build(cls: type[T], data: object, complain: Complain, path: Path = ()) -> T:
    """Make a dataclass from a mapping.

    Parameters
    ----------
    cls
        The dataclass.
    data
        What a YAML or JSON file holds.
    complain
        Told the place and the fault of the first value that does not fit; must raise.
    path
        Keys that lead to ``data``.
    """
    if not isinstance(data, Mapping):
        complain(path, f"expected a mapping of {', '.join(hints(cls))}, found {_shown(data)}")
    known = hints(cls)
    values: dict[str, Any] = {}
    for key, value in data.items():
        if str(key).startswith(COMMENT):
            continue
        if key not in known:
            complain((*path, str(key)), unknown(str(key), known))
        values[key] = _convert(known[key], value, complain, (*path, key))
    return cls(**values)


def hints(cls: type) -> dict[str, Any]:
    """Return the resolved types of a dataclass's fields, by name."""
    return _hints(cls)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    resolved = typing.get_type_hints(cls)
    return {each.name: resolved[each.name] for each in fields(cls)}


def unknown(key: str, known: typing.Iterable[str]) -> str:
    """Return the complaint about a key that nobody knows, with the nearest valid one."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"valid keys are {', '.join(names)}"
    return f"unknown key '{key}'; {hint}"


def _convert(hint: Any, value: object, complain: Complain, path: Path) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(hint, value, complain, path)
    if origin is tuple:
        return _convert_tuple(hint, value, complain, path)
    if origin is Literal:
        return _convert_literal(hint, value, complain, path)
    if origin is not None and issubclass(origin, Mapping):
        return _convert_mapping(hint, value, complain, path)
    if is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, complain, path)
    return _convert_scalar(hint, value, complain, path)


def _convert_union(hint: Any, value: object, complain: Complain, path: Path) -> Any:
    options = [each for each in get_args(hint) if each is not type(None)]
    if value is None:
        if len(options) < len(get_args(hint)):
            return None
        complain(path, f"expected {_named(hint)}, found nothing")
    if len(options) == 1:
        return _convert(options[0], value, complain, path)
    for each in options:
        try:
            return _convert(each, value, _refuse, path)
        except _Refused:
            continue
    return complain(path, f"expected {_named(hint)}, found {_shown(value)}")


def _convert_tuple(hint: Any, value: object, complain: Complain, path: Path) -> tuple[Any, ...]:
    inner = get_args(hint)[0]
    if value is None:
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(_convert(inner, item, complain, path) for item in items)


def _convert_literal(hint: Any, value: object, complain: Complain, path: Path) -> Any:
    if value not in get_args(hint):
        complain(
            path, f"expected one of {', '.join(map(str, get_args(hint)))}, found {_shown(value)}"
        )
    return value


def _convert_mapping(hint: Any, value: object, complain: Complain, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        complain(path, f"expected a mapping, found {_shown(value)}")
    inner = get_args(hint)[1]
    return {
        str(key): _convert(inner, item, complain, (*path, str(key)))
        for key, item in value.items()
        if not str(key).startswith(COMMENT)
    }


def _convert_scalar(hint: Any, value: object, complain: Complain, path: Path) -> Any:
    if hint is object:
        return value
    if hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        complain(path, f"expected {_named(hint)}, found {_shown(value)}")
    return value


class _Refused(Exception):  # noqa: N818 - never seen outside this module
    """A value that does not fit one branch of a union."""


def _refuse(path: Path, fault: str) -> typing.NoReturn:
    raise _Refused


def _named(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_named(each) for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r}"


def json_schema(cls: type, *, title: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the files that `build` accepts for ``cls``."""
    classes: dict[str, dict[str, Any]] = {}
    top = _schema_of(cls, classes)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **top,
        "$defs": classes,
    }


def _schema_of(hint: Any, classes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(each, classes) for each in inner]}
    if origin is tuple:
        item = _schema_of(inner[0], classes)
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema_of(inner[1], classes)}
    if is_dataclass(hint):
        return _reference(typing.cast("type[Any]", hint), classes)
    return {"type": _JSON_TYPES[hint]} if hint in _JSON_TYPES else {}


_JSON_TYPES: dict[object, str | list[str]] = {
    str: ["string", "number"],
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _reference(cls: type, classes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a reference to a dataclass, and see to it that the dataclass is described."""
    if cls.__name__ not in classes:
        classes[cls.__name__] = {}  # so that it is not described once more within itself
        described = descriptions(cls)
        classes[cls.__name__] = {
            "type": "object",
            "description": (cls.__doc__ or "").strip().split("\n")[0],
            "additionalProperties": False,
            "patternProperties": {f"^{COMMENT}": {}},
            "properties": {
                name: {"description": described.get(name, ""), **_schema_of(hint, classes)}
                for name, hint in hints(cls).items()
            },
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def descriptions(cls: type) -> dict[str, str]:
    """Return what the ``Attributes`` section of a class's docstring says about each field."""
    lines = (cls.__doc__ or "").expandtabs().split("\n")
    if "    Attributes" not in lines:
        return {}
    return _described(lines[lines.index("    Attributes") + 2 :])


def _described(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line.startswith("        "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        elif line.strip():
            names = [name.strip() for name in line.split(",")]
    return found

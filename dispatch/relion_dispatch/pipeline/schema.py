"""JSON schema of the configuration, from the options' types and the comments of config.yaml.

``python -m relion_dispatch.pipeline.schema > workflow/schemas/config.schema.yaml`` writes the file
that editors use; a test keeps it up to date.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.options.kinds import Choices, Even, Pattern, Range
from relion_dispatch.pipeline.settings import read
from relion_dispatch.pipeline.values import UNIONS, fields
from relion_dispatch.resources import workflow_dir

Schema = dict[str, Any]

HEADER = """\
# Made by `python -m relion_dispatch.pipeline.schema` from its package's options and from
# config/config.yaml; do not edit. For an editor with a YAML language server, begin config.yaml with
#   # yaml-language-server: $schema=<path of this file>
"""
_PLAIN: dict[object, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    types.NoneType: {"type": "null"},
    Any: {},
}
_OPTION = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>[^#]*)(?:# (?P<comment>.*))?$")
_CONTINUED = re.compile(r" {10,}# (?P<comment>.*)$")


def schema() -> Schema:
    """Build the schema of a project's configuration, in which every option may be missing."""
    file = workflow_dir() / "config" / "config.yaml"
    comments = dict(_comments(file.read_text(encoding="utf-8")))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the RELION pipeline",
        **_block(Settings, read(file), comments, ""),
    }


def _block(
    block: type, defaults: Mapping[str, Any], comments: Mapping[str, str], path: str
) -> Schema:
    properties: Schema = {}
    for name, hint in fields(block).items():
        below, default = path + name, defaults[name]
        described = {"description": comments[below]} if below in comments else {}
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            properties[name] = described | _block(hint, default, comments, below + ".")
        else:
            empty = {"type": ["object", "null"]} if typing.get_origin(hint) is Mapping else {}
            properties[name] = described | of_type(hint) | empty | {"default": default}
    return {
        "type": ["object", "null"] if path else "object",
        "additionalProperties": False,
        "properties": properties,
    }


def of_type(hint: object) -> Schema:
    """Turn an annotated type into a schema that accepts the same values."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return _one_of([of_type(part) for part in parts])
    if origin is Annotated:
        merged = of_type(parts[0])
        for mark in parts[1:]:
            merged |= _mark(mark)
        return merged
    if origin is Literal:
        return {"enum": [*parts, *_numbers(parts)]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": of_type(parts[1])}
    return dict(_PLAIN[hint])


def _one_of(schemas: list[Schema]) -> Schema:
    *others, last = schemas
    if last == {"type": "null"} and len(others) == 1 and "type" in others[0]:
        values = {"enum": [*others[0]["enum"], None]} if "enum" in others[0] else {}
        return others[0] | {"type": [others[0]["type"], "null"]} | values
    return {"anyOf": schemas}


def _mark(mark: object) -> Schema:
    match mark:
        case Range(ge=least, gt=above, le=most):
            limits = {"minimum": least, "exclusiveMinimum": above, "maximum": most}
            return {name: limit for name, limit in limits.items() if limit is not None}
        case Even():
            return {"multipleOf": 2}
        case Choices(values=choices):
            return {"enum": list(choices)}
        case Pattern(regex=regex):
            return {"pattern": f"^(?:{regex})$"}
    return {}


def _numbers(choices: tuple[str, ...]) -> Iterator[float]:
    """Yield the choices that YAML reads as a number when they are not quoted."""
    for choice in choices:
        if re.fullmatch(r"\d+\.\d+", choice):
            yield float(choice)


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Yield each option's path and its comment, which may go on in the lines below it."""
    blocks: list[str] = []
    path, words = "", ""
    for line in text.splitlines():
        if (continued := _CONTINUED.match(line)) and words:
            words += " " + continued["comment"]
            continue
        if words:
            yield path, words
        words = ""
        if option := _OPTION.match(line):
            blocks = [*blocks[: len(option["indent"]) // 2], option["name"]]
            path, words = ".".join(blocks), option["comment"] or ""
    if words:
        yield path, words


def text() -> str:
    """Write the schema as YAML, lists in one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_sequence(
            self,
            tag: str,
            sequence: Any,
            flow_style: bool | None = True,
        ) -> yaml.nodes.SequenceNode:
            return super().represent_sequence(tag, sequence, flow_style)

    body = yaml.dump(schema(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return HEADER + body


def main() -> None:
    """Print the schema as YAML."""
    sys.stdout.write(text())


if __name__ == "__main__":
    main()

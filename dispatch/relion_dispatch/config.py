"""The cluster and job-type files: read, checked, and laid over each other.

Built-in defaults <- profile <- site file <- project. Every layer is checked by itself, so that a
fault is named with its own file and line.
"""

# No `from __future__ import annotations`: the schema module reads these types at every start.

import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from relion_dispatch import jobtypes, remembered, schema
from relion_dispatch.cluster import Cluster
from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.settings import Healing
from relion_dispatch.jobtypes import JobType

#: Names of a cluster file inside a profile's folder, best first.
FILE_NAMES = ("dispatch.yaml", "dispatch.yml", "dispatch.json", "dispatch_config.json")

DEFAULTS = Path(__file__).parent / "defaults" / "dispatch.yaml"


@dataclass(frozen=True, kw_only=True)
class ClusterFile:
    """The whole of a cluster file.

    Attributes
    ----------
    cluster
        The partitions and how jobs get there.
    job_types
        The hierarchy of job types, in the order in which they are looked through.
    healing
        What is done about jobs that fail.
    """

    cluster: Cluster = field(default_factory=Cluster)
    job_types: Mapping[str, JobType] = field(default_factory=dict)
    healing: Healing = field(default_factory=Healing)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file as read: where it is, its text, and what it holds.

    Attributes
    ----------
    older
        It is in the older dispatcher's format: nothing but job types. It stands alone, without
        the shipped job types, as it always did.
    """

    path: Path
    text: str
    data: Mapping[str, Any]
    older: bool = False


def read(path: Path) -> Source:
    """Read and check a YAML or JSON file.

    Raises
    ------
    InputError
        When it cannot be read, is no mapping, or holds an unknown key or a value of a wrong kind;
        the message names the file, the line and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    data = _parse(path, text)
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: expected a mapping of cluster and job_types")
    older = _is_older(data)
    source = Source(path=path, text=text, data=_newer(data) if older else data, older=older)
    _checked(source)
    return source


def load(paths: Sequence[Path]) -> ClusterFile:
    """Read files and lay them over each other, the strongest last; remembered until one changes.

    Raises
    ------
    InputError
        As `read` and `layer` do.
    """
    merged = remembered.recall(paths)
    if merged is None:
        sources = [read(path) for path in paths]
        merged = layered(sources)
        result = _built(merged, sources[-1])
        remembered.keep(paths, merged)
        return result
    return _built(merged, Source(path=paths[-1], text="", data=merged))


def layer(sources: Sequence[Source]) -> ClusterFile:
    """Lay files over each other, the strongest last.

    Raises
    ------
    InputError
        When job types inherit from missing types or in a circle.
    """
    return _built(layered(sources), sources[-1])


def layered(sources: Sequence[Source]) -> Mapping[str, Any]:
    """Lay files over each other, the strongest last, as plain mappings.

    Job types of a stronger file are looked through before those of a weaker one; a type that both
    have keeps the weaker one's place and takes the stronger one's keys. A file in the older format
    replaces all job types below it.
    """
    merged: Mapping[str, Any] = {}
    for source in sources:
        below = {**merged, "job_types": {}} if source.older else merged
        merged = merge(below, source.data)
    return merged


def _built(merged: Mapping[str, Any], last: Source) -> ClusterFile:
    result = schema.build(ClusterFile, merged, _complainer(last))
    try:
        jobtypes.check(result.job_types)
    except InputError as error:
        raise InputError(f"{last.path}: {error}") from None
    return result


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one file's mappings over another's.

    Parameters
    ----------
    below, above
        Whole files; ``above`` wins. Mappings are merged key by key, anything else is replaced.
    """
    merged = {**below, **above}
    types_below = below.get("job_types") or {}
    types_above = above.get("job_types") or {}
    for part in ("cluster", "healing"):
        if part in below and part in above:
            merged[part] = _deep(below[part] or {}, above[part] or {})
    new = {name: each for name, each in types_above.items() if name not in types_below}
    old = {
        name: _deep(each, types_above[name]) if name in types_above else each
        for name, each in types_below.items()
    }
    merged["job_types"] = {**new, **old}
    return merged


def schema_text() -> str:
    """Return the JSON schema of a cluster file, as shipped."""
    described = schema.json_schema(ClusterFile, title="relion-dispatch cluster file")
    older = {"type": "object", "additionalProperties": {"$ref": "#/$defs/JobType"}}
    described["anyOf"] = [{"$ref": described.pop("$ref")}, older]
    return json.dumps(described, indent=2) + "\n"


def _deep(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {
        **below,
        **{
            key: _deep(below[key], value) if key in below else value for key, value in above.items()
        },
    }


def _is_older(data: Mapping[str, Any]) -> bool:
    """Tell the older format: at the top are job types, and no part of the newer one."""
    return (
        bool(data)
        and not any(key in data for key in schema.hints(ClusterFile))
        and all(
            str(key).startswith(schema.COMMENT) or isinstance(value, Mapping)
            for key, value in data.items()
        )
    )


def _newer(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file in the older format says, in the newer one."""
    return {
        "cluster": {"gpu_memory_model": "fmi"},
        "job_types": data,
        "healing": {"enabled": False},
    }


def _checked(source: Source) -> None:
    if source.older:
        known = schema.hints(JobType)
        used = {key for each in source.data["job_types"].values() for key in each}
        if not used & set(known) and source.path.suffix != ".json":
            name = next(iter(source.data["job_types"]))
            _complainer(source)(("job_types", name), schema.unknown(name, ["cluster", "job_types"]))
    schema.build(ClusterFile, source.data, _complainer(source))


def _parse(path: Path, text: str) -> object:
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    import yaml

    try:
        return yaml.load(text, Loader=_loader(yaml)) or {}  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}{line}: not valid YAML: {problem}") from None


def safe_loader(yaml: Any) -> Any:
    """Return PyYAML's safe loader, in C where there is one: it is ten times as fast."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader(yaml: Any) -> Any:
    """Return a safe loader to which 10:00:00 is text.

    YAML 1.1 reads it as a number to the base of 60, and a time limit would be thousands of hours.
    """
    safe: Any = safe_loader(yaml)

    class Loader(safe):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
            for first, resolvers in safe.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys: set[str] = set()
            for key, _ in node.value:
                if key.value in keys and not str(key.value).startswith(schema.COMMENT):
                    problem = f"'{key.value}' stands here twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                keys.add(key.value)
            return super().construct_mapping(node, deep)

    for tag, pattern in _NUMBERS.items():
        Loader.add_implicit_resolver(tag, re.compile(pattern), list("-+.0123456789"))
    return Loader


_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?[0-9]+$",
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)$"
    ),
}


def _complainer(source: Source) -> schema.Complain:
    def complain(path: schema.Path, fault: str) -> typing.NoReturn:
        keys = path[1:] if source.older else path
        line = line_of(source.text, keys)
        where = f"{source.path}:{line}" if line else str(source.path)
        inside = f" (in {'.'.join(keys[:-1])})" if len(keys) > 1 else ""
        raise InputError(f"{where}: {fault}{inside}")

    return complain


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """Return the line, counted from 1, on which the last of some nested keys stands.

    Parameters
    ----------
    text
        A YAML or JSON file.
    keys
        The keys from the top to the one looked for.
    """
    import yaml

    try:
        node = yaml.compose(text.replace("\t", " "), Loader=safe_loader(yaml))
    except yaml.YAMLError:
        return None
    line = None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        found = [(k, v) for k, v in node.value if str(k.value) == key]
        if not found:
            break
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return line


if __name__ == "__main__":  # writes the schema that is shipped: python -m relion_dispatch.config
    DEFAULTS.with_name("dispatch.schema.json").write_text(schema_text(), encoding="utf-8")

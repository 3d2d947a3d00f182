"""The user's configuration, merged over the defaults and checked: in a mapping, out `Settings`.

Checking is done here, from the types in :mod:`relion_dispatch.pipeline.options`, and not by
jsonschema, whose import alone would slow every start of Snakemake: everything that is wrong is
reported at once, in the user's words. The JSON schema in ``workflow/schemas`` is made from the
same types and accepts the same values; editors use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import consistency, values
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.resources import workflow_dir

Config = Mapping[str, Any]


def load(
    config: Config, *, defaults: Path | None = None, source: str = "the configuration"
) -> Settings:
    """Merge a user's configuration over the defaults and check every value.

    Parameters
    ----------
    config
        The user's options; what is missing comes from the defaults.
    defaults
        The file with all defaults; None for the one of the workflow.
    source
        Where ``config`` comes from, for the messages.

    Raises
    ------
    InputError
        When an option is unknown, of the wrong type, out of range or at odds with another; the
        message lists everything that is wrong, one problem a line.
    """
    file = defaults or workflow_dir() / "config" / "config.yaml"
    return validate(merge(read(file), config), source=source)


def validate(complete: Config, *, source: str = "the configuration") -> Settings:
    """Check a configuration that has every option.

    Raises
    ------
    InputError
        As :func:`load` does.
    """
    problems: list[str] = []
    settings = cast("Settings", values.check_block(Settings, complete, "", problems))
    if not problems:
        problems = list(consistency.problems(settings))
    if problems:
        lines = (f"{source}{line(problem, Path(source))}: {problem}" for problem in problems)
        raise InputError("\n".join(lines))
    return settings


def line(problem: str, file: Path) -> str:
    """Return where the option that a problem begins with stands in a file: ``:12``.

    Empty where the option is not in the file, or there is no such file.
    """
    from relion_dispatch.config import line_of

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    found = line_of(text, problem.split(" ", 1)[0].rstrip(":").split("."))
    return f":{found}" if found else ""


def read(path: Path) -> Config:
    """Read a configuration file.

    Raises
    ------
    InputError
        When it cannot be read, is no YAML or holds no options; with the line.
    """
    import yaml

    from relion_dispatch.config import safe_loader

    loader = safe_loader(yaml)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (both are safe)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark, problem = (getattr(error, name, None) for name in ("problem_mark", "problem"))
        where = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{where}: no valid YAML: {problem or error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no options, each as 'name: value'")
    return content


def merge(defaults: Config, config: Config) -> dict[str, Any]:
    """Lay a configuration over defaults, block by block; an empty block changes nothing."""
    merged = dict(defaults)
    for name, value in config.items():
        default = merged.get(name)
        if isinstance(default, Mapping) and (value is None or isinstance(value, Mapping)):
            merged[name] = merge(default, value or {})
        else:
            merged[name] = value
    return merged

"""A trial's notes on disk, and taking one of its variants over."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.configtext import put_in
from relion_dispatch.trial.variants import Variant

NOTES = "trial.json"


def note(folder: Path, step: str, names: Sequence[str], variants: Sequence[Variant]) -> None:
    """Write down what a trial tries."""
    notes = {
        "step": step,
        "images": list(names),
        "variants": [{"number": each.number, "values": dict(each.values)} for each in variants],
    }
    atomic.write_text(folder / NOTES, json.dumps(notes, indent=1) + "\n")


def read(folder: Path) -> Mapping[str, Any]:
    """Read what a trial has tried.

    Raises
    ------
    InputError
        When there is no such trial.
    """
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{folder} is no trial of relion-dispatch try") from None
    return dict(notes)


def choose(project: Path, folder: Path, number: int) -> Mapping[str, Any]:
    """Write a variant's values to the project's configuration, and return them.

    Comments and layout stay. The file is replaced at once, and only if the result is a valid
    configuration with these values.

    Raises
    ------
    InputError
        When there is no such variant, or the values cannot be put into the file.
    """
    found = {each["number"]: each["values"] for each in read(folder)["variants"]}
    if number not in found:
        raise InputError(f"{folder} has no variant {number}: it has 1 to {len(found)}")
    values: Mapping[str, Any] = found[number]
    path = project / "config.yaml"
    name = f"{os.path.basename(folder.parent)}/{folder.name}"
    text = put_in(path.read_text(encoding="utf-8"), values, f"{name}, variant {number}")
    _check(text, values, path)
    atomic.write_text(path, text, mode=path.stat().st_mode & 0o777)
    return values


def _check(text: str, values: Mapping[str, Any], path: Path) -> None:
    """Make sure that a text is a configuration that has certain values."""
    import yaml

    try:
        content = yaml.safe_load(text)
        settings.load(content, source=f"{path} with these values")
        there = {option: _value(content, option) for option in values}
    except (yaml.YAMLError, KeyError, TypeError):
        there = {}
    if there != values:
        wanted = ", ".join(f"{option}: {value}" for option, value in values.items())
        raise InputError(f"{path} is laid out so that only you can change it: set {wanted}")


def _value(content: Mapping[str, Any], option: str) -> Any:
    found: Any = content
    for name in option.split("."):
        found = found[name]
    return found

"""What is tried: options of a step with several values each, and every combination of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.options import Settings

#: Steps that can be tried, the rule before them, and the last one that runs: the fit of the CTF
#: tells how good a motion correction is.
STEPS: Mapping[str, tuple[str, str]] = {
    "motion_correction": ("", "ctf"),
    "ctf": ("motion_correction", "ctf"),
    "picking": ("ctf", "picking"),
}
MOST = 24
"""Combinations that are still side by side and not a search."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One combination of values.

    Attributes
    ----------
    number
        Counted from 1.
    values
        Values by option.
    """

    number: int
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The values as people read them."""
        return ", ".join(f"{name} = {_shown(value)}" for name, value in self.values.items())


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def variants(step: str, given: Sequence[str], config: Mapping[str, Any]) -> tuple[Variant, ...]:
    """Make the variants of a trial and check each as a configuration.

    Parameters
    ----------
    step
        The step that is tried.
    given
        Options and values, each as ``option=value,value``. An option of the step goes without its
        block.
    config
        The project's configuration.

    Raises
    ------
    InputError
        When there is no such option or value, or there are too many combinations.
    """
    if not given:
        raise InputError(f"try what? Give --set OPTION=VALUE,VALUE with options of {step}")
    named = [_axis(step, each) for each in given]
    axes = dict(named)
    if len(axes) < len(named):
        raise InputError("an option is there twice: give all of its values in one --set")
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST:
        raise InputError(f"{count} combinations are too many: at most {MOST}, and fewer say more")
    made = itertools.product(*axes.values())
    found = tuple(
        Variant(number=number, values=dict(zip(axes, values, strict=True)))
        for number, values in enumerate(made, start=1)
    )
    for each in found:
        settings.load(changed(config, each.values), source=each.label)
    return found


def _axis(step: str, text: str) -> tuple[str, list[Any]]:
    import yaml

    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--set {text}: expected OPTION=VALUE,VALUE, e.g. --set box_size=256,512")
    option = name.strip()
    if not _is_block(option.partition(".")[0]):
        option = f"{step}.{option}"
    try:
        return option, list(dict.fromkeys(yaml.safe_load(each) for each in values.split(",")))
    except (yaml.YAMLError, TypeError):
        raise InputError(f"--set {text}: '{values}' are no values with commas between") from None


def _is_block(name: str) -> bool:
    """Whether a name is that of a block of options, such as ``gain``."""
    field = Settings.__dataclass_fields__.get(name)
    return field is not None and isinstance(field.type, str) and field.type[:1].isupper()


def changed(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values."""
    result = dict(config)
    for option, value in values.items():
        nested: Any = value
        for name in reversed(option.split(".")):
            nested = {name: nested}
        result = settings.merge(result, nested)
    return result


def spread(names: Sequence[str], count: int) -> list[str]:
    """Choose some of many names, evenly from the first to the last."""
    if count >= len(names):
        return list(names)
    if count == 1:
        return [names[len(names) // 2]]
    return [names[round(at * (len(names) - 1) / (count - 1))] for at in range(count)]

"""The workflow's rules for a configuration, without Snakemake's graph of jobs.

Snakemake's own parser turns the rules into Python; what they register is recorded here in
milliseconds, so that many configurations can be looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from snakemake.io import ancient
from snakemake.parser import parse
from snakemake.sourcecache import LocalSourceFile

from relion_dispatch.resources import workflow_dir


@dataclass(kw_only=True)
class Rule:
    """One rule: its directives as they were written, by name."""

    name: str
    directives: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)

    def values(self, directive: str) -> dict[str, Any]:
        """Values of a directive by name, or by number where they have none."""
        plain, named = self.directives.get(directive, ((), {}))
        return {str(number): value for number, value in enumerate(plain)} | named

    def files(self, directive: str) -> list[str]:
        """All files of a directive."""
        return list(_flat(self.values(directive).values()))


@dataclass(kw_only=True)
class Workflow:
    """What the rules take for Snakemake's workflow: it records them."""

    config: dict[str, Any]
    rules: dict[str, Rule] = field(default_factory=dict)
    remote_exec: bool = False
    subprocess_exec: bool = False
    resource_settings: Any = field(
        default_factory=lambda: SimpleNamespace(cores=None, overwrite_resources={})
    )

    def __post_init__(self) -> None:
        self.scope: dict[str, Any] = {"workflow": self, "config": self.config, "ancient": ancient}

    def include(self, name: str) -> None:
        """Run a file of the workflow."""
        exec(_compiled(name), self.scope)  # noqa: S102 (it is the project's own file)

    def rule(self, *, name: str | None, **_: object) -> Callable[[Rule], Rule]:
        """Begin a rule; decorators apply from below, so it is complete by now."""

        def register(rule: Rule) -> Rule:
            rule.name = name or rule.name
            self.rules[rule.name] = rule
            return rule

        return register

    def name(self, name: str) -> Callable[[Rule], Rule]:
        """Name a rule without a name of its own."""

        def named(rule: Rule) -> Rule:
            rule.name = name
            return rule

        return named

    def run(self, _: object) -> Rule:
        """Start from what a rule runs."""
        return Rule(name="")

    def onstart(self, _: object) -> None:
        """Leave out what Snakemake does first."""

    def __getattr__(self, directive: str) -> Callable[..., Callable[[Rule], Rule]]:
        def record(*plain: Any, **named: Any) -> Callable[[Rule], Rule]:
            def recorded(rule: Rule) -> Rule:
                rule.directives[directive] = (plain, named)
                return rule

            return recorded

        return record


class _Sources:
    def open(self, source: LocalSourceFile) -> IO[str]:
        return Path(source.get_path_or_uri(secret_free=True)).open(encoding="utf-8")


class _Parsed:
    sourcecache = _Sources()


@functools.cache
def _compiled(name: str) -> Any:
    source = LocalSourceFile(str(workflow_dir() / name))
    code, _ = parse(source, _Parsed(), linemap={})
    return compile(code, name, "exec")


def rules(config: Mapping[str, Any]) -> Workflow:
    """Read all rules for a configuration; the working directory is the project."""
    workflow = Workflow(config=dict(config))
    workflow.include("Snakefile")
    return workflow


def _flat(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str | Path):
            yield str(value)
        else:
            yield from _flat(value)

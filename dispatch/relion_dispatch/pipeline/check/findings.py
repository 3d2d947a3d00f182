"""What a check finds, and the report that collects it: plain values, JSON and text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
ACCEPT = """
If one of the errors is right here, add its name in brackets to check.accept in config.yaml."""
SHOWN = 3  # files named in the text of one finding; the JSON has all of them


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong or worth knowing.

    Parameters
    ----------
    severity
        ``error`` stops the pipeline, ``warning`` may be right, ``note`` only informs.
    code
        A stable name such as ``movie-truncated``.
    where
        The option, file or folder concerned.
    what
        What is wrong with it.
    advice
        What to do about it.
    files
        All files concerned, when there are several.
    """

    severity: Severity
    code: str
    where: str
    what: str
    advice: str = ""
    files: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Text to read, at most 100 columns wide."""
        head = f"{self.severity.upper()}: {printable(self.where)}: {self.what}"
        text = _wrapped(head, "", "  ")
        if self.advice:
            text += "\n" + _wrapped(self.advice, "  -> ", "     ")
        return f"{text} [{self.code}]"


def _wrapped(text: str, first: str, others: str) -> str:
    return textwrap.fill(
        text,
        width=100,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def error(code: str, where: str, what: str, advice: str, files: Iterable[str] = ()) -> Finding:
    """Make a finding that stops the pipeline."""
    return Finding(
        severity="error", code=code, where=where, what=what, advice=advice, files=tuple(files)
    )


def warning(code: str, where: str, what: str, advice: str, files: Iterable[str] = ()) -> Finding:
    """Make a finding that may be right after all."""
    return Finding(
        severity="warning", code=code, where=where, what=what, advice=advice, files=tuple(files)
    )


def note(code: str, where: str, what: str) -> Finding:
    """Make a finding that only informs."""
    return Finding(severity="note", code=code, where=where, what=what)


def named(files: Iterable[str]) -> str:
    """Name the first few of some files: ``a.mrc, b.mrc, c.mrc and 7 more``."""
    names = list(files)
    shown = ", ".join(printable(name) for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def printable(name: str) -> str:
    """Show a file name so that it can be printed: control characters and odd bytes as escapes."""
    if name.isprintable():
        return name
    return name.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a check found, and what it looked at.

    Parameters
    ----------
    findings
        In the order of the checks.
    facts
        What was looked at: numbers and sizes of the movies and the like.
    versions
        Version of everything that the pipeline uses, by name.
    """

    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop the pipeline."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that may be right after all."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether nothing stops the pipeline."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """Plain values for :mod:`json`."""
        return {
            "ok": self.ok,
            "findings": [asdict(finding) for finding in self.findings],
            "facts": dict(self.facts),
            "versions": dict(self.versions),
        }

    def to_text(self) -> str:
        """Text to read: errors first, then warnings and notes, facts and versions."""
        notes = [finding for finding in self.findings if finding.severity == "note"]
        parts = [finding.to_text() for finding in (*self.errors, *self.warnings, *notes)]
        parts += [_table("What was looked at", self.facts), _table("Versions", self.versions)]
        return "\n".join(part for part in (*parts, self.summary()) if part) + "\n"

    def problems(self) -> str:
        """Errors and warnings alone, for a terminal."""
        parts = [finding.to_text() for finding in (*self.errors, *self.warnings)]
        return "\n".join((*parts, self.summary()))

    def summary(self) -> str:
        """Say how many errors and warnings there are, and what follows."""
        errors, warnings = len(self.errors), len(self.warnings)
        if not errors and not warnings:
            return "The check found nothing wrong."
        verdict = "nothing was started" if errors else "the pipeline can run"
        counts = f"{_count(errors, 'error')} and {_count(warnings, 'warning')}"
        return f"The check found {counts}: {verdict}.{ACCEPT if errors else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = [f"  {name:{width}}  {printable(str(value))}" for name, value in rows.items()]
    return "\n".join([f"{title}:", *lines])

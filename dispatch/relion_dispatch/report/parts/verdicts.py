"""The verdicts on the 3D steps, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relion_dispatch.report.content import Block, Finding, Findings, Text
from relion_dispatch.report.source import Part, Source


def verdict_files(source: Source) -> dict[str, str]:
    """Return where the verdicts are, by their step."""
    paths = source.paths
    found = {"Initial model": paths.path("rank_starts", "verdict.json")} if paths.starts else {}
    if source.settings.class3d.enabled:
        found["3D classification"] = paths.path("select3d", "verdict.json")
    for round_ in source.rounds:
        name = f"Refinement, round {round_}" if round_ else "Refinement"
        found[name] = paths.refined("verdict.json", round_)
    return found


def verdicts(source: Source) -> Iterator[Block]:
    """Make the part of the verdicts."""
    any_yet = False
    for name, file in verdict_files(source).items():
        text = file.replace(".json", ".txt")
        if found := source.verdict(file):
            any_yet = True
            yield _findings(name, found)
        elif source.has(text):  # a verdict to stop leaves its text alone
            any_yet = True
            yield _from_text(name, source.file(text).read_text(encoding="utf-8"))
    if not any_yet:
        yield Text(text="No 3D step has been judged yet.", kind="missing")


def _findings(name: str, verdict: Mapping[str, Any]) -> Findings:
    evidence = [
        Finding(level=str(each.get("level", "unknown")), text=sentence(str(each.get("text", ""))))
        for each in verdict.get("evidence", [])
    ]
    unknown = [
        Finding(level="unknown", text=sentence(str(each))) for each in verdict.get("unknown", [])
    ]
    return Findings(
        title=name,
        level=str(verdict.get("verdict", "unknown")),
        findings=(*evidence, *unknown),
    )


def _from_text(name: str, text: str) -> Findings:
    head, *lines = text.splitlines()
    found = [line.strip().partition("  ") for line in lines if line.strip()]
    return Findings(
        title=name,
        level=head.rpartition(": ")[2] or "unknown",
        findings=tuple(
            Finding(level=level, text=sentence(words.strip())) for level, _, words in found
        ),
    )


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _texts(source: Source) -> tuple[str, ...]:
    return tuple(name.replace(".json", ".txt") for name in verdict_files(source).values())


PART = Part(name="verdicts", title="Verdicts", files=_texts, build=verdicts)

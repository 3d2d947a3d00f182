"""What is wrong with the configuration, and where it stands in its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.check.findings import Finding, error


def check(problems: Sequence[str], file: Path) -> Iterator[Finding]:
    """Complain about options, with their lines.

    Parameters
    ----------
    problems
        Sentences that begin with an option, see :func:`.run.load`.
    file
        Where the options stand; it need not be there.
    """
    for problem in problems:
        yield error("config", f"{file.name}{settings.line(problem, file)}", problem, "")
    yield from _standing_twice(file)


def _standing_twice(file: Path) -> Iterator[Finding]:
    """Find options that stand there twice: YAML takes the last without a word."""
    import yaml

    from relion_dispatch.config import safe_loader

    try:
        left = [yaml.compose(file.read_text(encoding="utf-8"), Loader=safe_loader(yaml))]
    except (OSError, ValueError, yaml.YAMLError):
        return
    while left:
        node = left.pop()
        seen: dict[str, int] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            left.append(value)
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                yield error(
                    "config",
                    f"{file.name}:{line}",
                    f"{name} stands here again: line {seen[name]} counts for nothing",
                    "put the two together",
                )
            seen[name] = line

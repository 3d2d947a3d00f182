"""Compare estimated with measured times of a finished run: ``python -m tests.bench.durations DIR``.

DIR is a project that Snakemake has run with the profile `local`; its records say how long each
step took. Machines differ and are shared, so this is a table to look at and no test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relion_dispatch.duration import SAFETY
from relion_dispatch.engine import Request, plan
from relion_dispatch.errors import DispatchError
from relion_dispatch.profiles import load_profile

#: A line that starts one of RELION's programs.
PROGRAM = re.compile(r"^(?:mpirun .*)?(?:`which relion_\w+`|relion_\w+) .*--.*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a pipeline, and its seconds, estimated without safety and measured."""

    name: str
    estimated: float
    measured: float


def steps(project: Path) -> Iterator[Step]:
    """Yield the steps whose time can be estimated."""
    profile = load_profile("local")
    for record in _records(project):
        lines = PROGRAM.findall(record.get("shellcmd") or "")
        if not lines:
            continue
        try:
            made = plan(Request(commands=(lines[0],), project=project), profile)
        except DispatchError:
            continue
        if made.basis is None or made.basis.predicted_min is None:
            continue
        yield Step(
            name=record["rule"],
            estimated=60 * made.basis.predicted_min,
            measured=record["endtime"] - record["starttime"],
        )


def _records(project: Path) -> Iterator[dict[str, Any]]:
    """Yield Snakemake's records of a project, one for each step."""
    seen: set[tuple[object, object]] = set()
    for path in sorted((project / ".snakemake" / "metadata").iterdir()):
        record = json.loads(path.read_bytes())
        if (key := (record["rule"], record["shellcmd"])) not in seen:
            seen.add(key)
            yield record


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    project = parser.parse_args().project.resolve()
    os.chdir(project)
    print(f"{'':<24}{'estimated s':>12}{'measured s':>12}{'ratio':>8}   (limits: {SAFETY:g} times)")
    for step in sorted(steps(project), key=lambda each: -each.measured):
        ratio = step.estimated / max(step.measured, 0.1)
        print(f"{step.name:<24}{step.estimated:12.1f}{step.measured:12.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()

"""Run the pipeline on simulated movies and time its steps, for demo, tests and benchmarks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relion_dispatch.init import SNAKEFILE

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("config.yaml")
FINISHED = re.compile(r"Finished jobid: \d+ \(Rule: (\w+)\)")
STARTED = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):")


@dataclass(kw_only=True)
class Run:
    """A finished ``snakemake``: exit code, wall time, seconds per rule, all it printed."""

    returncode: int = 0
    wall_s: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    output: str = ""


def simulate(folder: Path, *arguments: str) -> Path:
    """Simulate movies unless ``folder`` holds the same already; return the folder."""
    marker = folder / "arguments.json"
    asked = json.dumps(arguments)
    if marker.is_file() and marker.read_text() == asked:
        return folder
    # What another simulation, or one that was interrupted, has left is of no use.
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "simulator", "--out", str(folder), *arguments]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=600)
    marker.write_text(asked)
    return folder


def make_project(project: Path, movies: Path, config: str | None = None) -> Path:
    """Make a project directory on a folder of movies, with the demo's configuration."""
    project.mkdir(parents=True, exist_ok=True)
    link = project / "Movies"
    if not link.exists():
        link.symlink_to(movies.resolve())
    for name, text in (("config.yaml", config or CONFIG.read_text()), ("Snakefile", SNAKEFILE)):
        if not (project / name).is_file() or (project / name).read_text() != text:
            (project / name).write_text(text)
    return project


def snakemake(
    project: Path,
    *arguments: str,
    say: Callable[[str], None] | None = None,
    environ: dict[str, str] | None = None,
    timeout_s: float = 3000,
) -> Run:
    """Run ``snakemake`` in a project and follow what it prints."""
    program = str(Path(sys.executable).with_name("snakemake"))
    run, began, starts = Run(), time.monotonic(), {}
    with subprocess.Popen(
        [program, *arguments],
        cwd=project,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            now = time.monotonic()
            if now - began > timeout_s:
                process.kill()
            if found := STARTED.match(line):
                starts[found[1]] = now
            elif found := FINISHED.search(line):
                run.steps[found[1]] = now - starts.get(found[1], now)
                if say:
                    say(f"{now - began:6.0f} s  {found[1]:<20} {run.steps[found[1]]:6.1f} s")
    run.returncode, run.wall_s = process.returncode, time.monotonic() - began
    run.output = "".join(lines)
    return run


def truth(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Compare results with the truth; the exit code says whether they are good enough."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "simulator.truth", str(folder), *arguments, "--json"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if not done.stdout.strip():
        raise RuntimeError(done.stderr)
    return done.returncode, json.loads(done.stdout)


def verdicts(project: Path) -> list[str]:
    """Return what the verdicts of a run say, in the order of the steps."""
    found: Sequence[Path] = sorted(project.glob("*/job*/verdict.txt"), key=lambda p: p.parent.name)
    return [path.read_text() for path in found]

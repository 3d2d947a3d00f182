"""How much time the workflow adds to RELION's own: a run of the demo with every program timed."""

from __future__ import annotations

import bisect
import os
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.demo import runner

#: Stands in front of a RELION program, runs it unchanged, and notes when it began and ended.
SHIM = """\
#!/bin/bash
began=$EPOCHREALTIME
{program} "$@"
code=$?
[ "${{OMPI_COMM_WORLD_RANK:-0}}" = 0 ] && echo "$began $EPOCHREALTIME {name}" >>{log}
exit $code
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Interval:
    """One run of a RELION program, in seconds since the epoch."""

    end: float
    begin: float
    name: str

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end - self.begin


def longest_chain(intervals: Iterable[Interval]) -> float:
    """Return the seconds of the longest chain of runs, each of which began after the one before.

    Weighted interval scheduling: runs side by side count once, as the longer of them.
    """
    ordered = sorted(intervals)
    ends = [each.end for each in ordered]
    best = [0.0]
    for number, each in enumerate(ordered):
        before = bisect.bisect_right(ends, each.begin, hi=number)
        best.append(max(best[-1], best[before] + each.seconds))
    return best[-1]


def make_shims(folder: Path, log: Path) -> None:
    """Put a timed stand-in of every RELION program into ``folder``."""
    folder.mkdir(parents=True)
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("relion_*"):
            shim = folder / program.name
            if shim.exists() or program.suffix == ".py" or not os.access(program, os.X_OK):
                continue
            values = {"program": str(program), "name": program.name, "log": str(log)}
            quoted = {name: shlex.quote(value) for name, value in values.items()}
            shim.write_text(SHIM.format(**quoted))
            shim.chmod(0o755)


def read(log: Path) -> list[Interval]:
    """Read what the stand-ins noted."""
    rows = (line.split() for line in log.read_text().splitlines())
    return [Interval(begin=float(begin), end=float(end), name=name) for begin, end, name in rows]


def measure(folder: Path, seed: int) -> tuple[float, float, list[Interval]]:
    """Run the demo in ``folder``: wall time, longest chain of RELION's programs, all their runs.

    Folders are named as the demo names them, so that the result can be judged like the demo's.

    Raises
    ------
    RuntimeError
        When the pipeline fails.
    """
    log, shims, project = folder / "programs.log", folder / "programs", folder / f"project-{seed}"
    for old in (project, shims):
        shutil.rmtree(old, ignore_errors=True)
    log.unlink(missing_ok=True)
    data = runner.simulate(folder / f"simulated-{seed}", "--seed", str(seed))
    runner.make_project(project, data / "Movies")
    make_shims(shims, log)
    path = os.pathsep.join([str(shims), os.environ["PATH"]])
    profile = str(runner.ROOT / "profiles" / "local")
    run = runner.snakemake(project, "--profile", profile, environ={"PATH": path})
    if run.returncode:
        raise RuntimeError(run.output[-3000:])
    intervals = read(log)
    return run.wall_s, longest_chain(intervals), intervals

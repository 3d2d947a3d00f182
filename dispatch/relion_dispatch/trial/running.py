"""Runs the small projects of a trial side by side, each by its own ``snakemake``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch import atomic, processes
from relion_dispatch.errors import InputError
from relion_dispatch.meter import Meter
from relion_dispatch.status.progress import read_tail
from relion_dispatch.submit import MARKERS
from relion_dispatch.this_python import argv

#: Heads of runs at a cluster that are awake at a time.
HEADS = 8
_WEEK_S = 7 * 24 * 3600.0
_SHOWN = 3  # lines of a failure
# What the check says: wrapped, with the name of the finding at its end.
_ERROR = re.compile(r"^ERROR: .*?\[[\w-]+\]$", re.MULTILINE | re.DOTALL)
_LOOK_S = 0.5  # between two looks at what is done


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where variants run.

    Attributes
    ----------
    profile
        Folder of Snakemake's profile; empty for this machine without one.
    local
        Whether jobs run on this machine.
    cores
        Cores of this machine that they may take together.
    """

    profile: str
    local: bool
    cores: int

    def words(self, side_by_side: int) -> list[str]:
        """Return the options of each of several runs side by side."""
        chosen = ["--profile", self.profile] if self.profile else []
        if not self.local:
            return chosen
        return [*chosen, "--cores", str(max(1, self.cores // side_by_side))]


def place(profile: str, project: Path) -> Place:
    """Find out where a profile runs things.

    Raises
    ------
    InputError
        When there is no such profile, or Snakemake has no settings in it.
    """
    from relion_dispatch.profiles import VARIABLE, find, folder_of, load_profile

    name = profile or os.environ.get(VARIABLE, "")
    if not name:
        return Place(profile="", local=True, cores=_cores())
    folder = folder_of(find(name))
    local = load_profile(name, project=project).cluster.local
    return Place(profile=os.path.abspath(folder), local=local, cores=_cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(folders: Mapping[str, Path], until: str, where: Place, *, quiet: bool) -> set[str]:
    """Run small projects side by side, and return the names of those that failed.

    Parameters
    ----------
    folders
        Their folders by name. What each run said is in ``trial.log`` beside its jobs.
    until
        The last rule.
    where
        Where they run.
    quiet
        Whether nothing is told while they run.
    """
    side_by_side = min(len(folders), where.cores if where.local else HEADS)
    total = len(folders)
    with (
        ThreadPoolExecutor(side_by_side) as pool,
        Meter(f"running up to {until}", total, quiet=quiet) as meter,
    ):
        runs = {
            pool.submit(_run, folder, until, where.words(side_by_side)): name
            for name, folder in folders.items()
        }
        try:
            left = set(runs)
            while left:
                meter.at(total - len(left))
                left = wait(left, timeout=_LOOK_S, return_when=FIRST_COMPLETED).not_done
        except BaseException:  # those that have begun hear of Ctrl-C themselves
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name for run, name in runs.items() if not run.result()}


def _run(folder: Path, until: str, options: list[str]) -> bool:
    words = argv("snakemake", *options, "--nolock", "--until", until)
    done = processes.run(words, timeout_s=_WEEK_S, cwd=folder, error=InputError)
    atomic.write_text(folder / "trial.log", done.stdout + done.stderr)
    return done.returncode == 0


def reason(folder: Path) -> str:
    """Return what a run that failed says: the job that failed, the check, or Snakemake."""
    for marker in sorted(folder.glob(f"*/job[0-9]*/{MARKERS[1]}")):
        picks = list(marker.parent.rglob("*_autopick.star"))
        if picks and not any(path.stat().st_size for path in picks):
            return "nothing was picked"  # of which RELION 3.1 dies
        said = _lines(marker.with_name("run.err"))
        return "\n".join([f"{marker.parent.relative_to(folder)} failed", *said[-_SHOWN:]])
    lines = _lines(folder / "trial.log")
    errors = [" ".join(found.split()) for found in _ERROR.findall("\n".join(lines))]
    telling = [line for line in lines if "error:" in line.lower()]
    return "\n".join(errors[:_SHOWN] or (telling or lines)[-_SHOWN:])


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_tail(path).splitlines() if line.strip()]

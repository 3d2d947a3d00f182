"""What a project's files say about its jobs: markers, journals, RELION's own list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch import ledger, starscan
from relion_dispatch.status.model import State
from relion_dispatch.submit import JOB_ID_FILE, MARKERS

#: RELION's markers, and what they mean.
ENDS = dict(zip(MARKERS, (State.FINISHED, State.FAILED, State.ABORTED), strict=True))

#: Where a run notes its submissions, see `head.FOLDER`.
LEDGER = Path(".relion_dispatch", ledger.JOURNAL)

#: `Scheduled` as RELION 4 and 5 write it, and as 3.1 does: pipeline_jobs.h.
_SCHEDULED = ("Scheduled", "1")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A job in RELION's ``default_pipeline.star``."""

    folder: str
    alias: str = ""
    scheduled: bool = False


def end_of(folder: Path) -> State | None:
    """Return how a job ended, by RELION's marker or its exit code; None when it has not."""
    for name, state in ENDS.items():
        if (folder / name).exists():
            return state
    try:
        code = (folder / "run.exit").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return State.FINISHED if code == "0" else State.FAILED


def folders(project: Path) -> list[str]:
    """List the job directories in which something was run, by number."""
    begun = (*MARKERS, JOB_ID_FILE, "run.out", "run.exit")
    found = (path for path in project.glob("*/job[0-9]*/") if path.parent.name != "Trash")
    used = [path for path in found if any((path / name).exists() for name in begun)]
    return [str(path.relative_to(project)) for path in sorted(used, key=_number)]


def shards(folder: Path) -> tuple[int, int, int]:
    """Count the jobs of some movies each that a job is split into: begun, ended, and failed."""
    begun = ended = failed = 0
    for path in folder.glob(".shards/*/"):
        state = end_of(path)
        begun += state is not None or (path / "run.out").exists()
        ended += state is not None
        failed += state is State.FAILED
    return begun, ended, failed


def _number(path: Path) -> tuple[int, str]:
    digits = path.name.removeprefix("job")
    return (int(digits) if digits.isdigit() else 0, str(path))


def listed(project: Path) -> dict[str, Listed]:
    """Read RELION's own list of jobs, by directory; empty where its window has never been."""
    try:
        blocks = starscan.scan(project / "default_pipeline.star", until="pipeline_processes")
    except OSError:
        return {}
    found = (each for each in blocks if each.name == "pipeline_processes")
    return {job.folder: job for block in found for job in _listed(block)}


def _listed(block: starscan.Block) -> Iterator[Listed]:
    names = block.column("rlnPipeLineProcessName")
    nothing = ("",) * len(names)
    aliases = block.column("rlnPipeLineProcessAlias") or nothing
    label = "rlnPipeLineProcessStatusLabel"
    states = block.column(label if block.has(label) else label.removesuffix("Label")) or nothing
    for name, alias, state in zip(names, aliases, states, strict=False):
        short = "" if alias == "None" else alias.strip("/").rpartition("/")[2]
        yield Listed(folder=name.rstrip("/"), alias=short, scheduled=state in _SCHEDULED)


def submissions(project: Path) -> dict[str, ledger.Entry]:
    """Return the latest submission of each job directory, from the executor's ledger."""
    try:
        lines = (project / LEDGER).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    entries = (each for each in ledger.replay(lines).values() if each.exit_file)
    return {str(Path(each.exit_file).parent): each for each in entries}


def submitted_as(folder: Path) -> str:
    """Return what the scheduler said when RELION's window submitted a job; empty for nothing."""
    try:
        return (folder / JOB_ID_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def snakemake_runs(project: Path) -> bool:
    """Whether Snakemake has locked the project; it has too after it was killed."""
    locks = project / ".snakemake" / "locks"
    try:
        return any(locks.iterdir())
    except OSError:
        return False


def verdict(folder: Path) -> str:
    """Return what was thought of a job's map; empty for nothing."""
    try:
        content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("verdict", "")) if isinstance(content, Mapping) else ""


def complaint(folder: Path) -> str:
    """Return the telling line at the end of a job's ``run.err``; empty for none."""
    from relion_dispatch.status.progress import read_tail

    lines = [line.strip() for line in read_tail(folder / "run.err", 1 << 14).splitlines()]
    ours = [line for line in lines if line.startswith("relion-dispatch: ")]
    words = next(reversed(ours or [line for line in lines if line]), "")
    return words.removeprefix("relion-dispatch: ")


def began(folder: Path, kept: tuple[str, ...]) -> float | None:
    """Return about when a job's run began: its oldest file, of those that a start removes."""
    try:
        made = (path for path in folder.iterdir() if not any(map(path.match, kept)))
        return min((path.stat().st_mtime for path in made), default=None)
    except OSError:  # removed meanwhile
        return None

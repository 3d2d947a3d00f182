"""After which steps the workflow makes the report again, and how; imported by every Snakefile."""

from __future__ import annotations

import sys
from collections.abc import Callable

from relion_dispatch import processes
from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline.paths import Paths
from relion_dispatch.this_python import argv, python_command

#: Where finished parts are kept, and where the rules leave word that they have made a report.
FOLDER = ".relion_dispatch/report"
#: Seconds that a report may take when a run has failed.
TIMEOUT_S = 600.0


def stages(paths: Paths) -> dict[str, list[str]]:
    """Return the files that complete each stage of a project, by the stage's name."""
    chosen = paths.settings
    found: dict[str, list[str]] = {}
    if chosen.start != "particles":
        found["micrographs"] = [paths.micrographs_with_ctf]
        found["particles"] = [paths.extracted]
    if chosen.class2d.enabled:
        found["class2d"] = [paths.chosen_2d]
    if paths.starts:
        found["initial_model"] = [paths.path("rank_starts", "verdict.json")]
    if chosen.class3d.enabled:
        found["class3d"] = [paths.path("select3d", "verdict.json")]
    for round_ in (0, *paths.rounds) if chosen.refine3d.enabled else ():
        name = f"refine3d_{round_}" if round_ else "refine3d"
        found[name] = [
            paths.path("postprocess", "postprocess.star", round_),
            paths.refined("verdict.json", round_),
        ]
    # The last stage is the end, but for the local resolution that may follow it.
    if found and not (chosen.refine3d.enabled and chosen.local_resolution.enabled):
        found.popitem()
    found["end"] = paths.targets
    return found


def marker(stage: str) -> str:
    """Return the file that says that there has been a report after a stage."""
    return f"{FOLDER}/after_{stage}.txt"


def markers(paths: Paths) -> list[str]:
    """Return the files of all stages."""
    return [marker(stage) for stage in stages(paths)]


def command(stage: str) -> Callable[..., str]:
    """Return the parameter of a stage's rule: the command that makes the report.

    It takes ``output``, by which Snakemake knows that it follows from something else: another place
    of installation makes no report again.
    """
    made = python_command("report", "--o", marker(stage))
    return lambda wildcards, output: made


def report_failure() -> None:
    """Make the report once more when a run has failed; whatever hinders that is told."""
    words = argv("relion_dispatch.report", "--o", marker("failure"))
    try:
        processes.run(words, timeout_s=TIMEOUT_S)
    except (DispatchError, OSError) as error:
        sys.stderr.write(f"relion-dispatch: no report: {error}\n")

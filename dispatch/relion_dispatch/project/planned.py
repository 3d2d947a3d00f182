"""The pipeline that a Snakefile has loaded, in RELION's window.

A Snakefile calls :func:`show_in_window` as a run starts and as it ends. Every start of Snakemake
imports this module, dry runs too: what does the work comes later.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relion_dispatch.pipeline.steps import Project

#: The pipeline that this process has loaded: a user's Snakefile cannot reach a module's variables.
_loaded: list[Project] = []


def remember(project: Project) -> None:
    """Keep the pipeline that a Snakefile has loaded for :func:`show_in_window`."""
    _loaded[:] = [project]


def show_in_window(folder: Path = Path()) -> None:
    """Enter the loaded pipeline into RELION's job list, and what became of its jobs.

    Whatever hinders that is told and stops no run, but for one thing.

    Raises
    ------
    InputError
        When the window has given numbers to jobs of its own that the pipeline needs.
    """
    from relion_dispatch.errors import InputError
    from relion_dispatch.project import planning

    for project in _loaded:
        first = project.layout.first_job
        planned = list(planning.plan(project))
        planning.check_numbers(folder, planned, first)
        try:
            planning.enter(folder, planned, first + planning.RESERVED)
        except (InputError, OSError) as error:
            sys.stderr.write(f"relion-dispatch: RELION's job list stays as it is: {error}\n")

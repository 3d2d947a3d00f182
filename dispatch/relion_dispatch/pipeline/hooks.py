"""What the Snakefile of a project does as a run starts and ends.

It calls these three and nothing else, so that projects of today get what is added tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def started(config: Mapping[str, Any]) -> None:
    """Check a project before its first job, and list the jobs to come in RELION's window.

    Raises
    ------
    DispatchError
        When the check has found an error, or another run has jobs of the project on a cluster.
    """
    from relion_dispatch import head, headlock
    from relion_dispatch.pipeline.check import check_first
    from relion_dispatch.project.planned import show_in_window

    # Snakemake's other executors know nothing of it.
    headlock.check_free(head.FOLDER / headlock.NAME)
    check_first(config)
    show_in_window()


def succeeded() -> None:
    """Show in RELION's window how a run has ended."""
    from relion_dispatch.project.planned import show_in_window

    show_in_window()


def failed() -> None:
    """Show how a run has failed, in RELION's window and in the report."""
    from relion_dispatch.project.planned import show_in_window
    from relion_dispatch.report.stages import report_failure

    show_in_window()
    report_failure()

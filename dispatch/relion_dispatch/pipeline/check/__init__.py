"""The check that runs before anything else: is everything there, and can it be right.

All that is wrong is collected and told at once; see :func:`check_project`. The same check runs as
a Snakefile starts, as ``python -m relion_dispatch.pipeline.check``, and at the end of
``relion-dispatch init``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relion_dispatch.pipeline.check.findings import Report

# Every start of Snakemake imports this package, but few run the check: its modules come later.


def check_first(config: Mapping[str, Any], project: Path = Path()) -> None:
    """Check a project before its first job: see :func:`.run.check_first`."""
    from relion_dispatch.pipeline.check import run

    run.check_first(config, project)


def check_project(
    config: Mapping[str, Any], project: Path = Path(), *, with_programs: bool = True
) -> Report:
    """Check a project: see :func:`.run.check_project`."""
    from relion_dispatch.pipeline.check import run

    return run.check_project(config, project, with_programs=with_programs)

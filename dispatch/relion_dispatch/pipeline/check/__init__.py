"""The check that runs before anything else: is everything there, and can it be right.

All that is wrong is collected and told at once; see :func:`check_project`. The same check runs as
a Snakefile starts, as ``python -m relion_dispatch.pipeline.check``, and at the end of
``relion-dispatch init``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.check.findings import Finding, Report
from relion_dispatch.pipeline.check.run import check_first, check_project, write_report

__all__ = ["Finding", "Report", "check_first", "check_project", "write_report"]

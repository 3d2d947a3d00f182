"""What of our environment a job may see."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Whoever submits from inside a job, such as a desktop on a compute node, must not hand that job's
# own variables down: launchers and programs would take them for those of the new job.
_JOB_VARIABLE = re.compile(r"(SLURM|PMI|PMIX|OMPI|PBS)_")
_KEPT = {
    "SLURM_CONF",
    "SLURM_CLUSTERS",
    "SLURM_JWT",
    "SLURM_TIME_FORMAT",
    "PBS_CONF_FILE",
    "PBS_DEFAULT",
    "PBS_SERVER",
}


def outer_environment(inner: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables of the job that we run in."""
    return {
        name: value
        for name, value in inner.items()
        if name in _KEPT or not _JOB_VARIABLE.match(name)
    }

"""The most memory that each rank of a program ever held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: A rank in a process of its own: the system counts the most memory of what has ended.
RANK = """
import os, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(child, 0)
rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
with open(f"{sys.argv[1]}/{int(rank):04d}", "w") as handle:
    handle.write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}


def peaks_mb(argv: Sequence[str], folder: Path, ranks: int = 1) -> tuple[float, ...]:
    """Run a program and return the most resident memory of each rank, in MiB.

    Raises
    ------
    subprocess.CalledProcessError
        When it fails; its output is in the exception.
    """
    launcher = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    with tempfile.TemporaryDirectory() as found:
        wrapper = [sys.executable, "-S", "-E", "-c", RANK, found]
        subprocess.run(
            [*launcher, *wrapper, *argv],
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            check=True,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        return tuple(int(each.read_text()) / 1024 for each in sorted(Path(found).iterdir()))

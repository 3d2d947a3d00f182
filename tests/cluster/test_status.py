"""What ``relion-dispatch status`` says of jobs at a real Slurm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relion_dispatch import status
from relion_dispatch.status.collect import overview
from relion_dispatch.status.model import Job, State
from relion_dispatch.status.scheduler import Desk
from tests.cluster.gui_job import Gui
from tests.cluster.project import wait_until
from tests.cluster.slurm_cluster import Cluster

pytestmark = pytest.mark.slurm

#: A program that takes some memory, tells how far it is, and ends when it is let go.
PROGRAM = """\
#!/bin/bash
printf ' Expectation iteration 3 of 25\\n000/??? sec\\r   1/   4 sec ...............~~(,_,">'
python3 -c 'x = bytearray(60 << 20); import time; time.sleep(1.5)'
while ! [ -e "$PWD/go" ]; do sleep 0.1; done
"""


def look(gui: Gui, desk: Desk) -> Job:
    (job,) = overview(gui.project, desk).jobs
    return job


def test_a_job_at_slurm_from_the_queue_to_its_accounts(slurm: Cluster, tmp_path: Path) -> None:
    gui = Gui(tmp_path)
    gui.program("relion_import", PROGRAM)
    said = gui.submit("Import/job001", "relion_import --odir Import/job001/ --i 'Movies/*.tif'")
    desk = status.desk_for("m3", gui.project)

    wait_until(lambda: look(gui, desk).iteration == 3)
    job = look(gui, desk)
    assert job.state is State.RUNNING
    assert job.job_id == said.split()[-1]
    assert job.node
    assert (job.iterations, job.percent) == (25, 25)
    assert job.elapsed_s(time.time()) is not None

    (gui.project / "go").touch()
    wait_until(lambda: look(gui, desk).state is State.FINISHED)
    # A desk remembers what it was told, and accounts come late.
    wait_until(lambda: look(gui, status.desk_for("m3", gui.project)).used.get("elapsed_s", 0) > 0)
    used = look(gui, status.desk_for("m3", gui.project)).used
    assert used["elapsed_s"] < 3600

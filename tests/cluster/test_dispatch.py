"""RELION's window against a real Slurm: what ``relion-dispatch submit`` sends runs as planned."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from relion_dispatch import profiles, takeover
from relion_dispatch.qsubtemplate import imported
from tests.cluster.gui_job import Gui
from tests.cluster.project import relion_dispatch, wait_until
from tests.cluster.slurm_cluster import Cluster

pytestmark = pytest.mark.slurm

#: What a site may have given RELION until now.
SITE = """#!/bin/bash -l
#SBATCH --job-name=XXXnameXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --partition=XXXqueueXXX
#SBATCH --nodes=XXXnodesXXX --ntasks=XXXmpinodesXXX
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --time=XXXextra1XXX
#SBATCH --reservation=XXXextra2XXX
COLOURS=(red green)
echo "${#COLOURS[@]} colours"
mpirun -n XXXmpinodesXXX XXXcommandXXX
"""


@pytest.fixture
def gui(slurm: Cluster, tmp_path: Path) -> Gui:
    return Gui(tmp_path)


def test_the_guis_job_ends_with_its_exit_code(gui: Gui) -> None:
    gui.program("relion_import", "#!/bin/bash\necho hello\nexit 3\n")
    gui.submit("Import/job001", "relion_import --odir Import/job001/ --i 'Movies/*.tif'")

    assert gui.end("Import/job001") == "RELION_JOB_EXIT_FAILURE"
    wait_until((gui.project / "Import/job001/run.exit").exists)
    assert gui.text("Import/job001/run.exit") == "3\n"
    assert "hello" in gui.text("Import/job001/run.out")
    said = gui.text("Import/job001/run.err").splitlines()
    at = said.index("relion-dispatch: exit code 3 (failed)")
    assert said[at - 1].startswith("relion-dispatch: failed: relion_import --odir")


def test_a_killed_job_is_shown_as_failed(gui: Gui) -> None:
    gui.program("relion_import", "#!/bin/bash\ntouch started\nexec sleep 300\n")
    said = gui.submit("Import/job001", "relion_import --odir Import/job001/")
    job_id = said.split()[-1]
    wait_until((gui.project / "started").exists)
    subprocess.run(["scancel", job_id], check=True)

    assert gui.end("Import/job001") == "RELION_JOB_EXIT_FAILURE"
    wait_until(lambda: "cancelled, or out of time" in gui.text("Import/job001/run.err"))


def test_a_refused_job_is_shown_as_failed(gui: Gui) -> None:
    said = gui.submit("Import/job001", "relion_import --odir Import/job001/", profile="slurm")

    assert "invalid partition" in said
    assert gui.end("Import/job001") == "RELION_JOB_EXIT_FAILURE"
    assert "invalid partition" in gui.text("Import/job001/run.err")


def test_profiles_fit_the_live_scheduler(slurm: Cluster, tmp_path: Path) -> None:
    assert relion_dispatch("profile", "check", "m3").stdout == "m3 fits the scheduler.\n"
    made = relion_dispatch("profile", "new", tmp_path / "mine")
    assert made.returncode == 0, made.stderr
    assert relion_dispatch("profile", "check", tmp_path / "mine").returncode == 0
    assert "no such partition" in relion_dispatch("profile", "check", "slurm").stdout


def test_a_sites_own_template_runs(gui: Gui, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(profiles.find("m3") / "dispatch.yaml", site)
    made = takeover.add_template(profiles.load_profile(site), "submit", imported(SITE).text)
    gui.program("relion_import", "#!/bin/bash\necho hello $SLURM_CPUS_PER_TASK\n")
    line = "relion_import --odir Import/job001/ --i 'Movies/*.tif'"
    gui.submit("Import/job001", line, profile=str(site))

    assert gui.end("Import/job001") == "RELION_JOB_EXIT_SUCCESS"
    assert "hello 1\n" in gui.text("Import/job001/run.out")
    script = gui.text("Import/job001/run_submit.script.run")
    assert script.startswith("#!/bin/bash -l\n# shellcheck")
    assert 'COLOURS=(red green)\necho "${#COLOURS[@]} colours"\n' in script
    assert made.name == "submit.sh.j2"


def test_a_job_killed_outright_is_found_dead(gui: Gui) -> None:
    gui.program("relion_import", "#!/bin/bash\nkill -9 $PPID\n")
    said = gui.submit("Import/job001", "relion_import --odir Import/job001/")
    job_id = said.split()[-1]

    status = ("status", "--profile", "m3")
    wait_until(lambda: "failed" in relion_dispatch(*status, cwd=gui.project).stdout)
    assert gui.end("Import/job001") == "RELION_JOB_EXIT_FAILURE"
    assert f"job {job_id} died without a word" in gui.text("Import/job001/run.err")

"""Sizes that follow what real jobs took: RELION under Slurm, ``sacct``, and the next plan."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_dispatch import profiles
from relion_dispatch.calibration import usage
from tests.cluster.gui_job import Gui
from tests.cluster.project import lines, relion_dispatch, wait_until
from tests.cluster.slurm_cluster import Cluster, which

pytestmark = [pytest.mark.slurm, pytest.mark.relion]

#: Job directories, and the boxes of their maps: some seconds of RELION's work each.
BOXES = {"MaskCreate/job001": 160, "MaskCreate/job002": 168, "MaskCreate/job003": 176}


@pytest.fixture
def gui(slurm: Cluster, tmp_path: Path) -> Gui:
    if not which("relion_mask_create"):
        pytest.skip("RELION is not installed")
    return Gui(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's own profile for the cluster."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "dispatch.yaml").write_text((profiles.find("m3") / "dispatch.yaml").read_text())
    return folder


def command(gui: Gui, folder: str, box: int) -> str:
    """Write a map of a ball, and the command that makes a mask of it."""
    at = np.arange(box, dtype=np.float32) - box // 2
    radius = np.sqrt(at[:, None, None] ** 2 + at[:, None] ** 2 + at**2)
    name = f"{box}.mrc"
    with mrcfile.new(gui.project / name, np.exp(-((radius / (0.2 * box)) ** 4))) as handle:
        handle.voxel_size = 2
    return (
        f"`which relion_mask_create` --i {name} --o {folder}/mask.mrc --ini_threshold 0.1"
        f" --extend_inimask 3 --width_soft_edge 3 --j 1 --pipeline_control {folder}/"
    )


def run(gui: Gui, *arguments: str) -> str:
    """Run the command line in the project, and return what it prints."""
    done = relion_dispatch(*arguments, cwd=gui.project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def planned_mem_mb(gui: Gui, site: Path, line: str) -> int:
    said = run(gui, "explain", "--profile", str(site), "--json", "--", line)
    found: int = json.loads(said)["mem_mb"]
    return found


def peaks_mb(ids: list[str]) -> list[float]:
    """What Slurm says that the node of each job held, once its records have it."""
    argv = ["sacct", "--parsable2", "--noheader", f"--format={usage.FORMAT}"]
    argv.append(f"--jobs={','.join(ids)}")

    def known() -> dict[str, usage.Usage]:
        return usage.read("\n".join(lines(argv)))

    wait_until(lambda: sum(each.state == "COMPLETED" for each in known().values()) == len(ids))
    return [known()[each].peak_mb or 0 for each in ids]


def test_the_fullest_node_counts(slurm: Cluster, tmp_path: Path, where: Path) -> None:
    # Two nodes, with a leader and eight workers on the first, and eight workers on the other.
    gui = Gui(tmp_path)
    (gui.bin / "relion_refine_mpi").symlink_to(where)
    line = "`which relion_refine_mpi` --o Class3D/job001/run --ref map.mrc --K 2 --hold 40"
    job_id = gui.submit("Class3D/job001", line, nodes=2, nthread=1).split()[-1]
    assert gui.end("Class3D/job001") == "RELION_JOB_EXIT_SUCCESS"
    (peak,) = peaks_mb([job_id])

    assert len(gui.text("Class3D/job001/run.out").split("where ")) == 1 + 17
    # Eight times what each fills, and not that of both nodes; libraries count with every rank.
    assert 8 * 40 <= peak < 16 * 40


def test_the_next_job_is_sized_by_what_the_last_ones_took(gui: Gui, site: Path) -> None:
    made = {folder: command(gui, folder, box) for folder, box in BOXES.items()}
    before = {folder: planned_mem_mb(gui, site, line) for folder, line in made.items()}
    said = [gui.submit(folder, line, profile=str(site)) for folder, line in made.items()]
    for folder in BOXES:
        assert gui.end(folder) == "RELION_JOB_EXIT_SUCCESS", gui.text(f"{folder}/run.err")
    taken = peaks_mb([each.split()[-1] for each in said])
    assert min(taken) > 80, "what RELION holds of the smallest map alone"

    shown = run(gui, "calibrate", "--profile", str(site), "--dry-run")
    assert "/maskcreate " in shown
    assert "3 finished jobs found" in shown
    assert not (site / "calibration.json").exists()
    run(gui, "calibrate", "--profile", str(site), ".")

    for (folder, line), peak in zip(made.items(), taken, strict=True):
        after = planned_mem_mb(gui, site, line)
        assert peak <= after < before[folder], shown
    explained = run(gui, "explain", "--profile", str(site), "--", line)
    assert ", by 3 finished jobs here: ×" in explained

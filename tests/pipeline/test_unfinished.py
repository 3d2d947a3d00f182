"""Preprocessing that was killed goes on with what is not finished, and makes the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from relion_dispatch.engine import Request, plan
from relion_dispatch.healing import attempts
from relion_dispatch.healing.continuing import begin_command
from relion_dispatch.profiles import load_profile

pytestmark = pytest.mark.relion

MOVIES = 4
OUT = "MotionCorr/job002/"


def job(project: Path) -> str:
    """Return the lines of a motion correction, as the pipeline runs it."""
    command = (
        f"`which relion_run_motioncorr` --i movies.star --o {OUT} --use_own --j 1 --bin_factor 1"
        f" --patch_x 1 --patch_y 1 --bfactor 150 --pipeline_control {OUT}"
    )
    commands = (begin_command([command], OUT, clean=True), command)
    request = Request(commands=commands, project=project, overrides={"nproc": 1})
    return plan(request, load_profile("local")).body


def run(project: Path) -> None:
    subprocess.run(["bash", "-c", job(project)], cwd=project, check=True, timeout=600)


def kill_behind_the_second(project: Path) -> None:
    """Start the job, and kill all of it when two movies are done."""
    process = subprocess.Popen(["bash", "-c", job(project)], cwd=project, start_new_session=True)
    folder = project / OUT / "Movies"
    deadline = time.monotonic() + 300
    while len(list(folder.glob("*.star"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for pid in _family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def _family(pid: int) -> list[int]:
    """Return a process and all below it, itself first, so that it starts nothing more."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def results(project: Path) -> dict[str, bytes]:
    """Return the micrographs and the table of all of them."""
    found = sorted((project / OUT / "Movies").glob("*.mrc"))
    return {
        **{path.name: path.read_bytes()[1024:] for path in found},
        "table": (project / OUT / "corrected_micrographs.star").read_bytes(),
    }


@pytest.fixture
def project(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few simulated movies."""
    monkeypatch.chdir(tmp_path)
    movies = sorted((data / "Movies").glob("*.mrcs"))[:MOVIES]
    (tmp_path / "Movies").mkdir()
    for movie in movies:
        (tmp_path / "Movies" / movie.name).symlink_to(movie)
    rows = "".join(f"Movies/{movie.name} 1\n" for movie in movies)
    (tmp_path / "movies.star").write_text(
        "\n# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroupName\n_rlnOpticsGroup\n"
        "_rlnMicrographOriginalPixelSize\n_rlnVoltage\n_rlnSphericalAberration\n"
        "_rlnAmplitudeContrast\none 1 3.5 300 2.7 0.1\n\n\n# version 30001\n\ndata_movies\n\n"
        f"loop_\n_rlnMicrographMovieName\n_rlnOpticsGroup\n{rows}\n"
    )
    return tmp_path


def test_a_killed_motion_correction_goes_on(project: Path) -> None:
    run(project)
    expected = results(project)
    run(project)  # once more, from the start: it had succeeded
    assert attempts.read(project / OUT)[-1].number == 1

    shutil.rmtree(project / OUT)
    kill_behind_the_second(project)
    folder = project / OUT / "Movies"
    first, second = sorted(path.stem for path in folder.glob("*.star"))[:2]
    kept = (folder / f"{first}.mrc").stat().st_mtime_ns
    os.truncate(folder / f"{second}.mrc", 5000)
    run(project)
    assert (folder / f"{first}.mrc").stat().st_mtime_ns == kept
    assert results(project) == expected
    last = attempts.read(project / OUT)[-1]
    assert last.continued is not None
    assert last.state == "succeeded"

"""RELION's window on a screen that nobody sees, driven with mouse clicks.

The window is RELION 3.1's: its size is fixed, and so are the places of what is clicked on. What a
user would type into its fields is in hidden files of the project instead, from which the window
takes its settings when it opens.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relion_dispatch.fields import EXTRAS
from tests.cluster.project import wait_until

#: Rows of the list of job types, from 0; numbers of RELION's types; names of the hidden files.
ROWS = {"Import": 0, "Class2D": 7, "PostProcess": 17}
TYPES = {"Import": 0, "Class2D": 8}
SETTINGS = {"Import": ".gui_importjob.star", "Class2D": ".gui_class2djob.star"}
#: What the numbers in ``default_pipeline.star`` stand for.
STATUS = {"0": "Running", "1": "Scheduled", "2": "Succeeded", "3": "Failed", "4": "Aborted"}

#: Pixels by which the window is higher: it grows by a row for each field of ours after the fourth.
_GROWN = 20 * max(0, len(EXTRAS) - 4)

BOX = 32
ANGPIX = 4.0


@dataclass(frozen=True, kw_only=True)
class Window:
    """An open window.

    Attributes
    ----------
    project
        RELION's project directory.
    display
        The screen, as in ``DISPLAY``.
    window_id
        The window's number on it.
    log
        What RELION and the submit command print.
    """

    project: Path
    display: str
    window_id: str
    log: Path

    def run(self, job_type: str, number: int) -> str:
        """Choose a job type in the list, press 'Run!', and return the new job's directory."""
        job = f"{job_type}/job{number:03d}/"
        self._click(60, 44 + 15 * ROWS[job_type])
        self._click(740, 346 + _GROWN)
        self.wait_for(job, *STATUS.values())
        return job

    def select_finished(self, row: int) -> None:
        """Click on a job in the list of finished ones, counted from 0, the newest."""
        self._click(80, 445 + _GROWN + 15 * row)

    def select_running(self, row: int) -> None:
        """Click on a job in the list of running ones, counted from 0."""
        self._click(340, 445 + _GROWN + 15 * row)

    def wait_for(self, job: str, *status: str) -> None:
        """Wait until the window has noted that a job is in one of the given states."""
        try:
            wait_until(lambda: self.status(job) in status)
        except AssertionError as error:
            self.screenshot(picture := self.log.with_suffix(".png"))
            error.add_note(f"{job} is '{self.status(job)}', not {status}: {picture}")
            error.add_note(self.log.read_text())
            raise

    def wait_for_refresh(self) -> None:
        """Wait until the window has read the job list: it removes the file that asks for that."""
        wait_until(lambda: not (self.project / ".pipeline_has_changed").exists())

    def status(self, job: str) -> str:
        """Return what the window thinks of a job; empty for a job that it does not know."""
        lines = (self.project / "default_pipeline.star").read_text().splitlines()
        rows = [line.split() for line in lines if line.startswith(f"{job} ")]
        return STATUS.get(rows[0][-1], "") if rows else ""

    def screenshot(self, picture: Path) -> None:
        """Save what the window looks like."""
        subprocess.run(
            ["import", "-window", self.window_id, "+dither", "-colors", "48", str(picture)],
            env={**os.environ, "DISPLAY": self.display},
            check=True,
            timeout=30,
        )

    def _click(self, x: int, y: int) -> None:
        xdotool(self.display, "mousemove", "--window", self.window_id, str(x), str(y), "click", "1")


@contextlib.contextmanager
def opened(project: Path, profile: Path) -> Iterator[Window]:
    """Open RELION's window in a project as a user does, and close it."""
    log = project.parent / "window.log"
    setup = f'eval "$(relion-dispatch env --profile {shlex.quote(str(profile))})"'
    with screen(log) as display, log.open("a") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"{setup} && exec relion --refresh 1"],
            cwd=project,
            env={
                **os.environ,
                "DISPLAY": display,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            window_id = ""

            def visible() -> bool:
                nonlocal window_id
                assert process.poll() is None, log.read_text()
                found = xdotool(display, "search", "--onlyvisible", "--name", "^RELION-")
                window_id = found.strip()
                return bool(window_id)

            wait_until(visible)
            yield Window(project=project, display=display, window_id=window_id, log=log)
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextlib.contextmanager
def screen(log: Path) -> Iterator[str]:
    """Start a screen in memory and hand over its name."""
    reading, writing = os.pipe()
    with log.open("a") as output:
        process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "820x900x24"],
            pass_fds=[writing],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, log.read_text()
        yield f":{number}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def xdotool(display: str, *arguments: str) -> str:
    """Run xdotool on a screen and return what it prints."""
    return subprocess.run(
        ["xdotool", *arguments],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        check=False,  # a search that finds nothing fails
        timeout=30,
    ).stdout


def save_settings(project: Path, job_type: str, options: Mapping[str, object]) -> None:
    """Write what the window shall show in a job's fields; the others keep their defaults."""
    rows = "".join(f'{name} "{value}"\n' for name, value in options.items())
    (project / SETTINGS[job_type]).write_text(
        f"\ndata_job\n\n_rlnJobType {TYPES[job_type]}\n_rlnJobIsContinue 0\n\n"
        "data_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n" + rows
    )


def write_particles(project: Path, count: int = 24) -> None:
    """Write ``particles.star`` with a stack of noisy rings in 32 × 32 pixels of 4 Å."""
    import mrcfile
    import pandas as pd
    import starfile

    rng = np.random.default_rng(1)
    y, x = np.mgrid[:BOX, :BOX] - BOX / 2
    ring = np.exp(-((np.hypot(x, y) - 7) ** 2) / 4)
    stack = (ring + rng.normal(0, 0.5, (count, BOX, BOX))).astype(np.float32)
    mrcfile.write(project / "particles.mrcs", stack, voxel_size=ANGPIX)
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [ANGPIX],
        "rlnImageSize": [BOX],
        "rlnImageDimensionality": [2],
    }
    particles = {
        "rlnImageName": [f"{number + 1:06d}@particles.mrcs" for number in range(count)],
        "rlnMicrographName": ["micrograph.mrc"] * count,
        "rlnOpticsGroup": [1] * count,
    }
    starfile.write(
        {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)},
        project / "particles.star",
    )

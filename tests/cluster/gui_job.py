"""A project whose jobs are submitted as RELION's window submits them."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tests.cluster.project import relion_dispatch, wait_until

ENDED = ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE")


class Gui:
    """A project, RELION's programs, and the submit command that RELION's window runs.

    Parameters
    ----------
    root
        An empty folder.
    settings
        Further keys of the ``cluster`` part of the project's cluster file.
    """

    def __init__(self, root: Path, **settings: object) -> None:
        self.project = root / "a pröject's"
        self.bin = root / "bin"
        self.bin.mkdir()
        self.project.mkdir()
        site = {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            # The pretended nodes share one memory, in which their ranks would meet.
            "OMPI_MCA_btl": "self,tcp",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            "PATH": f"{self.bin}:{os.environ['PATH']}",
        }
        self.project.joinpath("dispatch.yaml").write_text(
            yaml.safe_dump({"cluster": {"environment": site, **settings}})
        )

    def program(self, name: str, text: str) -> None:
        """Put a program on PATH, and beside it the same as its MPI version."""
        for each in (name, f"{name}_mpi"):
            (self.bin / each).write_text(text)
            (self.bin / each).chmod(0o755)

    def submit(self, folder: str, *lines: str, profile: str = "m3", **parameters: object) -> str:
        """Submit a job as the window does, and return what is printed."""
        path = self.project / folder
        path.mkdir(parents=True, exist_ok=True)
        text = "\n".join([f"{folder}/run.out", f"{folder}/run.err", *lines])
        (path / "run_submit.script").write_text(text + "\n")
        given = [f"--set={name}={value}" for name, value in parameters.items()]
        words = ("submit", "--profile", profile, *given, f"{folder}/run_submit.script")
        done = relion_dispatch(*words, cwd=self.project)
        return done.stdout + done.stderr

    def end(self, folder: str) -> str:
        """Wait for a job's marker and return it."""
        path = self.project / folder
        wait_until(lambda: any((path / name).exists() for name in ENDED))
        return next(name for name in ENDED if (path / name).exists())

    def text(self, *names: str) -> str:
        """Read some of its files."""
        return "".join((self.project / name).read_text() for name in names)

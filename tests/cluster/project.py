"""A project directory with a Snakefile, and Snakemake heads that run it on the test cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROFILE = Path(__file__).with_name("profile")
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Run:
    """A finished head: exit code, and all that it printed."""

    returncode: int
    output: str


@dataclass
class Head:
    """A running head."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        """Wait until it has printed something."""
        wait_until(lambda: text in self.output or self.process.poll() is not None)
        assert text in self.output, self.output

    def end(self) -> Run:
        """Wait for its end."""
        return Run(self.process.wait(timeout=PATIENCE_S), self.output)


@dataclass
class Project:
    """A folder that Snakemake runs in."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    _heads: list[Head] = field(default_factory=list)

    def without_healing(self) -> None:
        """Let failed jobs be reported at once, and not be tried again."""
        (self.path / "dispatch.yaml").write_text("healing: {enabled: false}\n")

    def start(self, *arguments: str) -> Head:
        """Start a head."""
        log = self.path / f"head{len(self._heads)}.log"
        argv = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), *arguments]
        with open(log, "w") as output:
            process = subprocess.Popen(
                argv,
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        self._heads.append(Head(process, log))
        return self._heads[-1]

    def run(self, *arguments: str) -> Run:
        """Run a head to its end."""
        return self.start(*arguments).end()

    def run_and_kill(self, *arguments: str, after_s: float) -> None:
        """Start a head and kill it some time after its first submission, if it still lives."""
        head = self.start(*arguments)
        wait_until(lambda: "Execute" in head.output or head.process.poll() is not None)
        time.sleep(after_s)
        head.process.kill()
        head.process.wait()

    def kill_heads(self) -> None:
        """Leave no head behind."""
        for head in self._heads:
            if head.process.poll() is None:
                head.process.kill()
                head.process.wait()

    def read(self, name: str) -> str:
        """Read one of its files."""
        return (self.path / name).read_text()


def relion_dispatch(
    *arguments: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``relion-dispatch``, of the code that the tests see, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "relion_dispatch.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def queue(*states: str) -> list[str]:
    """Names of the jobs in the given states, by default of all that are not over."""
    wanted = ",".join(states or ("pending", "running", "completing", "suspended"))
    return lines(["squeue", "--noheader", f"--states={wanted}", "--format=%j"])


def lines(argv: Sequence[str]) -> list[str]:
    """What a command prints, line by line.

    It is run again where a signal has ended it: Slurm's commands die of a broken pipe when munge,
    on a busy machine, has given up on them after two seconds.
    """
    for _ in range(5):
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=240)
        if done.returncode >= 0:
            break
    done.check_returncode()
    return done.stdout.splitlines()

"""``relion-dispatch watch``: movies that arrive during a session are processed as they come.

It looks for new movies, notes those that have arrived whole in the list of shards, and runs the
workflow, which finds everything else done. It may be stopped and started at any time: the list of
shards and the results say what is left.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from relion_dispatch import processes
from relion_dispatch.errors import InputError
from relion_dispatch.meter import counted
from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.check import imagefiles
from relion_dispatch.pipeline.check.findings import named
from relion_dispatch.pipeline.check.imagefiles import BadImageError
from relion_dispatch.pipeline.expected import expected
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.paths import found_images
from relion_dispatch.sharding import intake, register
from relion_dispatch.sharding.arrivals import Arrivals, Stamp, whole
from relion_dispatch.this_python import argv

LOCK = Path(".relion_dispatch") / "watch.lock"
#: How long after a run that failed the same work is tried again, in seconds.
RETRY_S = 600.0
#: How long a run that was told to stop may take to end its jobs.
GRACE_S = 60.0
#: Stages behind which the workflow makes its report again, by the last step of each.
_STAGES = {"ctf": "micrographs", "extraction": "particles"}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.usage = "relion-dispatch watch [-h] [options] [DIR] [-- SNAKEMAKE OPTIONS]"
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="the project")
    parser.add_argument(
        "--profile",
        default="",
        help="as for snakemake; default: $SNAKEMAKE_PROFILE, $RELION_DISPATCH_PROFILE, then local",
    )
    parser.add_argument(
        "--until",
        default="extraction",
        metavar="STEP",
        help="the last step for new movies; default: extraction",
    )
    parser.add_argument(
        "--every", type=float, default=10, metavar="S", help="look so often; default: 10"
    )
    parser.add_argument(
        "--quiet",
        type=float,
        default=30,
        metavar="S",
        help="take movies that have not changed for so long; default: 30",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=5,
        metavar="MIN",
        help="start a job that is not full when a movie has waited so long; default: 5",
    )
    parser.add_argument(
        "--idle",
        type=float,
        metavar="MIN",
        help="stop when nothing new has come for so long; default: never",
    )


def main(args: argparse.Namespace) -> int:
    """Watch until stopped, or until nothing comes any more.

    Returns
    -------
    int
        0; 1 when the last run failed.
    """
    os.chdir(_project(args.folder))
    chosen = settings.load(settings.read(Path("config.yaml")), source="config.yaml")
    size = chosen.preprocessing.movies_per_job
    if chosen.start == "particles" or size is None:
        raise InputError(
            "config.yaml: new movies need jobs of their own: set preprocessing.movies_per_job to"
            " how many movies make a job, such as 20, and start from movies or micrographs"
        )
    steps = [each.rule for each in expected(chosen)]
    if args.until not in steps:
        raise InputError(f"there is no step {args.until}: it is one of {', '.join(steps)}")
    with _alone() as lock:
        session = Session(args=args, settings=chosen, size=size, lock=lock)
        return session.watch()


def _project(folder: str) -> Path:
    if not (Path(folder) / "Snakefile").is_file():
        raise InputError(f"{folder}: no project: there is no Snakefile; see relion-dispatch init")
    return Path(folder)


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _alone() -> Iterator[int]:
    """Hold the project's lock, which runs that we start keep as long as they live.

    Raises
    ------
    InputError
        When it is watched already.
    """
    LOCK.parent.mkdir(exist_ok=True)
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise InputError(
            "this project is watched already, or a run that was started so has not ended yet: look"
            " at its output, or wait for it"
        ) from None
    try:
        yield fd
    finally:
        os.close(fd)


class _Stopped(BaseException):
    """Somebody wants us to stop."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


@dataclass(kw_only=True)
class Session:
    """A session at the microscope, as far as we have watched it.

    Attributes
    ----------
    args
        The command's arguments.
    settings, size
        The project's options; most movies of a shard.
    lock
        Open lock file.
    arrivals
        Movies that were seen and not taken.
    """

    args: argparse.Namespace
    settings: Settings
    size: int
    lock: int
    arrivals: Arrivals = field(default_factory=Arrivals)
    _told: str = ""
    _failed: bool = False
    _due_s: float = 0.0
    _busy_s: float = field(default_factory=time.monotonic)

    def watch(self) -> int:
        """Look and run, until stopped or idle."""
        self._command()  # a wrong profile is told at once
        for number in _SIGNALS:
            # nohup has the end of a terminal ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _stop)
        _say(f"watching for {self.settings.start}; Ctrl-C stops, the same command goes on")
        try:
            # What an earlier session has left undone comes first.
            if register.read().names:
                self._run()
            while not self._idle():
                self._look()
                time.sleep(max(0.1, self.args.every))
            _say("nothing came any more")
        except _Stopped:
            _say("stopped; the same command goes on")
        return int(self._failed)

    def _idle(self) -> bool:
        limit = self.args.idle
        return limit is not None and time.monotonic() - self._busy_s >= 60 * limit

    def _look(self) -> None:
        """Look once, and run where there is something to do."""
        taken = self._new()
        if taken:
            known = register.read().with_new(taken, self.size)
            register.write(known)
            _say(f"{len(taken)} new {self.settings.start}, {len(known.names)} in all")
        if taken or (self._failed and time.monotonic() >= self._due_s):
            self._run()

    def _new(self) -> list[str]:
        """Find movies that have arrived whole, as many as make the next jobs."""
        known = register.read().names
        stamps = dict(_stamps(name for name in found_images(self.settings) if name not in known))
        now_s = time.monotonic()
        if stamps.keys() - self.arrivals.seen.keys():
            self._busy_s = now_s
        self.arrivals = self.arrivals.look(stamps, now_s)
        quiet = self.arrivals.quiet(now_s, self.args.quiet)
        reading = counted(quiet, f"reading {self.settings.start}")
        arrived = whole(reading, imagefiles.read, BadImageError)
        self._tell(len(arrived), len(stamps) - len(quiet), sorted({*quiet} - {*arrived}))
        return self.arrivals.ready(arrived, self.size, now_s, 60 * self.args.patience)

    def _tell(self, arrived: int, coming: int, broken: Sequence[str]) -> None:
        text = f"{coming} still being written, {arrived} whole" if coming or arrived else ""
        if broken:
            text += f"{', ' if text else ''}{len(broken)} cannot be read: {named(broken)}"
        if text not in (self._told, ""):
            _say(text)
        self._told = text

    # ------------------------------------------------------------------------------------- running

    def _run(self) -> None:
        """Run the workflow as far as it is wanted for new movies."""
        _say(f"running up to {self.args.until}")
        began = time.monotonic()
        environ = {**os.environ, intake.VARIABLE: "1"}
        run = processes.start(self._command(), env=environ, pass_fds=(self.lock,))
        try:
            code = run.wait()
        except _Stopped:
            self._end(run)
            raise
        self._failed = code != 0
        self._busy_s = time.monotonic()
        self._due_s = self._busy_s + RETRY_S
        took = f"{self._busy_s - began:.0f} s"
        _say(f"failed after {took}; tried again later" if code else f"done after {took}")

    def _end(self, run: processes.Process) -> None:
        """End a run as Ctrl-C does."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _say("stopping the run")
        os.killpg(run.pid, signal.SIGINT)
        try:
            run.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _say("the run has not ended yet; it is left alone")

    def _command(self) -> list[str]:
        from relion_dispatch.profiles import VARIABLE, find, folder_of

        named = map(os.environ.get, ("SNAKEMAKE_PROFILE", VARIABLE))
        place = folder_of(find(next(filter(None, (self.args.profile, *named, "local")))))
        extra: Sequence[str] = self.args.command or ()
        targets = [self.args.until, *self._report()]
        words = [*targets, "--profile", str(place), *extra]
        return argv("snakemake", *words)

    def _report(self) -> list[str]:
        """Name the rule that makes the report again behind the last step, if there is one."""
        from relion_dispatch.pipeline.layout import Layout
        from relion_dispatch.pipeline.paths import Paths
        from relion_dispatch.pipeline.versions import resolve
        from relion_dispatch.report.stages import stages

        chosen = self.settings
        version = resolve(chosen.relion_version)
        paths = Paths(settings=chosen, version=version, layout=Layout(chosen.first_job))
        stage = _STAGES.get(self.args.until, "")
        return [f"report_{stage}"] if stage in stages(paths) else []


def _stamps(names: Iterator[str]) -> Iterator[tuple[str, Stamp]]:
    for name in names:
        with contextlib.suppress(OSError):
            found = os.stat(name)
            yield name, (found.st_size, found.st_mtime_ns)

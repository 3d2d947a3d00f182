"""A folder of movies for one process of MotionCor2, and what is kept of its results."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import join, split

from relion_dispatch import atomic, processes
from relion_dispatch.errors import InputError
from relion_dispatch.sharding import motioncor2_logs as logs
from relion_dispatch.sharding.micrographstar import Movie, star
from relion_dispatch.sharding.motioncor2_logs import Shift

_LOOK_S = 1.0
_SAY_S = 30.0


def command(args: argparse.Namespace, first: Movie, folder: str, gpu: str) -> list[str]:
    """Write MotionCor2's command line for a folder of movies that are alike.

    Parameters
    ----------
    args
        RELION's options.
    first
        One of the movies.
    folder
        Where the folders ``in``, ``out`` and ``logs`` are, with a slash at its end.
    gpu
        The device.
    """
    suffix = PurePosixPath(first.name).suffix
    kind = "-InTiff" if suffix.lower() in (".tif", ".tiff") else "-InMrc"
    words = [*split(executable(args)), kind, f"{folder}in/", "-InSuffix", suffix]
    words += ["-OutMrc", f"{folder}out/", "-Serial", "1"]
    # Of these two each version knows one, and takes no notice of the other.
    words += ["-LogFile", f"{folder}logs/", "-LogDir", f"{folder}logs/"]
    words += ["-Bft", f"{args.bfactor:g}", "-PixSize", f"{first.angpix:g}"]
    words += ["-Patch", str(args.patch_x), str(args.patch_y)]
    words += ["-Group", str(args.group_frames)] if args.group_frames > 1 else []
    turned = args.gain_rot or args.gain_flip
    words += ["-Gain", f"{args.o}gain.mrc" if turned else args.gainref] if args.gainref else []
    words += ["-Throw", str(args.first_frame_sum - 1)] if args.first_frame_sum > 1 else []
    words += ["-FmRef", "0", *_truncated(args, first)]
    words += ["-FtBin", f"{args.bin_factor:g}"] if args.bin_factor > 1 else []
    if args.dose_weighting:
        words += ["-Kv", f"{first.voltage:g}", "-FmDose", f"{args.dose_per_frame:g}"]
        words += ["-InitDose", f"{args.preexposure:g}"]
    if args.defect_file:
        of_text = args.defect_file.endswith(".txt")
        words += ["-DefectFile" if of_text else "-DefectMap", args.defect_file]
    words += ["-ArcDir", args.archive] if args.archive else []
    return [*words, *split(args.other_motioncor2_args), "-Gpu", gpu]


def _truncated(args: argparse.Namespace, movie: Movie) -> list[str]:
    if args.last_frame_sum <= 0:
        return []
    if movie.frames < args.last_frame_sum:
        raise InputError(f"{movie.name}: has no {args.last_frame_sum} frames, only {movie.frames}")
    return ["-Trunc", str(movie.frames - args.last_frame_sum)]


def executable(args: argparse.Namespace) -> str:
    """Name MotionCor2, as RELION finds it.

    Raises
    ------
    InputError
        When nothing names it.
    """
    named = args.motioncor2_exe or os.environ.get("RELION_MOTIONCOR2_EXECUTABLE", "")
    if not named:
        raise InputError(
            "nothing says where MotionCor2 is: set motion_correction.executable or"
            " $RELION_MOTIONCOR2_EXECUTABLE"
        )
    return named


@dataclass(kw_only=True)
class Batch:
    """A folder of movies that are alike, and what MotionCor2 makes of it.

    Attributes
    ----------
    args
        RELION's options.
    movies
        By the name that each has in the folder, without ending: movies of several folders may
        have the same.
    folder
        With a slash at its end.
    gpu
        The device.
    """

    args: argparse.Namespace
    movies: Mapping[str, Movie]
    folder: str
    gpu: str

    def run(self) -> None:
        """Run MotionCor2, and keep what it has made.

        Raises
        ------
        InputError
            When it fails.
        """
        first = next(iter(self.movies.values()))
        words = command(self.args, first, self.folder, self.gpu)
        self._lay()
        log = Path(self.folder, "motioncor2.out")
        process = processes.start(words, log=log, apart=False)
        code = self._follow(process)
        output = log.read_text(encoding="utf-8", errors="replace")
        if code != 0:
            tail = "\n".join(output.splitlines()[-10:])
            raise InputError(f"MotionCor2 failed with exit code {code}: {join(words)}\n{tail}")
        shifts = self._by_output(output)
        for stem, movie in self.movies.items():
            self._keep(stem, movie, shifts.get(stem, []), words)
        shutil.rmtree(self.folder)

    def _lay(self) -> None:
        for name in ("in", "out", "logs"):
            Path(self.folder, name).mkdir(parents=True)
        for stem, movie in self.movies.items():
            link = Path(self.folder, "in", stem + PurePosixPath(movie.name).suffix)
            link.symlink_to(os.path.abspath(movie.name))

    def _follow(self, process: processes.Process) -> int:
        """Wait, and say now and then how far it is."""
        made, said = Path(self.folder, "out"), time.monotonic()
        while process.poll() is None:
            time.sleep(_LOOK_S)
            if time.monotonic() - said >= _SAY_S:
                said = time.monotonic()
                count = sum((made / f"{stem}.mrc").exists() for stem in self.movies)
                say(f"GPU {self.gpu}: {count} of {len(self.movies)} movies")
        return int(process.returncode)

    def _by_output(self, output: str) -> dict[str, list[Shift]]:
        """Take shifts from standard output, if it is clear which movie each belongs to."""
        found, named = logs.blocks(output), logs.order(output, list(self.movies))
        return dict(zip(named, found, strict=True)) if len(found) == len(named) else {}

    def _keep(self, stem: str, movie: Movie, said: list[Shift], words: Sequence[str]) -> None:
        """Put a movie's results where RELION would have put them; the STAR file comes last."""
        made = Path(self.folder, "out")
        image = made / (f"{stem}_DW.mrc" if self.args.dose_weighting else f"{stem}.mrc")
        if not image.is_file():
            say(f"WARNING: MotionCor2 has left nothing of {movie.name}")
            return
        shifts, of_patches = self._motion(stem, movie, said)
        Path(movie.root).parent.mkdir(parents=True, exist_ok=True)
        if self.args.dose_weighting and self.args.save_noDW:
            os.replace(made / f"{stem}.mrc", f"{movie.root}_noDW.mrc")
        os.replace(image, f"{movie.root}.mrc")
        for log in sorted(Path(self.folder, "logs").glob(f"{stem}*.log")):
            ending = log.name[len(stem) :].lstrip("0_")
            os.replace(log, f"{movie.root}0{ending}")
        atomic.write_text(f"{movie.root}.com", join(words) + "\n")
        atomic.write_text(f"{movie.root}.star", star(self.args, movie, shifts, of_patches))

    def _motion(
        self, stem: str, movie: Movie, said: list[Shift]
    ) -> tuple[list[Shift], list[logs.Patch]]:
        """Find a movie's shifts: in its own log, or else in what was said on standard output.

        Raises
        ------
        InputError
            When they are not of this movie's frames: some other version names its logs otherwise.
        """
        folder = Path(self.folder, "logs")
        endings = ("-Patch-Full.log", "-Full.log")
        own = (logs.log_file(folder, stem, ending) for ending in endings)
        log = next(filter(None, own), None)
        shifts = logs.full_frame(log) if log else said
        last = self.args.last_frame_sum if self.args.last_frame_sum > 0 else movie.frames
        expected = last - self.args.first_frame_sum + 1
        if shifts and len(shifts) != expected:
            raise InputError(
                f"{movie.name}: MotionCor2 gives {len(shifts)} shifts for {expected} frames:"
                " this version cannot be used so; set motion_correction.serial: false"
            )
        patch = logs.log_file(folder, stem, "-Patch-Patch.log")
        return shifts, logs.patches(patch) if patch else []


def say(text: str) -> None:
    """Tell the job's log how far it is."""
    sys.stdout.write(f"relion-dispatch: {text}\n")
    sys.stdout.flush()

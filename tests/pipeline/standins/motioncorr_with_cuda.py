"""In the place of a ``relion_run_motioncorr`` that was built with CUDA, around one that was not.

The real one turns the gain reference, then dies where it is to start MotionCor2, because it divides
by the number of devices, which it counts only with CUDA. This starts MotionCor2 instead, with the
arguments that ``MotioncorrRunner::executeMotioncor2`` (``src/motioncorr_runner.cpp``) makes of its
own, and leaves what remains to the real one: it is told to do only what is unfinished.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import starfile

# The folder of this one is the first on PATH.
REAL = shutil.which("relion_run_motioncorr", path=os.environ["PATH"].partition(os.pathsep)[2])
WORDS = sys.argv[1:]


def value(name: str) -> str:
    """Give the value of one of RELION's options."""
    return WORDS[WORDS.index(name) + 1]


def arguments(movie: str, average: Path) -> list[str]:
    """Give MotionCor2's arguments for a movie."""
    out = value("--o")
    names = {
        "-InMrc": movie,
        "-OutMrc": str(average),
        "-LogFile": str(average.with_suffix("")),
        "-Bft": value("--bfactor"),
        "-PixSize": "3.5",
    }
    words = [word for pair in names.items() for word in pair]
    words += ["-Patch", value("--patch_x"), value("--patch_y")]
    words += ["-Group", value("--group_frames")] if "--group_frames" in WORDS else []
    words += ["-Gain", f"{out}gain.mrc", "-FmRef", "0"]
    words += ["-Kv", "300", "-FmDose", value("--dose_per_frame")]
    words += ["-InitDose", value("--preexposure")]
    return [*words, *value("--other_motioncor2_args").split(), "-Gpu", value("--gpu")]


def correct(movie: str, average: Path) -> None:
    """Run MotionCor2 on a movie, and keep what RELION keeps of it."""
    words = arguments(movie, average)
    with average.with_suffix(".out").open("w") as log:
        subprocess.run([value("--motioncor2_exe"), *words], check=True, stdout=log)
    average.rename(average.with_name(f"{average.stem}_noDW.mrc"))
    average.with_name(f"{average.stem}_DW.mrc").rename(average)
    general = {
        "rlnImageSizeX": 384,
        "rlnImageSizeY": 384,
        "rlnImageSizeZ": 6,
        "rlnMicrographMovieName": movie,
        "rlnMicrographDoseRate": float(value("--dose_per_frame")),
        "rlnMicrographPreExposure": 0.0,
    }
    starfile.write({"general": general}, average.with_suffix(".star"))


def main() -> None:
    """Let RELION prepare, run MotionCor2, let RELION finish."""
    if "--version" in WORDS:
        print("RELION version: 3.1.3\nPrecision: BASE=double, CUDA-ACC=single")
        return
    assert REAL is not None
    died = subprocess.run([REAL, *WORDS], check=False)
    assert died.returncode != 0
    for movie in starfile.read(value("--i"), always_dict=True)["movies"]["rlnMicrographMovieName"]:
        correct(movie, Path(value("--o"), movie).with_suffix(".mrc"))
    done = subprocess.run([REAL, *WORDS, "--only_do_unfinished"], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()

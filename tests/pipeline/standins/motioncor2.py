"""In MotionCor2's place: sums movies without aligning them, and writes what RELION reads back.

That is (``MotioncorrRunner::executeMotioncor2`` and ``getShiftsMotioncor2`` in RELION's
``src/motioncorr_runner.cpp``) a sum, with dose-weighting another one beside it, and the shifts of
the frames on standard output, with patches also those of the patches in a log file. With
``-Serial 1`` it does so for all movies of a folder, and names what it writes as MotionCor3
does, the open successor (``DataUtil/CStackFolder.cpp``, ``CSaveSerialCryoEM.cpp``,
``Align/CAlignMain.cpp``); ``MOTIONCOR2_LOGS=none`` is a version that then leaves no logs. What it
says of a movie depends on the movie, so that nobody can mistake one for another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import mrcfile
import numpy as np


def value(name: str, default: str = "") -> str:
    """Give the value of an option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def shifts(frames: np.ndarray) -> np.ndarray:
    """Give a movie's shifts in pixels, x and y for each frame, the first of them zero."""
    own = int(np.abs(frames).sum()) % 100 / 100
    number = np.arange(len(frames))
    return np.round(np.stack([(0.5 + own) * number, 0.25 * number * (-1) ** number], axis=1), 2)


def correct(movie: Path, average: Path, logs: str) -> None:
    """Sum a movie; ``logs`` is what its log files' names begin with."""
    frames = mrcfile.read(movie).astype(np.float32)
    frames = frames[int(value("-Throw", "0")) : len(frames) - int(value("-Trunc", "0"))]
    if "-Gain" in sys.argv:
        frames = frames * mrcfile.read(value("-Gain"))
    sums = [average]
    if "-FmDose" in sys.argv:
        sums.append(average.with_name(f"{average.stem}_DW.mrc"))
    for path in sums:
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(frames.sum(axis=0))
            mrc.voxel_size = float(value("-PixSize"))
            mrc.header.nlabl = 0
            mrc.header.label = b""
    moved = shifts(frames)
    print(f"Processing {movie}")
    print("Full-frame alignment shift")
    for number, (x, y) in enumerate(moved, start=1):
        print(f"...... Frame ({number:3d}) shift: {x:8.2f} {y:8.2f}")
    print()
    if logs:
        write_logs(logs, moved, frames.shape[1:])


def write_logs(root: str, moved: np.ndarray, size: tuple[int, ...]) -> None:
    """Write the log of whole frames and that of patches."""
    # In the logs shifts count from some other frame.
    full = "".join(f"{n:4d}  {x + 1:8.2f}  {y - 2:8.2f}\n" for n, (x, y) in enumerate(moved, 1))
    Path(f"{root}-Patch-Full.log").write_text(f"# Patch based alignment\n\n{full}")
    lines = ["# Patch based alignment\n"]
    for place in (0.25, 0.75):
        lines.append(f"#Patch {place} raw and fit shifts\n")
        for number, (x, y) in enumerate(moved, start=1):
            centre = f"{place * size[1]:8.2f} {place * size[0]:8.2f}"
            local = f"{place * x:8.2f} {place * y:8.2f}"
            lines.append(f"{number:4d} {centre} {local} {local}\n")
    Path(f"{root}-Patch-Patch.log").write_text("".join(lines))


def main() -> None:
    """Sum one movie, or a folder of them."""
    if sys.argv[1:] == ["--version"]:
        print("MotionCor2 stand-in 0.0.1")
        return
    given, out = Path(value("-InMrc")), value("-OutMrc")
    if value("-Serial") != "1":
        average = Path(out)
        average.with_suffix(".arguments").write_text(json.dumps(sys.argv[1:]))
        correct(given, average, f"{value('-LogFile')}0" if "-LogFile" in sys.argv else "")
        return
    assert value("-InMrc").endswith("/")
    logged = value("-LogDir") if os.environ.get("MOTIONCOR2_LOGS") != "none" else ""
    # A folder has no order.
    for movie in sorted(given.iterdir(), key=lambda path: path.stat().st_size ^ hash(path.name)):
        if value("-InSuffix") in movie.name:
            stem = movie.name.partition(value("-InSuffix"))[0]
            correct(movie, Path(f"{out}{stem}.mrc"), logged and f"{logged}{stem}")


if __name__ == "__main__":
    main()

"""In MotionCor2's place: sums a movie without aligning it, and writes what RELION reads back.

That is (``MotioncorrRunner::executeMotioncor2`` and ``getShiftsMotioncor2`` in RELION's
``src/motioncorr_runner.cpp``) a sum, with dose-weighting another one beside it, and the shifts of
the frames on standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mrcfile
import numpy as np


def value(name: str) -> str:
    """Give the value of an option."""
    return sys.argv[sys.argv.index(name) + 1]


def main() -> None:
    """Sum one movie."""
    if sys.argv[1:] == ["--version"]:
        print("MotionCor2 stand-in 0.0.1")
        return
    average = Path(value("-OutMrc"))
    average.with_suffix(".arguments").write_text(json.dumps(sys.argv[1:]))
    frames = mrcfile.read(value("-InMrc")).astype(np.float32) * mrcfile.read(value("-Gain"))
    for path in (average, average.with_name(f"{average.stem}_DW.mrc")):
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(frames.sum(axis=0))
            mrc.voxel_size = float(value("-PixSize"))
    print("Full-frame alignment shift")
    for number in range(1, len(frames) + 1):
        print(f"...... Frame ({number:3d}) shift: {0.5 * number:8.2f} {-0.25 * number:8.2f}")


if __name__ == "__main__":
    main()

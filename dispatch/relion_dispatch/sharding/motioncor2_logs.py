"""What MotionCor2 says of the motion in a movie: its standard output and its log files.

Two programs were read for the formats: RELION (``MotioncorrRunner::getShiftsMotioncor2`` in
``src/motioncorr_runner.cpp``), and MotionCor3, the open successor of MotionCor2
(``Align/CStackShift.cpp``, ``Align/CPatchShifts.cpp``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Shift = tuple[float, float]

_BEGIN = "Full-frame alignment shift"
_NUMBERS = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_FRAME = re.compile(rf"shift:\s*{_NUMBERS}\s+{_NUMBERS}")
_LATER = re.compile(r"Frame\s+x Shift\s+y Shift")
_PATCH_WORDS = 7


@dataclass(frozen=True)
class Patch:
    """Motion of one patch in one frame.

    Attributes
    ----------
    frame
        From 1, counted from the first that was aligned.
    x, y
        The patch's centre in pixels.
    shift_x, shift_y
        Its shift in pixels.
    """

    frame: int
    x: float
    y: float
    shift_x: float
    shift_y: float


def blocks(output: str) -> list[list[Shift]]:
    """Find the shifts of whole frames in MotionCor2's output, a list a movie.

    Versions up to 1.5 write a line a frame with the word ``shift``, later ones a table.
    """
    lines = iter(output.splitlines())
    found = []
    for line in lines:
        if _BEGIN in line:
            found.append(list(_frames(lines)))
        elif _LATER.search(line):
            found.append(list(_rows(lines)))
    return [shifts for shifts in found if shifts]


def _frames(lines: Iterator[str]) -> Iterator[Shift]:
    for line in lines:
        match = _FRAME.search(line)
        if match is None:
            return
        yield float(match[1]), float(match[2])


def _rows(lines: Iterator[str]) -> Iterator[Shift]:
    for line in lines:
        words = line.split()
        if len(words) < 3:
            return
        yield float(words[1]), float(words[2])


def order(output: str, names: Sequence[str]) -> list[str]:
    """Tell in which order movies were worked on: that in which the output first names them."""
    places = {name: output.find(name) for name in names}
    return sorted((name for name in names if places[name] >= 0), key=places.__getitem__)


def full_frame(path: Path) -> list[Shift]:
    """Read a log of whole frames, relative to the first frame as on standard output."""
    rows = [(float(words[1]), float(words[2])) for words in _words(path) if len(words) == 3]
    return [(x - rows[0][0], y - rows[0][1]) for x, y in rows]


def patches(path: Path) -> list[Patch]:
    """Read a log of patches, the lines of seven numbers that RELION takes."""
    return [
        Patch(int(float(words[0])), *map(float, words[1:5]))
        for words in _words(path)
        if len(words) == _PATCH_WORDS
    ]


def _words(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if "#" not in line and line.strip():
            yield line.split()


def log_file(folder: Path, stem: str, ending: str) -> Path | None:
    """Find a movie's log, whose name differs between versions: with or without a ``0``."""
    for name in (f"{stem}{ending}", f"{stem}0{ending}", f"{stem}_0{ending}"):
        if (folder / name).is_file():
            return folder / name
    return None

"""What the micrographs of one variant have come to: numbers, and what pictures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.report import images, star
from relion_dispatch.report.images import Image

#: Columns of RELION's tables of micrographs, and how they are shown: name, unit, factor.
NUMBERS = {
    "rlnAccumMotionTotal": ("motion", "Å", 1.0),
    "rlnAccumMotionEarly": ("early motion", "Å", 1.0),
    "rlnDefocusU": ("defocus U", "µm", 1e-4),
    "rlnCtfAstigmatism": ("astigmatism", "Å", 1.0),
    "rlnCtfMaxResolution": ("rings fit to", "Å", 1.0),
    "rlnCtfFigureOfMerit": ("figure of merit", "", 1.0),
}
PICKS = ("picks", "", 1.0)
_SIDE_PX = 300


@dataclass(frozen=True, kw_only=True)
class Micrograph:
    """A micrograph in one variant.

    Attributes
    ----------
    name
        Of its movie or of itself, without folders and ending.
    numbers
        By the names of `NUMBERS` and `PICKS`.
    image, factor
        Small picture of it, and how many of its px make one of the picture.
    spectrum
        CTF program's picture of its power spectrum and the fit; None where there is none.
    track
        Shifts of the frames in Å, x and y; empty where there are none.
    picks
        Positions in px of the picture.
    """

    name: str
    numbers: dict[str, float]
    image: Image | None
    factor: float
    spectrum: Image | None
    track: tuple[tuple[float, float], ...]
    picks: tuple[tuple[float, float], ...]


def read(folder: Path) -> list[Micrograph]:
    """Read what a finished variant has left.

    Raises
    ------
    InputError
        When a table of RELION's is missing.
    """
    layout = Layout()
    table = folder / layout.path("ctf", "micrographs_ctf.star")
    labels = ("rlnMicrographName", "rlnCtfImage", *NUMBERS)
    fits = star.columns(table, labels)
    moved = _moved(folder / layout.path("motion_correction", "corrected_micrographs.star"))
    return [
        _micrograph(folder, at, fits, moved.get(name, {}))
        for at, name in enumerate(fits["rlnMicrographName"])
    ]


def _moved(path: Path) -> dict[str, dict[str, str]]:
    """Read the table of motion correction by micrograph; nothing where there was none."""
    labels = ("rlnMicrographName", "rlnMicrographMetadata", *NUMBERS)
    if not path.is_file():
        return {}
    found = star.columns(path, labels)
    rows = zip(*found.values(), strict=True)
    return {row[0]: dict(zip(found, row, strict=True)) for row in rows}


def _micrograph(
    folder: Path, at: int, fits: dict[str, list[str]], moved: dict[str, str]
) -> Micrograph:
    row = {**moved, **{label: column[at] for label, column in fits.items()}}
    name = row["rlnMicrographName"]
    numbers = {
        shown: float(row[label]) * factor
        for label, (shown, _, factor) in NUMBERS.items()
        if label in row
    }
    image, factor = _small(folder / name)
    found = _picks(folder, name)
    if found is not None:
        numbers[PICKS[0]] = len(found)
    return Micrograph(
        name=Path(name).stem,
        numbers=numbers,
        image=image,
        factor=factor,
        spectrum=_spectrum(folder, row.get("rlnCtfImage", "")),
        track=_track(folder, row.get("rlnMicrographMetadata", "")),
        picks=tuple((x / factor, y / factor) for x, y in found or ()),
    )


def _small(path: Path) -> tuple[Image | None, float]:
    try:
        image = images.read_image(path)
    except InputError:
        return None, 1.0
    factor = max(1, -(-max(image.shape) // _SIDE_PX))
    return images.smaller(image, factor), float(factor)


def _spectrum(folder: Path, name: str) -> Image | None:
    """Read the picture that a CTF program has left, RELION's ``name.ctf:mrc``."""
    try:
        image = images.read_image(folder / name.removesuffix(":mrc"))
    except (InputError, IsADirectoryError):
        return None
    return images.smaller(image, max(1, -(-max(image.shape) // _SIDE_PX)))


def _track(folder: Path, name: str) -> tuple[tuple[float, float], ...]:
    labels = ("rlnMicrographShiftX", "rlnMicrographShiftY")
    try:
        shifts = star.columns(folder / name, labels, table="global_shift")
        pixel = star.columns(folder / name, ("rlnMicrographOriginalPixelSize",))
    except (InputError, IsADirectoryError):
        return ()
    angpix = float(pixel["rlnMicrographOriginalPixelSize"][0])
    x, y = (star.numbers(shifts[label]) * angpix for label in labels)
    moves = zip((x - x[0]).tolist(), (y - y[0]).tolist(), strict=True)
    return tuple(moves)


def _picks(folder: Path, name: str) -> list[tuple[float, float]] | None:
    """Read the positions that were picked; None where nothing was."""
    below = Path(*Path(name).parts[2:]) if name.startswith("MotionCorr/") else Path(name)
    job = folder / Layout().dir("picking")
    path = job / below.with_name(f"{below.stem}_autopick.star")
    if not path.is_file():
        return [] if (job / "RELION_JOB_EXIT_SUCCESS").exists() else None
    if not path.stat().st_size:  # RELION's list of nothing
        return []
    found = star.columns(path, ("rlnCoordinateX", "rlnCoordinateY"))
    columns = (star.numbers(found[label]).tolist() for label in found)
    return list(zip(*columns, strict=True))


def medians(found: Sequence[Micrograph]) -> dict[str, float]:
    """Return the median of each number over the micrographs."""
    names = dict.fromkeys(name for each in found for name in each.numbers)
    return {
        name: float(np.median([each.numbers[name] for each in found if name in each.numbers]))
        for name in names
    }

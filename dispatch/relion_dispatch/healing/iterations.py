"""The iterations that a refinement or classification has finished, and the newest whole one.

RELION writes the files of an iteration one after the other, and images straight to their final
names (``MlOptimiser::write`` in ``src/ml_optimiser.cpp``, ``MlModel::write`` in
``src/ml_model.cpp``): a job that is killed meanwhile leaves some of them cut short, or missing.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.frozen import dataclass
from relion_dispatch.starscan import Block, scan

#: Labels of ``optimiser.star`` that name the other STAR files of the iteration.
_MODELS = ("rlnModelStarFile", "rlnModelStarFile2")
_OTHERS = ("rlnExperimentalDataStarFile", "rlnOrientSamplingStarFile")
_ROOT = "rlnOutputRootName"

#: Tables of a model that name images.
_PARTS = ("model_classes", "model_bodies")

_MRC_HEADER = 1024
_MRC_BYTES = {0: 1.0, 1: 2.0, 2: 4.0, 3: 4.0, 4: 8.0, 6: 2.0, 12: 2.0, 101: 0.5}
_STAR_END = re.compile(rb"\n[ \t]*\n\Z")
_IMAGE = re.compile(r"(?:\d+@)?(.+\.mrcs?)")


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """A whole iteration.

    Attributes
    ----------
    number
        Its number.
    optimiser
        Its optimiser file.
    root
        What all its files begin with, as the optimiser file says.
    current_size
        Size in pixels of the images that it worked with; None where the model does not say.
    """

    number: int
    optimiser: Path
    root: str
    current_size: int | None = None


def newest(root: str | os.PathLike[str], *, since: float = 0.0) -> Iteration | None:
    """Return the newest iteration of which no file is missing or cut short.

    Parameters
    ----------
    root
        What RELION was given as ``--o``. Names in RELION's files are relative to where we are.
    since
        Iterations before this time, in seconds since the epoch, are of another run.
    """
    for number, path in sorted(numbered(root), reverse=True):
        if iteration := whole(path, number, since=since):
            return iteration
    return None


def numbered(root: str | os.PathLike[str]) -> Iterator[tuple[int, Path]]:
    """Yield number and optimiser file of all iterations, whole or not."""
    root = Path(root)
    name = re.compile(rf"{re.escape(root.name)}_it(\d{{3,}})_optimiser\.star")
    try:
        entries = list(os.scandir(root.parent))
    except OSError:
        return
    for entry in entries:
        if found := name.fullmatch(entry.name):
            yield int(found[1]), root.parent / entry.name


def whole(optimiser: Path, number: int, *, since: float = 0.0) -> Iteration | None:
    """Return an iteration if its files are all there, and none is cut short; None otherwise.

    None of them may be older than ``since``: RELION begins with the optimiser file, and where an
    earlier run was as far, the others are that one's until they are written.
    """
    try:
        general = _blocks(optimiser)[0].pairs
        stars = [Path(general[each]) for each in _MODELS if each in general]
        models = [_blocks(path) for path in stars]
        for path in (others := [Path(general[label]) for label in _OTHERS]):
            _check_end(path)
        images = {Path(image) for blocks in models for image in _images(blocks)}
        for path in images:
            _check_image(path)
        own = optimiser.name.removesuffix("optimiser.star")  # unlike the masks of bodies
        made = [path for path in (optimiser, *stars, *others, *images) if path.name.startswith(own)]
        if min(path.stat().st_mtime for path in made) < since:
            return None
        size = models[0][0].pairs.get("rlnCurrentImageSize", "")
    except (OSError, KeyError, IndexError, ValueError):
        return None
    return Iteration(
        number=number,
        optimiser=optimiser,
        root=general.get(_ROOT, ""),
        current_size=int(size) if size.isdigit() else None,
    )


def for_continuing(iteration: Iteration) -> str:
    """Return an iteration's optimiser file for ``--continue`` under its own ``--o``.

    Where a run has bodies, RELION takes an ``--o`` that is the same as before for none at all, and
    puts ``_ct`` and the number of the iteration behind it (``MlOptimiser::parseContinue``). Under
    another name of before the files of all iterations, and the final ones, are called as if there
    had been no stop.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    text = iteration.optimiser.read_text(encoding="utf-8", errors="surrogateescape")
    before = re.compile(rf"^(_{_ROOT}\s+).*$", re.MULTILINE)
    return before.sub(r"\g<1>before", text, count=1)


def _blocks(path: Path) -> tuple[Block, ...]:
    _check_end(path)
    return scan(path)


def _check_end(path: Path) -> None:
    """Raise ValueError unless a STAR file ends as RELION ends its tables: with a blank line."""
    with open(path, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(size - 64, 0))
        if not _STAR_END.search(handle.read()):
            raise ValueError(f"{path} is cut short")


def _images(blocks: tuple[Block, ...]) -> Iterator[str]:
    """Yield the images that a model consists of: references, bodies, moments of gradients."""
    for block in blocks:
        if block.name in _PARTS:
            values = (value for label in block.labels for value in block.column(label))
            yield from (found[1] for value in values if (found := _named(value)))


def _named(value: str) -> re.Match[str] | None:
    return _IMAGE.fullmatch(value)


def _check_image(path: Path) -> None:
    """Raise ValueError unless an MRC file is as large as its header says."""
    with open(path, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        header = handle.read(_MRC_HEADER)
    if len(header) < _MRC_HEADER:
        raise ValueError(f"{path} is cut short")
    for order in "<>":
        nx, ny, nz, mode = struct.unpack_from(f"{order}4i", header)
        if mode in _MRC_BYTES and min(nx, ny, nz) > 0:
            (extended,) = struct.unpack_from(f"{order}i", header, 92)
            if size >= _MRC_HEADER + max(extended, 0) + nx * ny * nz * _MRC_BYTES[mode]:
                return
    raise ValueError(f"{path} is cut short")


def is_whole_image(path: Path) -> bool:
    """Whether an MRC file is as large as its header says."""
    try:
        _check_image(path)
    except (OSError, ValueError):
        return False
    return True


def is_whole_star(path: Path) -> bool:
    """Whether a STAR file ends as RELION ends its tables."""
    try:
        _check_end(path)
    except (OSError, ValueError):
        return False
    return True

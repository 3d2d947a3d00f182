"""The gain reference and the list of defects against the movies they belong to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.pipeline.check import imagefiles, tiff
from relion_dispatch.pipeline.check.findings import Finding, error, note, warning
from relion_dispatch.pipeline.check.imagefiles import BadImageError, Image
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.check.names import check_file_name
from relion_dispatch.pipeline.options import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHERE = "gain.file"
MANY_DEFECTS = 0.01  # of all pixels; a camera has far fewer
ROTATED = (1, 3)  # a quarter turn swaps width and height


def check_gain(settings: Settings, images: Images, project: Path) -> Iterator[Finding]:
    """Check that the gain reference can be read, fits the movies and holds sensible values."""
    if settings.gain.file is None or settings.start != "movies":
        return
    name = os.path.expandvars(settings.gain.file)
    unquoted = settings.motion_correction.program == "motioncor2"
    yield from check_file_name(WHERE, name, unquoted=unquoted)
    typical = images.typical
    eer = typical is not None and typical.kind == "eer"
    refused = list(_format(settings, name, eer=eer))
    yield from refused
    if refused:
        return
    path = project / name
    try:
        gain = read_gain(path)
    except BadImageError as failure:
        yield error("gain-unreadable", WHERE, f"{name}: {failure}", "correct gain.file")
        return
    if typical is not None:
        yield from _size(settings, name, gain, typical)
    yield from _values(name, path, gain)


def read_gain(path: Path) -> Image:
    """Read the header of a gain reference; ``.gain`` files are TIFF files by another name.

    Raises
    ------
    BadImageError
        When it cannot be read or is cut off.
    """
    if path.suffix == ".gain":
        return imagefiles.read(path, kind="tiff")
    return imagefiles.read(path)


def _format(settings: Settings, name: str, *, eer: bool) -> Iterator[Finding]:
    suffix = os.path.splitext(name)[1]
    turned = settings.gain.rotation or settings.gain.flip
    if suffix.lower().startswith(".dm"):
        yield error(
            "gain-format",
            WHERE,
            f"{name}: RELION does not read Digital Micrograph files",
            "convert it to MRC with dm2mrc (IMOD) or e2proc2d.py (EMAN2)",
        )
    elif suffix == ".gain" and not eer:
        yield error(
            "gain-format",
            WHERE,
            f"{name}: RELION reads .gain files with EER movies only",
            "make a copy or link that ends in .tiff",
        )
    elif suffix == ".gain" and turned:
        yield error(
            "gain-format",
            WHERE,
            f"{name}: RELION cannot rotate or flip .gain files",
            "set gain.rotation and gain.flip to 0: EER movies and their gain agree",
        )
    elif suffix != ".gain" and imagefiles.kind_of(name) not in ("mrc", "tiff"):
        yield error(
            "gain-format",
            WHERE,
            f"{name}: RELION does not read files with this ending as a gain reference",
            "convert it to MRC or TIFF",
        )


def _size(settings: Settings, name: str, gain: Image, movie: Image) -> Iterator[Finding]:
    width, height = gain.width, gain.height
    if settings.gain.rotation in ROTATED:
        width, height = height, width
    sizes = [(movie.width, movie.height)]
    if movie.kind == "eer":  # RELION bins or enlarges it (EERRenderer::loadEERGain)
        sizes.append((2 * movie.width, 2 * movie.height))
    if (width, height) in sizes:
        return
    turned = f" after gain.rotation {settings.gain.rotation}" if settings.gain.rotation else ""
    if (height, width) in sizes:
        advice = "the gain lies on its side: set gain.rotation to 1 or 3 (or to 0 if it is either)"
    else:
        advice = "take the gain reference of the same camera mode (super-resolution, binning)"
    yield error(
        "gain-size",
        WHERE,
        f"{name} has {width} x {height} pixels{turned}, but the movies have"
        f" {movie.width} x {movie.height}",
        advice,
    )


def _values(name: str, path: Path, gain: Image) -> Iterator[Finding]:
    values = gain_values(path, gain)
    if values is None:
        yield note("gain-values", WHERE, f"{name} is compressed: its values were not looked at")
        return
    import numpy as np

    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    negative = int(np.count_nonzero(values < 0))
    zeros = int(values.size - np.count_nonzero(values))
    if bad or negative or zeros == values.size:
        what = f"{bad} values that are no numbers" if bad else f"{negative} negative values"
        yield error(
            "gain-values",
            WHERE,
            f"{name} holds {'only zeros' if zeros == values.size else what}",
            "this is no gain reference: look at it, and take the right file",
        )
    elif zeros > MANY_DEFECTS * values.size:
        yield warning(
            "gain-zeros",
            WHERE,
            f"{name}: {zeros / values.size:.1%} of its pixels are zero",
            "RELION takes them for defects and fills them from their neighbours: look at the gain",
        )
    elif zeros:
        yield note(
            "gain-zeros", WHERE, f"{name}: {zeros} pixels are zero, which RELION takes for defects"
        )


def gain_values(path: Path, gain: Image) -> NDArray[np.float32] | None:
    """Pixels of a gain reference; None when it is compressed or in a rare format."""
    import numpy as np

    if gain.kind == "mrc":
        return _mrc_values(path)
    with path.open("rb") as handle:
        first = tiff.read(handle, gain.bytes, whole=True).last
        dtype = _DTYPES.get((first.sample_format, first.bits))
        if first.compression != tiff.UNCOMPRESSED or dtype is None or gain.frames != 1:
            return None
        handle.seek(0)
        order = "<" if handle.read(2) == b"II" else ">"
        parts = []
        for offset, count in zip(first.offsets, first.counts, strict=True):
            handle.seek(offset)
            parts.append(np.frombuffer(handle.read(count), dtype=order + dtype))
    return np.concatenate(parts).astype(np.float32, copy=False)


def _mrc_values(path: Path) -> NDArray[np.float32] | None:
    import mrcfile
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cameras' programs write headers with small faults
        with mrcfile.open(path, permissive=True) as handle:
            return None if handle.data is None else np.asarray(handle.data, dtype=np.float32)


_DTYPES: dict[tuple[int, int], Any] = {
    (1, 8): "u1",
    (1, 16): "u2",
    (1, 32): "u4",
    (2, 16): "i2",
    (2, 32): "i4",
    (3, 32): "f4",
    (3, 64): "f8",
}

"""Size, frames and pixel size of an image file, from its header alone.

The formats that RELION reads: MRC (maps, stacks, movies), TIFF and EER, which is a BigTIFF with
one directory for each frame and a compression of its own (``src/renderEER.cpp``). The format is
told from the file's first bytes, not from its name.
"""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO, Literal

from relion_dispatch.frozen import dataclass

Format = Literal["mrc", "tiff", "eer"]

_MRC_HEADER = 1024
_MRC_MODES = frozenset((0, 1, 2, 3, 4, 6, 12, 16, 101))
_LARGEST = 10_000_000  # neither a side nor a number of frames comes near
_EER_COMPRESSIONS = frozenset((65000, 65001, 65002))
_WIDTH, _LENGTH, _COMPRESSION = 256, 257, 259
_FIRST_READ = 512  # bytes of a directory: enough for nearly all, and one read


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image's header says.

    Parameters
    ----------
    nx, ny
        Width and height, in pixels.
    nz
        Sections of a map, images of a stack, frames of a movie.
    angpix
        Pixel size in Angstrom; None when the header says none.
    format
        ``mrc``, ``tiff`` or ``eer``.
    """

    nx: int
    ny: int
    nz: int
    angpix: float | None
    format: Format


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Read an image's header.

    Parameters
    ----------
    path
        An MRC, TIFF (BigTIFF too) or EER file.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is no such image, or a broken one; says what is wrong.
    """
    with open(path, "rb", buffering=0) as handle:
        start = handle.read(_MRC_HEADER)
        if start[:4] in (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"):
            return _tiff(handle, start)
        return _mrc(start)


def _mrc(start: bytes) -> ImageHeader:
    if len(start) < _MRC_HEADER:
        raise ValueError(f"it has {len(start)} bytes, too few for an image")
    for order in "<>":
        nx, ny, nz, mode, *_, mx, _my, _mz = struct.unpack_from(f"{order}10i", start)
        if mode in _MRC_MODES and all(0 < side <= _LARGEST for side in (nx, ny, nz)):
            (length,) = struct.unpack_from(f"{order}f", start, 40)
            angpix = _pixel_size(length, mx)
            return ImageHeader(nx=nx, ny=ny, nz=nz, angpix=angpix, format="mrc")
    raise ValueError("it is neither MRC nor TIFF nor EER")


def _pixel_size(length: float, samples: int) -> float | None:
    if samples <= 0 or not math.isfinite(length) or length <= 0:
        return None
    return float(f"{length / samples:.6g}")  # the header's precision is that of a float32


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a TIFF file writes its numbers: the classic way or BigTIFF's."""

    order: str
    count: str  # number of a directory's entries
    offset: str
    entry: int  # bytes of an entry

    def unpack(self, what: str, data: bytes, at: int) -> int:
        try:
            return int(struct.unpack_from(self.order + what, data, at)[0])
        except struct.error:
            raise ValueError("it is cut short") from None


def _tiff(handle: BinaryIO, start: bytes) -> ImageHeader:
    order = "<" if start.startswith(b"II") else ">"
    big = b"+" in start[:4]
    layout = _Layout(
        order=order, count="Q" if big else "H", offset="Q" if big else "I", entry=20 if big else 12
    )
    offset = layout.unpack(layout.offset, start, 8 if big else 4)
    tags, following = _directory(handle, layout, offset)
    if not tags.get(_WIDTH) or not tags.get(_LENGTH):
        raise ValueError("its first directory gives no size")
    frames, seen = 1, {offset}
    while following:
        if following in seen:
            raise ValueError("its directories form a ring")
        seen.add(following)
        frames += 1
        _, following = _directory(handle, layout, following)
    eer = tags.get(_COMPRESSION) in _EER_COMPRESSIONS
    return ImageHeader(
        nx=tags[_WIDTH],
        ny=tags[_LENGTH],
        nz=frames,
        angpix=None,
        format="eer" if eer else "tiff",
    )


def _directory(handle: BinaryIO, layout: _Layout, offset: int) -> tuple[dict[int, int], int]:
    """Read a directory: its numbers by tag, and where the next directory is (0 for none)."""
    if offset >= os.fstat(handle.fileno()).st_size:
        raise ValueError("it is cut short")
    handle.seek(offset)
    data = handle.read(_FIRST_READ)
    n_entries = layout.unpack(layout.count, data, 0)
    first = struct.calcsize(f"={layout.count}")
    end = first + n_entries * layout.entry
    if end > _LARGEST:
        raise ValueError("its directory is broken")
    missing = end + struct.calcsize(f"={layout.offset}") - len(data)
    if missing > 0:
        data += handle.read(missing)
    entries = range(first, end, layout.entry)
    tags = {layout.unpack("H", data, at): _number(layout, data, at) for at in entries}
    return tags, layout.unpack(layout.offset, data, end)


def _number(layout: _Layout, data: bytes, at: int) -> int:
    """Read an entry's value as a whole number; what it is otherwise is of no use here."""
    kind = layout.unpack("H", data, at + 2)
    what = {3: "H", 16: "Q"}.get(kind, "I")
    return layout.unpack(what, data, at + 4 + struct.calcsize(f"={layout.offset}"))

"""Directories of TIFF and BigTIFF files, which EER files are as well.

The layout is that of the TIFF 6.0 specification and of its BigTIFF extension.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

MAGICS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
UNCOMPRESSED = 1
EER_COMPRESSIONS = (65000, 65001, 65002)
# A file may loop; no detector writes as many frames as this.
MAX_DIRECTORIES = 100_000
# Bytes of one value of a field type: BYTE, ASCII, SHORT, LONG, RATIONAL, … LONG8, SLONG8, IFD8.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
WIDTH, HEIGHT, BITS, COMPRESSION = 256, 257, 258, 259
STRIP_OFFSETS, STRIP_BYTES, X_RESOLUTION, RESOLUTION_UNIT = 273, 279, 282, 296
TILE_OFFSETS, TILE_BYTES, SAMPLE_FORMAT = 324, 325, 339
_NEEDED = (WIDTH, HEIGHT, COMPRESSION, BITS, SAMPLE_FORMAT, X_RESOLUTION, RESOLUTION_UNIT)
_DATA = (STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES)
_ANGST_PER_UNIT = {2: 2.54e8, 3: 1e8}  # inch, centimetre
# Screens and scanners write 72 or 300 dots per inch; pixels larger than this are no microscope's.
_MAX_ANGPIX = 1000.0


class TiffError(Exception):
    """The file is no readable TIFF file."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """One image of a TIFF file.

    Parameters
    ----------
    width, height
        Pixels.
    bits, sample_format
        Bits per pixel; 1 unsigned, 2 signed, 3 floating point.
    compression
        TIFF's number; 1 is none.
    angpix
        Å per pixel from the resolution tags, or None.
    offsets, counts
        Where the pixels' strips or tiles are, and their bytes; empty unless asked for.
    """

    width: int
    height: int
    bits: int
    sample_format: int
    compression: int
    angpix: float | None
    offsets: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class File:
    """A TIFF file: its first and last image, and how many there are (None: not counted)."""

    first: Directory
    last: Directory
    frames: int | None


@dataclass(frozen=True)
class _Layout:
    """Byte order and field widths of classic TIFF or BigTIFF."""

    order: str
    big: bool

    @property
    def number(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def pointer_bytes(self) -> int:
        return 8 if self.big else 4

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12


def read(handle: BinaryIO, size: int, *, whole: bool) -> File:
    """Read the directories of a file, and make sure that the last one's pixels are inside it.

    Parameters
    ----------
    handle
        The open file.
    size
        Its bytes.
    whole
        Walk through all directories; False reads the first one only.

    Raises
    ------
    TiffError
        When the file is no TIFF file or is cut off.
    """
    layout, offset = _start(handle, size)
    entries, following = _entries(handle, size, layout, offset, 1)
    first = _directory(handle, size, layout, entries, with_data=False)
    if not whole:
        return File(first=first, last=first, frames=None)
    frames = 1
    while following:
        frames += 1
        if frames > MAX_DIRECTORIES:
            raise TiffError("its directories never end")
        entries, following = _entries(handle, size, layout, following, frames)
    last = _directory(handle, size, layout, entries, with_data=True)
    _check_pixels(last, size, frames)
    return File(first=first, last=last, frames=frames)


def _start(handle: BinaryIO, size: int) -> tuple[_Layout, int]:
    handle.seek(0)
    head = handle.read(16)
    if head[:4] not in MAGICS:
        raise TiffError("no TIFF file")
    layout = _Layout("<" if head[:2] == b"II" else ">", b"+" in head[:4])
    start = 8 if layout.big else 4
    if len(head) < start + layout.pointer_bytes:
        raise TiffError(f"cut off: only {size} bytes")
    (offset,) = struct.unpack_from(layout.number, head, start)
    if not offset:
        raise TiffError("it holds no image")
    return layout, offset


def _check_pixels(last: Directory, size: int, frames: int) -> None:
    ends = [start + count for start, count in zip(last.offsets, last.counts, strict=False)]
    if not ends:
        raise TiffError(f"frame {frames} has no pixels")
    if max(ends) > size:
        raise TiffError(f"cut off: frame {frames} ends {max(ends) - size:,} bytes after the file")


_Entry = tuple[int, int, bytes]  # type, count, value or where it is


def _entries(
    handle: BinaryIO, size: int, layout: _Layout, offset: int, number: int
) -> tuple[dict[int, _Entry], int]:
    """Fields of the directory at ``offset`` by tag, and the offset of the next directory."""
    cut = TiffError(f"cut off: the directory of frame {number} is not in the file")
    count_format = layout.order + ("Q" if layout.big else "H")
    count_bytes = struct.calcsize(count_format)
    if offset + count_bytes > size:
        raise cut
    handle.seek(offset)
    (count,) = struct.unpack(count_format, handle.read(count_bytes))
    length = count * layout.entry_bytes + layout.pointer_bytes
    if count > 4096 or offset + count_bytes + length > size:
        raise cut
    block = handle.read(length)
    entries = {}
    for index in range(count):
        start = index * layout.entry_bytes
        tag, kind = struct.unpack_from(layout.order + "HH", block, start)
        (values,) = struct.unpack_from(layout.number, block, start + 4)
        value_at = start + 4 + layout.pointer_bytes
        entries[tag] = (kind, values, block[value_at : value_at + layout.pointer_bytes])
    (following,) = struct.unpack_from(layout.number, block, count * layout.entry_bytes)
    return entries, following


def _directory(
    handle: BinaryIO, size: int, layout: _Layout, entries: dict[int, _Entry], *, with_data: bool
) -> Directory:
    wanted = (*_NEEDED, *_DATA) if with_data else _NEEDED
    values = {tag: _values(handle, size, layout, entries[tag]) for tag in wanted if tag in entries}
    if not values.get(WIDTH) or not values.get(HEIGHT):
        raise TiffError("a frame without width or height")
    return Directory(
        width=values[WIDTH][0],
        height=values[HEIGHT][0],
        bits=values.get(BITS, (1,))[0],
        sample_format=values.get(SAMPLE_FORMAT, (1,))[0],
        compression=values.get(COMPRESSION, (UNCOMPRESSED,))[0],
        angpix=_angpix(values.get(X_RESOLUTION, ()), values.get(RESOLUTION_UNIT, (2,))),
        offsets=values.get(STRIP_OFFSETS) or values.get(TILE_OFFSETS, ()),
        counts=values.get(STRIP_BYTES) or values.get(TILE_BYTES, ()),
    )


def _values(handle: BinaryIO, size: int, layout: _Layout, entry: _Entry) -> tuple[int, ...]:
    """Whole numbers of a field; of a fraction its two parts."""
    kind, count, inline = entry
    total = _TYPE_BYTES.get(kind, 0) * count
    if total > layout.pointer_bytes:
        (offset,) = struct.unpack(layout.number, inline)
        if offset + total > size:
            raise TiffError("cut off: a directory points behind the end of the file")
        handle.seek(offset)
        inline = handle.read(total)
    if kind == 5:
        return struct.unpack_from(f"{layout.order}{2 * count}I", inline)
    if kind not in _INTEGERS:
        return ()
    return struct.unpack_from(f"{layout.order}{count}{_INTEGERS[kind]}", inline)


def _angpix(resolution: tuple[int, ...], unit: tuple[int, ...]) -> float | None:
    if len(resolution) < 2 or not all(resolution[:2]) or unit[0] not in _ANGST_PER_UNIT:
        return None
    angpix = _ANGST_PER_UNIT[unit[0]] * resolution[1] / resolution[0]
    return angpix if angpix < _MAX_ANGPIX else None

"""Headers of movies, micrographs and maps: size, frames, pixel size, and whether all is there.

Only a few hundred bytes are read of an MRC file. TIFF and EER files keep one directory per frame,
each telling where the next one is; :func:`read` walks them all, :func:`glance` reads the first.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from relion_dispatch.pipeline.check import tiff

Kind = Literal["mrc", "tiff", "eer"]
# What RELION reads, by the ending of the name. Upper case works for MRC and TIFF, not for EER
# (EERRenderer::isEER in src/renderEER.h compares the ending as it is).
KINDS: dict[str, Kind] = {
    ".mrc": "mrc",
    ".mrcs": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".eer": "eer",
    ".ecc": "eer",
}
MRC_HEADER_BYTES = 1024
# Bits per pixel of the MRC modes that hold real numbers; 101 is SerialEM's 4-bit extension.
MRC_BITS = {0: 8, 1: 16, 2: 32, 6: 16, 12: 16, 101: 4}
# Anything else in a header's size fields is a sign of another byte order or no MRC file.
MRC_MAX_SIDE = 1 << 20
# What RELION reads of TIFF: bits and sample format (src/rwTIFF.h).
TIFF_PIXELS = {(8, 1), (8, 2), (16, 1), (16, 2), (32, 3)}
# Two 4-bit pixels a byte: IMOD's extension, which RELION tells from the size alone (src/rwTIFF.h).
PACKED_SIZES = {(5760, 8184), (4092, 11520), (3710, 7676), (3838, 7420)}
# The end of each frame in EER files older than the TIFF-based format (src/renderEER.cpp).
EER_FOOTER = b"ThermoFisherECComprOK000"
EER_SIZE = 4096


class BadImageError(Exception):
    """The file is no readable image; the message says why, without the file's name."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a header says.

    Parameters
    ----------
    kind
        The format.
    width, height
        Pixels; EER: the detector's own pixels.
    frames
        Number of frames or sections; None when only the first directory was read.
    angpix
        Å per pixel, or None where the header says nothing.
    mode
        MRC mode; None for other formats.
    bytes
        Size of the file.
    """

    kind: Kind
    width: int
    height: int
    frames: int | None
    angpix: float | None
    mode: int | None
    bytes: int


def kind_of(path: str | os.PathLike[str]) -> Kind | None:
    """Tell the format from a name's ending, as RELION does; None for names it cannot read."""
    suffix = Path(path).suffix
    kind = KINDS.get(suffix.lower())
    return None if kind == "eer" and suffix != suffix.lower() else kind


def read(path: str | os.PathLike[str], *, kind: Kind | None = None) -> Image:
    """Read a header and make sure that the file holds what it promises.

    Parameters
    ----------
    path
        The file.
    kind
        Its format; None to tell it from the name.

    Raises
    ------
    BadImageError
        When the file cannot be read, is of another format than its name says, or is cut off.
    """
    return _read(path, kind or kind_of(path), whole=True)


def glance(path: str | os.PathLike[str]) -> Image:
    """Read a header quickly: of TIFF and EER files the first directory only.

    Raises
    ------
    BadImageError
        As :func:`read`, as far as it can be told.
    """
    return _read(path, kind_of(path), whole=False)


def _read(path: str | os.PathLike[str], kind: Kind | None, *, whole: bool) -> Image:
    if kind is None:
        raise BadImageError("RELION does not read files with this ending")
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size == 0:
                raise BadImageError("the file is empty")
            return _READERS[kind](handle, size, whole)
    except FileNotFoundError:
        link = Path(path).is_symlink()
        raise BadImageError("a link to a file that is gone" if link else "no such file") from None
    except OSError as failure:
        raise BadImageError(f"cannot be read: {failure.strerror}") from None


def _read_mrc(handle: BinaryIO, size: int, _whole: bool) -> Image:
    header = handle.read(MRC_HEADER_BYTES)
    if header[:4] in tiff.MAGICS:
        raise BadImageError("a TIFF file with the name of an MRC file")
    if len(header) < MRC_HEADER_BYTES:
        raise BadImageError(f"only {size} bytes, less than an MRC header of {MRC_HEADER_BYTES}")
    order = _byte_order(header)
    width, height, sections, mode = struct.unpack_from(order + "4i", header, 0)
    (extended,) = struct.unpack_from(order + "i", header, 92)
    expected = MRC_HEADER_BYTES + extended + (width * height * MRC_BITS[mode] + 7) // 8 * sections
    if size < expected:
        raise BadImageError(
            f"cut off: {size:,} bytes, but {width} x {height} x {sections} pixels need {expected:,}"
        )
    return Image(
        kind="mrc",
        width=width,
        height=height,
        frames=sections,
        angpix=_mrc_angpix(header, order),
        mode=mode,
        bytes=size,
    )


def _byte_order(header: bytes) -> str:
    for order in "<>":
        width, height, sections, mode = struct.unpack_from(order + "4i", header, 0)
        (extended,) = struct.unpack_from(order + "i", header, 92)
        sides = (width, height, sections)
        if all(0 < side < MRC_MAX_SIDE for side in sides) and mode in MRC_BITS and extended >= 0:
            return order
    raise BadImageError("no MRC file: its header makes no sense")


def _mrc_angpix(header: bytes, order: str) -> float | None:
    """Cell length over sampling along x, as RELION reads it (src/rwMRC.h)."""
    (sampling,) = struct.unpack_from(order + "i", header, 28)
    (cell,) = struct.unpack_from(order + "f", header, 40)
    if sampling <= 0 or not 0 < cell < 1e9:
        return None
    return float(cell / sampling)


def _read_tiff(handle: BinaryIO, size: int, whole: bool) -> Image:
    file = _tiff(handle, size, whole)
    pixels = (file.first.bits, file.first.sample_format)
    if pixels not in TIFF_PIXELS:
        raise BadImageError(f"pixels of {pixels[0]} bits, which RELION does not read from TIFF")
    size_px = (file.first.width, file.first.height)
    packed = pixels[0] == 8 and (size_px in PACKED_SIZES or size_px[::-1] in PACKED_SIZES)
    return Image(
        kind="tiff",
        width=file.first.width * (2 if packed else 1),
        height=file.first.height,
        frames=file.frames,
        angpix=file.first.angpix,
        mode=None,
        bytes=size,
    )


def _read_eer(handle: BinaryIO, size: int, whole: bool) -> Image:
    if handle.read(4) not in tiff.MAGICS:
        return _read_eer_legacy(handle, size)
    file = _tiff(handle, size, whole)
    if file.first.compression not in tiff.EER_COMPRESSIONS:
        raise BadImageError(f"no EER file: its compression is {file.first.compression}")
    if (file.first.width, file.first.height) != (EER_SIZE, EER_SIZE):
        raise BadImageError(
            f"{file.first.width} x {file.first.height} pixels: RELION reads EER files of"
            f" {EER_SIZE} x {EER_SIZE} only"
        )
    return _eer(size, file.frames)


def _read_eer_legacy(handle: BinaryIO, size: int) -> Image:
    handle.seek(max(0, size - len(EER_FOOTER)))
    if handle.read() != EER_FOOTER:
        raise BadImageError("cut off or no EER file: the mark at the end of a frame is missing")
    return _eer(size, None)


def _eer(size: int, frames: int | None) -> Image:
    return Image(
        kind="eer",
        width=EER_SIZE,
        height=EER_SIZE,
        frames=frames,
        angpix=None,
        mode=None,
        bytes=size,
    )


def _tiff(handle: BinaryIO, size: int, whole: bool) -> tiff.File:
    try:
        return tiff.read(handle, size, whole=whole)
    except tiff.TiffError as failure:
        raise BadImageError(str(failure)) from None


_READERS = {"mrc": _read_mrc, "tiff": _read_tiff, "eer": _read_eer}

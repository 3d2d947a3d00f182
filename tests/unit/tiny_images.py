"""Image files of a few kilobytes, made byte by byte: headers as large as one likes, few pixels."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.pipeline.check import tiff

MODE_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}


def mrc_header(
    *,
    width: int = 640,
    height: int = 640,
    sections: int = 12,
    mode: int = 0,
    angpix: float = 1.5,
    extended: int = 0,
    order: str = "<",
) -> bytes:
    """Header of an MRC file, 1024 bytes."""
    sizes = (width, height, sections, mode, 0, 0, 0, width, height, sections)
    cell = (width * angpix, height * angpix, sections * angpix, 90.0, 90.0, 90.0)
    header = struct.pack(order + "10i6f", *sizes, *cell)
    header += struct.pack(order + "3i3f2i", 1, 2, 3, 0.0, 0.0, 0.0, 0, extended)
    return header.ljust(208, b"\0") + b"MAP " + b"\0" * 812


def write_mrc(path: Path, **header: object) -> Path:
    """Write an MRC file of zeros that takes no room on the disk."""
    numbers = {"width": 640, "height": 640, "sections": 12, "mode": 0, "extended": 0} | header
    width, height, sections, mode, extended = (
        int(str(numbers[name])) for name in ("width", "height", "sections", "mode", "extended")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        handle.write(mrc_header(**header))  # type: ignore[arg-type]
        handle.truncate(1024 + extended + width * height * sections * MODE_BYTES[mode])
    return path


def write_map(path: Path, *, side: int = 32, angpix: float = 4.0) -> Path:
    """Write a cubic map of zeros."""
    return write_mrc(path, width=side, height=side, sections=side, mode=2, angpix=angpix)


def write_tiff(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    frames: int = 5,
    pixels: Sequence[bytes] | None = None,
    bits: int = 8,
    sample_format: int = 1,
    compression: int = tiff.UNCOMPRESSED,
    dots_per_cm: tuple[int, int] | None = None,
    big: bool = False,
    order: str = "<",
) -> Path:
    """Write a TIFF or BigTIFF file, each frame in one strip before its directory."""
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    number = order + ("Q" if big else "I")
    content = bytearray(magic + (struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)))
    pointer = 8 if big else 4
    for frame in range(frames):
        data = pixels[frame] if pixels else bytes(width * height * bits // 8)
        start = len(content)
        content += data
        fields = [(tiff.WIDTH, 3, width), (tiff.HEIGHT, 3, height), (tiff.BITS, 3, bits)]
        fields += [(tiff.COMPRESSION, 3, compression), (tiff.STRIP_OFFSETS, 4, start)]
        fields += [(tiff.STRIP_BYTES, 4, len(data)), (tiff.SAMPLE_FORMAT, 3, sample_format)]
        if dots_per_cm:
            fields += [(tiff.X_RESOLUTION, 5, len(content)), (tiff.RESOLUTION_UNIT, 3, 3)]
            content += struct.pack(order + "2I", *dots_per_cm)
        content[pointer : pointer + struct.calcsize(number)] = struct.pack(number, len(content))
        content += struct.pack(order + ("Q" if big else "H"), len(fields))
        for tag, kind, value in sorted(fields):
            content += struct.pack(order + "HH", tag, kind) + struct.pack(number, 1)
            content += _inline(order, kind, value, 8 if big else 4)
        pointer = len(content)
        content += struct.pack(number, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _inline(order: str, kind: int, value: int, room: int) -> bytes:
    if kind == 5 and room == 8:
        return struct.pack(order + "2I", 1, 1)  # a fraction fits into BigTIFF's entry
    return struct.pack(order + {3: "H", 4: "I", 5: "I"}[kind], value).ljust(room, b"\0")


def write_eer(path: Path, *, frames: int = 320, side: int = 4096) -> Path:
    """Write an EER file of some bytes a frame."""
    return write_tiff(
        path,
        width=side,
        height=side,
        frames=frames,
        pixels=[b"12345678"] * frames,
        compression=65001,
        big=True,
    )

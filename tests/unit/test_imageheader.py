"""Image headers: MRC against mrcfile, TIFF and EER against files made by the specification."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relion_dispatch.imageheader import ImageHeader, read_header


def tiff(
    frames: int,
    *,
    width: int = 96,
    height: int = 64,
    big: bool = False,
    order: str = "<",
    compression: int = 1,
    spare_tags: int = 0,
) -> bytes:
    """Make a TIFF of directories without pixels."""
    count, offset, entry = ("Q", "Q", "HHQQ") if big else ("H", "I", "HHII")
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    start += struct.pack(f"{order}HH", 8, 0) if big else b""
    data = start + struct.pack(f"{order}{offset}", len(start) + struct.calcsize(f"={offset}"))
    tags = [(256, 4, width), (257, 4, height), (259, 3, compression)]
    tags += [(40000 + n, 4, n) for n in range(spare_tags)]
    for frame in range(frames):
        directory = struct.pack(order + count, len(tags))
        for tag, kind, value in tags:
            unused = (64 if big else 32) - (16 if kind == 3 else 32)
            held = value << unused if order == ">" else value  # values stand first in their field
            directory += struct.pack(order + entry, tag, kind, 1, held)
        end = len(data) + len(directory) + struct.calcsize(f"={offset}")
        data += directory + struct.pack(order + offset, end if frame < frames - 1 else 0)
    return data


def read(tmp_path: Path, data: bytes) -> ImageHeader:
    path = tmp_path / "image"
    path.write_bytes(data)
    return read_header(path)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.uint16, np.float16])
def test_mrc_as_mrcfile_writes_it(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = tmp_path / "a.mrcs"
    with mrcfile.new(path) as file:
        file.set_data(np.zeros((5, 6, 7), dtype))
        file.voxel_size = 1.25
    assert read_header(path) == ImageHeader(nx=7, ny=6, nz=5, angpix=1.25, format="mrc")


def test_mrc_of_the_other_byte_order(tmp_path: Path) -> None:
    header = struct.pack(">10i3f", 7, 6, 5, 2, 0, 0, 0, 7, 6, 5, 14.0, 12.0, 10.0)
    assert read(tmp_path, header.ljust(1024, b"\0")).angpix == 2.0
    assert read(tmp_path, header.ljust(1024, b"\0")).nx == 7


@pytest.mark.parametrize("length, samples", [(0.0, 7), (7.0, 0), (-7.0, 7), (float("nan"), 7)])
def test_mrc_without_a_pixel_size(tmp_path: Path, length: float, samples: int) -> None:
    header = struct.pack("<10if", 7, 6, 5, 2, 0, 0, 0, samples, 6, 5, length)
    assert read(tmp_path, header.ljust(1024, b"\0")).angpix is None


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("frames, spare_tags", [(1, 0), (40, 0), (3, 200)])
def test_tiff(tmp_path: Path, big: bool, order: str, frames: int, spare_tags: int) -> None:
    header = read(tmp_path, tiff(frames, big=big, order=order, spare_tags=spare_tags))
    assert header == ImageHeader(nx=96, ny=64, nz=frames, angpix=None, format="tiff")


@pytest.mark.parametrize("compression", [65000, 65001, 65002])
def test_eer(tmp_path: Path, compression: int) -> None:
    header = read(tmp_path, tiff(1200, width=4096, height=4096, big=True, compression=compression))
    assert header == ImageHeader(nx=4096, ny=4096, nz=1200, angpix=None, format="eer")


def test_broken_images_say_what_is_wrong(tmp_path: Path) -> None:
    whole = tiff(3)
    ring = whole[:-4] + struct.pack("<I", 8)
    cases = {
        b"": "0 bytes",
        b"II*\0": "cut short",
        b"x" * 2000: "neither MRC nor TIFF",
        bytes(1024): "neither MRC nor TIFF",
        whole[:-30]: "cut short",
        ring: "ring",
        tiff(2, width=0): "no size",
        whole[:8] + b"\xff\xff" + whole[10:]: "cut short",
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60): "broken",
    }
    for data, message in cases.items():
        with pytest.raises(ValueError, match=message):
            read(tmp_path, data)


@given(st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=1200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_image_or_an_error(tmp_path: Path, magic: bytes, data: bytes) -> None:
    try:
        header = read(tmp_path, magic + data)
    except ValueError:
        return
    assert header.nx > 0
    assert header.ny > 0
    assert header.nz > 0

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.pipeline.check import imagefiles
from relion_dispatch.pipeline.check.imagefiles import BadImageError
from tests.unit import tiny_images


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", sorted(tiny_images.MODE_BYTES))
def test_mrc_header(tmp_path: Path, order: str, mode: int) -> None:
    path = tiny_images.write_mrc(
        tmp_path / "a.mrcs", width=30, height=20, sections=7, mode=mode, angpix=1.06, order=order
    )
    image = imagefiles.read(path)
    assert (image.kind, image.width, image.height, image.frames) == ("mrc", 30, 20, 7)
    assert image.angpix == pytest.approx(1.06)
    assert image.mode == mode


def test_mrc_extended_header_counts(tmp_path: Path) -> None:
    path = tiny_images.write_mrc(tmp_path / "a.mrc", extended=512)
    assert imagefiles.read(path).frames == 12
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadImageError, match="cut off"):
        imagefiles.read(path)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_header(tmp_path: Path, order: str, big: bool) -> None:
    path = tiny_images.write_tiff(tmp_path / "a.tiff", frames=9, big=big, order=order)
    image = imagefiles.read(path)
    assert (image.kind, image.width, image.height, image.frames) == ("tiff", 64, 48, 9)
    assert imagefiles.glance(path).frames is None


def test_tiff_resolution_is_the_pixel_size(tmp_path: Path) -> None:
    # 1 cm are 1e8 Å.
    path = tiny_images.write_tiff(tmp_path / "a.tif", dots_per_cm=(100_000_000, 1))
    assert imagefiles.read(path).angpix == pytest.approx(1.0)
    screen = tiny_images.write_tiff(tmp_path / "b.tif", dots_per_cm=(28, 1))
    assert imagefiles.read(screen).angpix is None


def test_tiff_of_two_pixels_a_byte_is_twice_as_wide(tmp_path: Path) -> None:
    path = tiny_images.write_tiff(
        tmp_path / "a.tif", width=5760, height=8184, frames=1, pixels=[b"1234"]
    )
    assert imagefiles.read(path).width == 11520


def test_eer_header(tmp_path: Path) -> None:
    image = imagefiles.read(tiny_images.write_eer(tmp_path / "a.eer", frames=40))
    assert (image.kind, image.width, image.frames) == ("eer", 4096, 40)


def test_old_eer_ends_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.ecc"
    path.write_bytes(b"\x07" * 100 + imagefiles.EER_FOOTER)
    assert imagefiles.read(path).kind == "eer"
    path.write_bytes(b"\x07" * 200)
    with pytest.raises(BadImageError, match="mark at the end of a frame"):
        imagefiles.read(path)


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("a.mrcs", b"", "empty"),
        ("a.mrcs", b"x" * 500, "less than an MRC header"),
        ("a.mrcs", b"x" * 5000, "makes no sense"),
        ("a.mrcs", b"II*\0" + b"\0" * 2000, "TIFF file with the name of an MRC"),
        ("a.tiff", b"MAP " * 400, "no TIFF file"),
        ("a.tiff", b"II*\0", "cut off"),
        ("a.tiff", b"II*\0" + b"\0" * 20, "no image"),
        ("a.tiff", b"II*\0" + b"\xff" * 20, "directory of frame 1"),
        ("a.eer", b"1234" * 100, "no EER file"),
        ("a.dm4", b"1234", "does not read"),
        ("a.EER", b"1234", "does not read"),
    ],
)
def test_what_is_no_image(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=why):
        imagefiles.read(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="no such file"):
        imagefiles.read(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").symlink_to("gone.mrc")
    with pytest.raises(BadImageError, match="link to a file that is gone"):
        imagefiles.read(tmp_path / "b.mrc")


@pytest.mark.parametrize("format_options", [{}, {"big": True}, {"order": ">"}])
@settings(max_examples=30)
@given(data=st.data())
def test_every_shortened_tiff_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, format_options: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "short.tiff"
    whole = tiny_images.write_tiff(path, width=4, height=4, frames=3, **format_options).read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(BadImageError):
        imagefiles.read(path)


@settings(max_examples=50)
@given(content=st.binary(max_size=3000), suffix=st.sampled_from(sorted(imagefiles.KINDS)))
def test_any_bytes_give_an_image_or_the_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    for start in (b"", b"II*\0\x08\0\0\0", b"MM\0+\0\x08\0\0"):
        path.write_bytes(start + content)
        with contextlib.suppress(BadImageError):
            image = imagefiles.read(path)
            assert image.width > 0
            assert image.bytes == len(start + content)

"""SerialEM's records of frames, ``.mdoc`` files.

The format: "Image Metadata Files" in SerialEM's help
(http://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm), IMOD's autodoc format: global
values ``key = value``, then sections ``[FrameSet = 0]`` (``[ZValue = 0]`` in tilt series and
maps) with values of their own. ``PixelSpacing`` is that of the frames, in Å; ``Binning = 0.5``
means super-resolution; ``FrameDosesAndNumber`` holds pairs of a frame's dose in e/Å² and a number
of such frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.pipeline.records.record import Record

_SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]")
_PAIR = re.compile(r"(\w+)\s*=\s*(.*)")


@dataclass(frozen=True, kw_only=True)
class Mdoc:
    """The values of a file: those for all of it, and those of each section."""

    values: Mapping[str, str]
    sections: tuple[Mapping[str, str], ...]


def parse(text: str) -> Mdoc:
    """Read the text of an ``.mdoc`` file; lines that are neither section nor value are skipped."""
    top: dict[str, str] = {}
    sections: list[dict[str, str]] = []
    current = top
    for line in text.splitlines():
        if found := _SECTION.match(line.strip()):
            current = {}
            if found[1] != "T":  # a title, which holds no values
                sections.append(current)
        elif found := _PAIR.match(line.strip()):
            current[found[1]] = found[2].strip()
    return Mdoc(values=top, sections=tuple(sections))


def read(path: Path) -> tuple[Record, ...]:
    """Read the records of a file, one for each section.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    document = parse(path.read_text(encoding="utf-8", errors="replace"))
    whole = document.values
    sections = document.sections or ({},)
    return tuple(_record(path, {**whole, **each}) for each in sections)


def _record(path: Path, values: Mapping[str, str]) -> Record:
    doses = list(_doses(values.get("FrameDosesAndNumber", "")))
    frames = _number(values.get("NumSubFrames"))
    counted = sum(count for _, count in doses)
    binning = _number(values.get("Binning"))
    total = sum(dose * count for dose, count in doses) or None
    size = values.get("ImageSize", "").split()
    return Record(
        path=path,
        voltage_kv=_number(values.get("Voltage")),
        angpix=_number(values.get("PixelSpacing")),
        width=int(size[0]) if size and size[0].isdigit() else None,
        super_resolution=None if binning is None else binning < 1,
        frames=int(frames or counted) or None,
        dose=_number(values.get("ExposureDose")) or total,
        dose_per_frame=total / counted if total else None,
        uneven_dose=len({dose for dose, count in doses if count}) > 1,
        gain=_file_name(values.get("GainReference", "")),
        movie=_file_name(values.get("SubFramePath", "") or values.get("ImageFile", "")),
    )


def _doses(text: str) -> Iterator[tuple[float, int]]:
    words = text.split()
    for dose, count in zip(words[::2], words[1::2], strict=False):
        value, number = _number(dose), _number(count)
        if value and number:
            yield value, int(number)


def _number(text: str | None) -> float | None:
    """Read a positive number; what SerialEM does not know is 0 or absent."""
    try:
        value = float((text or "").split()[0])
    except (ValueError, IndexError):
        return None
    return value if 0 < value < 1e12 else None


def _file_name(path: str) -> str:
    """Return the last part of a path of either system."""
    return re.split(r"[\\/]", path.strip())[-1]

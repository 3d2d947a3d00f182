"""EPU's records of exposures, XML files named like ``FoilHole_…_Data_….xml``.

The format is that of Thermo Fisher's .NET types in the name space
``http://schemas.datacontract.org/2004/07/Fei.SharedObjects`` (``MicroscopeImage``). No
description of it is published; what is read here is what public readers of such files agree on:
``SpatialScale/pixelSize/x/numericValue`` in m, ``microscopeData/gun/AccelerationVoltage`` in V,
``microscopeData/acquisition/camera`` with ``ReadoutArea/width`` in pixels, and in ``CustomData``
``Dose`` in e/m² (older versions) or ``Detectors[…].TotalDose`` in e/Å². Name spaces differ
between versions and are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from relion_dispatch.pipeline.records.record import Record

LARGEST = 1 << 22
"""Bytes of the largest file that is read; EPU's have some 30,000."""

_TOTAL_DOSE = re.compile(r"Detectors\[.*\]\.TotalDose")


def read(path: Path) -> tuple[Record, ...]:
    """Read the record of an exposure; none when the file is no such record.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        return ()
    data = path.read_bytes()
    # Entities can be made to grow without end; EPU writes none.
    if b"MicroscopeImage" not in data[:4096] or b"<!DOCTYPE" in data:
        return ()
    try:
        root = ET.fromstring(data)  # noqa: S314 - without a DOCTYPE there are no entities
    except ET.ParseError:
        return ()
    return (_record(path, root),) if _name(root) == "MicroscopeImage" else ()


def _record(path: Path, root: ET.Element) -> Record:
    custom = dict(_custom(root))
    metres = _number(root, "SpatialScale", "pixelSize", "x", "numericValue")
    volts = _number(root, "microscopeData", "gun", "AccelerationVoltage")
    camera = ("microscopeData", "acquisition", "camera")
    width = _number(root, *camera, "ReadoutArea", "width")
    return Record(
        path=path,
        voltage_kv=None if volts is None else volts / 1000,
        angpix=None if metres is None else metres * 1e10,
        width=None if width is None else int(width),
        dose=_dose(custom),
    )


def _dose(custom: dict[str, float]) -> float | None:
    for name, value in custom.items():
        if _TOTAL_DOSE.fullmatch(name) and value > 0:
            return value
    per_m2 = custom.get("Dose", 0.0)
    return per_m2 * 1e-20 if per_m2 > 0 else None


def _custom(root: ET.Element) -> Iterator[tuple[str, float]]:
    """Yield the numbers among the values that EPU keeps by name."""
    for pair in _below(root, "CustomData"):
        texts = {_name(each): (each.text or "").strip() for each in pair}
        try:
            yield texts["Key"], float(texts["Value"])
        except (KeyError, ValueError):
            continue


def _number(root: ET.Element, *names: str) -> float | None:
    found: ET.Element | None = root
    for name in names:
        found = (
            next((each for each in found if _name(each) == name), None)
            if found is not None
            else None
        )
    try:
        value = float((found.text or "").strip()) if found is not None else 0.0
    except ValueError:
        return None
    return value if value > 0 else None


def _below(root: ET.Element, name: str) -> Iterator[ET.Element]:
    for each in root:
        if _name(each) == name:
            yield from each


def _name(element: ET.Element) -> str:
    """Return an element's name without its name space."""
    return str(element.tag).rpartition("}")[2]

"""Amounts of memory and time, as people write them."""

from __future__ import annotations

import pytest

from relion_dispatch.errors import InputError
from relion_dispatch.units import memory_mb, minutes


@pytest.mark.parametrize(
    "text, expected",
    [(None, None), ("240G", 245_760), ("32000", 32_000), ("32000M", 32_000), ("1.5T", 1_572_864)],
)
def test_memory(text: str | None, expected: int | None) -> None:
    assert memory_mb(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        (None, None),
        ("90", 90),
        ("2h", 120),
        ("1d12h", 2160),
        ("1d", 1440),
        ("45min", 45),
        ("01:30:00", 90),
        ("30:00", 30),
        ("2-00:00:00", 2880),
        ("1-12", 2160),
    ],
)
def test_time(text: str | None, expected: int | None) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["much", "12X", ""])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write 240G"):
        memory_mb(text)


@pytest.mark.parametrize("text", ["soon", "", "a:b:c", "x-1:00", "-5"])
def test_nonsense_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is no time"):
        minutes(text)

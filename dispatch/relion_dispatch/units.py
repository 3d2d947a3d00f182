"""Amounts of memory and time, as sites and schedulers write them."""

from __future__ import annotations

import re

from relion_dispatch.errors import InputError

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)
_MEMORY_MB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}
_DURATION = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?", re.IGNORECASE)


def memory_mb(text: str | None) -> int | None:
    """Return MiB from what schedulers write: 240G, 32000, 1.5T.

    Raises
    ------
    InputError
        When it is none.
    """
    if text is None:
        return None
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise InputError(f"'{text}' is no amount of memory; write 240G or 32000M")
    return int(float(match[1]) * _MEMORY_MB[match[2].upper()])


def minutes(text: str | None) -> int | None:
    """Return minutes from 90, 2h, 1d12h, 01:30:00 or 2-00:00:00.

    Raises
    ------
    InputError
        When it is none of these.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isdigit():
        return int(text)
    if ":" in text or "-" in text:
        return _clock_minutes(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise InputError(f"'{text}' is no time; write 90 (minutes), 2h, 1d12h or 2-00:00:00")
    days, hours, rest = (int(group or 0) for group in match.groups())
    return (days * 24 + hours) * 60 + rest


def _clock_minutes(text: str) -> int:
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (dash and not days.isdigit()):
        raise InputError(f"'{text}' is no time; write 01:30:00 or 2-00:00:00")
    numbers = [int(part) for part in parts]
    if days:
        hours, mins = [*numbers, 0, 0][:2]
    else:
        hours, mins = (numbers if len(numbers) == 3 else [0, *numbers])[:2]
    return (int(days or 0) * 24 + hours) * 60 + mins

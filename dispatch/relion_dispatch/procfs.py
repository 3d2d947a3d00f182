"""What Linux tells of processes, in ``/proc``."""

from __future__ import annotations

from pathlib import Path


def stat(pid: int) -> list[str]:
    """Return ``/proc/PID/stat`` from the state on; nothing where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def started(pid: int) -> str:
    """Return when a process of this machine began, in clock ticks since boot; empty for none."""
    return "".join(stat(pid)[19:20])

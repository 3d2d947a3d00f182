"""Which movies have arrived whole, and which of them the next run takes: pure functions of looks.

A movie is still being written as long as its size or its time of change differ from one look to
the next. The microscope's computer and the file server may have other clocks than this machine, so
only changes count, and the time that we have seen none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: Size in bytes and time of the last change in ns.
Stamp = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A movie as it was at the last look.

    Attributes
    ----------
    stamp
        Its size and time.
    since_s
        When it was first seen so.
    first_s
        When it was first seen at all.
    """

    stamp: Stamp
    since_s: float
    first_s: float


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Movies that no run has taken yet.

    Attributes
    ----------
    seen
        Each with what is known of it, by name.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)

    def look(self, stamps: Mapping[str, Stamp], now_s: float) -> Arrivals:
        """Return what is known after another look: what is gone is forgotten."""
        return Arrivals(
            seen={name: self._updated(name, stamp, now_s) for name, stamp in stamps.items()}
        )

    def _updated(self, name: str, stamp: Stamp, now_s: float) -> Seen:
        before = self.seen.get(name)
        if before is None:
            return Seen(stamp=stamp, since_s=now_s, first_s=now_s)
        if before.stamp != stamp:
            return Seen(stamp=stamp, since_s=now_s, first_s=before.first_s)
        return before

    def quiet(self, now_s: float, quiet_s: float) -> list[str]:
        """Give the movies that have not changed for a while, in the order in which they came."""
        still = [name for name, seen in self.seen.items() if now_s - seen.since_s >= quiet_s]
        return sorted(still, key=lambda name: (self.seen[name].first_s, name))

    def ready(self, whole: Sequence[str], size: int, now_s: float, patience_s: float) -> list[str]:
        """Choose the movies of the next run: full shards, and the rest when it has waited enough.

        Parameters
        ----------
        whole
            Movies that have arrived, in the order in which they came.
        size
            Movies of a full shard.
        now_s, patience_s
            The time, and how long a movie waits for a shard to become full.
        """
        full = len(whole) // size * size
        rest = whole[full:]
        waited = any(now_s - self.seen[name].first_s >= patience_s for name in rest)
        return list(whole if waited else whole[:full])


def whole(
    names: Iterable[str], read: Callable[[str], object], broken: type[Exception]
) -> list[str]:
    """Leave out movies that are cut off.

    Parameters
    ----------
    names
        Movies that do not change any more.
    read
        Reads a movie's headers; raises ``broken`` when something is missing at its end.
    """
    found = []
    for name in names:
        try:
            read(name)
        except broken:
            continue
        found.append(name)
    return found

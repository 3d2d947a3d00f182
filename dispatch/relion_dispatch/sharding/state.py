"""How far the shards of a job are, from what they have left in their directories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.sharding import register
from relion_dispatch.sharding.places import FOLDER


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Shards of a job.

    Attributes
    ----------
    total
        How many there are.
    begun, done, failed
        How many have a directory, have ended well, and have failed.
    """

    total: int
    begun: int
    done: int
    failed: int

    @property
    def open(self) -> bool:
        """Whether some have begun and not all are done."""
        return self.begun > 0 and self.done < self.total

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} shards done{failed}"


def of_job(folder: Path, project: Path) -> Shards | None:
    """Count a job's shards; None for a job without any.

    Raises
    ------
    InputError
        When the list of shards cannot be read.
    """
    if not (folder / FOLDER).is_dir():
        return None
    noted = register.read(project).shards
    begun = [folder / FOLDER / shard for shard in noted if (folder / FOLDER / shard).is_dir()]
    return Shards(
        total=len(noted),
        begun=len(begun),
        done=sum((shard / "RELION_JOB_EXIT_SUCCESS").exists() for shard in begun),
        failed=sum((shard / "RELION_JOB_EXIT_FAILURE").exists() for shard in begun),
    )

"""Where shards are: names of folders and files, for modules that load quickly."""

from __future__ import annotations

#: Folder of the shards in a job's directory.
FOLDER = ".shards"
#: There in a shard's directory when nothing is to be done: steps before have made nothing.
NOTHING = "nothing"


def shard_dir(out: str, shard: str) -> str:
    """Directory of a shard of a job, with a slash at its end."""
    return f"{out}{FOLDER}/{shard}/"

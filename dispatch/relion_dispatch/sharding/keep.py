"""Leaves out of an imported list the movies that have no shard yet: they are still arriving."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.sharding import register, rows


def main(argv: Sequence[str] | None = None) -> int:
    """Keep the rows of a list whose names have a shard; RELION's file stays as it is otherwise."""
    parser = argparse.ArgumentParser(prog="sharding.keep", description=__doc__, allow_abbrev=False)
    parser.add_argument("star", type=Path, metavar="STAR", help="the imported list")
    path: Path = parser.parse_args(argv).star
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        kept = rows.keep(text, register.read().names.__contains__, str(path))
        if kept != text:
            atomic.write_text(path, kept)
            dropped = len(rows.names(text, str(path))) - len(rows.names(kept, str(path)))
            sys.stdout.write(f"{dropped} that are still arriving are left for later.\n")
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {path}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

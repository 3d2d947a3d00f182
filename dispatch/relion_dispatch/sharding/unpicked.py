"""Lets a shard pass in which nothing was picked, where RELION dies of it.

RELION 3.1 ends while it plots the numbers of picked particles, if there are none in any micrograph.
It has written the coordinates by then.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.sharding import rows

#: What RELION leaves out of a micrograph's path for its coordinates (`decomposePipelineFileName`).
_JOB = re.compile(r"^.*job\d{3}/")


def main(argv: Sequence[str] | None = None) -> int:
    """Check that every micrograph was looked at, and that there is nothing in any; 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="sharding.unpicked", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("bench", type=Path, metavar="DIR", help="the shard's directory")
    parser.add_argument("--out", required=True, metavar="DIR", help="the job's directory")
    parser.add_argument("--list", required=True, metavar="STAR", help="its micrographs")
    parser.add_argument("--result", required=True, metavar="NAME", help="the list that is missing")
    args = parser.parse_args(argv)
    made = args.bench / args.out
    try:
        text = (args.bench / args.list).read_text(encoding="utf-8", errors="surrogateescape")
        names = rows.names(text, args.list)
        if not all(_is_empty(made, name) for name in names):
            return 1
        (made / args.result).touch()
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {args.bench}: {error}\n")
        return 1
    sys.stdout.write("relion-dispatch: nothing was picked in this shard\n")
    return 0


def _is_empty(made: Path, name: str) -> bool:
    root = _JOB.sub("", name).rpartition(".")[0]
    coordinates = made / f"{root}_autopick.star"
    return coordinates.is_file() and coordinates.stat().st_size == 0


if __name__ == "__main__":
    sys.exit(main())

"""The last command of a shard's job: moves its results to where those of all shards are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.sharding import bench


def main(argv: Sequence[str] | None = None) -> int:
    """Publish a bench's results."""
    parser = argparse.ArgumentParser(
        prog="sharding.publish", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("bench", type=Path, metavar="DIR", help="the shard's directory")
    parser.add_argument("--out", required=True, metavar="DIR", help="the job's directory")
    parser.add_argument(
        "--result", required=True, metavar="NAME", help="the list that RELION wrote"
    )
    args = parser.parse_args(argv)
    try:
        bench.publish(args.bench, args.out, args.result)
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {args.bench}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

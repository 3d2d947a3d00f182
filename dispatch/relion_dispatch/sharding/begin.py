"""The first command of a shard's job: makes its bench, with the shard's share of the lists."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import begin
from relion_dispatch.project import enter
from relion_dispatch.sharding import bench, register, rows
from relion_dispatch.sharding.places import NOTHING


def main(argv: Sequence[str] | None = None) -> int:
    """Make a bench."""
    args = _arguments(argv)
    try:
        lists = dict(_lists(args))
        bench.lay(args.bench, args.out, lists)
        first = next(iter(lists.values()))
        if not rows.count(first):
            sys.stdout.write("relion-dispatch: steps before have left nothing to do\n")
            atomic.write_text(args.bench / NOTHING, first)
        begin.main([str(args.bench)])
        enter.shared(args.out)
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {args.bench}: {error}\n")
        return 1
    enter.working(args.out)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sharding.begin", description=__doc__, allow_abbrev=False)
    parser.add_argument("bench", type=Path, metavar="DIR", help="the shard's directory")
    parser.add_argument("--out", required=True, metavar="DIR", help="the job's directory")
    parser.add_argument("--take", metavar="STAR", help="a list of which it gets the shard's rows")
    parser.add_argument(
        "--file",
        nargs=2,
        action="append",
        default=[],
        metavar=("STAR", "SOURCE"),
        help="a list that it gets, and where its content is",
    )
    return parser.parse_args(argv)


def _lists(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for path, source in args.file:
        yield path, _read(source)
    if args.take:
        members = frozenset(register.read().shards.get(args.bench.name, ()))
        yield args.take, rows.keep(_read(args.take), members.__contains__, args.take)


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    sys.exit(main())

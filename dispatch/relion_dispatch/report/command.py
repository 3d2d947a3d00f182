"""``relion-dispatch report``: the report of a project, made by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.meter import Meter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``report`` to a parser."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="DIR", help="the project"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page (default: report.html in the project)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="make all parts again, even where nothing has changed"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but where the page is")


def main(args: argparse.Namespace) -> int:
    """Write the page and say where it is.

    Raises
    ------
    InputError
        When the directory is no project, or the page cannot be written.
    """
    from relion_dispatch.report.refresh import refresh

    with Meter("making the report, part", quiet=args.quiet) as meter:
        try:
            page = refresh(args.folder, args.output, fresh=args.fresh, say=meter.at)
        except OSError as error:
            raise InputError(f"the report cannot be written: {error}") from error
    sys.stdout.write(f"{page}\n")
    return 0

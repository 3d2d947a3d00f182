"""Keep the largest of several classes of an initial model.

``python -m relion_dispatch.pipeline.largest`` copies its map. RELION from 4.0 on does so itself
(``relion_align_symmetry --select_largest_class``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline import selection, tables


def largest(model: tables.Model) -> tables.ClassStatistics:
    """Return the class that most particles belong to."""
    return max(model.classes, key=lambda each: each.fraction)


def main(argv: Sequence[str] | None = None) -> int:
    """Copy the map of the largest class."""
    parser = argparse.ArgumentParser(prog="largest", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model STAR file of the run")
    parser.add_argument("--o", type=Path, required=True, help="the map to write")
    args = parser.parse_args(argv)
    try:
        chosen = largest(tables.read_model(args.model))
        print(f"class {chosen.number} is the largest: {chosen.fraction:.1%} of the particles")
        selection.copy_atomically(Path(chosen.image), args.o)
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

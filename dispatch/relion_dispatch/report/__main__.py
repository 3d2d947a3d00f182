"""``python -m relion_dispatch.report``: what the workflow's rules call after each stage.

It always ends well: what goes wrong with a report is told in the report's log, and never stops the
work that it reports on.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from relion_dispatch.atomic import write_text

#: How much this gives way to the steps that run meanwhile.
NICE = 5


def main() -> int:
    """Make the report of the project in the working directory again; always returns 0."""
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument("--o", type=Path, required=True, help="file to write when it is done")
    args = parser.parse_args()
    try:
        os.nice(NICE)
        from relion_dispatch.report.refresh import refresh

        said = f"{refresh(Path())} was made\n"
    except Exception:  # noqa: BLE001 - see the module
        said = f"no report could be made:\n{traceback.format_exc()}"
    sys.stdout.write(said)
    write_text(args.o, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m relion_dispatch.pipeline.check``: the check as a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.check.run import REPORT, check_project, write_report


def parser() -> argparse.ArgumentParser:
    """Build the command's parser."""
    made = argparse.ArgumentParser(
        prog="python -m relion_dispatch.pipeline.check", description=__doc__
    )
    made.add_argument("--config", type=Path, required=True, help="configuration, YAML or JSON")
    made.add_argument(
        "--report", type=Path, default=Path(REPORT), help="JSON file to write; .txt beside it"
    )
    made.add_argument("--project", type=Path, default=Path(), help="project directory")
    made.add_argument(
        "--accept", nargs="*", default=[], metavar="CODE", help="errors that are only warnings here"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Check a project, write and print the report.

    Returns
    -------
    int
        0 when the pipeline can run, 2 when there are errors.
    """
    args = parser().parse_args(argv)
    try:
        config = settings.read(args.config)
        report = check_project(config, args.project, accept=args.accept)
        write_report(report, args.report, config=config, project=args.project)
    except (InputError, OSError) as failure:
        sys.stderr.write(f"ERROR: {failure}\n")
        return InputError.exit_code
    (sys.stdout if report.ok else sys.stderr).write(report.to_text())
    return 0 if report.ok else InputError.exit_code


if __name__ == "__main__":
    sys.exit(main())

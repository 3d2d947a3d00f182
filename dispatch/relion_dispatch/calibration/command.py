"""``relion-dispatch calibrate``: learn from the finished jobs of projects."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.calibration import factors
from relion_dispatch.calibration.factors import MIN_JOBS, Spread
from relion_dispatch.calibration.store import Store

if TYPE_CHECKING:
    from relion_dispatch.calibration.collect import Collected
    from relion_dispatch.profiles import Profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--profile",
        default="",
        help="name or path of the profile; default: $RELION_DISPATCH_PROFILE",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the table, write nothing")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the file to write; default: in the profile's folder, or with the user's settings"
        " where that cannot be written",
    )
    parser.add_argument("projects", metavar="DIR", nargs="*", help="projects; default: this one")


def main(args: argparse.Namespace) -> int:
    """Collect, show and keep."""
    from relion_dispatch.calibration.collect import collect
    from relion_dispatch.profiles import load_profile

    profile = load_profile(args.profile or None)
    place = Path(args.output) if args.output else place_of(profile)
    found = collect(
        [Path(each) for each in args.projects or ["."]], scheduler=not profile.cluster.local
    )
    store = Store.read(place).with_jobs(found.jobs)
    said = list(report(store, found))
    if args.dry_run:
        said.append(f"Nothing is written; it would be {place}.")
    elif found.jobs:
        store.write(place)
        said.append(f"Written to {place}; sizes for profile {profile.name} follow it from now on.")
    sys.stdout.write("".join(f"{line}\n" for line in said))
    return 0


def place_of(profile: Profile) -> Path:
    """Return where a profile's calibration is written.

    That is its own folder, for all who use it; with the user's settings if that folder cannot be
    written, or belongs to this program, whose next version would replace it.
    """
    from relion_dispatch.profiles import folder_of
    from relion_dispatch.resources import workflow_dir

    folder = folder_of(profile.path).resolve()
    with_profile, with_user = factors.files(folder, profile.name)
    shipped = folder.is_relative_to(workflow_dir().resolve())
    return with_user if shipped or not os.access(folder, os.W_OK) else with_profile


def report(store: Store, found: Collected) -> Iterator[str]:
    """Yield what is shown: a table of factors, and what became of the jobs that were found."""
    found_factors = store.factors
    yield from table("Memory: measured by predicted", found_factors.memory)
    yield from table("Time: measured by estimated", found_factors.time)
    yield f"{len(found.jobs)} finished jobs found; {len(store.jobs)} known in all."
    for reason, many in sorted(found.left_out.items()):
        yield f"{many} left out: {reason}."


def table(title: str, spreads: Mapping[str, Spread]) -> Iterator[str]:
    """Yield the lines of one table; none where it would be empty."""
    if not spreads:
        return
    width = max(len(name) for name in spreads)
    yield title
    yield f"  {'':{width}}  jobs  median   90 %   least   most  sizes now"
    for name, each in spreads.items():
        numbers = f"{each.median:6.2f} {each.p90:6.2f}  {each.least:6.2f} {each.most:6.2f}"
        few = "" if each.enough else f"  (fewer than {MIN_JOBS} jobs only raise)"
        yield f"  {name:{width}}  {each.jobs:4}  {numbers}  × {each.upper:.2f}{few}"
    yield ""

"""What the commands that judge a 3D step have in common: arguments, and the look at 2D classes."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import tables, verdict
from relion_dispatch.pipeline.tables import ClassStatistics
from relion_dispatch.pipeline.verdict import Evidence, Thresholds


@dataclass(frozen=True, kw_only=True)
class Against2D:
    """The chosen 2D classes of a map's particles, and the particle's diameter in Å."""

    classes: tuple[ClassStatistics, ...]
    diameter_angst: float


def against_2d(
    map_: Path, averages: Against2D, limits: Thresholds
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Compare a map with the 2D class averages: evidence, and what stays unknown without it."""
    from relion_dispatch.pipeline import reprojection

    if not averages.classes:
        return (), ("whether the map shows what the particles show: there are no 2D classes",)
    try:
        found = reprojection.compare(map_, averages.classes, averages.diameter_angst)
    except InputError as error:
        return (), (f"whether the map shows what the particles show: {error}",)
    return (verdict.agreement(found.worst_tenth, limits),), ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`from_arguments` and :func:`thresholds` read."""
    parser.add_argument("--class_averages", type=Path, help="STAR file of the chosen 2D classes")
    parser.add_argument("--particle_diameter", type=float, required=True, help="Å")
    parser.add_argument("--limits", type=json.loads, default={}, help="of the verdict, as JSON")
    parser.add_argument("--pipeline_control", help="accepted as RELION's programs do; unused")


def from_arguments(args: argparse.Namespace) -> Against2D:
    """Read the 2D classes that the 3D steps began with."""
    file = args.class_averages
    chosen = tables.read_averages(file) if file is not None else ()
    return Against2D(classes=chosen, diameter_angst=args.particle_diameter)


def thresholds(args: argparse.Namespace) -> Thresholds:
    """Read the limits that were given; the others keep their defaults."""
    return Thresholds(**args.limits)

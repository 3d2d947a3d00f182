"""The few numbers of RELION's model STAR files that decisions are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

#: RELION writes 999 for a resolution or an accuracy that it has no estimate of.
NO_ESTIMATE = 999.0
#: Columns of names, which may look like numbers.
NAMES = ["rlnMicrographName", "rlnGroupName", "rlnOpticsGroupName"]


@dataclass(frozen=True, kw_only=True)
class ClassStatistics:
    """What RELION knows about one class.

    Attributes
    ----------
    number
        From 1, as in ``rlnClassNumber``.
    image
        ``rlnReferenceImage``: the map, or ``000001@….mrcs``.
    fraction
        ``rlnClassDistribution``: its share of the particles.
    resolution_angst
        ``rlnEstimatedResolution``; infinite where there is no estimate.
    rotation_deg, translation_angst
        ``rlnAccuracyRotations`` and ``rlnAccuracyTranslationsAngst``; NaN where there is none.
    """

    number: int
    image: str
    fraction: float
    resolution_angst: float
    rotation_deg: float
    translation_angst: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """What decisions need from a ``…_model.star``.

    Attributes
    ----------
    classes
        In RELION's order.
    log_likelihood
        ``rlnLogLikelihood``; to be compared only between runs with the same settings on the same
        particles.
    pmax
        ``rlnAveragePmax``: mean over particles of the largest orientation probability.
    particles
        How many particles were classified or refined.
    box_size, angpix
        Of the references, in px and Å.
    """

    classes: tuple[ClassStatistics, ...]
    log_likelihood: float
    pmax: float
    particles: int
    box_size: int
    angpix: float

    @property
    def best_resolution_angst(self) -> float:
        """Resolution of the best class that has particles."""
        filled = (each.resolution_angst for each in self.classes if each.fraction > 0)
        return min(filled, default=math.inf)


def read(path: Path) -> dict[str, DataFrame]:
    """Read all tables of a STAR file; a table of one row is a table too.

    Raises
    ------
    InputError
        When the file is missing or is no STAR file.
    """
    import starfile

    try:
        return dict(starfile.read(path, always_dict=True, parse_as_string=NAMES))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; did the step before it finish?") from None
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path}: no readable STAR file: {error}") from error


def read_model(path: Path) -> Model:
    """Read a model STAR file of ``relion_refine``.

    Raises
    ------
    InputError
        When it is missing, unreadable, or lacks what every RELION since 3.1 writes.
    """
    tables = read(path)
    try:
        general = _row(tables["model_general"])
        return Model(
            classes=tuple(_classes(tables["model_classes"])),
            log_likelihood=float(general["rlnLogLikelihood"]),
            pmax=float(general["rlnAveragePmax"]),
            particles=_particles(tables["model_groups"]),
            box_size=int(general["rlnOriginalImageSize"]),
            angpix=float(general["rlnPixelSize"]),
        )
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; is it a model STAR file?") from error


def read_averages(path: Path) -> tuple[ClassStatistics, ...]:
    """Read the class averages that a selection kept; they are numbered anew.

    Raises
    ------
    InputError
        When the file is missing, unreadable or holds no class averages.
    """
    table: Any = next(iter(read(path).values()), {})
    try:
        return tuple(_classes(table))
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; is it from a selection?") from error


def read_particles(path: Path) -> DataFrame:
    """Read the particles of a data STAR file.

    Raises
    ------
    InputError
        When the file is missing, unreadable or holds no particles.
    """
    try:
        particles: DataFrame = read(path)["particles"]
    except KeyError:
        raise InputError(f"{path}: has no table of particles; is it from RELION 3.1?") from None
    return particles


def _row(table: Any) -> Mapping[str, Any]:
    row: Mapping[str, Any] = table if isinstance(table, Mapping) else table.iloc[0]
    return row


def _particles(table: Any) -> int:
    counts = table["rlnGroupNrParticles"]
    return int(counts.sum() if hasattr(counts, "sum") else counts)


def _classes(table: Any) -> list[ClassStatistics]:
    rows = [table] if isinstance(table, Mapping) else table.to_dict("records")
    return [
        ClassStatistics(
            number=number,
            image=str(row["rlnReferenceImage"]),
            fraction=float(row["rlnClassDistribution"]),
            resolution_angst=_estimate(row.get("rlnEstimatedResolution"), math.inf),
            rotation_deg=_estimate(row.get("rlnAccuracyRotations"), math.nan),
            translation_angst=_estimate(row.get("rlnAccuracyTranslationsAngst"), math.nan),
        )
        for number, row in enumerate(rows, start=1)
    ]


def _estimate(value: float | None, missing: float) -> float:
    # Zero is what RELION leaves where it has not looked, as in the initial model.
    return missing if value is None or not 0 < value < NO_ESTIMATE else float(value)

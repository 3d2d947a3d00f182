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
    box_size, angpix
        Of the references, in px and Å.
    """

    classes: tuple[ClassStatistics, ...]
    log_likelihood: float
    pmax: float
    box_size: int
    angpix: float

    @property
    def best_resolution_angst(self) -> float:
        """Resolution of the best class that has particles."""
        return min(each.resolution_angst for each in self.classes if each.fraction > 0)


def read(path: Path) -> dict[str, DataFrame]:
    """Read all tables of a STAR file; a table of one row is a table too.

    Raises
    ------
    InputError
        When the file is missing or is no STAR file.
    """
    import starfile

    try:
        return dict(starfile.read(path, always_dict=True, parse_as_string=["rlnMicrographName"]))
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
            box_size=int(general["rlnOriginalImageSize"]),
            angpix=float(general["rlnPixelSize"]),
        )
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; is it a model STAR file?") from error


def _row(table: Any) -> Mapping[str, Any]:  # noqa: ANN401 (starfile gives a table or a mapping)
    row: Mapping[str, Any] = table if isinstance(table, Mapping) else table.iloc[0]
    return row


def _classes(table: Any) -> list[ClassStatistics]:  # noqa: ANN401 (as above)
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

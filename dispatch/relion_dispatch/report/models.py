"""RELION's model STAR files and FSC curves, as the decisions see them, without reading all of them.

The values are those of `relion_dispatch.pipeline.tables` and `judge`; starting pandas to read them,
as these do, would take most of the time of a report in which little has changed.
"""

from __future__ import annotations

import math
from pathlib import Path

from relion_dispatch.pipeline.judge import Fsc
from relion_dispatch.pipeline.tables import NO_ESTIMATE, ClassStatistics, Model
from relion_dispatch.report import star

_CLASSES = (
    "rlnReferenceImage",
    "rlnClassDistribution",
    "rlnEstimatedResolution",
    "rlnAccuracyRotations",
    "rlnAccuracyTranslationsAngst",
)
_GENERAL = ("rlnLogLikelihood", "rlnAveragePmax", "rlnOriginalImageSize", "rlnPixelSize")


def read_model(path: Path) -> Model:
    """Read a model STAR file of ``relion_refine``.

    Raises
    ------
    MissingFileError
        When there is none.
    InputError
        When it lacks what every RELION since 3.1 writes.
    """
    general = {
        label: float(values[0])
        for label, values in star.columns(path, _GENERAL, table="model_general").items()
    }
    table = star.columns(path, _CLASSES, table="model_classes")
    groups = star.columns(path, ("rlnGroupNrParticles",), table="model_groups")
    likelihood, pmax, box, angpix = (general.get(label, math.nan) for label in _GENERAL)
    return Model(
        classes=tuple(_class(table, at) for at in range(len(table["rlnReferenceImage"]))),
        log_likelihood=likelihood,
        pmax=pmax,
        particles=int(star.numbers(groups["rlnGroupNrParticles"]).sum()),
        box_size=int(box),
        angpix=angpix,
    )


def _class(table: dict[str, list[str]], at: int) -> ClassStatistics:
    def value(label: str, missing: float) -> float:
        texts = table.get(label)
        found = float(texts[at]) if texts else missing
        # RELION writes 0 where it has not looked and 999 where it has no estimate.
        return found if 0 < found < NO_ESTIMATE else missing

    return ClassStatistics(
        number=at + 1,
        image=table["rlnReferenceImage"][at],
        fraction=float(table["rlnClassDistribution"][at]),
        resolution_angst=value("rlnEstimatedResolution", math.inf),
        rotation_deg=value("rlnAccuracyRotations", math.nan),
        translation_angst=value("rlnAccuracyTranslationsAngst", math.nan),
    )


def read_fsc(path: Path) -> Fsc:
    """Read the corrected FSC of a ``postprocess.star``.

    Raises
    ------
    MissingFileError
        When there is none.
    InputError
        When it holds no FSC.
    """
    labels = ("rlnResolution", "rlnFourierShellCorrelationCorrected")
    randomised = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
    table = star.columns(path, (*labels, randomised), table="fsc")
    curves = [tuple(star.numbers(table[label]).tolist()) for label in labels]
    masked = tuple(star.numbers(table.get(randomised, [])).tolist())
    return Fsc(inverse_angst=curves[0], corrected=curves[1], randomised=masked)

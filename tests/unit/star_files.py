"""STAR files as RELION's programs write them, of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Row = Sequence[object]
MODEL_CLASSES = (
    "rlnReferenceImage",
    "rlnClassDistribution",
    "rlnAccuracyRotations",
    "rlnAccuracyTranslationsAngst",
    "rlnEstimatedResolution",
    "rlnOverallFourierCompleteness",
)
OPTICS = ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnVoltage", "rlnImagePixelSize")
PARTICLES = ("rlnImageName", "rlnMicrographName", "rlnDefocusU", "rlnClassNumber", "rlnOpticsGroup")
FSC = (
    "rlnSpectralIndex",
    "rlnResolution",
    "rlnFourierShellCorrelationCorrected",
    "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
)


def loop(name: str, labels: Sequence[str], rows: Sequence[Row]) -> str:
    """Write a table, one row a line."""
    head = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, start=1))
    body = "".join(" ".join(str(value) for value in row) + " \n" for row in rows)
    return f"\n# version 30001\n\ndata_{name}\n\nloop_ \n{head}{body} \n"


def pairs(name: str, **values: object) -> str:
    """Write a table of one row, one value a line."""
    body = "".join(f"_{label:<40} {value}\n" for label, value in values.items())
    return f"\n# version 30001\n\ndata_{name}\n\n{body} \n"


def class_row(
    fraction: object,
    resolution: object,
    rotation: object = 2.5,
    translation: object = 1.5,
    image: str = "run_class001.mrc",
) -> Row:
    """Write the numbers of a class in the order of :data:`MODEL_CLASSES`."""
    return (image, fraction, rotation, translation, resolution, 1.0)


def write_model(
    path: Path,
    classes: Sequence[Row],
    *,
    likelihood: float = 320225.3,
    pmax: float = 0.911,
    particles: int = 400,
) -> Path:
    """Write a model STAR file with classes as :func:`class_row` makes them."""
    text = pairs(
        "model_general",
        rlnOriginalImageSize=32,
        rlnPixelSize="5.250000",
        rlnNrClasses=len(classes),
        rlnLogLikelihood=f"{likelihood:.6e}",
        rlnAveragePmax=pmax,
    )
    text += loop("model_classes", MODEL_CLASSES, classes)
    groups = [(1, "group_01", particles // 2), (2, "group_02", particles - particles // 2)]
    text += loop("model_groups", ("rlnGroupNumber", "rlnGroupName", "rlnGroupNrParticles"), groups)
    return _write(path, text)


def write_particles(path: Path, classes: Sequence[int]) -> Path:
    """Write a data STAR file of particles, each in one of the classes."""
    text = loop("optics", OPTICS, [(1, "opticsGroup1", "300.000000", "5.250000")])
    rows = [
        (
            f"{number:06d}@Extract/job005/Movies/007.mrcs",
            "007",
            f"{15000 + number}.123456",
            class_,
            1,
        )
        for number, class_ in enumerate(classes, start=1)
    ]
    return _write(path, text + loop("particles", PARTICLES, rows))


def write_fsc(path: Path, corrected: Sequence[float], randomised: Sequence[float]) -> Path:
    """Write the curves of a ``postprocess.star``, with shells of 1/100 Å."""
    curves = enumerate(zip(corrected, randomised, strict=True))
    rows = [(shell, 0.01 * shell or 0.001, f"{c:.6f}", f"{r:.6f}") for shell, (c, r) in curves]
    general = pairs("general", rlnFinalResolution="10.500000")
    return _write(path, general + loop("fsc", FSC, rows))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path

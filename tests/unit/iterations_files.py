"""Files of RELION's iterations as small as can be, for tests of what is whole and what is not."""

from __future__ import annotations

import struct
from pathlib import Path


def mrc(path: Path, side: int = 4, *, cut: int = 0) -> None:
    """Write a map of 32-bit numbers, without its last ``cut`` bytes."""
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, side, side, side, 2)
    data = bytes(header) + bytes(4 * side**3)
    path.write_bytes(data[: len(data) - cut])


def iteration(root: str, number: int, *, halves: bool = True, size: int = 20) -> list[Path]:
    """Write the files of an iteration, relative to where we are; return all of them."""
    name = f"{root}_it{number:03d}"
    parts = [f"{name}_half1", f"{name}_half2"] if halves else [name]
    Path(root).parent.mkdir(parents=True, exist_ok=True)
    maps = [Path(f"{part}_class001.mrc") for part in parts]
    models = [Path(f"{part}_model.star") for part in parts]
    for image, model in zip(maps, models, strict=True):
        mrc(image)
        model.write_text(
            f"\n# version 30001\n\ndata_model_general\n\n_rlnCurrentImageSize {size}\n \n\n"
            "# version 30001\n\ndata_model_classes\n\nloop_ \n_rlnReferenceImage #1 \n"
            f"_rlnClassDistribution #2 \n{image} 1.0 \n \n\n"
            "data_model_groups\n\nloop_ \n_rlnGroupName #1 \nmic0.mrc \n \n"
        )
    others = {"ExperimentalDataStarFile": "data", "OrientSamplingStarFile": "sampling"}
    for each in others.values():
        Path(f"{name}_{each}.star").write_text(
            "\ndata_some\n\nloop_ \n_rlnAngleRot #1 \n1.5 \n2.5 \n \n"
        )
    pairs = {"OutputRootName": root, "CurrentIteration": str(number), "RandomSeed": "1"}
    pairs |= {f"ModelStarFile{at or ''}": str(m) for at, m in zip((0, 2), models, strict=False)}
    pairs |= {label: f"{name}_{each}.star" for label, each in others.items()}
    optimiser = Path(f"{name}_optimiser.star")
    lines = "".join(f"_rln{label}   {value}\n" for label, value in pairs.items())
    optimiser.write_text(f"# RELION optimiser\n\ndata_optimiser_general\n\n{lines} \n")
    stars = [Path(f"{name}_{each}.star") for each in others.values()]
    return [optimiser, *models, *maps, *stars]

"""Small volumes of known shape, their projections, and MRC files of them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from relion_dispatch.pipeline import reprojection

Array = NDArray[np.float64]

SIDE = 32
ANGPIX = 5.25
BOX_ANGST = SIDE * ANGPIX
DIAMETER_ANGST = 140.0


def blobs(seed: int, side: int = SIDE, count: int = 14) -> Array:
    """Gaussian blobs at random places in a sphere, without symmetry."""
    random = np.random.default_rng(seed)
    places = random.normal(size=(count, 3))
    places *= random.uniform(3, 11.5, size=(count, 1)) / np.linalg.norm(places, axis=1)[:, None]
    scale = side / SIDE
    axes = np.indices((side, side, side)) - side // 2
    volume = np.zeros((side, side, side))
    for place in places * scale:
        squared = ((axes - place[:, None, None, None]) ** 2).sum(axis=0)
        volume += np.exp(-squared / (2 * (1.7 * scale) ** 2))
    return volume


def mirrored(volume: Array) -> Array:
    """The same volume with the other hand, about the same centre."""
    return np.roll(volume[:, :, ::-1], 1, axis=2)


def views(volume: Array, count: int, seed: int = 3) -> Array:
    """Projections in random directions."""
    return reprojection.project(volume, Rotation.random(count, random_state=seed).as_matrix())


def write(path: Path, data: Array, angpix: float = ANGPIX) -> Path:
    """Write a map or a stack of images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, data.astype(np.float32), overwrite=True) as handle:
        handle.voxel_size = angpix
    return path

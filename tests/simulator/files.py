"""A data set's files: movies, maps, truth tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np

from .optics import MICROSCOPE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from .fourier import Floats
    from .movie import Movie
    from .settings import Settings


def write_map(path: Path, data: NDArray[Any], angpix: float) -> None:
    """Write an image or a map as 32-bit MRC."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(data, dtype=np.float32))
        mrc.voxel_size = angpix


def read_map(path: Path) -> tuple[Floats, float]:
    """Return a map (z, y, x) and its pixel size in Å.

    Raises
    ------
    ValueError
        If the file is no cubic map with a pixel size in its header.
    """
    with mrcfile.open(path, permissive=True) as mrc:
        data, angpix = np.asarray(mrc.data, dtype=np.float64), float(mrc.voxel_size.x)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise ValueError(f"{path} has shape {data.shape}; a cubic map is needed")
    if angpix <= 0:
        raise ValueError(
            f"{path} has no pixel size in its header; set it with relion_image_handler"
        )
    return data, angpix


def write_movie(path: Path, counts: NDArray[np.float32], settings: Settings) -> None:
    """Write counts, shape (frames, y, x), as the settings' kind of file and number.

    A TIFF is written upside down: RELION, as IMOD and SerialEM, turns it over when it reads it
    (``rwTIFF.h``), so both kinds of file hold the same movie.
    """
    top = np.iinfo(np.int8).max if settings.mode == "int8" else np.inf
    data = np.minimum(counts, top).astype(settings.mode)
    if path.suffix == ".tif":
        import tifffile  # an extra of the simulator, for the tests of TIFF movies

        unsigned = {"int8": np.uint8, "int16": np.uint16}.get(settings.mode, np.float32)
        tifffile.imwrite(path, data[:, ::-1].astype(unsigned), photometric="minisblack")
        return
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_image_stack()
        mrc.voxel_size = settings.angpix


def write_truth(out: Path, movies: Iterable[Movie], settings: Settings) -> None:
    """Write what is true of the movies: particles, micrographs, motion, parameters."""
    import pandas as pd
    import starfile

    movies = list(movies)
    particles = pd.DataFrame([row for movie in movies for row in _particle_rows(movie)])
    micrographs = pd.DataFrame([_micrograph_row(movie) for movie in movies])
    starfile.write({"particles": particles}, out / "truth_particles.star", float_format="%.3f")
    starfile.write(
        {"micrographs": micrographs}, out / "truth_micrographs.star", float_format="%.2f"
    )
    tracks = {
        f"{movie.name}:{index}": particle.track.round(3).tolist()
        for movie in movies
        for index, particle in enumerate(movie.particles)
        if particle.angles
    }
    (out / "truth_motion.json").write_text(json.dumps(tracks), encoding="utf-8")
    microscope = {"kV": MICROSCOPE.kv, "Cs": MICROSCOPE.cs, "Q0": MICROSCOPE.q0}
    parameters = json.dumps(asdict(settings) | microscope, indent=2)
    (out / "params.json").write_text(parameters + "\n", encoding="utf-8")


def _micrograph_row(movie: Movie) -> dict[str, Any]:
    return {
        "rlnMicrographName": movie.name,
        "rlnDefocusU": movie.defocus.u,
        "rlnDefocusV": movie.defocus.v,
        "rlnDefocusAngle": movie.defocus.angle,
    }


def _particle_rows(movie: Movie) -> list[dict[str, Any]]:
    return [
        {
            "rlnMicrographName": movie.name,
            "rlnCoordinateX": particle.x,
            "rlnCoordinateY": particle.y,
            **dict(
                zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), particle.angles, strict=True)
            ),
            "rlnDefocusU": particle.defocus.u,
            "rlnDefocusV": particle.defocus.v,
            "rlnDefocusAngle": particle.defocus.angle,
        }
        for particle in movie.particles
        if particle.angles
    ]

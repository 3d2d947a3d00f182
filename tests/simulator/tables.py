"""Coordinates and defocus values from RELION's STAR files, by movie name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import starfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from .fourier import Floats

_NAMES = ["rlnMicrographName", "rlnMicrographCoordinates"]


def read_blocks(path: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a STAR file by block name.

    Raises
    ------
    ValueError
        If the file is missing or holds no table.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    found: dict[str, Any] = starfile.read(path, always_dict=True, parse_as_string=_NAMES)
    tables = {name: block for name, block in found.items() if hasattr(block, "columns")}
    if not tables:
        raise ValueError(f"{path} holds no table")
    return tables


def column_table(path: Path, *columns: str) -> pd.DataFrame:
    """Return the table of a STAR file that has these columns.

    Raises
    ------
    ValueError
        If none has.
    """
    for table in read_blocks(path).values():
        if set(columns) <= set(table.columns):
            return table
    raise ValueError(f"{path} has no table with {', '.join(columns)}")


def read_picks(path: Path, movies: Iterable[str], angpix: float) -> dict[str, Floats]:
    """Return picked centres by movie, each of shape (n, 2): x and y in Å.

    Parameters
    ----------
    path
        A particles STAR file (shifts of an alignment, where it has any, are applied); RELION
        4's and later ``autopick.star`` or ``manualpick.star``, which lists coordinate files;
        3.1's ``coords_suffix_autopick.star``; one coordinate file; or a picking job's folder.
    movies
        The movies' names. Micrographs and coordinate files are matched by theirs:
        ``mov001.mrc`` and ``mov001_autopick.star`` belong to ``mov001``.
    angpix
        Pixel size of the micrographs, Å.

    Raises
    ------
    ValueError
        If there are no picks to read or they belong to no movie.
    """
    known = set(movies)
    path = _listing(path) if path.is_dir() else path
    if path.name.startswith("coords_suffix_"):
        suffix = path.stem.removeprefix("coords_suffix")
        found = set(path.parent.rglob(f"*{suffix}.star")) - {path}
        return _read_files(sorted(found), known, angpix)
    blocks = read_blocks(path)
    if "coordinate_files" in blocks:
        listed = blocks["coordinate_files"]["rlnMicrographCoordinates"]
        return _read_files([_in_project(Path(name), path) for name in listed], known, angpix)
    table = column_table(path, "rlnCoordinateX", "rlnCoordinateY")
    if "rlnMicrographName" not in table.columns:
        return _read_files([path], known, angpix)
    return _by_movie(table, known, angpix)


def _listing(folder: Path) -> Path:
    """Return the file of a picking or extraction job that says where its particles are."""
    for pattern in ("autopick.star", "manualpick.star", "coords_suffix_*.star", "particles.star"):
        for path in sorted(folder.glob(pattern)):
            return path
    raise ValueError(f"{folder} holds no autopick.star, coords_suffix_*.star or particles.star")


def _in_project(name: Path, listing: Path) -> Path:
    """Return a file named relative to the project that holds ``listing``."""
    for folder in listing.absolute().parents:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{listing} lists {name}, which is in no folder above it")


def movie_of(name: str, known: set[str]) -> str:
    """Return the movie that a micrograph or coordinate file belongs to.

    Raises
    ------
    ValueError
        If it belongs to none.
    """
    stem = Path(name).stem
    fitting = [movie for movie in known if stem == movie or stem.startswith(f"{movie}_")]
    if not fitting:
        raise ValueError(f"{name} belongs to none of the {len(known)} simulated movies")
    return max(fitting, key=len)


def _read_files(paths: list[Path], known: set[str], angpix: float) -> dict[str, Floats]:
    if not paths:
        raise ValueError("there are no coordinate files")
    picks = {}
    for path in paths:
        table = column_table(path, "rlnCoordinateX", "rlnCoordinateY")
        centres = _floats(table, "rlnCoordinateX", "rlnCoordinateY") * angpix
        picks[movie_of(path.name, known)] = centres
    return picks


def _by_movie(particles: pd.DataFrame, known: set[str], angpix: float) -> dict[str, Floats]:
    """Return the centres of particles by movie, Å, shifted as they were aligned."""
    centres = _floats(particles, "rlnCoordinateX", "rlnCoordinateY") * angpix
    if "rlnOriginXAngst" in particles.columns:
        centres = centres - _floats(particles, "rlnOriginXAngst", "rlnOriginYAngst")
    names = np.array([movie_of(str(n), known) for n in particles["rlnMicrographName"]])
    return {name: centres[names == name] for name in sorted(set(names.tolist()))}


def read_defocus(path: Path, movies: Iterable[str]) -> dict[str, Floats]:
    """Return each movie's defocus U and V (Å) and angle (degrees), shape (3,).

    Raises
    ------
    ValueError
        If the file has no such columns or a micrograph belongs to no movie.
    """
    columns = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    table = column_table(path, "rlnMicrographName", *columns)
    known = set(movies)
    names = [movie_of(str(name), known) for name in table["rlnMicrographName"]]
    return dict(zip(names, _floats(table, *columns), strict=True))


def _floats(table: pd.DataFrame | Mapping[str, Any], *columns: str) -> Floats:
    return np.stack([np.asarray(table[c], dtype=np.float64) for c in columns], axis=1)

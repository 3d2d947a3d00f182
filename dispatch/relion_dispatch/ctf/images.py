"""Reading micrographs and movies from MRC files."""

from __future__ import annotations

import warnings

import mrcfile
import numpy as np

from relion_dispatch.ctf.spectrum import Image
from relion_dispatch.errors import InputError


def read_image(path: str) -> Image:
    """Read a file that holds one image.

    Parameters
    ----------
    path
        An MRC file.

    Returns
    -------
    ndarray
        Shape (ny, nx), float32.

    Raises
    ------
    InputError
        When the file is missing, no MRC file, incomplete, or holds several images.
    """
    return _read(path, None)[0]


def read_movie(path: str, frames_per_average: int) -> list[Image]:
    """Read a stack of frames and add up groups of neighbours.

    Parameters
    ----------
    path
        An MRC stack.
    frames_per_average
        Frames in a group; an incomplete last group is left out unless it is the only one.

    Returns
    -------
    list of ndarray
        The groups' sums, each of shape (ny, nx), float32.

    Raises
    ------
    InputError
        When the file is missing, no MRC file, or incomplete.
    """
    return _read(path, frames_per_average)


def _read(path: str, frames_per_average: int | None) -> list[Image]:
    try:
        _check_format(path)
        # Some programs leave out what the standard asks for; that is no reason to complain.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.mmap(path, mode="r", permissive=True) as mrc:
                return _groups(mrc.data, frames_per_average)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"is no readable MRC file: {error}") from error


def _check_format(path: str) -> None:
    # From the header of anything else mrcfile would take sizes of gigabytes and allocate them.
    with open(path, "rb") as file:
        if file.read(212)[208:211] != b"MAP":
            raise InputError("is no MRC file: the header does not say MAP where it should")


def _groups(data: np.ndarray | None, frames_per_average: int | None) -> list[Image]:
    if data is None or data.size == 0:
        raise InputError("is an incomplete or damaged MRC file")
    if data.ndim not in {2, 3} or np.iscomplexobj(data):
        raise InputError("holds no plain images: is it a volume stack or a transform?")
    frames = data if data.ndim == 3 else data[None]
    if frames_per_average is None and len(frames) != 1:
        raise InputError(f"holds {len(frames)} images where a single one was expected")
    size = min(frames_per_average or 1, len(frames))
    starts = range(0, len(frames) - size + 1, size)
    groups: list[Image] = [frames[i : i + size].sum(axis=0, dtype=np.float32) for i in starts]
    if not all(np.isfinite(group.sum(dtype=np.float64)) for group in groups):
        raise InputError("holds pixels that are not finite numbers")
    return groups

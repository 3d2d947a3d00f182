"""Pictures of micrographs, class averages and maps: as grey PNG images inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relion_dispatch.errors import InputError
from relion_dispatch.report.star import MissingFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

Image = NDArray[np.float32]
#: A map is looked at with at most so many px a side.
MAP_PX = 96
#: Tints of heat maps, dark to bright: evenly brighter, so that they can be told apart with any kind
#: of colour vision (a few colours of matplotlib's viridis).
_TINTS = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float64
)


# ----------------------------------------------------------------------------------------- reading


def open_mrc(path: Path) -> Any:
    """Map an MRC file into memory, of which only what is looked at is read.

    Raises
    ------
    MissingFileError
        When there is no such file.
    InputError
        When it cannot be read as MRC.
    """
    import mrcfile

    try:
        return mrcfile.mmap(path, mode="r", permissive=True)
    except FileNotFoundError:
        raise MissingFileError(str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as MRC: {error}") from error


def read_image(path: Path, number: int = 0) -> Image:
    """Read one image: a micrograph, or one of a stack, counted from 0.

    Raises
    ------
    InputError
        When there is none.
    """
    with open_mrc(path) as handle:
        data = handle.data
        if data is None or (data.ndim == 3 and number >= len(data)):
            raise InputError(f"{path}: has no image {number + 1}")
        return np.asarray(data[number] if data.ndim == 3 else data, dtype=np.float32)


def read_map(path: Path, most_px: int = MAP_PX) -> tuple[Image, float]:
    """Read a map, made smaller by averaging until it has at most ``most_px`` px a side.

    Returns
    -------
    tuple
        The map, of shape (z, y, x), and its pixel size in Å.

    Raises
    ------
    InputError
        When it cannot be read or is no cube.
    """
    with open_mrc(path) as handle:
        data = handle.data
        if data is None or data.ndim != 3 or len(set(data.shape)) != 1:
            raise InputError(f"{path}: is no map of equal sides")
        size, angpix = len(data), float(handle.voxel_size.x)
        factor = -(-size // most_px)
        if factor == 1:
            return np.asarray(data, dtype=np.float32), angpix
        slabs = [smaller(np.asarray(slab), factor) for slab in _slabs(data, factor)]
        return np.stack(slabs), angpix * factor


def _slabs(data: NDArray[Any], factor: int) -> Iterator[Image]:
    """Yield averages over ``factor`` sections each: never the whole map at once."""
    for first in range(0, len(data) - factor + 1, factor):
        yield np.asarray(data[first : first + factor], dtype=np.float32).mean(axis=0)


def smaller(image: Image, factor: int) -> Image:
    """Average squares of ``factor`` × ``factor`` px; a rest at the edges is left out."""
    rows, columns = (length // factor for length in image.shape)
    cut = image[: rows * factor, : columns * factor]
    return np.asarray(cut.reshape(rows, factor, columns, factor).mean(axis=(1, 3)), np.float32)


def larger(image: Image, size: int) -> Image:
    """Bring a square image or a cube to a larger size, smoothly: with zeros in Fourier space."""
    before = image.shape[0]
    if size <= before:
        return image
    spectrum = np.fft.fftshift(np.fft.fftn(image))
    pad = [(size // 2 - before // 2, size - before - (size // 2 - before // 2))] * image.ndim
    padded = np.fft.ifftshift(np.pad(spectrum, pad))
    scale = (size / before) ** image.ndim
    return np.asarray(np.fft.ifftn(padded).real * scale, dtype=np.float32)


def central(map_: Image, angpix: float, width_angst: float) -> Image:
    """Cut the middle of a map out, as wide as asked for in Å."""
    size = min(len(map_), 2 * round(width_angst / angpix / 2))
    first = len(map_) // 2 - size // 2
    inside = slice(first, first + size)
    return map_[inside, inside, inside]


def lowpassed(map_: Image, angpix: float, angst: float) -> Image:
    """Damp a map beyond a resolution with a Gaussian that is a half there."""
    axes = [np.fft.fftfreq(length, angpix) for length in map_.shape[:-1]]
    axes.append(np.fft.rfftfreq(map_.shape[-1], angpix))
    square = sum(np.square(axis) for axis in np.ix_(*axes))
    damped = np.fft.rfftn(map_) * np.exp(-np.log(2) * square * angst**2)
    return np.asarray(np.fft.irfftn(damped, s=map_.shape, axes=(0, 1, 2)), dtype=np.float32)


# ------------------------------------------------------------------------------------ views of maps


def slices(map_: Image) -> tuple[Image, Image, Image]:
    """Return the central sections across z, y and x."""
    middle = len(map_) // 2
    return map_[middle], map_[:, middle], map_[:, :, middle]


def projections(map_: Image) -> tuple[Image, Image, Image]:
    """Return the sums along z, y and x."""
    return map_.sum(axis=0), map_.sum(axis=1), map_.sum(axis=2)


def surface(map_: Image, threshold: float, axis: int) -> Image:
    """Draw a map's surface, lit from above left and darker with depth.

    Parameters
    ----------
    map_
        Of shape (n, n, n).
    threshold
        Density at the surface.
    axis
        Along which one looks.

    Returns
    -------
    array of shape (n, n)
        Brightness from 0 to 1; NaN where there is nothing.
    """
    seen = np.moveaxis(map_, axis, 0)
    inside = seen >= threshold
    hit = inside.any(axis=0)
    first = inside.argmax(axis=0)
    rows, columns = np.indices(hit.shape)
    before = np.clip(first - 1, 0, None)
    high, low = seen[first, rows, columns], seen[before, rows, columns]
    part = np.where(high > low, (threshold - low) / np.where(high > low, high - low, 1), 0)
    depth = np.where(hit, before + np.clip(part, 0, 1), np.nan)
    slopes = [np.asarray(each) for each in np.gradient(seen)]
    normal = np.stack([slope[first, rows, columns] for slope in slopes])
    length = np.linalg.norm(normal, axis=0)
    # Density grows inwards, so the gradient points away from the viewer and from the light.
    light = np.array([0.78, 0.48, 0.40])
    lit = np.tensordot(light, normal / np.where(length > 0, length, 1), axes=1).clip(0, 1)
    near, far = np.nanmin(depth, initial=len(seen)), np.nanmax(depth, initial=0)
    dim = 1 - 0.45 * (depth - near) / max(1.0, far - near)
    return np.asarray(np.where(hit, (0.18 + 0.82 * lit) * dim, np.nan), dtype=np.float32)


def surface_threshold(map_: Image, angpix: float, diameter_angst: float | None) -> float:
    """Choose a density at which a map's surface looks like its particle.

    The densest voxels of the particle's sphere, a tenth of it: about what a globular protein fills
    of the mask around it.
    """
    size = len(map_)
    places = (np.arange(size) - size / 2 + 0.5) * angpix
    distance = np.sqrt(sum(np.square(axis) for axis in np.ix_(places, places, places)))
    radius = min((diameter_angst or size * angpix) / 2, size * angpix / 2)
    return float(np.quantile(map_[distance <= radius], 0.9))


# --------------------------------------------------------------------------------------------- PNG


def grey(image: Image, spread: float = 3.5) -> NDArray[np.uint8]:
    """Turn values into 256 greys: ``spread`` standard deviations to either side of the mean.

    Where there is no value (NaN), the second channel of the result, opacity, is 0.
    """
    finite = np.isfinite(image)
    known = image[finite]
    mean, deviation = (float(known.mean()), float(known.std())) if known.size else (0.0, 1.0)
    low, high = mean - spread * deviation, mean + spread * deviation
    low = max(low, float(known.min(initial=high)))
    high = min(high, float(known.max(initial=low)))
    return scaled(image, low, high)


def scaled(image: Image, low: float, high: float) -> NDArray[np.uint8]:
    """Turn values from ``low`` to ``high`` into 256 greys; NaN becomes transparent."""
    finite = np.isfinite(image)
    part = (np.where(finite, image, low) - low) / ((high - low) or 1.0)
    shades = (part.clip(0, 1) * 255).round().astype(np.uint8)
    if finite.all():
        return shades
    return np.stack([shades, np.where(finite, 255, 0).astype(np.uint8)], axis=-1)


def tinted(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Turn values from 0 to 1 into colours, dark blue to yellow; NaN becomes transparent."""
    finite = np.isfinite(image)
    place = np.where(finite, image, 0).clip(0, 1) * (len(_TINTS) - 1)
    colours = [np.interp(place, np.arange(len(_TINTS)), tint) for tint in _TINTS.T]
    opacity = np.where(finite, 255.0, 0.0)
    return np.stack([*colours, opacity], axis=-1).round().astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Write a PNG image: grey (h, w), grey with opacity (h, w, 2) or colour with it (h, w, 4).

    Every row is filtered by its difference from the row above, which packs pictures well
    (PNG specification, section 9).
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    colour = {1: 0, 2: 4, 4: 6}[channels]
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    above = np.vstack([np.zeros((1, rows.shape[1]), np.uint8), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image as a ``data:`` URI."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")

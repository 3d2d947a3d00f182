"""Bring a map or a mask to the pixel size and box of particles.

``python -m relion_dispatch.pipeline.reference`` does it to an MRC file. RELION before 5.0 refuses a
reference of another size, and its own tool rounds the scaled box to an even number of pixels, which
in the small boxes of first classifications changes the scale by several percent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.pipeline import mrc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def resample(volume: Array, angpix: float, new_angpix: float, new_box: int) -> Array:
    """Sample a map anew, its centre (voxel n // 2, as RELION counts) staying the centre.

    Parameters
    ----------
    volume
        Shape (n, n, n).
    angpix, new_angpix
        Voxel sizes in Å.
    new_box
        New side in voxels; what lies beyond the old map is zero.

    Returns
    -------
    Array
        Shape (new_box, new_box, new_box); densities keep their values.
    """
    import numpy as np
    from scipy.ndimage import affine_transform

    step = new_angpix / angpix
    offset = np.full(3, volume.shape[0] // 2) - step * (new_box // 2)
    smooth = _lowpass(volume, 0.5 / step) if step > 1 else volume
    shape = (new_box,) * 3
    return np.asarray(affine_transform(smooth, np.full(3, step), offset, shape, order=3))


def _lowpass(volume: Array, limit: float) -> Array:
    """Leave out what is finer than a frequency in cycles a voxel."""
    import numpy as np

    axes = [np.fft.fftfreq(n) ** 2 for n in volume.shape[:2]]
    last = np.fft.rfftfreq(volume.shape[2]) ** 2
    kept = axes[0][:, None, None] + axes[1][:, None] + last <= limit**2
    return np.asarray(np.fft.irfftn(np.fft.rfftn(volume) * kept, s=volume.shape, axes=(0, 1, 2)))


def convert(
    source: Path, target: Path, new_angpix: float, new_box: int, *, mask: bool = False
) -> str:
    """Resample an MRC file into another; return a sentence about it.

    Parameters
    ----------
    source, target
        The file, and the one to write.
    new_angpix, new_box
        Voxel size in Å and side in voxels of the one to write.
    mask
        Whether it is a mask: RELION refuses one that is not between 0 and 1 everywhere.

    Raises
    ------
    InputError
        When the map cannot be read, is no cube or has no pixel size.
    """
    import mrcfile
    import numpy as np

    volume, angpix = mrc.read(source)
    if len(volume.shape) != 3 or len(set(volume.shape)) != 1 or not angpix > 0:
        raise InputError(f"{source}: is no map in a cubic box with a pixel size in its header")
    made = resample(volume, angpix, new_angpix, new_box)
    made = np.clip(made, 0, 1) if mask else made
    draft = target.with_name(f".{target.name}")
    with mrcfile.new(draft, made.astype(np.float32), overwrite=True) as handle:
        handle.voxel_size = new_angpix
    draft.replace(target)
    box = volume.shape[0]
    return f"{source}: {box} px of {angpix:g} Å to {new_box} px of {new_angpix:g} Å"


def size_of(particles: Path) -> tuple[float, int]:
    """Read the pixel size in Å and the box of particles, of their first optics group.

    Raises
    ------
    InputError
        When they cannot be read.
    """
    from relion_dispatch.pipeline import tables

    try:
        first = tables.read(particles)["optics"].iloc[0]
        return float(first["rlnImagePixelSize"]), int(first["rlnImageSize"])
    except (KeyError, IndexError) as error:
        raise InputError(f"{particles}: does not say its particles' size: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Resample a map."""
    args = _arguments(argv)
    try:
        size = size_of(args.like) if args.like else (args.angpix, args.box)
        print(convert(args.i, args.o, *size, mask=args.mask))
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reference", description=__doc__)
    parser.add_argument("--i", type=Path, required=True, help="the map")
    parser.add_argument("--o", type=Path, required=True, help="the map to write")
    parser.add_argument("--like", type=Path, help="STAR file of particles of the new size")
    parser.add_argument("--angpix", type=float, help="new pixel size, Å; without --like")
    parser.add_argument("--box", type=int, help="new box, px; without --like")
    parser.add_argument("--mask", action="store_true", help="it is a mask")
    args = parser.parse_args(argv)
    if args.like is None and (args.angpix is None or args.box is None):
        parser.error("--like, or --angpix and --box, must be given")
    return args


if __name__ == "__main__":
    sys.exit(main())

"""Reading maps and image stacks for the modules that calculate with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read(path: Path) -> tuple[NDArray[np.float64], float]:
    """Read an MRC file: its values, of the shape that it has, and its pixel size in Å.

    Raises
    ------
    InputError
        When it cannot be read as MRC.
    """
    import mrcfile
    import numpy as np

    try:
        with mrcfile.open(path) as handle:
            return np.asarray(handle.data, dtype=np.float64), float(handle.voxel_size.x)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as MRC: {error}") from error

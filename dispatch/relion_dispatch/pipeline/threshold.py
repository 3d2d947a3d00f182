"""The density at which a mask begins, when nobody looks at the map.

``python -m relion_dispatch.pipeline.threshold MAP`` prints it for ``relion_mask_create``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import atomic
from relion_dispatch.errors import DispatchError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Share of the density's highest values (99.9th percentile) that a voxel must reach. Protein fills
#: a low-passed map evenly, so a fifth lies well above solvent noise and well below the particle.
SHARE = 0.2
PERCENTILE = 99.9


def threshold(density: NDArray[np.float64], angpix: float, lowpass_angst: float) -> float:
    """Find the threshold of a map after the low-pass filter that the mask program applies.

    Parameters
    ----------
    density
        Shape (n, n, n).
    angpix, lowpass_angst
        Voxel size and filter in Å.

    Raises
    ------
    InputError
        When the map is empty.
    """
    import numpy as np

    axes = [np.fft.fftfreq(n, angpix) ** 2 for n in density.shape[:2]]
    last = np.fft.rfftfreq(density.shape[2], angpix) ** 2
    radius = np.sqrt(axes[0][:, None, None] + axes[1][:, None] + last)
    transform = np.fft.rfftn(density) / (1 + (radius * lowpass_angst) ** 8)
    smooth = np.fft.irfftn(transform, s=density.shape, axes=(0, 1, 2))
    value = SHARE * float(np.percentile(smooth, PERCENTILE))
    if not value > 0:
        raise InputError("the map holds no positive density: give mask.threshold in config.yaml")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Print the threshold, or write it to a file."""
    parser = argparse.ArgumentParser(prog="threshold", description=__doc__)
    parser.add_argument("map", type=Path)
    parser.add_argument("--lowpass", type=float, required=True, help="Å")
    parser.add_argument("--o", type=Path, required=True, help="file for the number")
    args = parser.parse_args(argv)
    try:
        import mrcfile
        import numpy as np

        with mrcfile.open(args.map) as handle:
            density = np.asarray(handle.data, dtype=np.float64)
            value = threshold(density, float(handle.voxel_size.x), args.lowpass)
    except (OSError, ValueError) as error:
        print(f"error: {args.map}: cannot be read as MRC: {error}", file=sys.stderr)
        return InputError.exit_code
    except DispatchError as error:
        print(f"error: {args.map}: {error}", file=sys.stderr)
        return error.exit_code
    atomic.write_text(args.o, f"{value:.6g}\n")
    print(f"mask threshold {value:.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

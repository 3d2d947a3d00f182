"""Data that RELION takes for real and that cost little: noise, a blob, and what describes them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from tests.bench.peaks import peaks_mb
from tests.unit.star_files import Row, loop, pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANGPIX = 2.0
OPTICS = (
    *("rlnOpticsGroupName", "rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration"),
    *("rlnAmplitudeContrast", "rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize"),
)
DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
PARTICLES = (
    *("rlnCoordinateX", "rlnCoordinateY", "rlnImageName", "rlnMicrographName", "rlnOpticsGroup"),
    *(*DEFOCUS, "rlnCtfMaxResolution"),
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
    *("rlnRandomSubset", "rlnClassNumber", "rlnNormCorrection", "rlnGroupNumber"),
)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A project directory that is filled with noise.

    Attributes
    ----------
    folder
        The directory.
    rng
        Where the noise comes from.
    """

    folder: Path
    rng: np.random.Generator

    def path(self, name: str) -> Path:
        """Return the path of a file, whose folder is made."""
        found = self.folder / name
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def image(self, name: str, data: NDArray[np.generic], *, stack: bool = False) -> str:
        """Write a map, or a stack of images or frames."""
        with mrcfile.new(self.path(name), data, overwrite=True) as handle:
            if stack:
                handle.set_image_stack()
            handle.voxel_size = ANGPIX
        return name

    def blob(self, name: str, box: int) -> str:
        """Write a map of a ball with noise in it: it has all frequencies up to Nyquist."""
        at = np.arange(box, dtype=np.float32) - box // 2
        radius = np.sqrt(at[:, None, None] ** 2 + at[:, None] ** 2 + at**2)
        ball = np.exp(-((radius / (0.2 * box)) ** 4)).astype(np.float32)
        noise = self.rng.standard_normal(ball.shape, np.float32)
        return self.image(name, ball * (0.02 + 0.02 * noise))

    def mask(self, name: str, box: int, *, shift: int = 0) -> str:
        """Write a soft mask of a ball, some pixels beside the middle."""
        at = np.arange(box, dtype=np.float32) - box // 2
        radius = np.sqrt(at[:, None, None] ** 2 + at[:, None] ** 2 + (at - shift) ** 2)
        edge = np.clip((0.45 * box - radius) / (0.05 * box), 0, 1)
        return self.image(name, edge.astype(np.float32))

    def run(self, line: str, *, ranks: int = 1) -> None:
        """Run a program of RELION that prepares something."""
        peaks_mb(shlex.split(line), self.folder, ranks)

    def particles(self, box: int, number: int, *, side: int = 1024) -> str:
        """Write a particle file and its stack, all on one micrograph."""
        data = self.rng.standard_normal((number, box, box), np.float32)
        name = self.image("Extract/job003/Movies/m1.mrcs", data, stack=True)
        rows = [self._particle(at, name, side, box) for at in range(1, number + 1)]
        optics = (*_optics_row(), ANGPIX, box, 2)
        labels = (*OPTICS, "rlnImagePixelSize", "rlnImageSize", "rlnImageDimensionality")
        text = loop("optics", labels, [optics]) + loop("particles", PARTICLES, rows)
        star = "Extract/job003/particles.star"
        self.path(star).write_text(text)
        return star

    def _particle(self, at: int, stack: str, side: int, box: int) -> Row:
        x, y = self.rng.uniform(box / 2, side - box / 2, 2).round(2)
        rot, tilt, psi = self.rng.uniform((-180, 5, -180), (180, 175, 180)).round(2)
        micrograph = "MotionCorr/job002/Movies/m1.mrc"
        return (
            *(x, y, f"{at:06d}@{stack}", micrograph, 1, 15000, 14800, 30, 4),
            *(rot, tilt, psi, 0, 0, 1 + at % 2, 1, 1, 1),
        )

    def movies(self, number: int, frames: int, shape: tuple[int, int]) -> str:
        """Write movies of counts, and the STAR file that an import makes of them."""
        width, height = shape
        for film in range(1, number + 1):
            data = self.rng.poisson(2.0, (frames, height, width)).astype(np.int8)
            self.image(f"Movies/m{film}.mrcs", data, stack=True)
        rows = [(f"Movies/m{film}.mrcs", 1) for film in range(1, number + 1)]
        movies = loop("movies", ("rlnMicrographMovieName", "rlnOpticsGroup"), rows)
        star = "Import/job001/movies.star"
        self.path(star).write_text(loop("optics", OPTICS[:-1], [_optics_row()[:-1]]) + movies)
        return star

    def fsc(self, name: str, box: int, halves: Sequence[str], mask: str) -> str:
        """Write the STAR file of a post-processing whose half maps agree at all frequencies."""
        general = pairs(
            "general",
            rlnFinalResolution=2 * ANGPIX,
            rlnUnfilteredMapHalf1=halves[0],
            rlnUnfilteredMapHalf2=halves[1],
            rlnMaskName=mask,
        )
        labels = ("rlnSpectralIndex", "rlnFourierShellCorrelationCorrected")
        rows = [(shell, 0.99) for shell in range(box // 2 + 1)]
        self.path(name).write_text(general + loop("fsc", labels, rows))
        return name


def _optics_row() -> Row:
    return ("a", 1, 300, 2.7, 0.1, ANGPIX, ANGPIX)

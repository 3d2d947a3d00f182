"""What a simulated data set is made of: every number that decides its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

SYMMETRIES = ("C1", "D2")
MODES = ("int8", "int16", "float32")
SUFFIXES = (".mrcs", ".tif")


def _option(default: Any, text: str, choices: tuple[Any, ...] | None = None) -> Any:
    """A field that the command line offers under its own name, with this help text."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One data set; the defaults are the ``demo`` preset.

    The field names are the command line's options with ``_`` for ``-``; each field's help text
    says its meaning and unit.

    Raises
    ------
    ValueError
        For a value that no data set can have; the message names the field.
    """

    seed: int = _option(7, "seed of all random numbers")
    movies: int = _option(10, "number of movies")
    size: int = _option(640, "width and height of a movie, pixels")
    frames: int = _option(12, "frames in a movie")
    angpix: float = _option(3.5, "pixel size, Å")
    dose_per_frame: float = _option(3.0, "electrons per Å² and frame")
    particles: int = _option(45, "particles in a movie")
    junk: int = _option(4, "aggregates in a movie that a picker may take for particles")
    box: int = _option(48, "box of the true map, pixels")
    symmetry: str = _option("D2", "symmetry of the specimen", SYMMETRIES)
    diameter: float = _option(120.0, "longest diameter of the specimen, Å")
    helices: int = _option(9, "alpha-helices in an asymmetric unit")
    atom_sigma: float = _option(2.2, "standard deviation of an atom's Gaussian, Å")
    snr: float = _option(0.6, "signal to noise variance in a particle, over all frequencies")
    ice: float = _option(0.5, "standard deviation of the ice's structure, in that of shot noise")
    drift: float = _option(12.0, "drift of the whole field of view over the movie, Å")
    local_motion: float = _option(8.0, "size of the smooth local motion over the movie, Å")
    jitter: float = _option(0.4, "a particle's own random walk, Å per frame and axis")
    mode: str = _option("int8", "numbers in the movies", MODES)
    suffix: str = _option(".mrcs", "kind of movie file; .tif needs tifffile", SUFFIXES)
    gain: bool = _option(False, "record uncorrected counts and write their gain reference")
    gain_rot: int = _option(0, "RELION's --gain_rot that the gain reference needs", (0, 1, 2, 3))
    gain_flip: int = _option(0, "RELION's --gain_flip that the gain reference needs", (0, 1, 2))

    def __post_init__(self) -> None:
        for item in fields(self):
            value, choices = getattr(self, item.name), item.metadata["choices"]
            if choices and value not in choices:
                raise ValueError(f"{item.name} is {value!r}; it must be one of {choices}")
        for name in ("movies", "frames", "particles", "angpix", "dose_per_frame", "helices"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        self._check_sizes()

    def _check_sizes(self) -> None:
        if self.size % 2 or self.box % 2:
            raise ValueError(f"size {self.size} and box {self.box} must be even")
        if self.mode == "int8" and self.electrons_per_frame > 80:
            raise ValueError(
                f"{self.electrons_per_frame:.0f} electrons in a pixel and frame overflow int8; "
                "lower dose_per_frame or take mode int16"
            )
        if self.diameter > self.box * self.angpix:
            raise ValueError(
                f"a specimen of {self.diameter} Å does not fit a box of {self.box} pixels of "
                f"{self.angpix} Å; enlarge box"
            )

    @property
    def electrons_per_frame(self) -> float:
        """Electrons that hit one pixel in one frame, on average."""
        return self.dose_per_frame * self.angpix * self.angpix

    @property
    def shot_noise(self) -> float:
        """Standard deviation of the summed movie's relative intensity, from counting alone."""
        return 1 / math.sqrt(self.electrons_per_frame * self.frames)

    @property
    def paste_box(self) -> int:
        """Box in pixels for one particle's image: room for what the CTF spreads out."""
        return max(128, 2 * math.ceil(1.5 * self.diameter / self.angpix))


DEMO = Settings()
PRESETS = {
    "demo": DEMO,
    # Sharper atoms leave less contrast at low frequencies: initial models often come out wrong.
    "hard": replace(DEMO, seed=11, movies=12, atom_sigma=1.3, snr=0.7),
}

"""One movie's record, whatever wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was noted about an exposure; what was not is None or empty.

    Attributes
    ----------
    path
        The file that says so.
    voltage_kv
        Acceleration voltage.
    angpix, width
        Å per pixel of the image that the record is about, and its pixels in a row.
    super_resolution
        Whether the pixels are smaller than the detector's own, as far as it is noted.
    frames
        Frames of the movie.
    dose, dose_per_frame
        e/Å² on the sample, all together and each frame's.
    uneven_dose
        Whether frames differ in dose.
    gain
        Name of the gain reference, without folders.
    movie
        Name of the movie, without folders.
    """

    path: Path
    voltage_kv: float | None = None
    angpix: float | None = None
    width: int | None = None
    super_resolution: bool | None = None
    frames: int | None = None
    dose: float | None = None
    dose_per_frame: float | None = None
    uneven_dose: bool = False
    gain: str = ""
    movie: str = ""

    def dose_of_frame(self, frames: int | None) -> float | None:
        """Return the dose of one frame of a movie of so many frames, in e/Å².

        Parameters
        ----------
        frames
            The movie's own number; where it differs from the record's, that alone is believed.
        """
        if self.dose_per_frame and (frames is None or frames == self.frames or not self.dose):
            return self.dose_per_frame
        count = frames or self.frames
        return self.dose / count if self.dose and count else self.dose_per_frame

    def angpix_of(self, width: int) -> tuple[float | None, int]:
        """Return the pixel size of a movie of this width in Å, and the binning to undo.

        The record may be about a binned image, while frames were saved as they were. A width that
        is no simple multiple of the record's tells nothing.
        """
        if self.angpix is None:
            return None, 1
        ratio = 1 if self.width is None else width / self.width
        if ratio not in (0.5, 1, 2, 4):
            return None, 1
        finer = ratio > 1 if self.super_resolution is None else self.super_resolution
        return self.angpix / ratio, 2 if finer else 1

"""A movie's metadata as RELION writes them, for polishing and for the joined list."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.check import imagefiles
from relion_dispatch.pipeline.check.imagefiles import BadImageError
from relion_dispatch.sharding import relionstar, rows
from relion_dispatch.sharding.motioncor2_logs import Patch, Shift

#: RELION's number for "no shift known" (``Micrograph::NOT_OBSERVED``).
NOT_OBSERVED = -9999.0


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A movie to be corrected.

    Attributes
    ----------
    name
        As in the list.
    angpix, voltage
        Of its optics group, in Å and kV.
    width, height, frames
        From its header.
    root
        Its results' path without ending.
    """

    name: str
    angpix: float
    voltage: float
    width: int
    height: int
    frames: int
    root: str

    @property
    def alike(self) -> tuple[object, ...]:
        """What movies must have in common to go into one folder."""
        return PurePosixPath(self.name).suffix, self.angpix, self.voltage, self.frames


def output_root(name: str, out: str) -> str:
    """Path of a movie's results without ending (``MotioncorrRunner::getOutputFileNames``)."""
    return out + name.rpartition(".")[0].replace(".", "_")


def read_movies(path: str, out: str, names: Iterable[str]) -> Iterator[Movie]:
    """Read what is to be known of movies.

    Raises
    ------
    InputError
        When the list lacks something or a movie cannot be read.
    """
    found = rows.tables(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))
    try:
        optics = {row["rlnOpticsGroup"]: row for row in found["optics"]}
        groups = {row["rlnMicrographMovieName"]: row["rlnOpticsGroup"] for row in found["movies"]}
        for name in names:
            group, image = optics[groups[name]], imagefiles.read(name)
            yield Movie(
                name=name,
                angpix=float(group["rlnMicrographOriginalPixelSize"]),
                voltage=float(group["rlnVoltage"]),
                width=image.width,
                height=image.height,
                frames=image.frames or 0,
                root=output_root(name, out),
            )
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; was it made by the import?") from error
    except BadImageError as error:
        raise InputError(f"{name}: {error}") from error


def star(
    args: argparse.Namespace,
    movie: Movie,
    shifts: Sequence[Shift],
    of_patches: Sequence[Patch],
) -> str:
    """Write a movie's metadata as RELION does (``Micrograph::write``), for polishing.

    Parameters
    ----------
    args
        RELION's options.
    movie
        The movie.
    shifts
        Of its frames in pixels, from the first that was used.
    of_patches
        Local motion; RELION fits no model to it.
    """
    version = _star_version(args.i)
    first = args.first_frame_sum
    turned = args.gain_rot or args.gain_flip
    general: dict[str, relionstar.Value] = {
        "rlnImageSizeX": movie.width,
        "rlnImageSizeY": movie.height,
        "rlnImageSizeZ": movie.frames,
        "rlnMicrographMovieName": movie.name,
    }
    if args.gainref:
        general["rlnMicrographGainName"] = f"{args.o}gain.mrc" if turned else args.gainref
    if args.defect_file:
        general["rlnMicrographDefectFile"] = args.defect_file
    general |= {
        "rlnMicrographBinning": args.bin_factor,
        "rlnMicrographOriginalPixelSize": movie.angpix,
        "rlnMicrographDoseRate": args.dose_per_frame,
        "rlnMicrographPreExposure": args.preexposure,
        "rlnVoltage": movie.voltage,
        "rlnMicrographStartFrame": first,
        "rlnMotionModelVersion": 0,
    }
    unknown = (NOT_OBSERVED, NOT_OBSERVED)
    known = dict(enumerate(shifts, start=first))
    frames = [(n, *known.get(n, unknown)) for n in range(1, movie.frames + 1)]
    local = [(p.frame + first - 1, p.x, p.y, p.shift_x, p.shift_y) for p in of_patches]
    shift = ("rlnMicrographShiftX", "rlnMicrographShiftY")
    number = "rlnMicrographFrameNumber"
    place = ("rlnCoordinateX", "rlnCoordinateY")
    return (
        relionstar.items("general", general, version)
        + relionstar.table("global_shift", (number, *shift), frames, version)
        + relionstar.table("local_shift", (number, *place, *shift), local, version)
    )


def _star_version(path: str) -> str:
    """Take the version of the STAR format from a list that the same RELION has written."""
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        for line in handle:
            if line.startswith("# version "):
                return line.split()[2]
    return "30001"

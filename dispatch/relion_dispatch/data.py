"""What the files behind a command say about its size: boxes, particles, frames, classes.

Files are looked at, not read: the first rows and the number of rows of a STAR file, the header
of one image. What kind of STAR file it is shows in its labels, so an option may point to a
particle file, a micrograph file, an optimiser or an optimisation set alike.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.frozen import dataclass

if TYPE_CHECKING:
    from relion_dispatch.command import Command


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What is known about a job's data; None is for what is not known.

    Parameters
    ----------
    box
        Side of the particle images or of the map, in pixels; the largest of all optics groups; the
        side of the images to come, before they are scaled, for a job that cuts out particles; the
        reference's where nothing else is known.
    angpix
        Pixel size of these images, or else of the micrographs or movies, in Angstrom.
    image_dimensions
        2 for images (2D stacks of tilts among them), 3 for subtomograms.
    n_particles, n_micrographs, n_optics_groups, n_tomograms
        How many there are; movies count as micrographs, and so do the tilts of tilt series, all
        of which are taken to be as long as the first. Micrographs of many particles are estimated
        from those of the first.
    n_tilts
        Tilts in the first tilt series.
    n_frames
        Frames in the first movie; for an EER file those of the detector, before they are grouped.
    movie_shape
        Width and height of the first movie's frames, or else of the first micrograph, in pixels.
    micrograph_shape
        Width and height of the first micrograph in pixels, where there is one beside the movie.
    movie_format
        ``mrc``, ``tiff`` or ``eer``.
    ref_box, ref_angpix
        Side and pixel size of the reference map, in pixels and Angstrom.
    n_bodies
        Bodies of a multi-body refinement; None for any other.
    iteration
        The iteration that a job continues from; the following are known only with it.
    n_classes, reference_dimensions, padding
        Number of references, 2 or 3, and how much their Fourier transforms are padded.
    current_image_size
        Side of the Fourier transforms at the resolution reached, in pixels.
    auto_refine, split_random_halves, skip_align, gradient
        Whether the job refines automatically, in two halves, without alignment, by VDAM.
    notes
        A sentence for each file that is there but cannot be made sense of.
    """

    box: int | None = None
    angpix: float | None = None
    image_dimensions: int | None = None
    n_particles: int | None = None
    n_micrographs: int | None = None
    n_optics_groups: int | None = None
    n_tomograms: int | None = None
    n_tilts: int | None = None
    n_frames: int | None = None
    movie_shape: tuple[int, int] | None = None
    micrograph_shape: tuple[int, int] | None = None
    movie_format: str | None = None
    ref_box: int | None = None
    ref_angpix: float | None = None
    n_bodies: int | None = None
    iteration: int | None = None
    n_classes: int | None = None
    reference_dimensions: int | None = None
    padding: float | None = None
    current_image_size: int | None = None
    auto_refine: bool | None = None
    split_random_halves: bool | None = None
    skip_align: bool | None = None
    gradient: bool | None = None
    notes: tuple[str, ...] = ()

    def over(self, other: DataFacts) -> DataFacts:
        """Lay these facts over others: what is None here is taken from there; notes add up."""
        known = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "notes" and getattr(self, each.name) is not None
        }
        return replace(other, **known, notes=(*self.notes, *other.notes))


def read_facts(commands: Sequence[Command], project: str | os.PathLike[str] = ".") -> DataFacts:
    """Find out what the files behind a job's commands say.

    Parameters
    ----------
    commands
        The job's commands; the facts of earlier ones win.
    project
        What relative file names are relative to.

    Returns
    -------
    DataFacts
        Nothing for files that are missing: they may be made by then. No exception for what is
        in the files, but a sentence in ``notes``.
    """
    from relion_dispatch.datafiles import DataFiles
    from relion_dispatch.inputs import command_facts

    files = DataFiles(Path(project))
    found = DataFacts()
    for command in commands:
        found = found.over(command_facts(files, command))
    return replace(found, notes=files.notes)

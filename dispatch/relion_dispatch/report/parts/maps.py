"""A map from three sides: its surface, its central sections and its projections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from relion_dispatch.report import images
from relion_dispatch.report.content import Picture, Pictures
from relion_dispatch.report.images import Image
from relion_dispatch.report.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Px a side of a picture of a map.
VIEW_PX = 144
#: Px a side of a map whose surface is drawn.
SURFACE_PX = 120
#: A surface is drawn with so much room around the particle's diameter,
ROOM = 1.08
#: and damped to a half at so many times the map's resolution.
SMOOTH = 1.3
AXES = ("z", "y", "x")


def views(
    source: Source, name: str, title: str, masked: str = "", angst: float | None = None
) -> Iterator[Pictures]:
    """Show a map: three surfaces, three sections, three projections.

    Parameters
    ----------
    source, name, title
        The project, the map's file, and what is written above.
    masked
        The same map without what is outside of its mask: for the surface, if it is there.
    angst
        Its resolution; its surface shows nothing finer, for noise hides a surface.

    Raises
    ------
    MissingFileError
        When there is no such map.
    """
    map_, angpix = images.read_map(source.need(name))
    clean = images.read_map(source.file(masked))[0] if masked and source.has(masked) else map_
    clean = images.lowpassed(clean, angpix, SMOOTH * angst) if angst else clean
    pictures = [
        *_surfaces(source, clean, angpix),
        *_greys(images.slices(map_), "section", "across"),
        *_greys(images.projections(map_), "projection", "along"),
    ]
    side = len(map_) * angpix
    yield Pictures(
        title=title,
        pictures=tuple(pictures),
        caption=f"{name}: surface, central section, projection along each axis; {side:.0f} Å wide.",
    )


def surface_picture(source: Source, name: str, label: str) -> Picture:
    """Show the surface of a map from one side."""
    map_, angpix = images.read_map(source.need(name))
    return next(_surfaces(source, map_, angpix, label=label))


def _surfaces(
    source: Source, map_: Image, angpix: float, label: str = "surface"
) -> Iterator[Picture]:
    diameter = source.settings.sample.particle_diameter
    seen = images.central(map_, angpix, ROOM * diameter) if diameter else map_
    fine = images.larger(seen, SURFACE_PX)
    threshold = images.surface_threshold(fine, angpix * len(seen) / len(fine), diameter)
    for number, axis in enumerate(AXES):
        lit = images.surface(fine, threshold, number)
        yield picture(images.scaled(lit, 0.0, 1.0), label, f"along {axis}")


def _greys(views_: Iterable[Image], label: str, word: str) -> Iterator[Picture]:
    """Show views of a map in the same greys: where there is little, little is to be seen."""
    large = np.stack([images.larger(view, VIEW_PX) for view in views_])
    for axis, pixels in zip(AXES, images.grey(large, 6), strict=True):
        yield picture(pixels, label, f"{word} {axis}")


def picture(pixels: NDArray[np.uint8], label: str, note: str) -> Picture:
    """Show an image of a map; `label` says of what, `note` from where."""
    return Picture(
        uri=images.uri(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
        alt=f"{label} of the map, {note}",
        label=label,
        note=note,
    )

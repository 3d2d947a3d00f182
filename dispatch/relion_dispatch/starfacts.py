"""Facts from RELION's STAR files, whatever they are: their labels tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relion_dispatch.data import DataFacts
from relion_dispatch.datafiles import DataFiles
from relion_dispatch.frozen import dataclass
from relion_dispatch.imageheader import ImageHeader
from relion_dispatch.starscan import Block

_MICROGRAPH_PIXELS = (
    *("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnTomoTiltSeriesPixelSize"),
    "rlnPixelSize",
)
_DEEPEST = 4  # optimisation set -> tilt series -> one of them -> movie; more would be a ring


@dataclass(frozen=True, kw_only=True)
class _Star:
    """A STAR file, the block that tells what it is, and how many files led to it."""

    name: str
    blocks: tuple[Block, ...]
    main: Block
    depth: int

    @property
    def n_rows(self) -> int:
        return _n_rows(self.main)

    def first(self, *labels: str) -> str | None:
        """Give the first of these labels' values, from the main block or else from any."""
        found = (block.first(label) for block in (self.main, *self.blocks) for label in labels)
        return next((value for value in found if value not in (None, "None", "")), None)


def star_facts(files: DataFiles, name: str, depth: int = 0) -> DataFacts:
    """Find the facts of a STAR file and of the files that it names.

    Parameters
    ----------
    files
        Where to look.
    name
        The STAR file.
    depth
        How many STAR files led to this one.
    """
    blocks = files.blocks(name, until="model_general") if depth <= _DEEPEST else ()
    for label, reader in _READERS.items():
        if main := _with_label(blocks, label):
            return reader(files, _Star(name=name, blocks=blocks, main=main, depth=depth))
    return DataFacts()


def movie_facts(header: ImageHeader) -> DataFacts:
    """Turn a movie's header into facts; a single image is a micrograph."""
    return DataFacts(
        angpix=header.angpix,
        n_frames=header.nz if header.nz > 1 or header.format == "eer" else None,
        movie_shape=(header.nx, header.ny),
        movie_format=header.format,
    )


def body_facts(files: DataFiles, name: str) -> DataFacts:
    """Count the bodies in the STAR file of a multi-body refinement."""
    main = _with_label(files.blocks(name), "rlnBodyMaskName")
    return DataFacts(n_bodies=_n_rows(main) if main else None)


def reference_facts(files: DataFiles, name: str) -> DataFacts:
    """Find the size of a reference: a map, a stack, or a STAR file of several."""
    if name.endswith(".star"):
        main = _with_label(files.blocks(name), "rlnReferenceImage")
        name = (main.first("rlnReferenceImage") if main else None) or ""
    header = files.header(name) if name else None
    return DataFacts(ref_box=header.nx, ref_angpix=header.angpix) if header else DataFacts()


def _n_rows(block: Block) -> int:
    return block.n_rows if block.labels else 1  # one row may be written as single items


def _with_label(blocks: Sequence[Block], label: str) -> Block | None:
    return next((block for block in blocks if block.has(label)), None)


def _follow(files: DataFiles, star: _Star, label: str) -> DataFacts:
    name = star.first(label)
    return star_facts(files, name, star.depth + 1) if name else DataFacts()


def _optimisation_set(files: DataFiles, star: _Star) -> DataFacts:
    facts = _follow(files, star, "rlnTomoParticlesFile")
    facts = facts.over(_follow(files, star, "rlnTomoTomogramsFile"))
    reference = star.first("rlnTomoReferenceMap1File")
    return facts.over(reference_facts(files, reference)) if reference else facts


def _optimiser(files: DataFiles, star: _Star) -> DataFacts:
    facts = DataFacts(
        iteration=_count(star.first("rlnCurrentIteration")),
        auto_refine=_bool(star.first("rlnDoAutoRefine")),
        split_random_halves=_bool(star.first("rlnDoSplitRandomHalves")),
        skip_align=_bool(star.first("rlnDoSkipAlign")),
        gradient=_bool(star.first("rlnDoGradientRefine", "rlnDoStochasticGradientDescent")),
    )
    root = star.name.removesuffix("_optimiser.star")
    model = (star.first("rlnModelStarFile"), f"{root}_model.star", f"{root}_half1_model.star")
    data = (star.first("rlnExperimentalDataStarFile"), f"{root}_data.star")
    for names in (model, data, (star.first("rlnTomoTomogramsFile"),)):
        # A project that was moved has its files beside the optimiser, not where it says.
        if name := next((name for name in names if name and files.exists(name)), None):
            facts = facts.over(star_facts(files, name, star.depth + 1))
    return facts


def _model(files: DataFiles, star: _Star) -> DataFacts:
    n_bodies = _int(star.first("rlnNrBodies"))
    return DataFacts(
        box=_int(star.first("rlnOriginalImageSize")),
        angpix=_float(star.first("rlnPixelSize")),
        image_dimensions=_int(star.first("rlnDataDimensionality")),
        n_bodies=n_bodies if n_bodies != 1 else None,
        n_classes=_int(star.first("rlnNrClasses")),
        reference_dimensions=_int(star.first("rlnReferenceDimensionality")),
        padding=_float(star.first("rlnPaddingFactor")),
        current_image_size=_int(star.first("rlnCurrentImageSize")),
    )


def _particles(files: DataFiles, star: _Star) -> DataFacts:
    optics = _with_label(star.blocks, "rlnImageSize")
    boxes = [_int(text) or 0 for text in optics.column("rlnImageSize")] if optics else []
    if len(set(boxes)) > 1:
        sizes = ", ".join(str(box) for box in sorted(set(boxes)))
        files.note(f"{star.name} has optics groups of box {sizes}: the largest one counts.")
    at = boxes.index(max(boxes)) if boxes else 0
    angpix = _at(optics.column("rlnImagePixelSize"), at) if optics else None
    facts = DataFacts(
        box=max(boxes, default=0) or None,
        angpix=_float(angpix) or _angpix(star, "rlnImagePixelSize", "rlnPixelSize"),
        image_dimensions=_int(optics.first("rlnImageDimensionality")) if optics else None,
        n_particles=star.n_rows,
        n_micrographs=_n_films(star.main),
        n_optics_groups=_n_rows(optics) if optics else None,
    )
    return facts if facts.box and facts.angpix else facts.over(_first_image(files, star))


def _n_films(particles: Block) -> int | None:
    """Count the micrographs of particles; of many, by those of the first rows.

    None where these are all of one micrograph, or of micrographs in no order.
    """
    films = particles.column("rlnMicrographName")
    if len(films) == particles.n_rows:
        return len(set(films)) or None
    runs = [name for name, before in zip(films, (None, *films), strict=False) if name != before]
    if len(runs) < 2 or len(set(runs)) < len(runs):
        return None
    whole = len(films) - sum(name == runs[-1] for name in films)  # the last one may go on
    return max(round(particles.n_rows * (len(runs) - 1) / whole), len(runs))


def _first_image(files: DataFiles, star: _Star) -> DataFacts:
    name = star.first("rlnImageName")
    header = files.header(name) if name else None
    return DataFacts(box=header.nx, angpix=header.angpix) if header else DataFacts()


def _micrographs(files: DataFiles, star: _Star) -> DataFacts:
    optics = _with_label(star.blocks, "rlnOpticsGroupName")
    facts = DataFacts(
        angpix=_angpix(star, *_MICROGRAPH_PIXELS),
        n_micrographs=star.n_rows,
        n_optics_groups=_n_rows(optics) if optics else None,
        n_frames=_int(star.first("rlnTomoTiltMovieFrameCount")),
    )
    return facts.over(_first_movie(files, star))


def _first_movie(files: DataFiles, star: _Star) -> DataFacts:
    """Find the size of the first movie: from itself, its motion correction, or its average."""
    facts = DataFacts()
    if (movie := star.first("rlnMicrographMovieName")) and (header := files.header(movie)):
        facts = movie_facts(header)
    if facts.n_frames is None and (metadata := star.first("rlnMicrographMetadata")):
        facts = facts.over(_motion(files, metadata))
    name = star.first("rlnMicrographName")
    header = files.header(name) if name else None
    if header is None:
        return facts
    shape = (header.nx, header.ny)
    if facts.movie_shape is not None:
        return facts.over(DataFacts(angpix=header.angpix, micrograph_shape=shape))
    return facts.over(DataFacts(angpix=header.angpix, movie_shape=shape))


def _motion(files: DataFiles, name: str) -> DataFacts:
    """Read the movie's size from the STAR file that motion correction writes for each."""
    general = _with_label(files.blocks(name, until="general"), "rlnImageSizeZ")
    if general is None:
        return DataFacts()
    nx, ny = _int(general.first("rlnImageSizeX")), _int(general.first("rlnImageSizeY"))
    return DataFacts(
        n_frames=_int(general.first("rlnImageSizeZ")), movie_shape=(nx, ny) if nx and ny else None
    )


def _tilt_series(files: DataFiles, star: _Star) -> DataFacts:
    first = _follow(files, star, "rlnTomoTiltSeriesStarFile")
    n_tilts = first.n_micrographs or _int(star.first("rlnTomoFrameCount"))
    stack = star.first("rlnTomoTiltSeriesName")
    header = files.header(stack) if stack and n_tilts is None else None
    n_tilts = header.nz if header else n_tilts
    facts = DataFacts(
        angpix=_float(star.first("rlnTomoTiltSeriesPixelSize")),
        n_micrographs=n_tilts * star.n_rows if n_tilts else None,
        n_tomograms=star.n_rows,
        n_tilts=n_tilts,
        movie_shape=(header.nx, header.ny) if header else None,
    )
    return facts.over(first)


# What a file is shows in the first of these labels that it has.
_READERS: dict[str, Callable[[DataFiles, _Star], DataFacts]] = {
    "rlnExperimentalDataStarFile": _optimiser,
    "rlnTomoParticlesFile": _optimisation_set,
    "rlnTomoTomogramsFile": _optimisation_set,
    "rlnOriginalImageSize": _model,
    "rlnImageName": _particles,
    "rlnTomoTiltSeriesStarFile": _tilt_series,
    "rlnTomoTiltSeriesName": _tilt_series,
    "rlnMicrographMovieName": _micrographs,
    "rlnMicrographName": _micrographs,
    "rlnTomoName": _particles,
}


def _angpix(star: _Star, *labels: str) -> float | None:
    """Find a pixel size in Angstrom; before RELION 3.1 a detector's, in micrometres, magnified."""
    detector, magnification = star.first("rlnDetectorPixelSize"), star.first("rlnMagnification")
    pixel, times = _float(detector), _float(magnification)
    return _float(star.first(*labels)) or (10_000 * pixel / times if pixel and times else None)


def _at(values: Sequence[str], place: int) -> str | None:
    return values[place] if place < len(values) else None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _int(text: str | None) -> int | None:
    value = _float(text)
    return None if value is None else int(value)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _bool(text: str | None) -> bool | None:
    return None if text is None else text.lower() in ("1", "true", "yes")

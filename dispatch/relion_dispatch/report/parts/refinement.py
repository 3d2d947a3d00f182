"""Each refinement: its map, how good it is, and from where its particles are seen."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.verdict import FSC_LIMIT
from relion_dispatch.report import images, models, star, tools
from relion_dispatch.report.axes import Axis, angle_axis, axis, resolution_axis
from relion_dispatch.report.content import Block, Figure, Pictures, Text
from relion_dispatch.report.parts import maps
from relion_dispatch.report.parts.particles import histogram
from relion_dispatch.report.parts.summary import refined_resolution
from relion_dispatch.report.source import Part, Source
from relion_dispatch.report.svg import Chart
from relion_dispatch.report.tools import Values

#: FSC curves of post-processing: column, class of the line, name.
CURVES = (
    ("rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps", "s4 thin", "randomised"),
    ("rlnFourierShellCorrelationUnmaskedMaps", "s2 thin", "unmasked"),
    ("rlnFourierShellCorrelationMaskedMaps", "s3 thin", "masked"),
    ("rlnFourierShellCorrelationCorrected", "s1", "corrected"),
)
GUINIER = (
    ("rlnLogAmplitudesOriginal", "s2 thin", "original"),
    ("rlnLogAmplitudesWeighted", "s3 thin", "FSC-weighted"),
    ("rlnLogAmplitudesSharpened", "s1", "sharpened"),
)
#: Orientations are counted in at most so many bins around, and half as many from pole to pole.
BINS = 60
#: Of more particles than these, so many are looked at for their orientations.
MOST_ORIENTATIONS = 300_000


def fsc(source: Source, name: str) -> Figure:
    """Draw the FSC curves of a ``postprocess.star``."""
    labels = ("rlnResolution", *(label for label, _, _ in CURVES))
    table = star.columns(source.need(name), labels, table="fsc")
    inverse = star.numbers(table["rlnResolution"])
    drawn = Chart(
        title="FSC between the half maps",
        x=resolution_axis(inverse.tolist()),
        y=axis("FSC", [0.0, 1.0, -0.1]),
    )
    drawn.level(FSC_LIMIT, f"{FSC_LIMIT}")
    for label, kind, words in CURVES:
        if label in table:
            drawn.line(inverse.tolist(), star.numbers(table[label]).tolist(), kind, words)
    caption = "The corrected FSC never falls below 0.143: the pixel size limits the resolution."
    corrected = models.read_fsc(source.need(name))
    if min(corrected.corrected[1:]) < FSC_LIMIT:
        angst = corrected.resolution_angst
        drawn.crossing(1 / angst, FSC_LIMIT, f"{angst:.2f} Å")
        caption = (
            f"The corrected FSC falls below 0.143 at {angst:.2f} Å (between shells;"
            f" {_whole_shell(source, name)})."
        )
    return Figure(svg=drawn.svg(), title="FSC", caption=caption)


def _whole_shell(source: Source, name: str) -> str:
    items = star.columns(source.need(name), ("rlnFinalResolution",))
    return f"RELION's own figure, of whole shells: {float(items['rlnFinalResolution'][0]):.2f} Å"


def guinier(source: Source, name: str) -> Figure | None:
    """Draw the Guinier plot of a ``postprocess.star``; None without one."""
    labels = ("rlnResolutionSquared", *(label for label, _, _ in GUINIER))
    try:
        table = star.columns(source.need(name), labels, table="guinier")
    except InputError:
        return None
    square = star.numbers(table["rlnResolutionSquared"])
    curves = {
        words: (kind, _known(star.numbers(table[label])))
        for label, kind, words in GUINIER
        if label in table
    }
    values = np.concatenate([curve for _, curve in curves.values()])
    frequencies = np.sqrt(square[np.isfinite(square)])
    drawn = Chart(
        title="Guinier plot",
        x=resolution_axis(frequencies.tolist(), power=2),
        y=axis("ln amplitude", values),
    )
    for words, (kind, curve) in curves.items():
        drawn.line(square.tolist(), curve.tolist(), kind, words)
    general = star.columns(
        source.need(name),
        (
            "rlnBfactorUsedForSharpening",
            "rlnFittedSlopeGuinierPlot",
            "rlnFittedInterceptGuinierPlot",
        ),
    )
    return Figure(svg=_fitted(drawn, general), title="Guinier plot", caption=_bfactor(general))


def _known(values: Values) -> Values:
    """RELION writes -99 for the logarithm of nothing."""
    return np.where(values > -98, values, np.nan)


def _fitted(drawn: Chart, general: dict[str, list[str]]) -> str:
    words = [general.get(f"rlnFitted{each}GuinierPlot") for each in ("Slope", "Intercept")]
    if words[0] and words[1]:
        slope, intercept = float(words[0][0]), float(words[1][0])
        inside = np.linspace(drawn.x.low, drawn.x.high, 60)
        line = intercept + slope * inside
        seen = (line >= drawn.y.low) & (line <= drawn.y.high)
        drawn.line(inside[seen].tolist(), line[seen].tolist(), "fit", "fit")
    return drawn.svg()


def _bfactor(general: dict[str, list[str]]) -> str:
    value = tools.signed(float(general["rlnBfactorUsedForSharpening"][0]))
    how = "from the fitted line's slope" if "rlnFittedSlopeGuinierPlot" in general else "as given"
    return f"Sharpened with a B-factor of {value} Å², {how}."


def orientations(source: Source, name: str) -> Figure:
    """Draw from where the particles are seen, on a map of the sphere of equal areas."""
    labels = ("rlnAngleRot", "rlnAngleTilt")
    table = star.columns(source.need(name), labels, most=MOST_ORIENTATIONS)
    symmetry = source.settings.sample.symmetry
    rot, tilt = (star.numbers(table[label]) for label in labels)
    rot, tilt = _searched(rot, tilt, symmetry)
    around, height = _frame(rot, tilt)
    bins = int(np.clip(math.sqrt(len(rot)), 12, BINS))
    counts, _, _ = np.histogram2d(
        np.cos(np.radians(tilt)).clip(height.low, height.high),
        rot.clip(around.low, around.high),
        bins=(bins // 2, bins),
        range=((height.low, height.high), (around.low, around.high)),
    )
    drawn = Chart(title="Orientations of the particles", x=around, y=height)
    most = float(counts.max())
    drawn.image(images.uri(images.tinted(counts[::-1] / (most or 1))), "number of particles")
    part = f", in the part of the sphere that {symmetry} leaves" if symmetry != "C1" else ""
    caption = (
        f"{tools.many(len(rot), 'particle')}{part}; equal areas are equal parts of the sphere."
        f" Dark: none; bright: {tools.whole(most)} in one field."
    )
    return Figure(svg=drawn.svg(), title="Orientations", caption=caption)


def _searched(rot: Values, tilt: Values, symmetry: str) -> tuple[Values, Values]:
    """Bring directions into the part of the sphere that RELION searches, for Cn and Dn.

    It turns all that it tries by a few random degrees, so that some lie beyond the part's edges
    (``removeSymmetryEquivalentPointsGeometric`` in its ``src/healpix_sampling.cpp``; the axes are
    those of ``src/symmetries.cpp``: n-fold along z, two-fold along x).
    """
    found = re.fullmatch(r"([CD])(\d+)", symmetry.upper())
    kind, part = (found[1], 360 / int(found[2])) if found else ("", 360.0)
    if kind == "D":
        rot, tilt = np.where(tilt > 90, -rot, rot), np.where(tilt > 90, 180 - tilt, tilt)
    first = (90 if kind == "D" and part < 360 else 0) - part / 2
    return (rot - first) % part + first, tilt


def _frame(rot: Values, tilt: Values) -> tuple[Axis, Axis]:
    """Make the axes: the angles that there are, to 30 degrees; the cosine of tilt goes up."""
    left = math.floor(float(np.nanmin(rot)) / 30 + 0.1) * 30
    right = math.ceil(float(np.nanmax(rot)) / 30 - 0.1) * 30
    lowest = math.ceil(float(np.nanmax(tilt)) / 30 - 0.1) * 30
    wide = max(right, left + 30)
    around = angle_axis("rot (°)", left, wide, 30 if wide - left <= 180 else 60)
    angles = [angle for angle in (0, 30, 60, 90, 120, 150, 180) if angle <= max(lowest, 60)]
    ticks = [(math.cos(math.radians(angle)), str(angle)) for angle in angles]
    if len(angles) > 4:
        ticks = [tick for tick in ticks if tick[1] not in ("150", "30")]
    height = Axis(
        label="tilt (°)",
        low=math.cos(math.radians(max(lowest, 60))),
        high=1.0,
        ticks=tuple(ticks),
    )
    return around, height


def convergence(source: Source, round_: int) -> Figure | None:
    """Draw the resolution after each iteration; None where the iterations have been removed."""
    folder = source.file(source.paths.layout.dir("refine3d", round=round_))
    files = sorted(folder.glob("run_it[0-9][0-9][0-9]_half1_model.star"))[1:]
    values = []
    for file in files:
        table = star.columns(file, ("rlnCurrentResolution",))
        values.append((int(file.name[6:9]), float(table["rlnCurrentResolution"][0])))
    if len(values) < 2:
        return None
    xs, ys = zip(*values, strict=True)
    drawn = Chart(
        title="Resolution after each iteration",
        x=axis("iteration", [0, *xs], whole=True),
        y=axis("resolution (Å)", ys, zero=True),
    )
    drawn.line(xs, ys, "s1")
    drawn.points([(x, y, f"iteration {x}: {y:.1f} Å") for x, y in values], "s1")
    return Figure(
        svg=drawn.svg(),
        title="Convergence",
        caption=f"{tools.many(len(values), 'iteration')}; the last joins both halves.",
    )


def build(source: Source, round_: int) -> Iterator[Block]:
    """Make the part of one refinement."""
    name = source.paths.refined("run_class001.mrc", round_)
    processed = source.paths.path("postprocess", "postprocess.mrc", round_)
    source.need(name)
    sharp = source.has(processed)
    title = "Sharpened map" if sharp else "Refined map, not sharpened yet"
    masked = source.paths.path("postprocess", "postprocess_masked.mrc", round_)
    angst = refined_resolution(source, round_)
    yield from maps.views(source, processed if sharp else name, title, masked, angst)
    curves = source.paths.path("postprocess", "postprocess.star", round_)
    if source.has(curves):
        yield fsc(source, curves)
        if drawn := guinier(source, curves):
            yield drawn
    else:
        yield Text(text="No FSC yet: post-processing has not finished.", kind="missing")
    yield orientations(source, source.paths.refined("run_data.star", round_))
    if converged := convergence(source, round_):
        yield converged


def _files(source: Source, round_: int) -> tuple[str, ...]:
    return (
        source.paths.refined("run_class001.mrc", round_),
        source.paths.refined("run_data.star", round_),
        source.paths.path("postprocess", "postprocess.star", round_),
        source.paths.path("postprocess", "postprocess.mrc", round_),
    )


def part(round_: int) -> Part:
    """Return the part of one refinement: 0 is the one before any round."""
    return Part(
        name=f"refine3d-{round_}" if round_ else "refine3d",
        title=f"Refinement, round {round_}" if round_ else "Refinement",
        files=partial(_files, round_=round_),
        build=partial(build, round_=round_),
        applies=lambda source: round_ in source.rounds,
    )


# ------------------------------------------------------------------------------ local resolution


def local_resolution(source: Source) -> Iterator[Block]:
    """Make the part of the local resolution."""
    last = source.settings.polishing_rounds
    values = _sampled(source, source.paths.path("local_resolution", "relion_locres.mrc", last))
    mask = _sampled(source, source.paths.path("mask", "mask.mrc", last))
    if mask.shape != values.shape:
        raise InputError("the mask and the map of local resolutions differ in size")
    inside = np.where((mask > 0.5) & (values > 0), values, np.nan)
    known = inside[np.isfinite(inside)].astype(np.float64)
    if not known.size:
        raise InputError("no local resolution was found inside the mask")
    best, worst = (float(np.quantile(known, part)) for part in (0.02, 0.98))
    yield histogram("Local resolution in the mask", "local resolution (Å)", known, "voxels")
    pictures = []
    for axis_, view in zip(maps.AXES, images.slices(inside), strict=True):
        grain = -(-maps.VIEW_PX // len(view))
        large = np.kron(view, np.ones((grain, grain), dtype=np.float32))
        shade = (worst - large) / ((worst - best) or 1)
        pictures.append(
            maps.picture(images.tinted(shade), "local resolution", f"section across {axis_}")
        )
    yield Pictures(
        title="Local resolution in central sections",
        pictures=tuple(pictures),
        caption=f"Bright: {best:.1f} Å and better; dark: {worst:.1f} Å and worse.",
    )


def _sampled(source: Source, name: str) -> images.Image:
    """Read every so many voxels of a map."""
    with images.open_mrc(source.need(name)) as handle:
        step = -(-len(handle.data) // images.MAP_PX)
        return np.asarray(handle.data[::step, ::step, ::step], dtype=np.float32)


LOCAL_RESOLUTION = Part(
    name="local-resolution",
    title="Local resolution",
    files=lambda source: (
        source.paths.path(
            "local_resolution", "relion_locres.mrc", source.settings.polishing_rounds
        ),
    ),
    build=local_resolution,
    applies=lambda source: bool(source.rounds) and source.settings.local_resolution.enabled,
)

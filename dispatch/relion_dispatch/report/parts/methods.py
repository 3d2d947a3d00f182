"""A paragraph of methods, ready for a paper: what was done, with which programs, after whom."""

from __future__ import annotations

from collections.abc import Iterator

from relion_dispatch import __version__
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.initialmodel import runs_in_c1
from relion_dispatch.pipeline.preprocessing import uses_power_spectra
from relion_dispatch.report import star, tools
from relion_dispatch.report.citations import References
from relion_dispatch.report.content import Block, Text
from relion_dispatch.report.parts import summary
from relion_dispatch.report.source import Part, Source

#: Ways to pick particles, and the paper of each.
PICKERS = {
    "log": ("a Laplacian of Gaussian filter", "relion3"),
    "references": ("templates", "templates"),
    "topaz": ("Topaz", "topaz"),
}


def paragraph(source: Source, cited: References) -> str:
    """Write what has been done so far; a step that has not finished is not mentioned."""
    sentences = [
        *_programs(source, cited),
        *_images(source, cited),
        *_picking(source, cited),
        *_classes(source, cited),
        *_model(source, cited),
        *_refined(source, cited),
        *_rounds(source, cited),
        *_end(source),
    ]
    return " ".join(sentences)


def _programs(source: Source, cited: References) -> Iterator[str]:
    version = source.paths.version
    keys = ("relion", "relion4") if version.vdam else ("relion", "relion3")
    gpus = any(job.gpus or any(" --gpu" in line for line in job.commands) for job in source.jobs)
    engine = source.versions.get("relion-dispatch", __version__)
    snakemake = f"Snakemake {source.versions.get('snakemake', '')}".strip()
    text = f"All processing was done in RELION {version} {cited.cite(*keys)}"
    text += f", in part on GPUs {cited.cite('gpu')}" if gpus else ""
    yield f"{text}, run by relion-dispatch {engine} and {snakemake} {cited.cite('snakemake')}."


def _count(source: Source, name: str, label: str) -> int | None:
    try:
        return star.rows(source.file(name), label)
    except InputError:
        return None


def _images(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    optics = chosen.optics
    known = f"{optics.voltage:g} kV, {optics.pixel_size:g} Å per pixel" if _known(source) else ""
    count = _count(source, paths.imported, "rlnMicrographMovieName")
    if chosen.start == "movies" and count:
        yield (
            f"{tools.many(count, 'movie')} ({', '.join(filter(None, (known, _dose(source))))})"
            " were imported."
        )
    done = chosen.start == "movies" and source.has(paths.micrographs)
    if done:
        yield _motion(source, cited)
    micrographs = _count(source, paths.micrographs, "rlnMicrographName")
    if chosen.start == "micrographs" and micrographs:
        yield f"{tools.many(micrographs, 'micrograph')} ({known}) were imported."
    if chosen.start != "particles" and source.has(paths.micrographs_with_ctf):
        yield _ctf(source, cited)


def _known(source: Source) -> bool:
    return bool(source.settings.optics.voltage and source.settings.optics.pixel_size)


def _dose(source: Source) -> str:
    facts, per_frame = source.check.get("facts", {}), source.settings.dose.per_frame
    if not per_frame:
        return ""
    frames = f"{facts['frames']} frames of " if facts.get("frames") else ""
    return f"{frames}{per_frame:g} e/Å²{' each' if frames else ' per frame'}"


def _motion(source: Source, cited: References) -> str:
    chosen = source.settings.motion_correction
    own = chosen.program == "own"
    papers = cited.cite("motioncor2", "relion3") if own else cited.cite("motioncor2")
    program = f"{'RELION' if own else 'UCSF'}'s implementation of MotionCor2 {papers}"
    patches = f"{chosen.patches_x} × {chosen.patches_y} patches"
    whole = chosen.patches_x == chosen.patches_y == 1
    text = f"Beam-induced motion was corrected with {program}, "
    text += "for whole frames" if whole else f"in {patches}"
    if chosen.bin_factor != 1:
        text += f", with {chosen.bin_factor:g}-fold binning"
    if chosen.dose_weighting:
        text += f", and frames were weighted by their dose {cited.cite('dose')}"
    return f"{text}."


def _ctf(source: Source, cited: References) -> str:
    chosen = source.settings.ctf
    own = source.versions.get("relion-dispatch", __version__)
    if chosen.program == "builtin":
        program = f"the estimator of relion-dispatch {own}"
    else:
        name = "CTFFIND4" if chosen.program == "ctffind4" else "Gctf"
        program = f"{name} {cited.cite(chosen.program)}"
    spectra = uses_power_spectra(source.settings)
    what = "power spectra of the movies" if spectra else "the micrographs"
    return (
        f"The contrast transfer function was estimated with {program} from {what}, between"
        f" {chosen.min_resolution:g} and {chosen.max_resolution:g} Å."
    )


def _picking(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    count = _count(source, paths.extracted, "rlnImageName")
    if count is None:
        return
    if chosen.start == "particles":
        yield f"{tools.many(count, 'particle')} were imported."
        return
    if chosen.picking.method == "coordinates":
        method = "beforehand"
    else:
        words, paper = PICKERS[chosen.picking.method]
        method = f"with {words} {cited.cite(paper)}"
    found = summary.picks(source)
    before = f"{tools.many(found, 'particle')} were" if found else "Particles were"
    text = f"{before} picked {method}; {tools.many(count, 'particle')} were extracted"
    small, full = paths.extracted_box, paths.full_box
    if small and full:
        text += f" in boxes of {full[0]} pixels"
        scaled = f", scaled to {small[0]} pixels of {small[1]:.3g} Å"
        text += scaled if small[0] != full[0] else ""
    yield f"{text}."


def _classes(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    kept = _count(source, paths.chosen_2d, "rlnImageName")
    if not chosen.class2d.enabled or kept is None:
        return
    limits = chosen.select2d
    gradient = paths.version.vdam and chosen.class2d.algorithm != "em"
    how = f" by the VDAM algorithm {cited.cite('relion4')}" if gradient else ""
    yield (
        f"They were classified in 2D into {chosen.class2d.classes} classes{how}. Classes with at"
        f" least {limits.min_fraction:.2g} of the particles and a resolution within"
        f" {limits.resolution_factor:g} times that of the best were kept, with"
        f" {tools.many(kept, 'particle')}."
    )


def _model(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    if not source.has(paths.model):
        return
    symmetry = chosen.sample.symmetry
    if not paths.starts:
        yield "A map of the user's was the first reference."
    else:
        vdam = paths.version.vdam
        how = (
            f"by the VDAM algorithm {cited.cite('relion4')}"
            if vdam
            else f"by stochastic gradient descent {cited.cite('sgd', 'relion3')}"
        )
        late = runs_in_c1(chosen, paths.version) and symmetry != "C1"
        where = f"in C1, with {symmetry} symmetry applied afterwards" if late else f"in {symmetry}"
        ranked = ", and the likeliest on all particles was kept" if len(paths.starts) > 1 else ""
        begun = tools.many(len(paths.starts), "initial model")
        verb = "were" if len(paths.starts) > 1 else "was"
        yield f"{begun} {verb} made {where} {how}{ranked}."
    kept = _count(source, paths.chosen_3d, "rlnImageName")
    if chosen.class3d.enabled and kept is not None:
        yield (
            f"3D classification into {chosen.class3d.classes} classes"
            f" ({chosen.class3d.iterations} iterations, T = {chosen.class3d.tau_fudge:g}) left"
            f" {tools.many(kept, 'particle')}."
        )


def _refined(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    if not source.rounds or not source.has(paths.refined("run_data.star", 0)):
        return
    again = f"re-extracted in boxes of {paths.full_box[0]} pixels and " if paths.full_box else ""
    blush = f" with Blush regularisation {cited.cite('blush')}" if chosen.refine3d.blush else ""
    yield (
        f"They were {again if paths.extracts_again else ''}refined in {chosen.sample.symmetry}"
        f"{blush}, as two independent halves {cited.cite('gold')}."
    )
    if (angst := summary.refined_resolution(source, 0)) is None:
        return
    yield (
        f"The resolution was {angst:.2f} Å, where the FSC between the half maps, corrected for the"
        f" effects of the mask by phase randomisation {cited.cite('randomised')}, falls below 0.143"
        f" {cited.cite('rosenthal')}."
    )


def _rounds(source: Source, cited: References) -> Iterator[str]:
    chosen, paths = source.settings, source.paths
    done = [
        number
        for number in paths.rounds
        if source.rounds and source.has(paths.refined("run_data.star", number))
    ]
    if not done:
        return
    steps = []
    if chosen.ctf_refinement.enabled:
        steps.append(f"CTF refinement {cited.cite('ctfrefine')}")
    if chosen.polishing.enabled:
        steps.append(f"Bayesian polishing {cited.cite('polishing')}")
    often = "One round" if len(done) == 1 else f"{len(done)} rounds"
    verb = "was" if len(done) == 1 else "were"
    text = (
        f"{often} of {' and '.join(steps)}, each followed by refinement,"
        if len(done) > 1
        else (f"{often} of {' and '.join(steps)}, followed by refinement,")
    )
    angst = summary.refined_resolution(source, done[-1])
    yield f"{text} {verb} done" + (f", to {angst:.2f} Å." if angst else ".")


def _end(source: Source) -> Iterator[str]:
    done = [
        number
        for number in source.rounds
        if source.has(source.paths.path("postprocess", "postprocess.star", number))
    ]
    if not done:
        return
    file = source.file(source.paths.path("postprocess", "postprocess.star", done[-1]))
    items = star.columns(file, ("rlnBfactorUsedForSharpening",))
    value = tools.signed(float(items["rlnBfactorUsedForSharpening"][0]))
    yield f"The final map was sharpened with a B-factor of {value} Å²."
    last = source.settings.polishing_rounds
    if source.has(source.paths.path("local_resolution", "relion_locres.mrc", last)):
        yield "Local resolution was estimated with RELION's own implementation."


def build(source: Source) -> Iterator[Block]:
    """Make the part."""
    cited = References()
    yield Text(text=paragraph(source, cited), kind="copy")
    for line in cited.listed():
        yield Text(text=line, kind="reference")


PART = Part(name="methods", title="Methods", files=lambda _: (), build=build)

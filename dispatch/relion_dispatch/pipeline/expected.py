"""The jobs that a configuration asks for, in order, without Snakemake and without RELION."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.preprocessing import micrograph_pixel_size


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A job of the pipeline.

    Attributes
    ----------
    rule
        Name of its Snakemake rule.
    step
        Its step as in ``config.yaml``.
    folder
        Its directory, relative to the project and without slash at the end.
    """

    rule: str
    step: str
    folder: str


def expected(settings: Settings) -> tuple[Expected, ...]:
    """List the jobs that lead to a configuration's results, in an order in which they can run.

    Parameters
    ----------
    settings
        The checked configuration.
    """
    if settings.initial_model.reference and not _goes_on(settings):
        seen = [] if settings.start == "particles" else list(_micrographs(settings))
        steps = [*seen, *_own_reference(settings)]
    else:
        steps = [*_images(settings), *_classes(settings)]
    if settings.refine3d.enabled:
        steps += _maps(settings)
    layout = Layout(settings.first_job)
    return tuple(_placed(layout, rule, step, number) for rule, step, number in steps)


#: A step's rule, name, and the round or start it belongs to.
_Step = tuple[str, str, int]


def _placed(layout: Layout, rule: str, step: str, number: int) -> Expected:
    starts = step == "initial_model"
    folder = layout.start(number) if starts else layout.dir(step, round=number)
    return Expected(rule=rule, step=step, folder=folder.rstrip("/"))


def _micrographs(s: Settings) -> Iterator[_Step]:
    yield "relion_import", "import", 0
    if s.start == "movies":
        yield "motion_correction", "motion_correction", 0
    if s.start != "particles":
        yield "ctf", "ctf", 0


def _images(s: Settings) -> Iterator[_Step]:
    yield from _micrographs(s)
    if s.start == "particles":
        return
    if s.picking.method == "coordinates":
        yield "import_coordinates", "import_coordinates", 0
    else:
        if s.picking.method == "topaz" and s.picking.topaz.train:
            yield "topaz_training", "topaz_training", 0
        yield "picking", "picking", 0
    yield "extraction", "extraction", 0


def _goes_on(s: Settings) -> bool:
    """Whether anything is made of particles and a first map."""
    return s.class3d.enabled or s.refine3d.enabled


def _own_reference(s: Settings) -> Iterator[_Step]:
    if s.sample.box_size and micrograph_pixel_size(s):
        yield "own_reference", "rank_starts", 0


def _classes(s: Settings) -> Iterator[_Step]:
    if s.class2d.enabled:
        yield from (("class2d", "class2d", 0), ("select2d", "select2d", 0))
    if s.initial_model.reference is None:
        for start in range(1, s.initial_model.starts + 1):
            yield f"initial_model_{start}", "initial_model", start
        yield "rank_starts", "rank_starts", 0
    else:
        yield from _own_reference(s)
    if s.class3d.enabled:
        yield from (("class3d", "class3d", 0), ("select3d", "select3d", 0))


def _maps(s: Settings) -> Iterator[_Step]:
    again = s.reextraction.enabled
    if s.start != "particles" if again == "auto" else again:
        yield "reextraction", "reextraction", 0
    yield from _refinement("", 0)
    for round_ in range(1, s.polishing_rounds + 1):
        if s.ctf_refinement.enabled:
            yield f"ctf_refinement_{round_}", "ctf_refinement", round_
        if s.polishing.enabled and s.polishing.train:
            yield f"polishing_training_{round_}", "polishing_training", round_
        if s.polishing.enabled:
            yield f"polishing_{round_}", "polishing", round_
        yield from _refinement(f"_{round_}", round_)
    if s.local_resolution.enabled:
        yield "local_resolution", "local_resolution", s.polishing_rounds


def _refinement(suffix: str, round_: int) -> Iterator[_Step]:
    for step in ("refine3d", "mask", "postprocess"):
        yield f"{step}{suffix}", step, round_

"""The parts of the report, in the order of the page."""

from __future__ import annotations

from relion_dispatch.report.parts import (
    classes,
    methods,
    micrographs,
    particles,
    polishing,
    records,
    refinement,
    resources,
    summary,
    verdicts,
)
from relion_dispatch.report.source import Part, Source


def parts(source: Source) -> list[Part]:
    """Return the parts that a project's report has."""
    every = [
        summary.WAY,
        verdicts.PART,
        micrographs.PART,
        particles.PART,
        classes.CLASS2D,
        classes.STARTS,
        classes.CLASS3D,
        refinement.part(0),
    ]
    for round_ in source.paths.rounds:
        every += [polishing.part(round_), refinement.part(round_)]
    every += [refinement.LOCAL_RESOLUTION, resources.PART, methods.PART, records.PART]
    return [part for part in every if part.applies(source)]

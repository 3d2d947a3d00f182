"""Forms of this package's own steps: selections stand for Select, all others for External."""

from __future__ import annotations

from relion_dispatch.command import Command
from relion_dispatch.project.forms.words import Filled, Step, Words


def selection(step: Step) -> Filled:
    """Classes that were chosen: the window shows the classification that they are from.

    A copy of the job lets the user choose by hand.
    """
    words = Words(Command.parse(step.lines[0]))
    model = words.take("--model")
    if step.flavour.words:
        model = f"{model.removesuffix('_model.star')}_optimiser.star"
    flat = not words.has("--best_map")
    kind = "optimiser" if step.flavour.words else "model"
    chosen = (
        step.made(class_averages__star="references:classaverages")
        if flat
        else step.made(best_class__mrc="map")
    )
    return Filled(
        folder="Select",
        sub=".interactive",
        options={"fn_model": model, "do_recenter": "No"},
        inputs=((model, kind),),
        outputs=(*step.made(particles__star="particles"), *chosen),
    )


def external(step: Step) -> Filled:
    """Any other step: its command line is what the window starts."""
    words = Words(Command.parse(step.lines[0]))
    starts = Command.parse(step.lines[0]).values("--start")
    given = starts or (words.take("--i"),)
    text = " && ".join(step.lines)
    before = text.replace(f" --o {step.out}", " ").replace("  ", " ")
    return Filled(
        folder="External",
        options={"fn_exe": before},
        inputs=tuple((path, "map:initialmodel" if starts else "map") for path in given if path),
        outputs=step.made(initial_model__mrc="map"),
    )

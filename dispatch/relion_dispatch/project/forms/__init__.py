"""From a step's command lines back to the fields of RELION's window that would write them.

Each form is one job type of the window: which of its fields an option of the command line comes
from. RELION's side is ``RelionJob::getCommands…Job`` in ``src/pipeline_jobs.cpp`` of the branches
ver3.1, ver4.0 and ver5.0; the fields and what they hold in a new window are in
``joboptions.json``. What no field can say goes into *Additional arguments*.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import cast

from relion_dispatch.project.flavours import Flavour
from relion_dispatch.project.forms import images, maps, own, particles, picking
from relion_dispatch.project.forms.words import Filled, Form, Step

#: Fields by job type: what a new window holds, the same in all versions or by version.
_Table = dict[str, dict[str, str | dict[str, str | None] | None]]

_FORMS: dict[str, Form] = {
    "Import": images.import_files,
    "MotionCorr": images.motion_correction,
    "CtfFind": images.ctf,
    "AutoPick": picking.picking,
    "Extract": images.extraction,
    "Class2D": particles.class2d,
    "InitialModel": particles.initial_model,
    "Class3D": particles.class3d,
    "Refine3D": particles.refine3d,
    "MaskCreate": maps.mask,
    "PostProcess": maps.postprocess,
    "LocalRes": maps.local_resolution,
    "CtfRefine": maps.ctf_refinement,
    "Polish": maps.polishing,
    "Select": own.selection,
}


def fill(step: Step) -> Filled:
    """Fill in the window's fields for a step.

    Returns
    -------
    Filled
        With every field of the step's job type that does not depend on the machine.
    """
    form = own.external if step.is_own else _FORMS[step.folder]
    filled = form(step)
    known = defaults(filled.folder, step.flavour)
    given = {name: value for name, value in filled.options.items() if name in known}
    fixed = {name: value for name, value in known.items() if value is not None}
    return filled.with_options({**fixed, **given})


def defaults(folder: str, flavour: Flavour) -> dict[str, str | None]:
    """Return the fields of a job type and what they hold in a new window.

    None is what the machine decides: where its programs are.
    """
    found = _table()[folder].items()
    spread = {
        name: value if isinstance(value, dict) else {flavour.name: value} for name, value in found
    }
    return {name: values[flavour.name] for name, values in spread.items() if flavour.name in values}


@cache
def _table() -> _Table:
    text = resources.files("relion_dispatch.project").joinpath("joboptions.json").read_text()
    return cast("_Table", json.loads(text))

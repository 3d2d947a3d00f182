from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from relion_dispatch.pipeline.versions import Version
from relion_dispatch.project import forms
from relion_dispatch.project.flavours import FILE_KINDS, flavour
from relion_dispatch.project.forms.images import background_diameter
from relion_dispatch.project.forms.words import Step
from tests.unit.pipeline_chain import VERSIONS, chain, settings_with
from tests.unit.test_relion_arguments import EVERYTHING, FROM_PARTICLES, OTHERWISE, TOPAZ


def steps(version: str, changes: Mapping[str, Any] | None = None) -> Iterator[Step]:
    """Every step that a form of the window stands for."""
    known = Version.parse(version)
    for name, lines in chain(settings_with(changes), known).items():
        found = re.search(r"--pipeline_control ((\w+)/job\d+/)", lines[0])
        if found:
            style = flavour(known.major)
            yield Step(folder=found[2], out=found[1], lines=lines, flavour=style, name=name)


def step(name: str, version: str = "3.1", changes: Mapping[str, Any] | None = None) -> Step:
    return next(each for each in steps(version, changes) if each.name == name)


@pytest.mark.parametrize("changes", [{}, EVERYTHING, OTHERWISE, FROM_PARTICLES])
@pytest.mark.parametrize("version", VERSIONS)
def test_all_fields_of_a_version_are_filled_in(version: str, changes: Mapping[str, Any]) -> None:
    for each in steps(version, changes):
        filled = forms.fill(each)
        known = forms.defaults(filled.folder, each.flavour)
        open_ = {name for name, value in known.items() if value is None}
        assert set(known) - open_ <= set(filled.options) <= set(known), each.name
        assert all(isinstance(value, str) for value in filled.options.values())
        assert {kind for _, kind in (*filled.inputs, *filled.outputs)} <= set(FILE_KINDS)
        assert all(path for path, _ in (*filled.inputs, *filled.outputs)), each.name


@pytest.mark.parametrize("version", VERSIONS)
def test_what_no_field_can_say_is_an_additional_argument(version: str) -> None:
    changes = {"class2d": {"max_significants": 20, "extra_arguments": "--some 'a b' --more"}}
    options = forms.fill(step("class2d", version, changes)).options
    assert options["other_args"] == "--maxsig 20 --random_seed 1 --some 'a b' --more"


def test_the_fields_show_what_is_run() -> None:
    changes = {
        "class2d": {"classes": 50, "psi_sampling": 10, "offset_step": 2, "zero_mask": False},
        "ignore_first_ctf_peak": True,
        "compute": {"pool": 30, "preread_images": True},
    }
    options = forms.fill(step("class2d", changes=changes)).options
    shown = {
        "nr_classes": "50",
        "psi_sampling": "10",
        "offset_step": "2",
        "do_zero_mask": "No",
        "ctf_intact_first_peak": "Yes",
        "nr_pool": "30",
        "do_preread_images": "Yes",
        "do_helix": "No",
    }
    assert {name: options[name] for name in shown} == shown


@pytest.mark.parametrize(
    "version, iterations, made",
    [("3.1", "nr_iter", "model.star"), ("5.0", "nr_iter_grad", "optimiser.star")],
)
def test_versions_have_their_own_fields_and_files(version: str, iterations: str, made: str) -> None:
    filled = forms.fill(step("class2d", version))
    last = int(filled.options[iterations])
    assert f"Class2D/job006/run_it{last:03d}_{made}" in dict(filled.outputs)
    assert ("do_grad" in filled.options) == (version != "3.1")


def test_a_threshold_that_is_found_is_filled_in_later() -> None:
    mask = step("mask")
    line = mask.lines[0].replace("0.0123", '"$(cat MaskCreate/job036/threshold.txt)"')
    found = forms.fill(Step(**{**vars(mask), "lines": ("python -m x", line)}))

    assert found.late == {"inimask_threshold": "MaskCreate/job036/threshold.txt"}
    assert found.options["inimask_threshold"] == "0.02"
    assert forms.fill(mask).options["inimask_threshold"] == "0.0123"
    assert forms.fill(mask).late == {}


def test_topaz_is_trained_or_picks() -> None:
    picks = forms.fill(step("picking", "4.0", TOPAZ))
    assert picks.sub == ".topaz.pick"
    assert (picks.options["do_topaz_pick"], picks.options["do_log"]) == ("Yes", "No")


def test_a_selection_shows_the_classes_that_it_is_from() -> None:
    command = (
        "python -m relion_dispatch.pipeline.selection --model Class2D/job006/run_it010_model.star"
        " --data Class2D/job006/run_it010_data.star --o Select/job007/ --relion 3"
    )
    old, new = (
        forms.fill(
            Step(folder="Select", out="Select/job007/", lines=(command,), flavour=flavour(major))
        )
        for major in (3, 4)
    )
    assert old.options["fn_model"] == "Class2D/job006/run_it010_model.star"
    assert new.options["fn_model"] == "Class2D/job006/run_it010_optimiser.star"
    assert dict(old.outputs)["Select/job007/class_averages.star"] == "references:classaverages"


def test_any_other_step_is_an_external_job() -> None:
    command = (
        "python -m relion_dispatch.pipeline.starts --start a.mrc a.star --start b.mrc b.star"
        " --o Select/job031/ --particle_diameter 140"
    )
    filled = forms.fill(
        Step(
            folder="Select",
            out="Select/job031/",
            lines=(command,),
            flavour=flavour(3),
            is_own=True,
        )
    )
    assert filled.folder == "External"
    assert " --o " not in filled.options["fn_exe"]
    assert [path for path, _ in filled.inputs] == ["a.mrc", "b.mrc"]


@pytest.mark.parametrize("box, scaled", [(360, 0), (360, 128), (48, 32), (51, 20)])
def test_every_radius_has_a_diameter_that_makes_it(box: int, scaled: int) -> None:
    for radius in range(1, (scaled or box) // 2):
        diameter = float(background_diameter(radius, box, scaled))
        if diameter < 0:
            diameter = 0.75 * box
        assert int(diameter / 2 * ((scaled or box) / box)) == radius

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import schema, settings, values
from relion_dispatch.pipeline.consistency import check_version
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.settings import merge
from relion_dispatch.pipeline.versions import Version
from relion_dispatch.resources import workflow_dir
from tests.unit.pipeline_chain import DEFAULTS, MINIMUM, settings_with

SCHEMA = schema.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def leaves(block: type = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all options that are no blocks."""
    for name, hint in values.fields(block).items():
        if dataclasses.is_dataclass(hint):
            yield from leaves(typing.cast("type", hint), (*path, name))
        else:
            yield (*path, name)


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Build the configuration that sets one option."""
    for name in reversed(path):
        value = {name: value}
    return typing.cast("dict[str, Any]", value)


def problems(changes: Mapping[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        settings_with(changes)
    return str(caught.value)


# ------------------------------------------------------------------------------------- defaults


def test_the_defaults_file_has_every_option_and_no_other() -> None:
    def paths(block: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in block.items():
            if isinstance(value, dict) and value:
                yield from paths(value, (*path, name))
            else:
                yield (*path, name)

    assert sorted(paths(DEFAULTS)) == sorted(leaves())


def test_the_defaults_are_valid_once_the_data_are_described() -> None:
    loaded = settings_with()
    assert loaded.start == "movies"
    assert loaded.optics.pixel_size == 0.885
    assert loaded.class2d.iterations == 25
    assert loaded.sample.small_box_size == "auto"


def test_what_has_no_sensible_default_must_be_given() -> None:
    with pytest.raises(InputError) as caught:
        settings.load({}, source="config.yaml")
    missing = [line.split(" ")[1] for line in str(caught.value).splitlines()]
    assert missing == [
        "optics.pixel_size",
        "optics.voltage",
        "dose.per_frame",
        "sample.particle_diameter",
        "sample.box_size",
    ]


def test_an_option_changes_only_itself() -> None:
    plain, changed = settings_with(), settings_with({"class2d": {"classes": 100}})
    assert changed.class2d.classes == 100
    assert dataclasses.replace(changed, class2d=plain.class2d) == plain


def test_an_empty_block_changes_nothing() -> None:
    assert settings_with({"class2d": None, "ctf": {}}) == settings_with()


def test_other_defaults(tmp_path: Path) -> None:
    file = tmp_path / "defaults.yaml"
    file.write_text(yaml.safe_dump(merge(DEFAULTS, {"seed": 7})))
    assert settings.load(MINIMUM, defaults=file).seed == 7


# ----------------------------------------------------------------------------- wrong options


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"clas2d": {}}, "clas2d is no option; did you mean class2d?"),
        (
            {"class2d": {"iteratons": 3}},
            "class2d.iteratons is no option; did you mean class2d.iterations?",
        ),
        (
            {"picking": {"log": {"min_diam": 3}}},
            "picking.log.min_diam is no option; did you mean picking.log.min_diameter?",
        ),
        ({"gain": {"xyz": 3}}, "gain.xyz is no option; there are: file, rotation, flip, defects"),
        ({3: 4}, "3 is no option"),
    ],
)
def test_unknown_options(changes: Mapping[str, Any], message: str) -> None:
    assert message in problems(changes)


@pytest.mark.parametrize(
    "changes,message",
    [
        (
            {"class2d": {"classes": "ten"}},
            "class2d.classes must be a whole number of at least 1, not the text 'ten'",
        ),
        (
            {"class2d": {"classes": 2.5}},
            "class2d.classes must be a whole number of at least 1, not 2.5",
        ),
        ({"class2d": {"classes": 0}}, "not 0"),
        (
            {"class2d": {"enabled": "yes"}},
            "class2d.enabled must be true or false, not the text 'yes'",
        ),
        ({"class2d": {"classes": True}}, "not true"),
        ({"class2d": {"classes": None}}, "not null (nothing)"),
        ({"class2d": 5}, "class2d must be a block of options, not 5"),
        (
            {"optics": {"pixel_size": -0.9}},
            "optics.pixel_size must be a number of more than 0 or null",
        ),
        ({"optics": {"pixel_size": "1e-1"}}, "not the text '1e-1'"),
        ({"optics": {"group_name": "my group"}}, "a name of letters, digits and hyphens only"),
        ({"sample": {"symmetry": "D"}}, "a point group such as C1, D2, T, O or I1"),
        ({"sample": {"box_size": 361}}, "sample.box_size must be an even number of at least 16"),
        ({"start": "frames"}, "start must be movies or micrographs or particles"),
        ({"relion_version": 2.1}, "relion_version must be auto or 3.1 or 4.0 or 5.0, not 2.1"),
        ({"class3d": {"angular_sampling": 8}}, "one of 30, 15, 7.5, 3.7, 1.8, 0.9, 0.5, 0.2, 0.1"),
        ({"ctf": {"use_power_spectra": "yes"}}, "must be auto or true or false"),
        ({"initial_model": {"starts": 21}}, "of at least 1 and at most 20"),
        ({"polishing_rounds": 7}, "of at least 0 and at most 6"),
        ({"sizing": {"class2d": 4}}, "sizing.class2d must be a block of options"),
        ({"movies": ["a", "b"]}, "movies must be a text or null, not ['a', 'b']"),
    ],
)
def test_wrong_values(changes: Mapping[str, Any], message: str) -> None:
    assert message in problems(changes)


def test_everything_wrong_is_reported_at_once_with_its_source() -> None:
    config = {"class2d": {"classes": 0, "tau": 2}, "seed": "x"}
    with pytest.raises(InputError) as caught:
        settings.load(config, source="project/config.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("project/config.yaml: ") for line in lines)


def test_values_get_the_type_of_their_option() -> None:
    loaded = settings_with({"optics": {"voltage": 300}, "class2d": {"classes": 50.0}})
    assert isinstance(loaded.optics.voltage, float)
    assert isinstance(loaded.class2d.classes, int)


@pytest.mark.parametrize("version", ["4.0", 4.0, 4])
def test_a_version_may_be_written_without_quotes(version: object) -> None:
    assert settings_with({"relion_version": version}).relion_version == "4.0"


@given(st.sampled_from(sorted(leaves())), st.text("abc_", max_size=12))
def test_every_misspelt_name_is_reported_with_its_path(path: tuple[str, ...], tail: str) -> None:
    *block, name = path
    misspelt = (*block, f"{name}q{tail}")
    found: list[str] = []
    values.check_block(Settings, merge(DEFAULTS, nested(misspelt, 1)), "", found)
    assert [problem.partition(" is no option; ")[0] for problem in found] == [".".join(misspelt)]


# ------------------------------------------------------------------------------- cross-checks


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"start": "micrographs"}, "micrographs is missing"),
        ({"start": "particles"}, "particles is missing"),
        ({"movies": None}, "movies is missing"),
        ({"movies": "/data/*.tiff"}, "make a symbolic link in the project"),
        ({"movies": "../data/*.tiff"}, "movies must be inside the project"),
        ({"sample": {"small_box_size": 400}}, "must not be larger than sample.box_size (360)"),
        (
            {"sample": {"particle_diameter": 320}},
            "sample.particle_diameter (320 Å) must be smaller than the box: 360 pixels are 318.6 Å",
        ),
        (
            {"motion_correction": {"first_frame": 5, "last_frame": 3}},
            "motion_correction.last_frame",
        ),
        ({"motion_correction": {"patches_y": 2}}, "patches_y must be 1 or at least 3"),
        ({"ctf": {"max_resolution": 30}}, "ctf.max_resolution must be a smaller number"),
        ({"ctf": {"min_defocus": 50000}}, "ctf.min_defocus must be less"),
        ({"ctf": {"phase_shift": {"enabled": True, "min": 180}}}, "ctf.phase_shift.min"),
        ({"ctf": {"use_power_spectra": True, "program": "gctf"}}, "needs power spectra"),
        (
            {
                "ctf": {"use_power_spectra": True},
                "motion_correction": {"program": "motioncor2"},
            },
            "only RELION's own motion correction writes",
        ),
        ({"ctf": {"use_power_spectra": True, "window": 2048}}, "ctf.window must be -1"),
        ({"picking": {"method": "references"}}, "picking.references.file is missing"),
        ({"picking": {"method": "coordinates"}}, "picking.coordinates is missing"),
        (
            {"picking": {"method": "coordinates", "coordinates": "/picks/*.star"}},
            "picking.coordinates must be inside the project",
        ),
        ({"picking": {"method": "topaz", "topaz": {"train": True}}}, "training_coordinates or"),
        (
            {
                "picking": {
                    "method": "topaz",
                    "topaz": {"train": True, "training_particles": "p.star", "model": "m.sav"},
                }
            },
            "picking.topaz.model must be null",
        ),
        (
            {"picking": {"log": {"min_diameter": 90, "max_diameter": 80}}},
            "picking.log.min_diameter",
        ),
        (
            {"start": "particles", "particles": "p.star", "reextraction": {"enabled": True}},
            "reextraction.enabled: true needs micrographs",
        ),
        ({"class3d": {"fast_subsets": True, "iterations": 10}}, "needs at least 20 iterations"),
        ({"refine3d": {"enabled": False}}, "polishing_rounds must be 0"),
        ({"refine3d": {"enabled": False}}, "local_resolution.enabled must be false"),
        ({"refine3d": {"solvent_corrected_fsc": True}}, "needs refine3d.mask"),
        ({"postprocess": {"adhoc_bfactor": -50}}, "needs postprocess.auto_bfactor: false"),
        (
            {"ctf_refinement": {"enabled": False}, "polishing": {"enabled": False}},
            "nothing is left to do in a round",
        ),
        ({"ctf_refinement": {"magnification": True}}, "cannot go with other fits"),
        (
            {"ctf_refinement": {"defocus": "none", "astigmatism": "none"}},
            "ctf_refinement fits nothing",
        ),
        ({"ctf_refinement": {"trefoil": True}}, "needs ctf_refinement.beam_tilt: true"),
        ({"start": "micrographs", "micrographs": "m/*.mrc"}, "polishing needs movies"),
        (
            {"polishing": {"train": True, "parameters_file": "x.txt"}},
            "polishing.parameters_file must be null",
        ),
        ({"polishing": {"box_size": 512}}, "must be given together"),
        ({"polishing": {"box_size": 256, "scaled_size": 512}}, "must not be larger"),
        ({"verdict": {"stop_agreement": 0.9}}, "must not be larger than verdict.doubt_agreement"),
        (
            {"class2d": {"extra_arguments": '--x "a'}},
            "class2d.extra_arguments cannot be read as arguments: no closing quotation",
        ),
        ({"sizing": {"refine": {}}}, "sizing.refine is no step; there is: refine3d"),
        (
            {"sizing": {"refine3d": {"runtimes": 60}}},
            "sizing.refine3d: unknown job parameter 'runtimes': did you mean 'runtime'?",
        ),
    ],
)
def test_settings_that_contradict_each_other(changes: Mapping[str, Any], message: str) -> None:
    assert message in problems(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "micrographs", "micrographs": "m/*.mrc", "polishing": {"enabled": False}},
        {
            "start": "micrographs",
            "micrographs": "m/*.mrc",
            "dose": {"per_frame": None},
            "corrected_micrographs": "MotionCorr/job007/corrected_micrographs.star",
        },
        {
            "start": "particles",
            "particles": "p.star",
            "optics": {"pixel_size": None, "voltage": None},
            "sample": {"box_size": None},
            "polishing_rounds": 0,
        },
        {
            "refine3d": {"enabled": False},
            "polishing_rounds": 0,
            "local_resolution": {"enabled": False},
        },
        {"class2d": {"enabled": False}, "class3d": {"enabled": False}},
        {"sample": {"small_box_size": 360}},
        {"motion_correction": {"bin_factor": 2}, "sample": {"particle_diameter": 320}},
        {"sizing": {"refine3d": {"nproc": 5}, "initial_model": {"nthread": 8}}},
        {"verdict": {"stop": False, "max_resolution": 12}},
        {"verdict": {"stop_agreement": 0.9, "doubt_agreement": 0.9}},
        {
            "ctf_refinement": {
                "magnification": True, "defocus": "none", "astigmatism": "none",
            }
        },
    ],
)  # fmt: skip
def test_settings_that_go_together(changes: Mapping[str, Any]) -> None:
    assert isinstance(settings_with(changes), Settings)


# ------------------------------------------------------------------------------------ versions


@pytest.mark.parametrize(
    "changes,refused_by",
    [
        ({}, set()),
        ({"class2d": {"algorithm": "vdam"}}, {"3.1"}),
        ({"picking": {"method": "topaz"}}, {"3.1"}),
        ({"extraction": {"min_figure_of_merit": 0.1}}, {"3.1"}),
        ({"ctf": {"program": "gctf"}}, {"5.0"}),
        ({"class3d": {"blush": True}}, {"3.1", "4.0"}),
        ({"refine3d": {"blush": True}}, {"3.1", "4.0"}),
    ],
)
def test_what_a_version_cannot_do(changes: Mapping[str, Any], refused_by: set[str]) -> None:
    loaded = settings_with(changes)
    refused = set()
    for version in ("3.1", "4.0", "5.0"):
        try:
            check_version(loaded, Version.parse(version))
        except InputError as error:
            assert "is not for RELION" in str(error)  # noqa: PT017 (which versions is the question)
            refused.add(version)
    assert refused == refused_by


# --------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "content,message",
    [
        ("class2d: [1, 2\n", "config.yaml:2: no valid YAML: "),
        ("optics:\n  voltage: 300\n\tpixel_size: 1\n", "config.yaml:3: no valid YAML: "),
        ("", "holds no options"),
        ("- a\n- b\n", "holds no options"),
    ],
)
def test_unreadable_files(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        settings.read(file)


def test_problems_name_the_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("# Mine.\noptics:\n  voltag: 300\nctf: {box_size: 511}\npicking:\n  log: 3\n")
    with pytest.raises(InputError) as caught:
        settings.load(settings.read(file), source=str(file))
    assert str(caught.value).splitlines()[:3] == [
        f"{file}:3: optics.voltag is no option; did you mean optics.voltage?",
        f"{file}:4: ctf.box_size must be an even number of at least 16, not 511",
        f"{file}:6: picking.log must be a block of options, not 3",
    ]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml: cannot be read: No such file"):
        settings.read(tmp_path / "config.yaml")


def test_importing_and_loading_takes_no_heavy_library() -> None:
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from relion_dispatch.pipeline import commands, layout, settings, versions\n"
        f"settings.load({dict(MINIMUM)!r})\n"
        "heavy = {'numpy', 'pandas', 'starfile', 'mrcfile', 'jinja2', 'jsonschema', 'snakemake'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


# -------------------------------------------------------------------------------------- schema


def test_the_schema_file_is_up_to_date() -> None:
    file = workflow_dir() / "workflow" / "schemas" / "config.schema.yaml"
    assert file.read_text(encoding="utf-8") == schema.text(), (
        "run: python -m relion_dispatch.pipeline.schema > workflow/schemas/config.schema.yaml"
    )


def test_the_schema_is_one_and_accepts_the_defaults() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(DEFAULTS, SCHEMA)
    jsonschema.validate(MINIMUM, SCHEMA)


def test_every_option_is_explained() -> None:
    def option(path: tuple[str, ...]) -> dict[str, Any]:
        part = SCHEMA
        for name in path:
            part = part["properties"][name]
        return part

    assert [".".join(path) for path in leaves() if not option(path).get("description")] == []


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from([0.5, 7.5, 30.0, 48.0, -0.1, 4.0, 3.1, 1e9]),
    st.sampled_from(["auto", "none", "movies", "vdam", "C1", "D2", "x y", "", "4.0", "5.0", "no"]),
    st.just({}),
    st.just([]),
)


@given(st.sampled_from(sorted(leaves())), odd_values)
def test_the_schema_accepts_what_the_settings_accept(path: tuple[str, ...], value: object) -> None:
    config = nested(path, value)
    found: list[str] = []
    values.check_block(Settings, merge(DEFAULTS, config), "", found)
    assert VALIDATOR.is_valid(config) == (not found), found

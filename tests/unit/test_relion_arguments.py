"""Every option that the commands can carry is one that the program of that version knows.

RELION only warns of an option that it does not know and goes on without it, so a wrong name would
never fail a run.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from relion_dispatch.pipeline.versions import Version
from tests.unit.pipeline_chain import DATA, VERSIONS, chain, settings_with

PROGRAM = re.compile(r"`which (\w+)`")
# Every switch turned, in as few configurations as the choices that exclude each other allow.
EVERYTHING: Mapping[str, Any] = {
    "optics": {"mtf": "mtf.star"},
    "gain": {"file": "gain.mrc", "rotation": 1, "flip": 2, "defects": "defects.txt"},
    "ignore_first_ctf_peak": True,
    "motion_correction": {"group_frames": 3, "save_non_dose_weighted": True},
    "ctf": {
        "executable": "ctffind",
        "use_non_dose_weighted": True,
        "phase_shift": {"enabled": True},
    },
    "picking": {"log": {"upper_threshold": 3, "white_particles": True}},
    "class2d": {
        "fast_subsets": True,
        "resolution_limit": 8,
        "allow_coarser_sampling": True,
        "max_significants": 10,
    },
    "initial_model": {"max_significants": 10},
    "class3d": {
        "local_search_range": 5,
        "allow_coarser_sampling": True,
        "fast_subsets": True,
        "resolution_limit": 8,
        "mask": "mask.mrc",
        "max_significants": 10,
    },
    "refine3d": {
        "mask": "mask.mrc",
        "solvent_corrected_fsc": True,
        "finer_faster": True,
        "max_significants": 10,
    },
    "ctf_refinement": {
        "bfactor": "per_particle",
        "phase_shift": "per_micrograph",
        "beam_tilt": True,
        "trefoil": True,
        "fourth_order": True,
    },
    "polishing": {"box_size": 512, "scaled_size": 256},
    "postprocess": {"lowpass": 4, "calibrated_pixel_size": 0.9},
    "compute": {
        "scratch_dir": "/scratch",
        "parallel_disc_io": False,
    },
}
OTHERWISE: Mapping[str, Any] = {
    "motion_correction": {
        "program": "motioncor2",
        "executable": "motioncor2",
        "other_args": "-Tor 0.5",
    },
    "picking": {
        "method": "references",
        "references": {
            "file": "map.mrc",
            "is_map": True,
            "pixel_size": 3.5,
            "mask_diameter": 200,
            "highpass": 300,
            "min_average_noise": -0.5,
        },
    },
    "initial_model": {"reference": "map.mrc", "reference_ctf_corrected": False, "in_c1": True},
    "class3d": {"enabled": False},
    "ctf_refinement": {"magnification": True, "defocus": "none", "astigmatism": "none"},
    "polishing": {"parameters_file": "opt_params_all_groups.txt", "sigma_acc": -1},
    "postprocess": {"auto_bfactor": False, "adhoc_bfactor": -50},
    "compute": {"preread_images": True, "combine_through_disc": True},
}
FROM_MICROGRAPHS: Mapping[str, Any] = {
    "start": "micrographs",
    "micrographs": "Micrographs/*.mrc",
    "picking": {"method": "coordinates", "coordinates": "Micrographs/*_pick.star"},
    "polishing": {"enabled": False},
}
FROM_PARTICLES: Mapping[str, Any] = {
    "start": "particles",
    "particles": "my/particles.star",
    "polishing": {"enabled": False},
}
GCTF: Mapping[str, Any] = {
    "ctf": {
        "program": "gctf",
        "executable": "gctf",
        "gctf": {"equiphase_averaging": True, "other_args": "--ac 0.1"},
    }
}
TOPAZ: Mapping[str, Any] = {
    "picking": {
        "method": "topaz",
        "topaz": {
            "executable": "topaz",
            "train": True,
            "training_particles": "particles.star",
            "particles_per_micrograph": 200,
            "other_args": "--num-epochs 20",
        },
    },
    "extraction": {"min_figure_of_merit": 0.1},
}
BLUSH: Mapping[str, Any] = {"class3d": {"blush": True}, "refine3d": {"blush": True}}
EVERY_VERSION: tuple[Mapping[str, Any], ...] = (
    {},
    EVERYTHING,
    OTHERWISE,
    FROM_MICROGRAPHS,
    FROM_PARTICLES,
)
CASES = [
    *((version, changes) for version in VERSIONS for changes in EVERY_VERSION),
    ("3.1", GCTF),
    ("4.0", GCTF),
    ("4.0", TOPAZ),
    ("5.0", TOPAZ),
    ("5.0", BLUSH),
]


def known(version: str) -> dict[str, set[str]]:
    lists = json.loads((DATA / f"relion_options_{version}.json").read_text())
    return {program: set(names) for program, names in lists.items()}


def options(command: str) -> Iterator[str]:
    for word in shlex.split(PROGRAM.sub(r"\1", command))[1:]:
        if word.startswith("--"):
            yield word.removeprefix("--")


def program(command: str) -> str:
    found = PROGRAM.match(command)
    return found[1] if found else command.split(maxsplit=1)[0]


def cases_of(version: str) -> Iterator[str]:
    for of_version, changes in CASES:
        if of_version == version:
            steps = chain(settings_with(changes), Version.parse(version))
            yield from (line for lines in steps.values() for line in lines)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_is_known_to_the_program(version: str) -> None:
    lists = known(version)
    unknown = {
        (program(line), option)
        for line in cases_of(version)
        if "relion_" in program(line)
        for option in options(line)
        if option not in lists[program(line)]
    }
    assert unknown == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_option_is_given_twice(version: str) -> None:
    for line in cases_of(version):
        names = list(options(line))
        assert len(set(names)) == len(names), line


@pytest.mark.parametrize("version", VERSIONS)
def test_a_word_that_begins_with_a_dash_is_an_option_or_a_number(version: str) -> None:
    # RELION takes any other such word for an unknown option of its own.
    for line in cases_of(version):
        if "relion_" in line:
            for word in shlex.split(PROGRAM.sub(r"\1", line))[1:]:
                assert not re.match(r"-(?!-|\d)", word), line


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_of_what_sizing_decides_is_in_the_commands(version: str) -> None:
    for line in cases_of(version):
        assert not {"j", "gpu"} & set(options(line)), line
        assert "_mpi" not in line
        assert "mpirun" not in line


@pytest.mark.parametrize("version", VERSIONS)
def test_every_relion_program_can_be_stopped_and_marks_its_end(version: str) -> None:
    for line in cases_of(version):
        if "relion_" in program(line):
            assert re.search(r" --pipeline_control \w+/job\d{3}/$", line), line

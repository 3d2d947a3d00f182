"""The lists of RELION's options, against what the installed programs say themselves."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from relion_dispatch import processes
from relion_dispatch.pipeline import versions
from tests.unit.pipeline_chain import DATA
from tests.unit.test_relion_arguments import cases_of, options, program

OPTION = re.compile(r"^\s*--(\w+)", re.MULTILINE)
# Not in any help text, but understood by all.
EVERY_PROGRAM = {"pipeline_control"}


def installed_options(name: str) -> set[str]:
    done = processes.run([name, "--help"], timeout_s=60)
    return set(OPTION.findall(done.stdout + done.stderr)) | EVERY_PROGRAM


@pytest.fixture(scope="module")
def version() -> str:
    found = versions.installed()
    return f"{found.major}.{found.minor}"


@pytest.mark.relion
def test_the_lists_have_every_option_of_the_help_texts(version: str) -> None:
    lists = json.loads((DATA / f"relion_options_{version}.json").read_text())
    programs = [name for name in lists if shutil.which(name)]
    assert "relion_refine" in programs
    missing = {name: installed_options(name) - set(lists[name]) for name in programs}
    assert not any(missing.values()), missing


@pytest.mark.relion
def test_the_installed_programs_know_every_option_of_the_commands(version: str) -> None:
    known: dict[str, set[str]] = {}
    for line in cases_of(version):
        name = program(line)
        if "relion_" in name:
            known.setdefault(name, installed_options(name))
            assert set(options(line)) <= known[name], line

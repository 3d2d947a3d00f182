"""The window's fields are those of the jobs: RELION writes the same command from them again."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.pipeline.versions import Version
from relion_dispatch.project import forms, jobstar
from relion_dispatch.project.flavours import flavour
from relion_dispatch.project.forms.words import Step
from tests.unit.pipeline_chain import chain, settings_with
from tests.unit.test_relion_arguments import EVERYTHING, FROM_MICROGRAPHS, FROM_PARTICLES, OTHERWISE

pytestmark = pytest.mark.relion

CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "otherwise": OTHERWISE,
    "micrographs": FROM_MICROGRAPHS,
    "particles": FROM_PARTICLES,
}
#: What says how a job runs; sizes are not in the commands that the steps write.
SIZES = ("--j", "--gpu", "--pipeline_control")
#: Values that the commands leave out, and RELION's window always writes: RELION's own defaults.
IMPLIED = {"--angpix": "-1", "--angpix_ref": "-1", "--ctffind_exe": "", "--highpass": "-1"}
EMPTY = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n\n"
OPTION = re.compile(r"--[A-Za-z]")


def steps(changes: Mapping[str, Any], version: Version) -> Iterator[Step]:
    """Every step that a form of the window stands for."""
    for name, lines in chain(settings_with(changes), version).items():
        found = re.search(r"--pipeline_control ((\w+)/job\d+/)", lines[0])
        if found:
            out, folder, style = found[1], found[2], flavour(version.major)
            yield Step(folder=folder, out=out, lines=lines, flavour=style, name=name)


def options(command: str, out: str) -> dict[str, str]:
    """Options of a command with their values; of a repeated one the last, as RELION takes it."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in shlex.split(command.replace(out, "OUT/").replace("`", "~")):
        if OPTION.match(word):
            name = word
            found[name] = []
        elif name:
            found[name].append(word)
    kept = {key: " ".join(values).strip() for key, values in found.items() if key not in SIZES}
    return {key: value for key, value in kept.items() if IMPLIED.get(key) != value}


def written_by_relion(project: Path, step: Step, program: str = "relion_pipeliner") -> str:
    """Let RELION write a step's command from our ``job.star``."""
    filled, style = forms.fill(step), step.flavour
    job_type = style.job_type(filled.folder, filled.sub)
    text = jobstar.job_star(job_type, filled.options, style)
    project.mkdir()
    (project / "template").write_text("XXXcommandXXX\n")
    queue = "do_queue Yes\nqsub true\nqsubscript template\nmin_dedicated 1\nqueuename all\n"
    (project / "ours.star").write_text(f"{text.rstrip()}\n{queue}")
    (project / "default_pipeline.star").write_text(EMPTY)
    done = subprocess.run(
        [program, "--addJobFromStar", "ours.star"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RELION_CTFFIND_EXECUTABLE": ""},
    )
    assert "cannot find" not in done.stderr, done.stderr
    script = project / f"{filled.folder}/job001/run_submit.script"
    assert script.exists(), f"{step.name}: {done.stdout}\n{done.stderr}"
    return next(line for line in script.read_text().splitlines() if line.strip())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_window_writes_the_steps_command(name: str, tmp_path: Path) -> None:
    version = Version.parse("3.1")
    for step in steps(CONFIGURATIONS[name], version):
        again = written_by_relion(tmp_path / step.name, step)
        folder = again.rpartition("--pipeline_control ")[2].strip()
        assert options(again, folder) == options(step.lines[0], step.out), step.name

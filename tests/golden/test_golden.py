"""Whole scripts and a table of sizes, kept as files: a change of any of them is seen.

``UPDATE_GOLDEN=1 pytest tests/golden`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from relion_dispatch.command import Command
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import DoesNotFitError
from relion_dispatch.profiles import Profile, load_profile

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
FACTS = DataFacts(
    box=256, n_frames=40, n_micrographs=2000, movie_shape=(3838, 3710), n_particles=10**5
)

#: Script, profile, and the word that picks the job from commands.txt.
CHOSEN = {
    "m3-motioncor2": ("m3", "--use_motioncor2"),
    "m3-refine3d": ("m3", "Refine3D/job013/run --auto_refine"),
    "m3-initialmodel": ("m3", "--denovo_3dref"),
    "m3-multibody": ("m3", "--multibody_masks"),
    "m3-polish": ("m3", "--combine_frames"),
    "m3-extract": ("m3", "relion_preprocess_mpi"),
    "slurm-class3d": ("slurm", "--ini_high 50 --pad 1 --K 4"),
    "fmi-refine3d": ("fmi", "Refine3D/job013/run --auto_refine"),
    "local-refine3d": ("local", "Refine3D/job013/run --auto_refine"),
    "local-manualpick": ("local", "relion_manualpick"),
}


def jobs() -> Iterator[tuple[str, ...]]:
    for line in (HERE / "commands.txt").read_text().splitlines():
        if not line.startswith("#"):
            yield tuple(line.split(" && + "))


@cache
def profile(name: str) -> Profile:
    found = load_profile(name)
    if name == "local":  # a machine of two cores, whatever this one has
        two = replace(found.cluster.partitions["local"], cores=2, mem_mb=16_000)
        found = replace(found, cluster=replace(found.cluster, partitions={"local": two}))
    return found


def planned(name: str, lines: tuple[str, ...]) -> Plan:
    return plan(Request(commands=lines, data=FACTS), profile(name))


def check(path: Path, text: str) -> None:
    text = text.replace(sys.executable, "python")
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("name", CHOSEN)
def test_scripts_are_those_on_file(name: str) -> None:
    profile_name, word = CHOSEN[name]
    lines = next(each for each in jobs() if any(word in line for line in each))

    check(SCRIPTS / f"{name}.sh", planned(profile_name, lines).script)


def test_several_nodes_are_on_file() -> None:
    lines = next(each for each in jobs() if "Class3D/job012/run --i" in each[0])
    request = Request(commands=lines, data=FACTS, overrides={"nodes": 3, "nthread": 1})

    check(SCRIPTS / "m3-three-nodes.sh", plan(request, profile("m3")).script)


@pytest.mark.parametrize("name", ["m3", "local"])
def test_sizes_are_those_on_file(name: str) -> None:
    columns = "job_type relion_job ntasks cpus_per_task gpus gpu_map mem_mb partition template"
    rows = ["\t".join([*columns.split(), "command"])]
    for lines in jobs():
        try:
            made = planned(name, lines)
        except DoesNotFitError as error:
            rows.append(f"{error}\t{lines[0]}")
            continue
        values = [getattr(made, column) for column in columns.split()]
        rows.append("\t".join([*("-" if v is None else str(v) for v in values), made.command]))

    check(HERE / f"{name}.tsv", "\n".join(rows) + "\n")


@pytest.mark.parametrize("lines", list(jobs()), ids=lambda lines: Command.parse(lines[0]).program)
def test_nothing_but_the_running_options_changes(lines: tuple[str, ...]) -> None:
    made = planned("m3", lines)

    for before, after in zip(lines, made.commands, strict=True):
        first, last = Command.parse(before), Command.parse(after)
        running = {"j", "gpu", "gpu-id", "d", "dont_combine_weights_via_disc"}
        assert last.program == first.program
        assert [(n, first.values(n)) for n in first.names if n not in running] == [
            (n, last.values(n)) for n in last.names if n not in running
        ]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_is_content() -> None:
    files = sorted(map(str, SCRIPTS.glob("*.sh")))
    done = subprocess.run(["shellcheck", *files], capture_output=True, text=True, check=False)

    assert files
    assert done.stdout == ""

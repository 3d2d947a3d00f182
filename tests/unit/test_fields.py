"""The GUI's fields: what they mean, and the settings that make them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relion_dispatch import fields
from relion_dispatch.jobscript import JobScript
from relion_dispatch.profiles import load_profile

HOOK = fields.settings(
    load_profile("m3").cluster,
    profile="m3",
    command="/opt/bin/relion-dispatch submit",
    template="/t",
)


def number_of(parameter: str) -> str:
    return str([each.parameter for each in fields.EXTRAS].index(parameter) + 1)


def test_extra_fields_are_known_by_their_labels() -> None:
    comments = {
        "queue": "m3c",
        "mpinodes": "17",
        f"extra{number_of('runtime')}": "2h",
        f"extra{number_of('ngpu')}": "1",
        f"extra{number_of('profile')}": "slurm",
        f"extra{number_of('explain')}": "Yes",
    }
    wishes = fields.read(comments, HOOK)

    assert wishes.profile == "slurm"
    assert wishes.explain
    asked = {name: value for name, value in wishes.overrides.items() if "extra" not in name}
    assert asked == {"queue": "m3c", "hoped_nproc": 17, "runtime": "2h", "ngpu": "1"}


def test_extra_fields_of_a_site_are_left_to_its_templates() -> None:
    wishes = fields.read({"extra1": "gold", "queue": "openmpi"}, {"RELION_QSUB_EXTRA1": "Colour"})

    assert dict(wishes.overrides) == {"extra1": "gold"}


@pytest.mark.parametrize("queue, partition", [("m3c", "m3c"), ("nonsense", None), ("auto", None)])
def test_a_queue_is_a_partition_where_there_is_one(queue: str, partition: str | None) -> None:
    wishes = fields.read({"queue": queue}, {})
    overrides = fields.with_partition(wishes.overrides, load_profile("m3").cluster)

    assert overrides.get("partition") == partition
    assert "queue" not in overrides


def test_one_mpi_process_is_no_wish() -> None:
    assert fields.read({"mpinodes": "1"}, {}).overrides == {}


def test_relions_own_settings_are_all_there() -> None:
    assert HOOK["RELION_QSUB_COMMAND"] == "/opt/bin/relion-dispatch submit"
    assert HOOK["RELION_DISPATCH_PROFILE"] == "m3"
    assert HOOK["RELION_MPI_MAX"] == "36"
    assert HOOK["RELION_QSUB_EXTRA_COUNT"] == str(len(fields.EXTRAS))
    assert int(HOOK["RELION_QSUB_EXTRA_COUNT"]) <= 15  # as many as the template has lines for


def test_bash_reads_the_settings_back() -> None:
    values = {"A": 'it\'s $HOME `date` "x"', "B": "", "C": "a\\b!"}
    script = f'{fields.shell_text(values, "bash")}\nprintf "%s\\n" "$A" "$B" "$C"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == list(values.values())


@pytest.mark.skipif(not shutil.which("csh"), reason="needs csh")
def test_csh_reads_the_settings_back() -> None:
    values = {"A": "it's $HOME", "C": "a\\b!"}
    script = fields.shell_text(values, "csh") + "printenv A; printenv C"
    done = subprocess.run(["csh", "-fc", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == list(values.values())


@pytest.mark.skipif(not shutil.which("csh"), reason="needs csh")
def test_the_hooks_line_for_csh_works_as_documented() -> None:
    beside = Path(sys.executable).parent
    path = f"{beside}:{os.environ['PATH']}"
    asked = "relion-dispatch env --profile m3 --shell"
    shells = {
        "csh": ["csh", "-fc", f'eval "`{asked} csh`"; env -0'],
        "bash": ["bash", "-c", f'eval "$({asked} bash)"; env -0'],
    }
    found = {}
    for shell, argv in shells.items():
        done = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
        )
        pairs = (each.partition("=") for each in done.stdout.split("\0"))
        found[shell] = {name: value for name, _, value in pairs if name.startswith("RELION_")}
    assert found["csh"] == found["bash"]
    assert found["csh"]["RELION_QSUB_COMMAND"].endswith("relion-dispatch submit")


def test_csh_and_modules_have_their_own_words() -> None:
    values = {"A": "it's"}

    assert fields.shell_text(values, "csh") == "setenv A 'it'\\''s';\n"
    assert fields.shell_text({"A": 'x "$y" [z]'}, "module") == (
        '#%Module1.0\nsetenv A "x \\"\\$y\\" \\[z\\]"\n'
    )


def test_the_template_offers_every_field_that_is_read() -> None:
    from relion_dispatch.jobscript import TEMPLATE

    text = TEMPLATE.read_text()
    for name in ("queue", "mpinodes", *(f"extra{n}" for n in range(1, len(fields.EXTRAS) + 1))):
        text = text.replace(f"XXX{name}XXX", f"value-{name}")
    for name in ("outfile", "errfile", "name", "command"):
        text = text.replace(f"XXX{name}XXX", "a/run.out" if "file" in name else "relion_refine")
    comments = JobScript.parse(text).comments

    assert comments["queue"] == "value-queue"
    assert comments["extra1"] == "value-extra1"

"""Command lines that RELION and its users wrote, from a file that is no part of the project.

``RELION_DISPATCH_CORPUS`` names it: a table with tabs between columns and a header line, with a
column ``command``; the commands of a job are joined by a backslash and an ``n``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_dispatch.command import Command

CORPUS = os.environ.get("RELION_DISPATCH_CORPUS", "")

pytestmark = pytest.mark.skipif(not CORPUS, reason="RELION_DISPATCH_CORPUS names no file")


def jobs() -> list[tuple[str, list[str]]]:
    """Read type and commands of each job."""
    header, *rows = Path(CORPUS).read_text(encoding="utf-8").splitlines() if CORPUS else [""]
    names = header.split("\t")
    cells = [dict(zip(names, row.split("\t"), strict=True)) for row in rows if row]
    return [(each["job_type"], each["command"].split("\\n")) for each in cells]


@pytest.mark.parametrize("job_type, lines", jobs())
def test_commands_of_the_corpus(job_type: str, lines: list[str]) -> None:
    commands = [Command.parse(line) for line in lines]
    assert [str(command) for command in commands] == lines
    assert any(command.program for command in commands)
    assert any(command.relion for command in commands) == (job_type != "External")
    for command in commands:
        if command.program is None:
            continue
        assert command.with_option("surely_new", "a b").without("surely_new") == command
        assert command.with_program_mpi(not command.mpi).with_program_mpi(command.mpi) == command
        assert command.with_launcher("srun").without_launcher() == command.without_launcher()

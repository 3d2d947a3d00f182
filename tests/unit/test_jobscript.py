"""The parameter file between RELION's GUI and the dispatcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.jobscript import TEMPLATE, JobScript

OLDER = """\
Refine3D/job019/run.out
Refine3D/job019/run.err
`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --pool 3 --pad 2  --ctf  --j 2 \n
"""
REFINE = '`which relion_refine` --o a/run --gpu ""  --pipeline_control a/'
ECHO = "echo a.star > a/coords_suffix_autopick.star"


def filled(fields: Mapping[str, str], commands: Sequence[str]) -> str:
    """Fill in the shipped template as RELION does."""
    out = []
    for line in TEMPLATE.read_text().splitlines():
        for name, value in fields.items():
            line = line.replace(f"XXX{name}XXX", value)  # noqa: PLW2901
        if "XXXcommandXXX" not in line:
            out.append(line)
            continue
        out += [line.replace("XXXcommandXXX", command) for command in commands]
    return "\n".join(out) + "\n\n"


def test_the_file_of_an_older_template() -> None:
    job = JobScript.parse(OLDER)
    assert job.outfile == "Refine3D/job019/run.out"
    assert job.errfile == "Refine3D/job019/run.err"
    assert [command.program for command in job.commands] == ["relion_refine"]
    assert job.commands[0].value("pool") == "3"
    assert job.comments == {}


def test_the_shipped_template_filled_in() -> None:
    fields = {
        "outfile": "Class2D/job006/run.out",
        "errfile": "Class2D/job006/run.err",
        "name": "Class2D/job006/",
        "queue": "gpu_long",
        "mpinodes": "5",
        "threads": "2",
        "cores": "10",
        "dedicated": "24",
        "nodes": "1",
        "extra1": "12:00:00",
        "extra2": "",
    }
    job = JobScript.parse(filled(fields, [REFINE, "rm -f a/RELION_JOB_EXIT_SUCCESS", ECHO]))
    assert (job.outfile, job.errfile) == (fields["outfile"], fields["errfile"])
    assert [str(command) for command in job.commands][0::2] == [REFINE, ECHO]
    assert len(job.commands) == 3
    filled_in = {name: value for name, value in fields.items() if value and "file" not in name}
    assert job.comments == filled_in


def test_the_template_has_each_field_of_relion() -> None:
    lines = TEMPLATE.read_text().splitlines()
    assert lines[:2] == ["XXXoutfileXXX", "XXXerrfileXXX"]
    assert lines.count("XXXcommandXXX") == 1
    for name in ("name", "queue", "mpinodes", "threads", "cores", "dedicated", "nodes", "extra1"):
        assert f"# {name}: XXX{name}XXX" in lines


words = st.text(
    st.characters(exclude_characters="\0\n\r\\'\"`$(){}<>#X", exclude_categories=["Cc"])
)


@given(
    st.dictionaries(st.sampled_from(["queue", "threads", "extra1", "extra9"]), words),
    st.lists(words.map(lambda text: f"relion_x --o '{text}'"), min_size=1, max_size=4),
    words.map(lambda text: f"a{text}/run.out"),
)
def test_what_relion_fills_in_is_found_again(
    fields: dict[str, str], commands: list[str], outfile: str
) -> None:
    given = {"outfile": outfile, "errfile": "run.err", **fields}
    job = JobScript.parse(filled(given, commands))
    assert [str(command) for command in job.commands] == commands
    assert job.outfile == outfile
    assert job.comments == {name: text.strip() for name, text in fields.items() if text.strip()}


@given(st.text())
def test_any_text_is_a_job_or_an_error(text: str) -> None:
    try:
        job = JobScript.parse(text)
    except InputError:
        return
    assert job.commands


def test_line_ends_of_windows_blank_lines_and_spaces() -> None:
    text = "\r\n  my project/run.out  \r\n\r\nmy project/run.err\r\n\r\n  " + REFINE + " \r\n\r\n"
    job = JobScript.parse(text)
    assert (job.outfile, job.errfile) == ("my project/run.out", "my project/run.err")
    assert [str(command) for command in job.commands] == [f"  {REFINE} "]


def test_a_continued_command_is_one() -> None:
    job = JobScript.parse("a\nb\nrelion_refine --o c \\\n  --gpu 0 \\\n  --j 2\necho d\n")
    assert [command.program for command in job.commands] == ["relion_refine", None]
    assert str(job.commands[0]) == "relion_refine --o c \\\n  --gpu 0 \\\n  --j 2"
    assert job.commands[0].names == ("o", "gpu", "j")


def test_comments_do_not_continue_and_may_stand_first() -> None:
    job = JobScript.parse("# written by \\\n# queue: a b\n#\na\nb\n# --- \nrelion_x\n")
    assert job.outfile == "a"
    assert job.comments == {"queue": "a b"}


def test_bytes_of_any_encoding_survive(tmp_path: Path) -> None:
    path = tmp_path / "run_submit.script"
    path.write_bytes(
        b"\xef\xbb\xbfd\xe9/run.out\nd\xe9/run.err\nrelion_x --i caf\xc3\xa9_\xff.star\n"
    )
    job = JobScript.read(path)
    assert job.outfile.encode(errors="surrogateescape") == b"d\xe9/run.out"
    value = job.commands[0].value("i")
    assert value is not None
    assert value.encode(errors="surrogateescape") == b"caf\xc3\xa9_\xff.star"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "has no output file"),
        ("\n \n# queue: x\n", "has no output file"),
        ("a/run.out\n", "has no error file"),
        ("a/run.out\na/run.err\n\n", "has no command"),
        (TEMPLATE.read_text(), "line 1: XXXoutfileXXX was not filled in"),
        ("a\nb\nXXXcommandXXX\n", "line 3: XXXcommandXXX was not filled in"),
        (f"{REFINE}\n", "line 1: a command where a file name should be"),
        (f"a\n{REFINE}\nb\n", "line 2: a command where a file name should be"),
        ("#!/bin/bash\n#SBATCH -n 5\nsrun relion_refine\n", "is a shell script"),
        ("a\nb\n\nrelion_x --o 'c\n", r"line 4: unfinished command: the single quote .* column 14"),
        ("a\nb\nrelion_x --o c \\", r"line 3: unfinished command: the backslash"),
        ("a\nb\nrelion_x --o c \\\n", r"line 3: unfinished command: the backslash"),
        ("a\nb\nrelion_x\0\n", "is no text"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        JobScript.parse(text)


def test_the_file_is_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "run_submit.script"
    with pytest.raises(InputError, match=r"cannot read .*run_submit.script: No such file"):
        JobScript.read(path)
    path.write_text("a\nb\nrelion_x 'c\n")
    with pytest.raises(InputError, match=r"run_submit.script, line 3: .* column 10"):
        JobScript.read(path)

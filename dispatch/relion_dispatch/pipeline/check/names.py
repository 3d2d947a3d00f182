r"""Names of files and folders that RELION cannot take, found in its source and by trying.

RELION runs with the project as its working directory and names everything below it by relative
paths, so the project's own path may hold any character. Inside the project:

- ``:``, ``%`` and ``#`` in an image's name say a format to RELION (``FileName::getFileFormat``,
  ``Image::openFile``): the file is not found. Line breaks and tabs break its STAR tables.
- Movies, micrographs and coordinates go unquoted into shell commands: ``mkdir -p`` and ``cp``
  (``apps/import.cpp``, ``motioncorr_runner.cpp``), MotionCor2's and Gctf's command lines, and
  ``$RELION_SHELL movie_ctffind4.com`` (``ctffind_runner.cpp``). A movie with a blank or one of
  ``' " \ ; $ & ( ) < > |`` and backticks in its name is left out by CTF estimation without an
  error; in a folder's name the shell even runs what stands there.
- Motion correction turns dots into underscores and drops the last ending
  (``MotioncorrRunner::getOutputFileNames``): ``a.b.tiff`` and ``a_b.tiff`` become one micrograph.
- A part ``job`` with three digits means one of RELION's jobs, and what stands before it is cut
  off (``decomposePipelineFileName``): imported micrographs then overwrite each other.
- ``relion_run_ctffind`` keeps the project's path in 180 bytes; with a longer one its links lead
  nowhere, and it ends without an error and without a micrograph.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from relion_dispatch.pipeline.check.findings import Finding, error, named, printable

# What breaks an image's name wherever RELION reads it, and what a shell does not take literally.
FORMAT_CHARACTERS = ":%#"
SHELL_CHARACTERS = " '\"\\;$&()<>|`*?[]{}"
CTFFIND_PATH_BYTES = 180  # with the zero at the end
JOB_FOLDER = re.compile(r"job\d{3}")


def bad_characters(name: str, *, unquoted: bool) -> str:
    """List the characters of a name that RELION cannot take, each once, in order.

    Parameters
    ----------
    name
        A path relative to the project.
    unquoted
        Whether the name gets into RELION's shell commands.
    """
    bad = FORMAT_CHARACTERS + (SHELL_CHARACTERS if unquoted else "")
    found = (c for c in name if c in bad or not (c.isprintable() or c == " "))
    return "".join(dict.fromkeys(found))


def check_names(names: Iterable[str], what: str) -> Iterator[Finding]:
    """Check movies, micrographs or coordinate files.

    Parameters
    ----------
    names
        Paths relative to the project.
    what
        What they are, such as ``movies``.
    """
    bad = {name: found for name in names if (found := bad_characters(name, unquoted=True))}
    if bad:
        characters = "".join(dict.fromkeys("".join(bad.values())))
        yield error(
            "odd-names",
            what,
            f"{len(bad)} names hold characters that RELION cannot take ({spelled(characters)}):"
            f" {named(bad)}",
            "RELION would leave these files out without a word, or hand parts of their names to a"
            " shell: rename them, or make a folder of symbolic links with plain names"
            " (relion-dispatch init does that)",
            files=bad,
        )


def check_file_name(option: str, name: str, *, unquoted: bool = False) -> Iterator[Finding]:
    """Check the name of one file that a setting names."""
    found = bad_characters(name, unquoted=unquoted)
    if found:
        yield error(
            "odd-names",
            option,
            f"RELION cannot take a name with {spelled(found)}: {printable(name)}",
            "rename the file, or make a symbolic link with a plain name",
        )


def check_collisions(movies: Iterable[str]) -> Iterator[Finding]:
    """Find movies that motion correction would write to the same micrograph."""
    outputs: dict[str, list[str]] = defaultdict(list)
    for movie in movies:
        outputs[os.path.splitext(movie)[0].replace(".", "_")].append(movie)
    same = [group for group in outputs.values() if len(group) > 1]
    if same:
        files = [movie for group in same for movie in group]
        yield error(
            "same-names",
            "movies",
            f"{len(files)} movies would overwrite each other's micrographs, because RELION drops"
            f" the ending and turns dots into underscores: {named(same[0])}",
            "rename them, or choose movies of one format with the pattern",
            files=files,
        )


def check_job_folders(micrographs: Iterable[str]) -> Iterator[Finding]:
    """Find imported micrographs whose names RELION takes for files of its jobs."""
    bad = [name for name in micrographs if any(map(JOB_FOLDER.match, name.split("/")[1:]))]
    if bad:
        yield error(
            "job-names",
            "micrographs",
            f"{len(bad)} names have a part that begins with 'job' and three digits, which RELION"
            f" takes for a job of its own and cuts off: {named(bad)}",
            "rename them or their folder, or make symbolic links with other names",
            files=bad,
        )


def check_project_path(project: Path, *, estimates_ctf: bool, below: int = 0) -> Iterator[Finding]:
    """Check the project's own path; ``below``: bytes that CTF estimation's own folder adds."""
    path = str(project)
    length, most = len(os.fsencode(path)), CTFFIND_PATH_BYTES - below
    if estimates_ctf and length >= most:
        yield error(
            "project-path",
            printable(path),
            f"its path has {length} bytes, and from {most} on RELION's CTF estimation leaves out"
            " all micrographs",
            "move the project to a shorter path, or work in it through a mount with a shorter one"
            " (a symbolic link does not help)",
        )
    odd = [c for c in path if not c.isprintable()]
    if odd:
        yield error(
            "project-path",
            printable(path),
            f"its path holds {spelled(''.join(dict.fromkeys(odd)))}, which Snakemake or the"
            " scheduler cannot take",
            "rename the folder; blanks, quotes and letters of any language are fine",
        )


def spelled(characters: str) -> str:
    """Show characters in words where they cannot be seen."""
    return " ".join(_WORDS.get(c, c if c.isprintable() else printable(c)) for c in characters)


_WORDS = {" ": "blank", "\t": "tab", "\n": "line break"}

"""Which gain reference a new project takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch.pipeline import newproject
from relion_dispatch.pipeline.check.imagefiles import Image
from relion_dispatch.pipeline.newproject import Source
from relion_dispatch.pipeline.records.record import Record

NO_GAIN = "none"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A gain reference, or none.

    Attributes
    ----------
    path
        The file; None for none.
    why
        Where it comes from, in a few words.
    told
        Sentences for the user.
    undecided
        What the user has to decide, in a sentence; empty for nothing.
    """

    path: Path | None = None
    why: str = ""
    told: tuple[str, ...] = ()
    undecided: str = ""


def choose(
    given: str | None, source: Source, typical: Image | None, record: Record | None
) -> Choice:
    """Choose the gain reference of movies.

    Parameters
    ----------
    given
        What the user said: a file, or `NO_GAIN`; None to look for one.
    source, typical
        The movies, and the usual one of them; None when none can be read.
    record
        What the microscope has noted about them, if anything.
    """
    if given == NO_GAIN:
        return Choice(why="given")
    if given is not None:
        return _taken(Path(os.path.abspath(given)), "given", typical)
    if typical is None:
        return Choice()
    if not newproject.needs_gain(typical):
        return Choice(told=("the movies hold fractions: they are taken as gain-corrected",))
    return _found(source, typical, record)


def _found(source: Source, typical: Image, record: Record | None) -> Choice:
    if record is not None and (named := newproject.named_gain(source, record)) is not None:
        return _taken(named, f"named in {record.path.name}", typical)
    found = newproject.gain_candidates(source, typical)
    if len(found) == 1:
        return _taken(found[0], "found beside the movies", typical)
    if found:
        names = ", ".join(map(str, found))
        return Choice(undecided=f"several gain references fit, choose one with --gain: {names}")
    if record is not None and record.gain:
        return Choice(undecided=_unusable(record))
    told = "no gain reference found: the movies are taken as gain-corrected"
    return Choice(why="none found", told=(told,))


def _unusable(record: Record) -> str:
    """Say what to do about a gain reference that a record names and nobody can take."""
    start = f"{record.path.name} names a gain reference {record.gain}"
    if record.gain.lower().endswith((".dm3", ".dm4")):
        return f"{start}: convert it with dm2mrc (IMOD) and give it with --gain, or --gain none"
    return f"{start}, which is not there: give it with --gain, or --gain none"


def _taken(path: Path, why: str, typical: Image | None) -> Choice:
    if typical is not None and newproject.lies_on_its_side(path, typical):
        turn = "it lies on its side: set gain.rotation to 1 or 3, and look at the first micrograph"
    else:
        turn = "whether it must be turned or mirrored, no file says: see gain.rotation, gain.flip"
    return Choice(path=path, why=why, told=(f"gain.file: {path}, {why}", turn))

"""Files behind a command, looked at once each: missing ones are nothing, broken ones a note."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from relion_dispatch.imageheader import ImageHeader, read_header
from relion_dispatch.starscan import Block, scan

_T = TypeVar("_T")
_IMAGE_NUMBER = re.compile(r"\d+@")
_FORMAT = re.compile(r":[A-Za-z0-9]+\Z")  # emd_2660.map:mrc is emd_2660.map, read as MRC


class DataFiles:
    """A project's files.

    Parameters
    ----------
    project
        What relative file names are relative to.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._blocks: dict[str, tuple[Block, ...]] = {}
        self._headers: dict[str, ImageHeader | None] = {}
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted, each sentence once, in order."""
        return tuple(self._notes)

    def note(self, sentence: str) -> None:
        """Note a sentence for the user."""
        self._notes[sentence] = None

    def exists(self, name: str) -> bool:
        """Tell whether a file of this name is there."""
        try:
            return self._path(name).is_file()
        except OSError:  # a name too long, for one
            return False

    def matching(self, pattern: str) -> list[str]:
        """List the files that a shell pattern stands for, sorted."""
        if not glob.has_magic(pattern):
            return []
        try:
            return sorted(glob.glob(os.path.expandvars(pattern), root_dir=self._project))
        except (OSError, ValueError):
            return []

    def blocks(self, name: str, *, until: str | None = None) -> tuple[Block, ...]:
        """Look through a STAR file, to the end of block ``until``; nothing when there is none."""
        if name not in self._blocks:
            found = self._try(name, lambda path: scan(path, until=until))
            if found == ():
                self.note(f"{name} is no STAR file.")
            self._blocks[name] = found or ()
        return self._blocks[name]

    def header(self, name: str) -> ImageHeader | None:
        """Read an image's header; ``000001@stack.mrcs`` is the stack's."""
        name = image_file(name)
        if name not in self._headers:
            self._headers[name] = self._try(name, read_header)
        return self._headers[name]

    def _try(self, name: str, look: Callable[[Path], _T]) -> _T | None:
        try:
            return look(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.note(f"{name} cannot be read: {error.strerror}.")
        except ValueError as error:
            self.note(f"{name} cannot be made sense of: {error}.")
        return None

    def _path(self, name: str) -> Path:
        return self._project / os.path.expandvars(name)


def image_file(name: str) -> str:
    """Give the file of an image name as RELION writes it: ``000001@a.mrcs``, ``a.map:mrc``."""
    name = _IMAGE_NUMBER.sub("", name, count=1) if _IMAGE_NUMBER.match(name) else name
    return _FORMAT.sub("", name)

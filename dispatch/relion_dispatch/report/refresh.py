"""Make the report again: the parts whose files have changed, then the page from all of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relion_dispatch import __version__
from relion_dispatch.atomic import write_text
from relion_dispatch.errors import DispatchError
from relion_dispatch.report.content import Block, Text, from_json, to_json
from relion_dispatch.report.parts import parts
from relion_dispatch.report.source import Part, Source, load
from relion_dispatch.report.stages import FOLDER
from relion_dispatch.report.star import MissingFileError

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A finished part.

    Attributes
    ----------
    name, title
        Of the part.
    blocks
        What it consists of.
    state
        ``done``; ``waiting`` for a file that is missing; ``failed``.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    state: str = "done"


def refresh(
    root: Path,
    output: Path | None = None,
    *,
    fresh: bool = False,
    say: Callable[[int, int, str], None] = lambda *_: None,
) -> Path:
    """Write the report of a project as it is now.

    Parameters
    ----------
    root
        The project's directory.
    output
        The page; None for ``report.html`` in the project.
    fresh
        Make all parts again, whether their files have changed or not.
    say
        Told before each part: how many are made, how many there are, this one's title.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        When it is no project, or its configuration is wrong.
    OSError
        When the page cannot be written.
    """
    from relion_dispatch.report.page import render

    source = load(root)
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    page = output or root / PAGE
    # Jobs that end together refresh the report together; the later one must not lose the other's.
    with _alone(folder / "lock"):
        chosen = parts(source)
        sections = []
        for made, part in enumerate(chosen):
            say(made, len(chosen), part.title)
            sections.append(_section(source, part, folder, fresh=fresh))
        write_text(page, render(source, sections))
    return page


def _section(source: Source, part: Part, folder: Path, *, fresh: bool) -> Section:
    files = part.files(source)
    kept, mark = folder / f"{part.name}.json", _fingerprint(source, files)
    if files and not fresh and (section := _recall(kept, mark, part)):
        return section
    section = make(source, part)
    if files and section.state == "done":
        record = {"fingerprint": mark, "blocks": to_json(section.blocks)}
        write_text(kept, json.dumps(record))
    else:
        kept.unlink(missing_ok=True)
    return section


def make(source: Source, part: Part) -> Section:
    """Make a part; whatever goes wrong is told in its place, and spoils no other part."""
    blocks: list[Block] = []
    state = "done"
    try:
        blocks.extend(part.build(source))
    except MissingFileError as missing:
        state = "waiting"
        name = source.relative(Path(missing.path))
        blocks.append(Text(text=f"Waiting for {name}.", kind="missing"))
    except DispatchError as error:
        state = "failed"
        blocks.append(Text(text=f"This could not be shown: {error}", kind="failed"))
    except Exception as error:  # noqa: BLE001 - a report never fails the work that it reports on
        state = "failed"
        text = f"This could not be shown ({type(error).__name__}: {error})"
        blocks.append(Text(text=text, kind="failed"))
    return Section(name=part.name, title=part.title, blocks=tuple(blocks), state=state)


def _recall(path: Path, mark: str, part: Part) -> Section | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["fingerprint"] != mark:
            return None
        blocks = from_json(record["blocks"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Section(name=part.name, title=part.title, blocks=blocks)


def _fingerprint(source: Source, files: Sequence[str]) -> str:
    """Return what changes when a file, or this package, does."""
    marks = [__version__, repr(source.settings)]
    for name in files:
        with contextlib.suppress(OSError):
            state = os.stat(source.file(name))
            marks.append(f"{name}:{state.st_size}:{state.st_mtime_ns}")
    from hashlib import sha256

    return sha256("\n".join(marks).encode("utf-8", errors="surrogateescape")).hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process makes this report; where files cannot be locked, do not wait."""
    with path.open("a") as handle:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

"""What a folder of movies says by itself: pattern, headers, gain; and the values that follow."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.check import imagefiles, movies
from relion_dispatch.pipeline.check.gain import read_gain
from relion_dispatch.pipeline.check.imagefiles import BadImageError, Image
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.check.names import bad_characters
from relion_dispatch.pipeline.records.record import Record

DEPTH = 4  # folders below the one given; EPU has its movies three below a disc's folder
GAIN_NAME = re.compile(r"gain", re.IGNORECASE)
GAIN_ENDINGS = (".gain", ".mrc", ".tif", ".tiff")
LINK, LINKS = "Movies", "MovieLinks"
# MRC modes of whole numbers: electrons as a camera counts them, not corrected by a gain.
COUNTS = frozenset({0, 1, 6, 101})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the movies are.

    Parameters
    ----------
    folder
        The folder that the pattern starts from; absolute.
    pattern
        Pattern of the movies below it.
    names
        The movies, relative to the folder.
    exact
        Whether the pattern finds the movies and nothing else.
    left_out
        Other movies that are there, each as a count and a pattern.
    """

    folder: Path
    pattern: str
    names: tuple[str, ...]
    exact: bool = True
    left_out: tuple[str, ...] = ()


def find_movies(given: str | os.PathLike[str]) -> Source:
    """Find movies from a folder or a pattern.

    Parameters
    ----------
    given
        A folder, in which movies are looked for, or a pattern such as ``/data/*/*.tiff``.

    Raises
    ------
    InputError
        When there are none, with what is there instead.
    """
    text = os.path.abspath(os.path.expanduser(given))
    if os.path.isdir(text):
        return _in_folder(Path(text))
    if not (glob.has_magic(text) or os.path.exists(text)):
        near = movies.folder_like(Path(text))
        advice = f"is it {near}?" if near else "give a folder or a pattern in quotes"
        raise InputError(f"there is no {given}: {advice}")
    folder, pattern = _split(text)
    names = movies.find(pattern, folder)
    if not names:
        near = movies.near_misses(os.path.relpath(text, folder.parent), folder.parent)
        raise InputError(f"no file matches {given}" + (f": {near}" if near else ""))
    return Source(folder=folder, pattern=pattern, names=tuple(names))


def _split(pattern: str) -> tuple[Path, str]:
    """Split a pattern at the last folder without a wildcard."""
    folder = Path(pattern).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder, os.path.relpath(pattern, folder)


def _in_folder(folder: Path) -> Source:
    """Take the least depth with movies, and of their endings the commonest."""
    groups = list(_groups(folder))
    found = [group for group in groups if _is_movie(folder / group.names[0])]
    if found:
        taken, *others = found
        others = [
            each for each in others if each.below == taken.below or each.ending == taken.ending
        ]
        left_out = tuple(f"{len(each.names)} {each.below}*{each.ending}" for each in others)
        return replace(_of_one_ending(folder, taken), left_out=left_out)
    if groups:
        still = groups[0].names[0]
        raise InputError(f"{folder} holds no movies, only single images or maps such as {still}")
    endings_ = ", ".join(f"*{ending}" for ending in imagefiles.KINDS)
    raise InputError(f"{folder} holds no movies ({endings_}), nor do the folders in it")


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Images of one depth (``*/`` for each folder) and ending."""

    below: str
    ending: str
    names: tuple[str, ...]


def _groups(folder: Path) -> Iterator[_Group]:
    for depth in range(DEPTH):
        below = "*/" * depth
        found = [name for name in movies.find(f"{below}*", folder) if _may_be_movie(name)]
        for ending, _ in Counter(Path(name).suffix for name in found).most_common():
            names = tuple(name for name in found if name.endswith(ending))
            yield _Group(below=below, ending=ending, names=names)


def _of_one_ending(folder: Path, group: _Group) -> Source:
    below, ending, names = group.below, group.ending, group.names
    there = movies.find(f"{below}*{ending}", folder)
    start = _telling_start(names, set(there) - set(names))
    pattern = f"{below}{glob.escape(start or '')}*{ending}"
    return Source(folder=folder, pattern=pattern, names=names, exact=start is not None)


def _telling_start(names: Sequence[str], others: Iterable[str]) -> str | None:
    """Find how movies' names begin and a gain reference's beside them does not.

    It is the shortest such beginning, which movies that come later will have as well.
    """
    right, wrong = ([os.path.basename(name) for name in each] for each in (names, others))
    for length in range(len(right[0])):
        start = right[0][:length]
        if not all(name.startswith(start) for name in right):
            break
        if not any(name.startswith(start) for name in wrong):
            return start
    return None


def _may_be_movie(name: str) -> bool:
    return imagefiles.kind_of(name) is not None and not _is_gain(name)


def _is_movie(path: Path) -> bool:
    """Whether an image has frames and is no map; one that cannot be read may be a movie."""
    try:
        image = imagefiles.read(path)
    except BadImageError:
        return True
    return image.frames != 1 and not image.width == image.height == image.frames


def _is_gain(name: str) -> bool:
    return GAIN_NAME.search(os.path.basename(name)) is not None


def gain_candidates(source: Source, image: Image) -> list[Path]:
    """Find gain references beside the movies or one folder up that fit them, sorted.

    A gain reference on its side counts as fitting.
    """
    folders = dict.fromkeys([*_movie_folders(source), source.folder, source.folder.parent])
    found = (
        path
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() in GAIN_ENDINGS and _is_gain(path.name) and _fits(path, image)
    )
    return list(dict.fromkeys(found))


def named_gain(source: Source, record: Record) -> Path | None:
    """Find the gain reference that a record names: beside it, the movies, or one folder up."""
    folders = [record.path.parent, *_movie_folders(source), source.folder, source.folder.parent]
    paths = (folder / record.gain for folder in folders if record.gain)
    readable = (path for path in paths if path.suffix.lower() in GAIN_ENDINGS)
    return next((path for path in readable if path.is_file()), None)


def lies_on_its_side(path: Path, movie: Image) -> bool:
    """Whether a gain reference fits movies only after a quarter turn."""
    try:
        gain = read_gain(path)
    except BadImageError:
        return False
    return (gain.width, gain.height) == (movie.height, movie.width) != (movie.width, movie.height)


def _movie_folders(source: Source) -> Iterator[Path]:
    first = source.folder / source.names[0]
    yield from (first.parent, first.parent.parent)


def _fits(path: Path, movie: Image) -> bool:
    try:
        gain = read_gain(path)
    except BadImageError:
        return False
    sizes = {(movie.width, movie.height), (movie.height, movie.width)}
    if movie.kind == "eer":
        sizes.add((2 * movie.width, 2 * movie.height))
    return (gain.width, gain.height) in sizes


def needs_gain(image: Image) -> bool:
    """Whether movies can still be uncorrected: they hold whole numbers."""
    return image.kind != "mrc" or image.mode in COUNTS


def plain_name(name: str) -> str:
    """Replace what RELION cannot take in a name by underscores."""
    bad = set(bad_characters(name, unquoted=True))
    return "".join("_" if c in bad else c for c in name)


def plain_names(names: Sequence[str]) -> Mapping[str, str]:
    """Give each name a plain one of its own: RELION makes ``a.b.mrc`` and ``a_b.mrc`` the same."""
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        root, ending = os.path.splitext(plain_name(name))
        new, number = root, 2
        while new.replace(".", "_") in taken:
            new, number = f"{root}_{number}", number + 1
        taken.add(new.replace(".", "_"))
        given[name] = new + ending
    return given


@dataclass(frozen=True, kw_only=True)
class Movies:
    """Movies as the project will see them.

    Parameters
    ----------
    pattern
        Pattern inside the project.
    links
        Symbolic links to make: path inside the project, and what it points to.
    images
        Headers, by names inside the source's folder.
    notes
        What was done and why.
    """

    pattern: str
    links: Mapping[str, Path]
    images: Images
    notes: tuple[str, ...] = field(default=())


def bring_in(source: Source, project: Path) -> Movies:
    """Decide how movies get into a project: as they are, by one link, or by a link each."""
    images = movies.read_all(source.names, source.folder, "movies")
    odd = [name for name in source.names if bad_characters(name, unquoted=True)]
    if odd or not source.exact:
        plain = plain_names(source.names)
        place = LINKS if source.folder.is_relative_to(project / LINK) else LINK
        links = {f"{place}/{new}": source.folder / old for old, new in plain.items()}
        why = (
            f"{len(odd)} movies have names that RELION cannot take" if odd else "not all are movies"
        )
        note = (
            f"{why}: {place}/ holds a link to each of the {len(links)} movies; those that come"
            " later need one as well"
        )
        pattern = os.path.join(place, plain_pattern(source.pattern))
        return Movies(pattern=pattern, links=links, images=images, notes=(note,))
    if source.folder.is_relative_to(project):
        inside = source.folder.relative_to(project)
        if not bad_characters(str(inside), unquoted=True):
            return Movies(pattern=str(inside / source.pattern), links={}, images=images)
    # RELION takes a link that begins with ../ for one of its own: links are absolute.
    return Movies(
        pattern=os.path.join(LINK, source.pattern), links={LINK: source.folder}, images=images
    )


def plain_pattern(pattern: str) -> str:
    """Keep depth and ending of a pattern, for links whose names differ from the movies'."""
    depth = pattern.count("/")
    return "*/" * depth + "*" + os.path.splitext(pattern)[1]

"""Movies or micrographs: are there any, is each whole, and do they belong together."""

from __future__ import annotations

import difflib
import fnmatch
import glob
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relion_dispatch.meter import counted
from relion_dispatch.pipeline.check import imagefiles
from relion_dispatch.pipeline.check.findings import Finding, error, named, note, warning
from relion_dispatch.pipeline.check.imagefiles import BadImageError, Image

# TIFF and EER files are walked from frame to frame, some ten milliseconds each where disks are
# slow: of more than this many, a sample and those of unusual size.
WALKED = 200
UNUSUAL_SIZE = 0.8  # of the median: shorter files may be cut off


@dataclass(frozen=True, kw_only=True)
class Images:
    """The headers of all movies or micrographs.

    Parameters
    ----------
    what
        ``movies`` or ``micrographs``.
    headers
        By name, relative to the project, of those that can be read.
    broken
        Why the others cannot be read, by name.
    walked
        How many files were read from the first to the last frame.
    """

    what: str
    headers: Mapping[str, Image] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    walked: int = 0

    @property
    def names(self) -> list[str]:
        """All names, readable or not."""
        return sorted([*self.headers, *self.broken])

    @property
    def typical(self) -> Image | None:
        """An image of the most frequent size, with its most frequent number of frames."""
        if not self.headers:
            return None
        images = self.headers.values()
        size = Counter(map(_size, images)).most_common(1)[0][0]
        # Of many files only a sample tells its frames; the others are no shape of their own.
        alike = [image for image in images if _size(image) == size]
        counted = Counter(image.frames for image in alike if image.frames is not None)
        frames = counted.most_common(1)[0][0] if counted else None
        return next(image for image in alike if image.frames == frames)


def find(pattern: str, project: Path) -> list[str]:
    """Find what RELION's import would find: names relative to the project, sorted."""
    return sorted(glob.glob(pattern, root_dir=project))


def read_all(names: Sequence[str], project: Path, what: str) -> Images:
    """Read the headers of all files, of many TIFF or EER files a sample to the last frame."""
    headers: dict[str, Image] = {}
    broken: dict[str, str] = {}
    for name in counted(names, f"reading headers of {what}"):
        _read_one(imagefiles.glance, name, project, headers, broken)
    chosen = _to_walk(headers)
    for name in counted(chosen, f"counting frames of {what}"):
        _read_one(imagefiles.read, name, project, headers, broken)
    plain = sum(image.kind == "mrc" for image in headers.values())
    return Images(what=what, headers=headers, broken=broken, walked=len(chosen) + plain)


def _read_one(
    reader: Callable[[Path], Image],
    name: str,
    project: Path,
    headers: dict[str, Image],
    broken: dict[str, str],
) -> None:
    try:
        headers[name] = reader(project / name)
    except BadImageError as failure:
        headers.pop(name, None)
        broken[name] = str(failure)


def _to_walk(headers: Mapping[str, Image]) -> list[str]:
    names = [name for name, image in headers.items() if image.kind != "mrc"]
    if len(names) <= WALKED:
        return names
    usual = statistics.median(headers[name].bytes for name in names)
    small = {name for name in names if headers[name].bytes < UNUSUAL_SIZE * usual}
    step = len(names) / WALKED
    sample = {names[int(index * step)] for index in range(WALKED)}
    return sorted(small | sample | {names[-1]})


def check_found(names: Sequence[str], pattern: str, project: Path, what: str) -> Iterator[Finding]:
    """Complain when the pattern finds nothing, with what is there instead."""
    if names:
        return
    yield error(
        f"no-{what}",
        what,
        f"no file matches {pattern!r} in {project}",
        near_misses(pattern, project) or f"correct '{what}:' in config.yaml",
    )


def near_misses(pattern: str, project: Path) -> str:
    """Say what is there instead of what a pattern asks for; empty when nothing is like it."""
    folder, name = os.path.split(pattern)
    if glob.has_magic(folder):
        return ""
    path = project / folder
    if not path.is_dir():
        return _missing_folder(folder, path)
    there = sorted(entry.name for entry in os.scandir(path))
    other_case = [entry for entry in there if fnmatch.fnmatch(entry.lower(), name.lower())]
    if other_case:
        return f"upper and lower case differ: there is {named(other_case)}"
    return _other_files(folder, path, name, there)


def _missing_folder(folder: str, path: Path) -> str:
    if path.is_symlink():
        return f"{folder} is a link to a folder that is gone"
    near = folder_like(path)
    advice = f"is it {near}?" if near else "link the folder of the data there"
    return f"there is no folder {folder}; {advice}"


def folder_like(path: Path) -> str:
    """Name the folder beside a missing one that is spelt most like it; empty when none is."""
    parent = path.parent
    if not parent.is_dir():
        return ""
    siblings = [entry.name for entry in os.scandir(parent) if entry.is_dir()]
    lower = {name.lower(): name for name in siblings}
    near = difflib.get_close_matches(path.name.lower(), lower, n=1)
    return lower[near[0]] if near else ""


def _other_files(folder: str, path: Path, name: str, there: Sequence[str]) -> str:
    endings = Counter(
        Path(entry).suffix for entry in there if imagefiles.kind_of(entry.lower()) is not None
    )
    if endings:
        counts = ", ".join(f"{count} *{ending}" for ending, count in endings.most_common())
        return f"in {folder or 'the project'} there are other images: {counts}"
    deeper = glob.glob(os.path.join("*", name), root_dir=path)
    if deeper:
        return f"they are one folder down, such as {os.path.join(folder, min(deeper))}"
    return f"{folder or 'the project'} holds {f'{len(there)} other files' if there else 'nothing'}"


def check_readable(images: Images) -> Iterator[Finding]:
    """Complain about files that are no images or are cut off."""
    reasons: dict[str, list[str]] = {}
    for name, why in sorted(images.broken.items()):
        reasons.setdefault(why.split(":")[0], []).append(name)
    for names in reasons.values():
        why = images.broken[names[0]]
        count = "" if len(names) == 1 else f"{len(names)} of {len(images.names)} {images.what}; "
        yield error(
            "unreadable",
            names[0],
            f"{count}{why}",
            "RELION would stop at it after hours: copy it again from the microscope, or move it"
            " out of the folder",
            files=names,
        )
    total = len(images.headers)
    if images.walked < total:
        yield note(
            "sampled",
            images.what,
            f"{images.walked} of {total} files were looked through to their last frame: a sample,"
            f" and all that are smaller than {UNUSUAL_SIZE:.0%} of the usual size",
        )


def check_alike(images: Images) -> Iterator[Finding]:
    """Complain about files of another size, number of frames or format than most."""
    typical = images.typical
    if typical is None:
        return
    size = (typical.width, typical.height)
    other = [n for n, i in images.headers.items() if (i.width, i.height) != size]
    if other:
        odd = images.headers[other[0]]
        yield error(
            "mixed-sizes",
            images.what,
            f"{len(other)} of {len(images.headers)} have another size than {size[0]} x {size[1]}"
            f" pixels: {named(other)} ({odd.width} x {odd.height})",
            "one run takes images of one camera mode: choose them with the pattern, and start"
            " another project for the others",
            files=other,
        )
    yield from _check_frames(images)
    kinds = Counter(image.kind for image in images.headers.values())
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind.upper()}" for kind, count in kinds.most_common())
        yield warning("mixed-formats", images.what, f"different formats: {counts}", "")


def _check_frames(images: Images) -> Iterator[Finding]:
    counted = {n: i.frames for n, i in images.headers.items() if i.frames is not None}
    if not counted:
        return
    usual = Counter(counted.values()).most_common(1)[0][0]
    other = [name for name, frames in counted.items() if frames != usual]
    if images.what == "micrographs":
        stacks = [name for name, frames in counted.items() if frames != 1]
        if stacks:
            yield error(
                "not-micrographs",
                "micrographs",
                f"{len(stacks)} hold more than one image: {named(stacks)}",
                "these are movies: give them as 'movies:' with 'start: movies'",
                files=stacks,
            )
    elif other:
        yield warning(
            "mixed-frames",
            images.what,
            f"{len(other)} of {len(counted)} have another number of frames than {usual}:"
            f" {named(other)} ({counted[other[0]]})",
            "RELION takes them as they are; cut-off exposures are best taken out",
            files=other,
        )


def _size(image: Image) -> tuple[int, int]:
    return image.width, image.height

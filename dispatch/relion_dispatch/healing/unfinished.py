"""Files that a killed job left cut short, in jobs that go on with what is not finished.

RELION's ``--only_do_unfinished`` takes a file that exists for a finished one
(``src/motioncorr_runner.cpp``, ``src/preprocessing.cpp``, ``src/autopicker.cpp``, …).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.healing.iterations import is_whole_image, is_whole_star

_IMAGES = (".mrc", ".mrcs")
_STARS = (".star",)


def remove_broken(job_dir: Path, *, since: float = 0.0) -> list[Path]:
    """Remove the results that are cut short, or older than this run, each with all of its item.

    Parameters
    ----------
    job_dir
        The job's directory.
    since
        When the run began, in seconds since the epoch.

    Returns
    -------
    list of Path
        The files that are gone.
    """
    gone: list[Path] = []
    for path in list(_results(job_dir)):
        if path.exists() and not (_is_whole(path) and path.stat().st_mtime >= since):
            gone += _remove_item(path)
    return gone


def _is_whole(path: Path) -> bool:
    return is_whole_star(path) if path.suffix in _STARS else is_whole_image(path)


def count(job_dir: Path) -> int:
    """Return how many results there are."""
    return sum(1 for _ in _results(job_dir))


def _results(job_dir: Path) -> Iterator[Path]:
    """Yield images and tables below the job's directory; those in it are about the whole job."""
    for path in job_dir.rglob("*"):
        if path.suffix in (*_IMAGES, *_STARS) and path.parent != job_dir and path.is_file():
            yield path


def _remove_item(path: Path) -> Iterator[Path]:
    """Remove a file and its siblings, such as ``mic1.star`` and ``mic1_PS.mrc``."""
    stem = path.stem
    for each in list(path.parent.iterdir()):
        name = each.name
        if (
            name.startswith(stem)
            and name[len(stem) : len(stem) + 1] in (".", "_")
            and each.is_file()
        ):
            each.unlink(missing_ok=True)
            yield each

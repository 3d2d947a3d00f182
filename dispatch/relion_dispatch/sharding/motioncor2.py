"""MotionCor2 on folders of movies, a process a GPU, with the files that RELION would have written.

RELION starts MotionCor2 once for every movie. MASSIVE measured that a process which works through
a folder (``-Serial 1``) is much faster. This takes RELION's own command line
(``relion_run_motioncorr … --use_motioncor2 …``, with ``--serial`` behind it), shares its movies
between the ranks it is started with, each of which has a GPU, and leaves the files that
``MotioncorrRunner::executeMotioncor2`` and ``saveModel`` in ``src/motioncorr_runner.cpp`` leave,
but for the plots. RELION itself then joins them: everything is done.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.sharding import rows
from relion_dispatch.sharding.micrographstar import Movie, read_movies
from relion_dispatch.sharding.motioncor2_batch import Batch, say

#: Where folders for MotionCor2 are made, in the job's directory.
FOLDER = ".serial"
#: Variables by which launchers tell a process its rank and how many there are.
_RANKS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read RELION's command line; what MotionCor2 has no use for is left out."""
    parser = argparse.ArgumentParser(prog="motioncor2", allow_abbrev=False, description=__doc__)
    texts = {"i": None, "o": None, "motioncor2_exe": "", "gainref": "", "defect_file": ""}
    texts |= {"other_motioncor2_args": "", "gpu": "", "archive": ""}
    for name, default in texts.items():
        parser.add_argument(f"--{name}", default=default, required=default is None)
    numbers = {"first_frame_sum": 1, "last_frame_sum": -1, "patch_x": 1, "patch_y": 1}
    numbers |= {"group_frames": 1, "gain_rot": 0, "gain_flip": 0}
    for name, number in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parts = {"bin_factor": 1.0, "bfactor": 150.0, "dose_per_frame": 1.0, "preexposure": 0.0}
    for name, part in parts.items():
        parser.add_argument(f"--{name}", type=float, default=part)
    for name in ("dose_weighting", "save_noDW", "only_do_unfinished"):
        parser.add_argument(f"--{name}", action="store_true")
    found, _ = parser.parse_known_args(argv)
    found.o = found.o.rstrip("/") + "/"
    return found


def rank_of(environ: Mapping[str, str]) -> tuple[int, int]:
    """Tell which of how many processes this is, as the launcher says."""
    for rank, size in _RANKS:
        if rank in environ and size in environ:
            return int(environ[rank]), int(environ[size])
    return 0, 1


def share(movies: Sequence[str], rank: int, size: int) -> Sequence[str]:
    """Give the movies of a rank: neighbours, and as many as any other has, or one more."""
    count = len(movies)
    return movies[rank * count // size : (rank + 1) * count // size]


def main(argv: Sequence[str] | None = None) -> int:
    """Correct this rank's share of the movies."""
    args = arguments(argv)
    rank, size = rank_of(os.environ)
    try:
        text = Path(args.i).read_text(encoding="utf-8", errors="surrogateescape")
        names = share(rows.names(text, args.i), rank, size)
        movies = [movie for movie in read_movies(args.i, args.o, names) if _wanted(args, movie)]
        folder = f"{args.o}{FOLDER}/{rank}/"
        shutil.rmtree(folder, ignore_errors=True)
        for number, batch in enumerate(batches(args, movies, folder, gpu_of(args.gpu, rank)), 1):
            say(f"GPU {batch.gpu}: folder {number}, {len(batch.movies)} movies")
            batch.run()
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the last of the ranks finds it empty
            os.rmdir(f"{args.o}{FOLDER}")
    except (DispatchError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _wanted(args: argparse.Namespace, movie: Movie) -> bool:
    done = all(os.path.exists(movie.root + ending) for ending in (".mrc", ".star"))
    return not (args.only_do_unfinished and done)


def batches(
    args: argparse.Namespace, movies: Sequence[Movie], folder: str, gpu: str
) -> Iterator[Batch]:
    """Put movies that are alike into folders.

    Raises
    ------
    InputError
        When MotionCor2 cannot take one.
    """
    for movie in movies:
        if PurePosixPath(movie.name).suffix.lower() in (".eer", ".ecc"):
            raise InputError(
                f"{movie.name}: RELION gives MotionCor2 no EER files; use program: own"
            )
    ordered = sorted(movies, key=lambda movie: str(movie.alike))
    for number, (_, group) in enumerate(groupby(ordered, key=lambda movie: movie.alike), start=1):
        members = {f"{n:06d}": movie for n, movie in enumerate(group, start=1)}
        yield Batch(args=args, movies=members, folder=f"{folder}{number}/", gpu=gpu)


def gpu_of(given: str, rank: int) -> str:
    """Give a rank's device: ``:`` separates ranks, as for RELION; without any, its number."""
    devices = [part for part in given.split(":") if part]
    return devices[rank % len(devices)].replace(",", " ") if devices else str(rank)


if __name__ == "__main__":
    sys.exit(main())

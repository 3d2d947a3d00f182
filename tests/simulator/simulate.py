"""Write a whole data set: movies, gain reference and the truth."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_dispatch.meter import counted

from .files import write_map, write_movie, write_truth
from .gain import as_recorded, gain_pattern
from .movie import Camera, Movie, draw_movie, record
from .settings import PRESETS, Settings
from .specimen import pseudo_protein, true_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def make_camera(settings: Settings) -> tuple[np.random.Generator, Camera]:
    """Return the settings' random numbers, the specimen already drawn from them, and the camera."""
    s = settings
    rng = np.random.default_rng(s.seed)
    atoms = pseudo_protein(rng, s.symmetry, s.diameter, s.helices)
    return rng, Camera(s, atoms, gain_pattern(s.size, s.seed) if s.gain else None)


def make_movies(
    rng: np.random.Generator, camera: Camera
) -> Iterator[tuple[Movie, NDArray[np.float32]]]:
    """Yield every movie with its counts, shape (frames, size, size).

    All movies draw from one stream of random numbers, so a movie depends on those before it.
    """
    for number in range(1, camera.settings.movies + 1):
        movie = draw_movie(rng, camera, f"mov{number:03d}")
        yield movie, record(rng, camera, movie)


def simulate(settings: Settings, out: Path) -> int:
    """Write a data set into the folder ``out`` and return its number of particles.

    Raises
    ------
    FileExistsError
        If ``out`` already holds movies.
    """
    folder = out / "Movies"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds movies already; remove them or choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    rng, camera = make_camera(settings)
    write_map(out / "truth.mrc", true_map(camera.atoms, settings), settings.angpix)
    if camera.gain is not None:
        reference = as_recorded(camera.gain, settings.gain_rot, settings.gain_flip)
        write_map(folder / "gain.mrc", reference, settings.angpix)
    movies = []
    made = make_movies(rng, camera)
    for movie, counts in counted(made, "simulating movies", settings.movies):
        write_movie(folder / f"{movie.name}{settings.suffix}", counts, settings)
        movies.append(movie)
    write_truth(out, movies, settings)
    return settings.particles * settings.movies


def parse(arguments: Sequence[str] | None) -> tuple[Settings, Path]:
    """Return the settings and the folder that a command line asks for."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write (made if need be)")
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="where to start from")
    for item in fields(Settings):
        flag = "--" + item.name.replace("_", "-")
        default = getattr(PRESETS["demo"], item.name)
        text = f"{item.metadata['help']} (demo: {default})"
        if isinstance(default, bool):
            parser.add_argument(flag, action="store_true", default=None, help=text)
        else:
            choices = item.metadata["choices"]
            parser.add_argument(flag, type=type(default), choices=choices, help=text)
    options = vars(parser.parse_args(arguments))
    out, preset = options.pop("out"), PRESETS[options.pop("preset")]
    return replace(preset, **{k: v for k, v in options.items() if v is not None}), out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 if a data set cannot be as asked."""
    started = time.monotonic()
    try:
        settings, out = parse(arguments)
        particles = simulate(settings, out)
    except (ValueError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    took = time.monotonic() - started
    print(f"{out}: {settings.movies} movies, {particles} particles, {took:.1f} s")
    return 0

"""One movie: what is on it, how it looks, and the counts the camera records."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .fourier import half_frequencies, shift_phases
from .motion import LocalMotion, jitter, settling, stage_drift
from .optics import Defocus, ctf_image, dose_filter
from .specimen import aggregate, euler_matrix, scatterer_filter, splat

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .fourier import Complexes, Floats
    from .settings import Settings

_SPACING = 1.25  # between two particles' centres, in diameters
_HEIGHT = 150.0  # standard deviation of a particle's height in the ice, Å
_PLACING_TRIES = 200_000


@dataclass(frozen=True, kw_only=True)
class Particle:
    """A particle, or a piece of junk: ``angles`` is None.

    ``x``, ``y`` in pixels of the movie, counted from 0; ``angles`` are RELION's rot, tilt and psi
    in degrees; ``points`` its scatterers seen from above, shape (n, 2), Å from the centre;
    ``track`` its displacement in every frame, shape (frames, 2), Å.
    """

    x: float
    y: float
    angles: tuple[float, float, float] | None
    points: Floats
    track: Floats
    defocus: Defocus


@dataclass(frozen=True, kw_only=True)
class Movie:
    """What is on a movie: defocus in its middle, drift (frames, 2; Å) and particles."""

    name: str
    defocus: Defocus
    drift: Floats
    particles: tuple[Particle, ...]


@dataclass(frozen=True)
class Camera:
    """What all movies of a data set share: the specimen, its contrast, filters, the gain.

    ``atoms`` has shape (n, 3), Å; ``gain`` has the movie's shape, or is None.
    """

    settings: Settings
    atoms: Floats
    gain: Floats | None = None

    @cached_property
    def scatterer(self) -> Floats:
        """The filter that turns splatted points into scatterers, in the particle's box."""
        s = self.settings
        return scatterer_filter(s.paste_box, s.angpix, s.atom_sigma)

    @cached_property
    def damage(self) -> Floats:
        """The dose filter of every frame in the particle's box: (frames, box, box // 2 + 1)."""
        s = self.settings
        k = np.hypot(*half_frequencies(s.paste_box, s.angpix))
        doses = s.dose_per_frame * np.arange(s.frames + 1)
        return np.stack([dose_filter(k, *pair) for pair in itertools.pairwise(doses)])

    @cached_property
    def contrast(self) -> float:
        """The scale that gives a particle's image the wanted signal-to-noise ratio.

        From the variance of one view, at 1.5 µm defocus, within the specimen's diameter.
        """
        s = self.settings
        image = np.fft.irfft2(self.transform(self.atoms[:, :2], Defocus(u=15000, v=15000)))
        y, x = np.mgrid[: s.paste_box, : s.paste_box] - s.paste_box // 2
        inside = np.hypot(y, x) * s.angpix < s.diameter / 2
        return float(np.sqrt(s.snr) * s.shot_noise / image[inside].std())

    def transform(self, points: Floats, defocus: Defocus) -> Complexes:
        """Return `rfft2` of the undamaged image of scatterers (n, 2; Å) in the particle's box."""
        s = self.settings
        projection = np.fft.rfft2(splat(points, s.paste_box, s.angpix))
        return projection * self.scatterer * ctf_image(s.paste_box, s.angpix, defocus)


def draw_movie(rng: Generator, camera: Camera, name: str) -> Movie:
    """Return a random movie's contents."""
    s = camera.settings
    mean, astigmatism, angle = rng.uniform(9000, 22000), rng.uniform(0, 400), rng.uniform(0, 180)
    defocus = Defocus(u=mean + astigmatism / 2, v=mean - astigmatism / 2, angle=angle)
    drift = stage_drift(rng, s.frames, s.drift)
    local = LocalMotion.draw(rng, s.local_motion, s.size)
    places = draw_places(rng, s)
    particles = []
    for index, (x, y) in enumerate(places):
        angles, points = _draw_view(rng, camera, junk=index >= s.particles)
        course = local.at(x, y) * settling(s.frames)[:, np.newaxis]
        track = drift + (course + jitter(rng, s.frames, s.jitter))
        raised = defocus.raised(rng.normal(0, _HEIGHT))
        particles.append(
            Particle(x=x, y=y, angles=angles, points=points, track=track, defocus=raised)
        )
    return Movie(name=name, defocus=defocus, drift=drift, particles=tuple(particles))


def draw_places(rng: Generator, settings: Settings) -> list[tuple[float, float]]:
    """Return centres (x, y; pixels) of particles and junk that keep apart and off the edges.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    margin = 45 if settings.size > 300 else 40
    if settings.size <= 2 * margin:
        raise ValueError(f"size is {settings.size}; it must be more than {2 * margin}")
    least = (settings.diameter * _SPACING / settings.angpix) ** 2
    wanted = settings.particles + settings.junk
    places: list[tuple[float, float]] = []
    for _ in range(_PLACING_TRIES):
        if len(places) == wanted:
            return places
        x, y = (float(c) for c in rng.uniform(margin, settings.size - margin, 2))
        if all((x - a) ** 2 + (y - b) ** 2 > least for a, b in places):
            places.append((x, y))
    raise ValueError(
        f"{wanted} particles and pieces of junk do not fit a movie of {settings.size} pixels "
        f"({len(places)} do); enlarge size or take fewer"
    )


def _draw_view(
    rng: Generator, camera: Camera, *, junk: bool
) -> tuple[tuple[float, float, float] | None, Floats]:
    """Return a random view's angles (None for junk) and its scatterers, shape (n, 2), Å."""
    s = camera.settings
    if junk:
        reach = s.paste_box * s.angpix / 2 - 8
        return None, aggregate(rng, len(camera.atoms), s.diameter, reach)
    rot, psi = rng.uniform(-180, 180, 2)
    tilt = np.rad2deg(np.arccos(rng.uniform(-1, 1)))
    points = (camera.atoms @ euler_matrix(rot, tilt, psi).T)[:, :2]
    return (float(rot), float(tilt), float(psi)), points


def render(camera: Camera, movie: Movie) -> NDArray[np.float32]:
    """Return the particles' part of the relative intensity in every frame: (frames, size, size).

    Protein is dark: negative.
    """
    s = camera.settings
    box, rim = s.paste_box, s.paste_box  # a rim as wide as a box holds what sticks out
    frames = np.zeros((s.frames, s.size + 2 * rim, s.size + 2 * rim), np.float32)
    for particle in movie.particles:
        column, row = round(particle.x), round(particle.y)
        offset = np.array([particle.x - column, particle.y - row]) * s.angpix
        still = camera.transform(particle.points, particle.defocus) * camera.contrast
        phases = shift_phases(box, s.angpix, offset + particle.track)
        images = np.fft.irfft2(still * camera.damage * phases, s=(box, box))
        left, top = column - box // 2 + rim, row - box // 2 + rim
        frames[:, top : top + box, left : left + box] -= images
    return frames[:, rim:-rim, rim:-rim]


def ice_transform(rng: Generator, settings: Settings, defocus: Defocus) -> Complexes:
    """Return `rfft2` of the ice's relative intensity: filtered noise seen through the CTF."""
    s = settings
    kx, ky = half_frequencies(s.size, s.angpix)
    k2 = np.hypot(kx, ky) ** 2
    noise = np.fft.rfft2(rng.normal(size=(s.size, s.size)))
    structure = noise * ctf_image(s.size, s.angpix, defocus) * np.exp(-k2 * 20)
    unscaled = np.fft.irfft2(structure, s=(s.size, s.size)).std()
    return np.asarray(structure * (s.ice * s.shot_noise / unscaled))


def record(rng: Generator, camera: Camera, movie: Movie) -> NDArray[np.float32]:
    """Return the counts of every frame, shape (frames, size, size): Poisson's, in whole numbers.

    With a gain, a pixel counts the fewer electrons the larger its gain.
    """
    s = camera.settings
    contrast = render(camera, movie)
    ice = ice_transform(rng, s, movie.defocus)
    counts = np.empty(contrast.shape, np.float32)
    for index, shift in enumerate(movie.drift):
        phases = shift_phases(s.size, s.angpix, shift[np.newaxis])[0]
        intensity = 1 + (contrast[index] + np.fft.irfft2(ice * phases, s=(s.size, s.size)))
        if camera.gain is not None:
            intensity /= camera.gain
        counts[index] = rng.poisson(np.maximum(s.electrons_per_frame * intensity, 0))
    return counts

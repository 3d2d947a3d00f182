"""How the specimen moves while it is exposed: stage drift, beam-induced motion, jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

    from .fourier import Floats


def settling(frames: int) -> Floats:
    """Return how far a motion has come in each frame, 1 in the last; shape (frames,).

    Fast at first, as beam-induced motion is: Brilot et al. (2012), J. Struct. Biol. 177, 630.
    """
    time = (np.arange(frames) + 0.5) / frames
    profile = 1 - np.exp(-time * 4)
    return np.asarray(profile / profile[-1])


def stage_drift(rng: Generator, frames: int, amplitude: float) -> Floats:
    """Return the field of view's displacement (x, y; Å) in each frame from the first.

    Straight for ``amplitude`` Å in a random direction, with a random walk of 0.5 Å a frame.
    Shape (frames, 2).
    """
    angle = rng.uniform(0, 2 * np.pi)
    heading = np.array([np.cos(angle), np.sin(angle)])
    walk = np.cumsum(rng.normal(0, 0.5, (frames, 2)), 0)
    drift = amplitude * settling(frames)[:, np.newaxis] * heading + walk
    return np.asarray(drift - drift[0])


@dataclass(frozen=True, kw_only=True)
class LocalMotion:
    """A motion that changes smoothly over the field of view: a quadratic polynomial.

    The model of MotionCor2: Zheng et al. (2017), Nature Methods 14, 331.
    ``coefficients`` has shape (5, 2), for the terms x, y, xy, x² - 1/3, y² - 1/3 of coordinates
    from -1 to 1; ``amplitude`` in Å; ``size`` of the movie in pixels.
    """

    coefficients: Floats
    amplitude: float
    size: int

    @classmethod
    def draw(cls, rng: Generator, amplitude: float, size: int) -> LocalMotion:
        """Return a random one. (The polynomial's constant is drawn too, but is the drift's.)"""
        return cls(coefficients=rng.normal(size=(6, 2))[1:], amplitude=amplitude, size=size)

    def at(self, x: float, y: float) -> Floats:
        """Return the displacement (x, y; Å) by the end of the movie at a pixel. Shape (2,)."""
        u, v = 2 * x / self.size - 1, 2 * y / self.size - 1
        terms = np.array([u, v, u * v, u * u - 1 / 3, v * v - 1 / 3])
        return np.asarray(self.amplitude / 2.2 * (terms @ self.coefficients) / np.sqrt(2))


def jitter(rng: Generator, frames: int, step: float) -> Floats:
    """Return a particle's own random walk (x, y; Å), ``step`` Å a frame. Shape (frames, 2)."""
    return np.cumsum(rng.normal(0, step, (frames, 2)), 0)

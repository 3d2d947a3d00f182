"""How many orientations and shifts RELION tries for a particle: what its options add up to."""

from __future__ import annotations

import math

from relion_dispatch.command import Command
from relion_dispatch.frozen import dataclass

#: Defaults of ``relion_refine`` (src/ml_optimiser.cpp): shifts in pixels, angles in degrees.
OFFSET_RANGE, OFFSET_STEP, OVERSAMPLING, PSI_STEP_2D = 6.0, 2.0, 1, 10.0
HEALPIX_ORDER, LOCAL_HEALPIX_ORDER = 2, 4

#: Automatic refinement searches at least so many steps to each side (``updateAngularSampling``).
AUTO_STEPS = 1.5

#: An initial model's sampling becomes so fine as its resolution grows.
INITIAL_MODEL_ORDER = 2

#: Orientations of a search around known ones: three standard deviations to each side of three
#: angles, each of twice the step.
LOCAL_ORIENTATIONS = 12**3


@dataclass(frozen=True, kw_only=True)
class Search:
    """The fine search of one particle in one class.

    Attributes
    ----------
    orientations
        At the start, before they are oversampled.
    finest
        The most that are tried later on, as an automatic refinement makes its sampling finer.
    translations
        After they were oversampled.
    oversampling
        How often each angle's and shift's step is halved.
    """

    orientations: int = 1
    finest: int = 1
    translations: int = 1
    oversampling: int = 0

    def samples(self, dimensions: int) -> tuple[int, int]:
        """All of them, oversampled: of three angles, or of one in two dimensions.

        Those at the start, where all may count, and the most later on, where few do.
        """
        angles = 3 if dimensions == 3 else 1
        each = self.translations << (angles * self.oversampling)
        return self.orientations * each, self.finest * each


def search(
    command: Command, dimensions: int, *, automatic: bool = False, volumes: bool = False
) -> Search:
    """Return what a command of ``relion_refine`` searches.

    Parameters
    ----------
    command
        The command.
    dimensions
        Of its references.
    automatic
        A refinement that makes its sampling finer as it goes: the finest search of all
        orientations counts.
    volumes
        Subtomograms, which are shifted in three dimensions.
    """
    if command.has("skip_align"):
        return Search()
    over = min(int(_number(command, "oversampling", OVERSAMPLING)), 5)
    in_plane = _in_plane(command)
    first, finest = (in_plane, in_plane) if dimensions == 2 else _in_space(command, automatic)
    return Search(
        orientations=first,
        finest=finest,
        translations=_translations(command, automatic, volumes) << ((3 if volumes else 2) * over),
        oversampling=over,
    )


def symmetry_order(name: str) -> int:
    """Return how many views a symmetry group makes of one; 1 for what is not known."""
    name = name.strip().upper()
    if name[:1] in ("T", "O", "I"):
        return {"T": 12, "O": 24, "I": 60}[name[0]]
    number = int(name[1:]) if name[1:].isdecimal() else 1
    return {"C": 1, "D": 2}.get(name[:1], 0) * number or 1


def _translations(command: Command, automatic: bool, volumes: bool) -> int:
    """Shifts on a grid within a circle, or a ball (``HealpixSampling::setTranslations``)."""
    reach = _number(command, "offset_range", OFFSET_RANGE)
    step = _number(command, "offset_step", OFFSET_STEP) or OFFSET_STEP
    steps = min(reach / step, 30)
    return _within(max(steps, AUTO_STEPS) if automatic else steps, volumes)


def _within(radius: float, volumes: bool) -> int:
    side = range(-math.ceil(radius), math.ceil(radius) + 1)
    most = radius * radius + 0.001
    return sum(
        x * x + y * y + z * z <= most
        for x in side
        for y in side
        for z in (side if volumes else (0,))
    )


def _in_plane(command: Command) -> int:
    return math.ceil(360 / (_number(command, "psi_step", PSI_STEP_2D) or PSI_STEP_2D))


def _in_space(command: Command, automatic: bool) -> tuple[int, int]:
    """Directions and in-plane angles: ``12 * 4^order * 6 * 2^order`` (Healpix)."""
    order = min(int(_number(command, "healpix_order", HEALPIX_ORDER)), 8)
    local = int(_number(command, "auto_local_healpix_order", LOCAL_HEALPIX_ORDER))
    if command.has("sigma_ang") or (automatic and order >= local):
        return LOCAL_ORIENTATIONS, LOCAL_ORIENTATIONS
    if command.has("denovo_3dref"):
        order = max(order, INITIAL_MODEL_ORDER)
    symmetry = symmetry_order(command.value("sym") or "")
    finest = max(order, local - 1) if automatic else order
    return _everywhere(order, symmetry), _everywhere(min(finest, 8), symmetry)


def _everywhere(order: int, symmetry: int) -> int:
    return max((72 << (3 * order)) // symmetry, 1)


def _number(command: Command, name: str, default: float) -> float:
    try:
        value = float(command.value(name) or default)
    except ValueError:
        return default
    return value if 0 <= value < math.inf else default

"""The kinds of values that options have: what bounds a number, what forms a text.

Marks refine a type: :class:`Range` and :class:`Choices` bound a number, :class:`Even` asks for an
even one, :class:`Pattern` for a text of one form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a number: at least, more than, at most."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None


@dataclass(frozen=True)
class Choices:
    """The only numbers allowed."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class Even:
    """The number must be even."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression that the whole text must match, and the same in words."""

    regex: str
    words: str


Count = Annotated[int, Range(ge=1)]
Frame = Annotated[int, Range(ge=-1)]
Positive = Annotated[float, Range(gt=0)]
NonNegative = Annotated[float, Range(ge=0)]
Fraction = Annotated[float, Range(ge=0, le=1)]
BoxSize = Annotated[int, Range(ge=16), Even()]
Padding = Annotated[int, Range(ge=1, le=2)]
# The angular steps, in degrees, that RELION's windows offer: a HEALPix order each.
ANGULAR_SAMPLINGS = (30, 15, 7.5, 3.7, 1.8, 0.9, 0.5, 0.2, 0.1)
AngularSampling = Annotated[float, Choices(ANGULAR_SAMPLINGS)]
PointGroup = Annotated[
    str,
    Pattern(r"[CcDd][1-9][0-9]?|[TtOo]|[Ii][1-5]?", "a point group such as C1, D2, T, O or I1"),
]
OpticsGroupName = Annotated[
    str, Pattern(r"[A-Za-z0-9-]+", "a name of letters, digits and hyphens only")
]
CtfFit = Literal["none", "per_micrograph", "per_particle"]
Auto = Literal["auto"]

"""Options of classification and initial models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from relion_dispatch.pipeline.options.kinds import (
    AngularSampling,
    Auto,
    Count,
    Fraction,
    NonNegative,
    Padding,
    Positive,
    Range,
)


@dataclass(frozen=True, kw_only=True)
class Class2D:
    """2D classification."""

    enabled: bool
    algorithm: Literal["auto", "em", "vdam"]
    classes: Count
    iterations: Count
    mini_batches: Count
    fast_subsets: bool
    tau_fudge: Positive
    psi_sampling: Positive
    offset_range: NonNegative
    offset_step: Positive
    allow_coarser_sampling: bool
    resolution_limit: Positive | None
    zero_mask: bool
    center_classes: bool
    max_significants: Count | None
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Select2D:
    """Choice of 2D classes without a person."""

    min_fraction: Fraction
    resolution_factor: Annotated[float, Range(ge=1)]
    max_resolution: Positive | None
    min_particles: Count


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent of RELION 3.1."""

    initial_iterations: Count
    inbetween_iterations: Count
    final_iterations: Count
    initial_resolution: Positive
    final_resolution: Positive
    initial_subset: Count
    final_subset: Count
    angular_sampling: AngularSampling
    offset_range: NonNegative
    offset_step: Positive
    padding: Padding


@dataclass(frozen=True, kw_only=True)
class Vdam:
    """Gradient-driven algorithm of RELION 4.0 and later."""

    mini_batches: Count
    tau_fudge: Positive


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """Initial models from the particles alone, or the user's own reference."""

    reference: str | None
    reference_absolute_greyscale: bool
    reference_ctf_corrected: bool
    starts: Annotated[int, Range(ge=1, le=20)]
    scoring_resolution: Positive
    classes: Count
    in_c1: Auto | bool
    flatten_solvent: bool
    max_significants: Count | None
    sgd: Sgd
    vdam: Vdam
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Class3D:
    """3D classification."""

    enabled: bool
    classes: Count
    iterations: Count
    fast_subsets: bool
    tau_fudge: Positive
    ini_high: Positive
    angular_sampling: AngularSampling
    local_search_range: Positive | None
    offset_range: NonNegative
    offset_step: Positive
    allow_coarser_sampling: bool
    resolution_limit: Positive | None
    mask: str | None
    zero_mask: bool
    padding: Padding
    blush: bool
    max_significants: Count | None
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Select3D:
    """Choice of 3D classes without a person."""

    min_fraction: Fraction
    resolution_factor: Annotated[float, Range(ge=1)]

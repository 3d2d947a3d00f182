"""Options of the steps from refinement to local resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from relion_dispatch.pipeline.options.kinds import (
    AngularSampling,
    Auto,
    BoxSize,
    Count,
    CtfFit,
    Fraction,
    Frame,
    NonNegative,
    Padding,
    Positive,
    Range,
)


@dataclass(frozen=True, kw_only=True)
class Reextraction:
    """Cutting the chosen particles out again, at full size."""

    enabled: Auto | bool
    recenter: bool
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Refine3D:
    """3D auto-refinement of the chosen particles."""

    enabled: bool
    ini_high: Positive
    angular_sampling: AngularSampling
    local_searches_from: AngularSampling
    offset_range: NonNegative
    offset_step: Positive
    mask: str | None
    solvent_corrected_fsc: bool
    zero_mask: bool
    padding: Padding
    join_halves_below: Positive
    finer_faster: bool
    absolute_greyscale: bool
    blush: bool
    max_significants: Count | None
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class RefinePolished:
    """What differs when the particles of a round are refined again."""

    ini_high: Positive
    angular_sampling: AngularSampling
    local_searches_from: AngularSampling
    use_mask: bool
    solvent_corrected_fsc: bool
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Solvent mask."""

    threshold: Auto | float
    lowpass: Positive
    extend: NonNegative
    soft_edge: NonNegative
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class PostProcess:
    """Sharpening and resolution."""

    calibrated_pixel_size: Positive | None
    auto_bfactor: bool
    auto_bfactor_lowres: Positive
    adhoc_bfactor: float | None
    mtf: str | None
    mtf_pixel_size: Positive | None
    lowpass: Positive | None
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class CtfRefinement:
    """CTF parameters from the refined map."""

    enabled: bool
    min_resolution: Positive
    defocus: CtfFit
    astigmatism: CtfFit
    bfactor: CtfFit
    phase_shift: CtfFit
    beam_tilt: bool
    trefoil: bool
    fourth_order: bool
    magnification: bool
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Training:
    """Optimal parameters for polishing, from the data."""

    evaluation_fraction: Annotated[float, Range(gt=0.1, le=0.9)]
    min_particles: Count
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Polishing:
    """Bayesian polishing."""

    enabled: bool
    train: bool
    training: Training
    parameters_file: str | None
    sigma_vel: NonNegative
    sigma_div: NonNegative
    sigma_acc: float
    first_frame: Count
    last_frame: Frame
    min_resolution: Positive
    max_resolution: Positive | None
    box_size: BoxSize | None
    scaled_size: BoxSize | None
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class LocalResolution:
    """Local resolution and locally filtered map."""

    enabled: bool
    adhoc_bfactor: float
    sampling: Positive
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where doubt begins in the verdict after each 3D step, and where the pipeline stops."""

    stop: bool
    stop_agreement: Fraction
    doubt_agreement: Fraction
    doubt_share: Fraction
    doubt_pmax: Fraction
    max_resolution: Positive | None

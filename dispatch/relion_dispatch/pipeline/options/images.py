"""Options of the steps from movies to particles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from relion_dispatch.pipeline.options.kinds import (
    AngularSampling,
    Auto,
    BoxSize,
    Count,
    Fraction,
    Frame,
    NonNegative,
    PointGroup,
    Positive,
    Range,
)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How the steps up to extraction are split into jobs; it changes no result."""

    movies_per_job: Count | None


@dataclass(frozen=True, kw_only=True)
class MotionCorrection:
    """Correction of beam-induced motion."""

    program: Literal["own", "motioncor2"]
    patches_x: Count
    patches_y: Count
    bin_factor: Annotated[float, Range(ge=1)]
    bfactor: NonNegative
    group_frames: Count
    first_frame: Count
    last_frame: Frame
    eer_grouping: Count
    dose_weighting: bool
    save_non_dose_weighted: bool
    power_spectra: bool
    power_spectra_dose: Positive
    executable: str | None
    serial: bool
    other_args: str
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class PhaseShift:
    """Search for the phase shift of a phase plate."""

    enabled: bool
    min: NonNegative
    max: NonNegative
    step: Positive


@dataclass(frozen=True, kw_only=True)
class Gctf:
    """What only Gctf knows."""

    ignore_search_parameters: bool
    equiphase_averaging: bool
    other_args: str


@dataclass(frozen=True, kw_only=True)
class Ctf:
    """Estimation of the contrast transfer function."""

    program: Literal["ctffind4", "gctf", "builtin"]
    executable: str | None
    use_power_spectra: Auto | bool
    use_non_dose_weighted: bool
    box_size: BoxSize
    min_resolution: Positive
    max_resolution: Positive
    min_defocus: NonNegative
    max_defocus: Positive
    defocus_step: Positive
    astigmatism: NonNegative
    exhaustive_search: bool
    window: int
    phase_shift: PhaseShift
    gctf: Gctf
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class LogPicking:
    """Laplacian-of-Gaussian picking."""

    min_diameter: Auto | Positive
    max_diameter: Auto | Positive
    max_resolution: Positive
    threshold: float
    upper_threshold: float
    white_particles: bool


@dataclass(frozen=True, kw_only=True)
class ReferencePicking:
    """Picking with templates."""

    file: str | None
    is_map: bool
    map_symmetry: PointGroup | None
    map_angular_sampling: AngularSampling
    pixel_size: Positive | None
    mask_diameter: Positive | None
    lowpass: Positive | None
    highpass: Positive | None
    angular_sampling: Positive
    inverted_contrast: bool
    ctf_corrected: bool
    threshold: float
    min_distance: Auto | Positive
    max_stddev_noise: float
    min_average_noise: float | None
    shrink: Fraction


@dataclass(frozen=True, kw_only=True)
class TopazPicking:
    """Picking with Topaz."""

    executable: str | None
    model: str | None
    train: bool
    training_coordinates: str | None
    training_particles: str | None
    particles_per_micrograph: Count | None
    particle_diameter: Auto | Positive
    other_args: str


@dataclass(frozen=True, kw_only=True)
class Picking:
    """Where the particles are."""

    method: Literal["log", "references", "topaz", "coordinates"]
    coordinates: str | None
    log: LogPicking
    references: ReferencePicking
    topaz: TopazPicking
    extra_arguments: str


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Cutting the particles out."""

    invert_contrast: bool
    background_diameter: Count | None
    white_dust: float
    black_dust: float
    min_figure_of_merit: float | None
    extra_arguments: str

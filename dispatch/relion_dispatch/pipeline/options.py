"""Every option of the pipeline and what it may be; defaults and explanations: config/config.yaml.

Three kinds of marks refine a type: :class:`Range` and :class:`Choices` bound a number, `Even`
asks for an even one, `Pattern` for a text of one form. :mod:`relion_dispatch.pipeline.settings`
checks a user's values against them and :mod:`relion_dispatch.pipeline.schema` turns them into the
JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal


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


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The microscope."""

    pixel_size: Positive | None
    voltage: Positive | None
    spherical_aberration: NonNegative
    amplitude_contrast: Fraction
    group_name: OpticsGroupName
    mtf: str | None


@dataclass(frozen=True, kw_only=True)
class Dose:
    """Electrons on the sample."""

    per_frame: Positive | None
    pre_exposure: NonNegative


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The camera's gain reference and defects."""

    file: str | None
    rotation: Annotated[int, Range(ge=0, le=3)]
    flip: Annotated[int, Range(ge=0, le=2)]
    defects: str | None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The particle."""

    particle_diameter: Positive | None
    symmetry: PointGroup
    box_size: BoxSize | None
    small_box_size: BoxSize | Auto


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How ``relion_refine`` reads and combines its data; none of it changes a result."""

    pool: Count
    preread_images: bool
    scratch_dir: str | None
    parallel_disc_io: bool
    combine_through_disc: bool


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


@dataclass(frozen=True, kw_only=True)
class Class2D:
    """2D classification."""

    enabled: bool
    algorithm: Literal["auto", "em", "vdam"]
    classes: Count
    iterations: Count
    mini_batches: Count
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
class Settings:
    """Every option of the pipeline, checked and complete."""

    start: Literal["movies", "micrographs", "particles"]
    movies: str | None
    micrographs: str | None
    particles: str | None
    corrected_micrographs: str | None
    optics: Optics
    dose: Dose
    gain: Gain
    sample: Sample
    relion_version: Literal["auto", "3.1", "4.0", "5.0"]
    first_job: Annotated[int, Range(ge=1, le=900)]
    seed: Annotated[int, Range(ge=0, le=1_000_000)]
    float16: bool
    ignore_first_ctf_peak: bool
    motion_correction: MotionCorrection
    ctf: Ctf
    picking: Picking
    extraction: Extraction
    class2d: Class2D
    select2d: Select2D
    initial_model: InitialModel
    class3d: Class3D
    select3d: Select3D
    reextraction: Reextraction
    refine3d: Refine3D
    mask: Mask
    postprocess: PostProcess
    polishing_rounds: Annotated[int, Range(ge=0, le=6)]
    ctf_refinement: CtfRefinement
    polishing: Polishing
    refine_polished: RefinePolished
    local_resolution: LocalResolution
    compute: Compute
    verdict: Mapping[str, Any]
    sizing: Mapping[str, Mapping[str, Any]]

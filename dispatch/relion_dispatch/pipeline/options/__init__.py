"""Every option of the pipeline and what it may be; defaults and explanations: config/config.yaml.

:mod:`relion_dispatch.pipeline.settings` checks a user's values against the types here and
:mod:`relion_dispatch.pipeline.schema` turns them into the JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from relion_dispatch.pipeline.options.classes import (
    Class2D,
    Class3D,
    InitialModel,
    Select2D,
    Select3D,
)
from relion_dispatch.pipeline.options.images import (
    Ctf,
    Extraction,
    MotionCorrection,
    Picking,
    Preprocessing,
)
from relion_dispatch.pipeline.options.kinds import (
    Auto,
    BoxSize,
    Count,
    Fraction,
    NonNegative,
    OpticsGroupName,
    PointGroup,
    Positive,
    Range,
)
from relion_dispatch.pipeline.options.maps import (
    CtfRefinement,
    LocalResolution,
    Mask,
    Polishing,
    PostProcess,
    Reextraction,
    Refine3D,
    RefinePolished,
    Verdict,
)


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
class Check:
    """The check before the first job."""

    accept: str


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
    preprocessing: Preprocessing
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
    verdict: Verdict
    compute: Compute
    check: Check
    sizing: Mapping[str, Mapping[str, Any]]

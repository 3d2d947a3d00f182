"""RELION's command lines for 2D and 3D classes in 3.1, 4.0 and 5.0.

Each function is one job: paths in, the job's shell lines out. RELION's side of each is
``RelionJob::getCommands…Job`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.commandline import Commands, Parts, option, relion
from relion_dispatch.pipeline.options import Compute, Settings
from relion_dispatch.pipeline.options.kinds import ANGULAR_SAMPLINGS
from relion_dispatch.pipeline.versions import Version

# RELION's windows always refine on a grid one step finer than the one they search first.
OVERSAMPLING = 1
WRITE_EVERY = 10


def class2d(settings: Settings, version: Version, *, particles: str, out: str) -> Commands:
    """Classify in 2D; ``run_itNNN_model.star`` and more, NNN being :func:`class2d_iterations`."""
    options = settings.class2d
    fine = 2**OVERSAMPLING
    fast = options.fast_subsets and not class2d_uses_vdam(settings, version)
    return (
        relion(
            "relion_refine",
            out,
            option("--o", out + "run"),
            *_class2d_algorithm(settings, version),
            option("--i", particles),
            *reading(settings.compute),
            "--pad 2",  # RELION always pads in 2D: it was seen to classify badly without
            "--ctf",
            option("--ctf_intact_first_peak", settings.ignore_first_ctf_peak),
            option("--tau2_fudge", options.tau_fudge),
            option("--particle_diameter", settings.sample.particle_diameter),
            option("--fast_subsets", fast),
            option("--K", options.classes),
            "--flatten_solvent",
            option("--zero_mask", options.zero_mask),
            option("--strict_highres_exp", options.resolution_limit),
            option("--center_classes", options.center_classes and version.center_classes),
            option("--oversampling", OVERSAMPLING),
            option("--psi_step", options.psi_sampling * fine),
            option("--offset_range", options.offset_range),
            option("--offset_step", options.offset_step * fine),
            option("--allow_coarser_sampling", options.allow_coarser_sampling),
            "--norm --scale",
            option("--maxsig", options.max_significants),
            option("--random_seed", settings.seed),
            extra=options.extra_arguments,
        ),
    )


def class2d_uses_vdam(settings: Settings, version: Version) -> bool:
    """Whether 2D classification uses gradients (VDAM) rather than expectation-maximisation."""
    algorithm = settings.class2d.algorithm
    return version.vdam if algorithm == "auto" else algorithm == "vdam"


def class2d_iterations(settings: Settings, version: Version) -> int:
    """Give the number of the last iteration, NNN in the names of the results."""
    vdam = class2d_uses_vdam(settings, version)
    return settings.class2d.mini_batches if vdam else settings.class2d.iterations


def _class2d_algorithm(settings: Settings, version: Version) -> Parts:
    vdam = class2d_uses_vdam(settings, version)
    return (
        option("--grad", vdam),
        option("--class_inactivity_threshold", 0.1 if vdam else None),
        option("--grad_write_iter", WRITE_EVERY if vdam else None),
        option("--iter", class2d_iterations(settings, version)),
    )


def reading(compute: Compute) -> Parts:
    """Write how ``relion_refine`` reads and combines its data; it changes no result."""
    return (
        option("--dont_combine_weights_via_disc", not compute.combine_through_disc),
        option("--no_parallel_disc_io", not compute.parallel_disc_io),
        option("--preread_images", compute.preread_images),
        option("--scratch_dir", None if compute.preread_images else compute.scratch_dir),
        option("--pool", compute.pool),
    )


def healpix_order(angular_sampling: float) -> int:
    """HEALPix order of the coarse search for a final sampling in degrees.

    RELION's windows name the sampling after oversampling: their nth choice is order n, and the
    command line takes the order before it (``JobOption::getHealPixOrder``).
    """
    return ANGULAR_SAMPLINGS.index(angular_sampling) + 1 - OVERSAMPLING


def class3d(
    settings: Settings, version: Version, *, particles: str, reference: str, out: str
) -> Commands:
    """Classify in 3D; ``run_itNNN_model.star`` and more, NNN being ``class3d.iterations``."""
    options, own = settings.class3d, settings.initial_model
    made_here = own.reference is None
    greyscale = made_here or own.reference_absolute_greyscale
    corrected = made_here or own.reference_ctf_corrected
    return (
        relion(
            "relion_refine",
            out,
            option("--o", out + "run"),
            option("--i", particles),
            *reference_options(version, reference, absolute_greyscale=greyscale),
            option("--ini_high", options.ini_high),
            *reading(settings.compute),
            *padding(version, options.padding),
            *ctf_options(settings, version, corrected=corrected),
            option("--iter", options.iterations),
            option("--tau2_fudge", options.tau_fudge),
            option("--particle_diameter", settings.sample.particle_diameter),
            option("--fast_subsets", options.fast_subsets),
            option("--K", options.classes),
            "--flatten_solvent",
            option("--zero_mask", options.zero_mask),
            option("--strict_highres_exp", options.resolution_limit),
            option("--solvent_mask", options.mask),
            option("--blush", options.blush),
            *_class3d_search(settings),
            option("--sym", settings.sample.symmetry),
            "--norm --scale",
            option("--maxsig", options.max_significants),
            option("--random_seed", settings.seed),
            extra=options.extra_arguments,
        ),
    )


def _class3d_search(settings: Settings) -> Parts:
    options = settings.class3d
    local = options.local_search_range
    return (
        option("--oversampling", OVERSAMPLING),
        option("--healpix_order", healpix_order(options.angular_sampling)),
        option("--sigma_ang", None if local is None else round(local / 3, 4)),
        option("--offset_range", options.offset_range),
        option("--offset_step", options.offset_step * 2**OVERSAMPLING),
        option("--allow_coarser_sampling", options.allow_coarser_sampling),
    )


def reference_options(version: Version, reference: str, *, absolute_greyscale: bool) -> Parts:
    """Write the reference, and whether its densities are on the scale of the images."""
    return (
        option("--ref", reference),
        option("--firstiter_cc", not absolute_greyscale),
        option("--trust_ref_size", version.resizes_references),
    )


def ctf_options(settings: Settings, version: Version, *, corrected: bool) -> Parts:
    """Write CTF correction; RELION 4.0 turned round what it assumes of the reference."""
    assumed = version.assumes_corrected_references
    return (
        "--ctf",
        option("--ctf_corrected_ref", corrected and not assumed),
        option("--ctf_uncorrected_ref", not corrected and assumed),
        option("--ctf_intact_first_peak", settings.ignore_first_ctf_peak),
    )


def padding(version: Version, pad: int) -> Parts:
    """Write the padding; RELION 3.1 has to be told to skip gridding, later ones always do."""
    return (option("--pad", pad), option("--skip_gridding", version.grids_by_default))

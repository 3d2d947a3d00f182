"""RELION's command lines for 2D classes, initial models and 3D classes in 3.1, 4.0 and 5.0.

Each function is one job: paths in, the job's shell lines out. RELION's side of each is
``RelionJob::getCommands…Job`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.commandline import Commands, Parts, option, quote, relion
from relion_dispatch.pipeline.options import Compute, Settings
from relion_dispatch.pipeline.options.kinds import ANGULAR_SAMPLINGS
from relion_dispatch.pipeline.preprocessing import small_box_size
from relion_dispatch.pipeline.versions import Version

# RELION's windows always refine on a grid one step finer than the one they search first.
OVERSAMPLING = 1
WRITE_EVERY = 10
SEEDS_PER_RUN = 100
SCORING_TAU = 2
# Pixels that relion_align_symmetry scales a map to.
ALIGNMENT_BOX = 64


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


def initial_model(
    settings: Settings, version: Version, *, particles: str, out: str, start: int
) -> Commands:
    """Make an initial model from particles alone; :func:`initial_model_map` and a model STAR.

    Parameters
    ----------
    start
        Which of the independent starts this is, from 1: it gets a seed of its own.
    """
    options = settings.initial_model
    run = relion(
        "relion_refine",
        out,
        option("--o", out + "run"),
        *(_vdam(settings) if version.vdam else _sgd(settings)),
        option("--i", particles),
        "--ctf",
        option("--ctf_intact_first_peak", settings.ignore_first_ctf_peak),
        option("--K", options.classes),
        option("--sym", "C1" if runs_in_c1(settings, version) else settings.sample.symmetry),
        option("--flatten_solvent", options.flatten_solvent),
        "--zero_mask",
        *reading(settings.compute),
        option("--particle_diameter", settings.sample.particle_diameter),
        option("--oversampling", OVERSAMPLING),
        *(_vdam_search(settings) if version.vdam else _sgd_search(settings)),
        option("--maxsig", options.max_significants),
        option("--random_seed", start_seed(settings, start)),
        extra=options.extra_arguments,
    )
    return (run, *_symmetrise(settings, version, out), _score(settings, version, particles, out))


def _score(settings: Settings, version: Version, particles: str, out: str) -> str:
    """Measure how well a finished start explains all particles; ``score_it001_model.star``.

    One expectation step from the start's map, at one fixed resolution and the same for every start:
    what the starts themselves report is of the random subset of their last iteration.
    """
    options = settings.initial_model
    resolution = options.scoring_resolution
    return relion(
        "relion_refine",
        out,
        option("--o", out + "score"),
        option("--iter", 1),
        option("--i", particles),
        *reference_options(
            version, out + initial_model_map(settings, version), absolute_greyscale=True
        ),
        option("--ini_high", resolution),
        option("--strict_highres_exp", resolution),
        *reading(settings.compute),
        *padding(version, 1),
        *ctf_options(settings, version, corrected=True),
        option("--tau2_fudge", SCORING_TAU),
        option("--K", 1),
        option("--particle_diameter", settings.sample.particle_diameter),
        "--flatten_solvent --zero_mask",
        option("--oversampling", OVERSAMPLING),
        option("--healpix_order", 1),
        option("--offset_range", options.sgd.offset_range),
        option("--offset_step", options.sgd.offset_step * 2**OVERSAMPLING),
        option("--sym", settings.sample.symmetry),
        "--norm --scale",
        option("--maxsig", options.max_significants),
        option("--random_seed", settings.seed),
    )


def start_seed(settings: Settings, start: int) -> int:
    """Seed of one start: no two starts share one, nor do two values of ``seed``."""
    return SEEDS_PER_RUN * settings.seed + start


def runs_in_c1(settings: Settings, version: Version) -> bool:
    """Whether symmetry is found and applied after the model is made, rather than during it."""
    in_c1 = settings.initial_model.in_c1
    return version.vdam if in_c1 == "auto" else in_c1


def initial_model_iterations(settings: Settings, version: Version) -> int:
    """Give the number of the last iteration, NNN in the names of the results."""
    if version.vdam:
        return settings.initial_model.vdam.mini_batches
    sgd = settings.initial_model.sgd
    return sgd.initial_iterations + sgd.inbetween_iterations + sgd.final_iterations


def initial_model_map(settings: Settings, version: Version) -> str:
    """Name of the finished map in the job's directory."""
    if version.vdam or _needs_symmetry(settings, version):
        return "initial_model.mrc"
    return f"run_it{initial_model_iterations(settings, version):03d}_class001.mrc"


def _sgd(settings: Settings) -> Parts:
    sgd = settings.initial_model.sgd
    return (
        option("--sgd_ini_iter", sgd.initial_iterations),
        option("--sgd_inbetween_iter", sgd.inbetween_iterations),
        option("--sgd_fin_iter", sgd.final_iterations),
        option("--sgd_write_iter", WRITE_EVERY),
        option("--sgd_ini_resol", sgd.initial_resolution),
        option("--sgd_fin_resol", sgd.final_resolution),
        option("--sgd_ini_subset", sgd.initial_subset),
        option("--sgd_fin_subset", sgd.final_subset),
        "--sgd --denovo_3dref",
    )


def _sgd_search(settings: Settings) -> Parts:
    sgd = settings.initial_model.sgd
    return (
        option("--pad", sgd.padding),
        "--skip_gridding",
        option("--healpix_order", healpix_order(sgd.angular_sampling)),
        option("--offset_range", sgd.offset_range),
        option("--offset_step", sgd.offset_step * 2**OVERSAMPLING),
    )


def _vdam(settings: Settings) -> Parts:
    return (option("--iter", settings.initial_model.vdam.mini_batches), "--grad --denovo_3dref")


def _vdam_search(settings: Settings) -> Parts:
    # RELION's window leaves nothing to choose here: the sampling follows the resolution.
    return (
        "--pad 1 --healpix_order 1 --offset_range 6 --offset_step 2 --auto_sampling",
        option("--tau2_fudge", settings.initial_model.vdam.tau_fudge),
    )


def _needs_symmetry(settings: Settings, version: Version) -> bool:
    return runs_in_c1(settings, version) and settings.sample.symmetry.upper() != "C1"


def _symmetrise(settings: Settings, version: Version, out: str) -> Commands:
    """Find the symmetry axes, turn the map to them and, from RELION 4.0 on, apply them."""
    if not version.vdam and not _needs_symmetry(settings, version):
        return ()
    last = f"{out}run_it{initial_model_iterations(settings, version):03d}"
    symmetry = settings.sample.symmetry if _needs_symmetry(settings, version) else "C1"
    success = quote(out + "RELION_JOB_EXIT_SUCCESS")
    align = relion(
        "relion_align_symmetry",
        out,
        option("--i", f"{last}_model.star" if version.vdam else f"{last}_class001.mrc"),
        option("--o", out + "initial_model.mrc"),
        option("--sym", symmetry),
        option("--apply_sym", version.vdam),
        option("--select_largest_class", version.vdam),
        option("--box_size", _small_alignment_box(settings, version)),
    )
    return (f"rm -f {success}", align, f"touch {success}")


def _small_alignment_box(settings: Settings, version: Version) -> int | None:
    """Box for finding the axes: RELION 3.1 refuses maps that are smaller than its usual one."""
    if version.vdam or settings.start == "particles":
        return None
    box = small_box_size(settings)
    return box if box < ALIGNMENT_BOX else None


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

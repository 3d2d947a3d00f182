"""RELION's command lines for initial models in 3.1, 4.0 and 5.0.

RELION's side is ``RelionJob::getCommandsInimodelJob`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.classification import (
    OVERSAMPLING,
    WRITE_EVERY,
    ctf_options,
    healpix_order,
    padding,
    reading,
    reference_options,
)
from relion_dispatch.pipeline.commandline import Commands, Parts, option, quote, relion
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.preprocessing import small_box_size
from relion_dispatch.pipeline.versions import Version
from relion_dispatch.this_python import python_command

SEEDS_PER_RUN = 100
SCORING_TAU = 2
INITIAL_MODEL = "initial_model.mrc"
LARGEST_CLASS = "largest_class.mrc"
# Pixels that relion_align_symmetry scales a map to.
ALIGNMENT_BOX = 64


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
    return (
        run,
        *_largest(settings, version, out),
        *_symmetrise(settings, version, out),
        _score(settings, version, particles, out),
    )


def _largest(settings: Settings, version: Version, out: str) -> Commands:
    """Copy the map of the largest class; RELION from 4.0 on finds it itself, in C1 too."""
    if version.vdam or settings.initial_model.classes == 1:
        return ()
    model = f"{_last_iteration(settings, version, out)}_model.star"
    made = out + (LARGEST_CLASS if _needs_symmetry(settings, version) else INITIAL_MODEL)
    return (python_command("pipeline.largest", "--model", model, "--o", made),)


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
    several = settings.initial_model.classes > 1
    if version.vdam or several or _needs_symmetry(settings, version):
        return INITIAL_MODEL
    return f"{_last_iteration(settings, version)}_class001.mrc"


def _last_iteration(settings: Settings, version: Version, out: str = "") -> str:
    return f"{out}run_it{initial_model_iterations(settings, version):03d}"


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
    last = _last_iteration(settings, version, out)
    one = f"{last}_class001.mrc" if settings.initial_model.classes == 1 else out + LARGEST_CLASS
    symmetry = settings.sample.symmetry if _needs_symmetry(settings, version) else "C1"
    success = quote(out + "RELION_JOB_EXIT_SUCCESS")
    align = relion(
        "relion_align_symmetry",
        out,
        option("--i", f"{last}_model.star" if version.vdam else one),
        option("--o", out + INITIAL_MODEL),
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

"""RELION's command lines for CTF refinement and Bayesian polishing in 3.1, 4.0 and 5.0.

RELION's side is ``getCommandsCtfrefineJob`` and ``getCommandsMotionrefineJob`` of ``RelionJob`` in
``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.commandline import Commands, Parts, option, relion
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import Version

FIT_LETTERS = {"none": "f", "per_micrograph": "m", "per_particle": "p"}


def ctf_refinement(settings: Settings, *, particles: str, postprocess: str, out: str) -> Commands:
    """Refine CTF parameters from the map; ``particles_ctf_refine.star``."""
    options = settings.ctf_refinement
    return (
        relion(
            "relion_ctf_refine",
            out,
            option("--i", particles),
            option("--f", postprocess),
            option("--o", out),
            *(_magnification(settings) if options.magnification else _ctf_fits(settings)),
            extra=options.extra_arguments,
        ),
    )


def _magnification(settings: Settings) -> Parts:
    return ("--fit_aniso", option("--kmin_mag", settings.ctf_refinement.min_resolution))


def _ctf_fits(settings: Settings) -> Parts:
    """Fits of defocus and others, then beam tilt, then symmetric aberrations.

    The five letters of ``--fit_mode`` stand for phase shift, defocus, astigmatism, Cs (always
    fixed) and B-factor: fixed, per micrograph or per particle.
    """
    options = settings.ctf_refinement
    fits = (options.phase_shift, options.defocus, options.astigmatism, "none", options.bfactor)
    mode = "".join(FIT_LETTERS[fit] for fit in fits)
    kmin = options.min_resolution
    fitted, tilt = mode != "fffff", options.beam_tilt
    return (
        option("--fit_defocus", fitted),
        option("--kmin_defocus", kmin if fitted else None),
        option("--fit_mode", mode if fitted else None),
        option("--fit_beamtilt", tilt),
        option("--kmin_tilt", kmin if tilt else None),
        option("--odd_aberr_max_n", 3 if tilt and options.trefoil else None),
        option("--fit_aberr", options.fourth_order),
    )


def polishing_training(
    settings: Settings, *, particles: str, postprocess: str, micrographs: str, out: str
) -> Commands:
    """Find the parameters for polishing from the data; ``opt_params_all_groups.txt``."""
    training = settings.polishing.training
    return (
        relion(
            "relion_motion_refine",
            out,
            *_movie_frames(settings, particles, postprocess, micrographs),
            option("--o", out),
            option("--min_p", training.min_particles),
            option("--eval_frac", training.evaluation_fraction),
            option("--align_frac", round(1 - training.evaluation_fraction, 4)),
            "--params2" if settings.polishing.sigma_acc < 0 else "--params3",
            option("--seed", settings.seed),
            extra=training.extra_arguments,
        ),
    )


def polishing(
    settings: Settings,
    version: Version,
    *,
    particles: str,
    postprocess: str,
    micrographs: str,
    out: str,
    parameters: str | None = None,
) -> Commands:
    """Polish the particles; ``shiny.star``.

    Parameters
    ----------
    parameters
        ``opt_params_all_groups.txt`` of a training in this project; None for the configured file
        or sigmas.
    """
    options = settings.polishing
    return (
        relion(
            "relion_motion_refine",
            out,
            *_movie_frames(settings, particles, postprocess, micrographs),
            option("--o", out),
            option("--float16", settings.float16 and version.float16),
            *_motion_model(settings, parameters or options.parameters_file),
            "--combine_frames",
            option("--bfac_minfreq", options.min_resolution),
            option("--bfac_maxfreq", options.max_resolution or -1),
            option("--window", options.box_size),
            option("--scale", options.scaled_size),
            extra=options.extra_arguments,
        ),
    )


def _movie_frames(settings: Settings, particles: str, postprocess: str, micrographs: str) -> Parts:
    return (
        option("--i", particles),
        option("--f", postprocess),
        option("--corr_mic", micrographs),
        option("--first_frame", settings.polishing.first_frame),
        option("--last_frame", settings.polishing.last_frame),
    )


def _motion_model(settings: Settings, parameters: str | None) -> Parts:
    if parameters is not None:
        return (option("--params_file", parameters),)
    options = settings.polishing
    return (
        option("--s_vel", options.sigma_vel),
        option("--s_div", options.sigma_div),
        option("--s_acc", options.sigma_acc),
    )

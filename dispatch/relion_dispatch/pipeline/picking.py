"""RELION's command lines for picking particles, as the windows of 3.1, 4.0 and 5.0 write them.

RELION's side is ``RelionJob::getCommandsAutopickJob`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.commandline import Commands, Parts, handed_on, option, quote, relion
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.options.kinds import ANGULAR_SAMPLINGS
from relion_dispatch.pipeline.versions import Version


def picking(
    settings: Settings, version: Version, *, micrographs: str, out: str, model: str | None = None
) -> Commands:
    """Pick particles; ``autopick.star`` from RELION 4.0 on, ``coords_suffix_autopick.star`` before.

    Parameters
    ----------
    model
        A model that Topaz was trained to in this project, instead of the configured one.
    """
    method = {"log": _log, "references": _references}.get(settings.picking.method)
    parts = method(settings) if method else _topaz(settings, version, model)
    command = relion(
        "relion_autopick",
        out,
        option("--i", micrographs),
        option("--odir", out),
        "--pickname autopick",
        *parts,
        extra=settings.picking.extra_arguments,
    )
    if version.coordinate_lists:
        return (command,)
    return (command, f"echo {quote(micrographs)} > {quote(out + 'coords_suffix_autopick.star')}")


def _log(settings: Settings) -> Parts:
    log = settings.picking.log
    limited = log.upper_threshold < 999
    return (
        "--LoG",
        option("--LoG_diam_min", _of_diameter(settings, log.min_diameter, 0.8)),
        option("--LoG_diam_max", _of_diameter(settings, log.max_diameter, 0.95)),
        "--shrink 0",
        option("--lowpass", log.max_resolution),
        option("--LoG_adjust_threshold", log.threshold),
        option("--LoG_upper_threshold", log.upper_threshold if limited else None),
        option("--Log_invert", log.white_particles),
    )


def _of_diameter(settings: Settings, value: float | str, share: float) -> float:
    """Replace ``auto`` by a share of the particle's diameter, in whole Å."""
    if isinstance(value, str):
        return round(share * (settings.sample.particle_diameter or 0))
    return value


def _references(settings: Settings) -> Parts:
    refs = settings.picking.references
    symmetry = refs.map_symmetry or settings.sample.symmetry
    order = ANGULAR_SAMPLINGS.index(refs.map_angular_sampling) + 1
    return (
        option("--ref", refs.file),
        option("--sym", symmetry if refs.is_map else None),
        option("--healpix_order", order if refs.is_map else None),
        option("--invert", refs.inverted_contrast),
        option("--ctf", refs.ctf_corrected),
        option("--ctf_intact_first_peak", refs.ctf_corrected and settings.ignore_first_ctf_peak),
        option("--ang", refs.angular_sampling),
        option("--shrink", refs.shrink),
        option("--lowpass", refs.lowpass),
        option("--highpass", refs.highpass),
        option("--angpix_ref", refs.pixel_size),
        option("--particle_diameter", refs.mask_diameter),
        option("--threshold", refs.threshold),
        option("--min_distance", _of_diameter(settings, refs.min_distance, 0.7)),
        option("--max_stddev_noise", refs.max_stddev_noise),
        option("--min_avg_noise", refs.min_average_noise),
        option("--random_seed", settings.seed),
    )


def _topaz(settings: Settings, version: Version, model: str | None) -> Parts:
    return (
        *_topaz_program(settings, version),
        "--topaz_extract",
        option("--topaz_model", model or settings.picking.topaz.model),
        handed_on("--topaz_args", settings.picking.topaz.other_args),
    )


def _topaz_program(settings: Settings, version: Version) -> Parts:
    topaz = settings.picking.topaz
    name = "--fn_topaz_exe" if version.topaz_in_relion else "--topaz_exe"
    diameter = _of_diameter(settings, topaz.particle_diameter, 0.9)
    return (option(name, topaz.executable), option("--particle_diameter", diameter))


def topaz_training(settings: Settings, version: Version, *, micrographs: str, out: str) -> Commands:
    """Train a Topaz model; ``model_epoch10.sav``."""
    topaz = settings.picking.topaz
    return (
        relion(
            "relion_autopick",
            out,
            option("--i", micrographs),
            option("--odir", out),
            "--pickname autopick",
            *_topaz_program(settings, version),
            "--topaz_train",
            option("--topaz_nr_particles", topaz.particles_per_micrograph),
            option("--topaz_train_parts", topaz.training_particles),
            option("--topaz_train_picks", topaz.training_coordinates),
            handed_on("--topaz_args", topaz.other_args),
        ),
    )

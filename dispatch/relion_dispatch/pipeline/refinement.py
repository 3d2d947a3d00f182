"""RELION's command lines from 3D refinement to local resolution in 3.1, 4.0 and 5.0.

Each function is one job: paths in, the job's shell lines out. RELION's side of each is
``RelionJob::getCommands…Job`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.classification import (
    OVERSAMPLING,
    ctf_options,
    healpix_order,
    padding,
    reading,
    reference_options,
)
from relion_dispatch.pipeline.commandline import Commands, Parts, option, relion, text
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import Version

# Without a calibrated value, RELION takes the pixel size from the map's header.
FROM_HEADER = -1


def refine3d(
    settings: Settings, version: Version, *, particles: str, reference: str, out: str
) -> Commands:
    """Refine the chosen particles; ``run_class001.mrc``, half maps and ``run_data.star``."""
    options = settings.refine3d
    start = (
        *reference_options(version, reference, absolute_greyscale=options.absolute_greyscale),
        option("--ini_high", options.ini_high),
    )
    masking = (
        option("--solvent_mask", options.mask),
        option("--solvent_correct_fsc", options.solvent_corrected_fsc),
    )
    command = _refine(
        settings,
        version,
        out=out,
        particles=particles,
        start=start,
        masking=masking,
        sampling=(options.angular_sampling, options.local_searches_from),
        extra=options.extra_arguments,
    )
    return (command,)


def refine_polished(
    settings: Settings, version: Version, *, particles: str, reference: str, mask: str, out: str
) -> Commands:
    """Refine the particles of a round, from the map and mask of the refinement before."""
    again = settings.refine_polished
    start = (
        *reference_options(version, reference, absolute_greyscale=True),
        option("--ini_high", again.ini_high),
    )
    masking = (
        option("--solvent_mask", mask if again.use_mask else None),
        option("--solvent_correct_fsc", again.use_mask and again.solvent_corrected_fsc),
    )
    command = _refine(
        settings,
        version,
        out=out,
        particles=particles,
        start=start,
        masking=masking,
        sampling=(again.angular_sampling, again.local_searches_from),
        extra=f"{settings.refine3d.extra_arguments} {again.extra_arguments}",
    )
    return (command,)


def _refine(
    settings: Settings,
    version: Version,
    *,
    out: str,
    particles: str,
    start: Parts,
    masking: Parts,
    sampling: tuple[float, float],
    extra: str,
) -> str:
    options = settings.refine3d
    return relion(
        "relion_refine",
        out,
        option("--o", out + "run"),
        "--auto_refine --split_random_halves",
        option("--i", particles),
        *start,
        option("--blush", options.blush),
        *reading(settings.compute),
        *padding(version, options.padding),
        option("--auto_ignore_angles", options.finer_faster),
        option("--auto_resol_angles", options.finer_faster),
        *ctf_options(settings, version, corrected=_reference_is_corrected(settings)),
        option("--particle_diameter", settings.sample.particle_diameter),
        "--flatten_solvent",
        option("--zero_mask", options.zero_mask),
        *masking,
        option("--oversampling", OVERSAMPLING),
        option("--healpix_order", healpix_order(sampling[0])),
        option("--auto_local_healpix_order", healpix_order(sampling[1])),
        option("--offset_range", options.offset_range),
        option("--offset_step", options.offset_step * 2**OVERSAMPLING),
        option("--sym", settings.sample.symmetry),
        option("--low_resol_join_halves", options.join_halves_below),
        "--norm --scale",
        option("--maxsig", options.max_significants),
        option("--random_seed", settings.seed),
        extra=extra,
    )


def _reference_is_corrected(settings: Settings) -> bool:
    """Every map of the pipeline's own is; a user's map reaches refinement only unclassified."""
    own = settings.initial_model
    return own.reference is None or settings.class3d.enabled or own.reference_ctf_corrected


def mask(settings: Settings, *, map_: str, threshold: float | str, out: str) -> Commands:
    """Make a soft solvent mask; ``mask.mrc``.

    Parameters
    ----------
    map_
        The refined map.
    threshold
        Density from which a voxel belongs to the particle, after the low-pass filter; a text is
        a shell expression that gives it when the job runs, such as ``$(cat threshold)``.
    """
    options = settings.mask
    density = threshold if isinstance(threshold, str) else text(threshold)
    return (
        relion(
            "relion_mask_create",
            out,
            option("--i", map_),
            option("--o", out + "mask.mrc"),
            option("--lowpass", options.lowpass),
            f"--ini_threshold {density}",
            option("--extend_inimask", options.extend),
            option("--width_soft_edge", options.soft_edge),
            extra=options.extra_arguments,
        ),
    )


def postprocess(settings: Settings, *, half_map: str, mask: str, out: str) -> Commands:
    """Sharpen and measure the resolution; ``postprocess.mrc``, ``postprocess.star`` and more.

    Parameters
    ----------
    half_map
        ``run_half1_class001_unfil.mrc``; the other half is found beside it.
    """
    options = settings.postprocess
    adhoc = None if options.auto_bfactor else options.adhoc_bfactor
    return (
        relion(
            "relion_postprocess",
            out,
            option("--mask", mask),
            option("--i", half_map),
            option("--o", out + "postprocess"),
            option("--angpix", options.calibrated_pixel_size or FROM_HEADER),
            *_mtf(settings),
            option("--auto_bfac", options.auto_bfactor),
            option("--autob_lowres", options.auto_bfactor_lowres if options.auto_bfactor else None),
            option("--adhoc_bfac", adhoc),
            option("--skip_fsc_weighting", options.lowpass is not None),
            option("--low_pass", options.lowpass),
            option("--random_seed", settings.seed),
            extra=options.extra_arguments,
        ),
    )


def _mtf(settings: Settings) -> Parts:
    file = settings.postprocess.mtf or settings.optics.mtf
    if file is None:
        return ()
    pixel_size = settings.postprocess.mtf_pixel_size or settings.optics.pixel_size
    return (option("--mtf", file), option("--mtf_angpix", pixel_size))


def local_resolution(settings: Settings, *, half_map: str, mask: str, out: str) -> Commands:
    """Estimate local resolution; ``relion_locres.mrc`` and ``relion_locres_filtered.mrc``."""
    options = settings.local_resolution
    pixel_size = settings.postprocess.calibrated_pixel_size
    return (
        relion(
            "relion_postprocess",
            out,
            "--locres",
            option("--i", half_map),
            option("--o", out + "relion"),
            option("--angpix", pixel_size or FROM_HEADER),
            option("--adhoc_bfac", options.adhoc_bfactor),
            option("--locres_sampling", options.sampling),
            # RELION's window leaves its pixel size out; then the map's is taken, even if binned.
            *_mtf(settings),
            option("--mask", mask),
            option("--random_seed", settings.seed),
            extra=options.extra_arguments,
        ),
    )

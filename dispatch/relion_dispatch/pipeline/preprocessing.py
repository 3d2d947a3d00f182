"""RELION's command lines from movies to particles, as the windows of 3.1, 4.0 and 5.0 write them.

Each function is one job: paths in, the job's shell lines out. RELION's side of each is
``RelionJob::getCommands…Job`` in ``src/pipeline_jobs.cpp``.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import PurePosixPath

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.commandline import Commands, Parts, handed_on, option, quote, relion
from relion_dispatch.pipeline.consistency import power_spectra_exist
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import V4_0, Version
from relion_dispatch.this_python import python_command

BACKGROUND_FRACTION = 0.75
SMALL_PIXEL_ANGST = 4.0


def import_movies(settings: Settings, *, out: str) -> Commands:
    """Write ``movies.star`` or ``micrographs.star`` from the pattern of ``start``."""
    kind = settings.start
    optics = settings.optics
    return (
        relion(
            "relion_import",
            out,
            f"--do_{kind}",
            option("--optics_group_name", optics.group_name),
            option("--optics_group_mtf", optics.mtf),
            option("--angpix", optics.pixel_size),
            option("--kV", optics.voltage),
            option("--Cs", optics.spherical_aberration),
            option("--Q0", optics.amplitude_contrast),
            option("--beamtilt_x", 0),
            option("--beamtilt_y", 0),
            option("--i", getattr(settings, kind)),
            option("--odir", out),
            option("--ofile", f"{kind}.star"),
        ),
    )


def import_particles(settings: Settings, *, out: str) -> Commands:
    """Copy the particles' STAR file into the project, under its own name."""
    particles = settings.particles or ""
    return (
        relion(
            "relion_import",
            out,
            "--do_particles",
            option("--i", particles),
            option("--odir", out),
            option("--ofile", PurePosixPath(particles).name),
        ),
    )


def import_coordinates(settings: Settings, *, out: str) -> Commands:
    """Copy coordinate files into the job's directory, below the folders they are in."""
    pattern = settings.picking.coordinates or ""
    return (
        relion(
            "relion_import",
            out,
            "--do_coordinates",
            option("--i", pattern),
            option("--odir", out),
            option("--ofile", f"coords_suffix{coordinate_suffix(settings)}"),
        ),
    )


def coordinate_suffix(settings: Settings) -> str:
    """Give the ending of coordinate files behind the movie's name, such as ``_pick.star``."""
    if settings.picking.method != "coordinates":
        return "_autopick.star"
    return (settings.picking.coordinates or "").rpartition("*")[2]


def motion_correction(settings: Settings, version: Version, *, movies: str, out: str) -> Commands:
    """Correct motion with RELION's own program or MotionCor2; ``corrected_micrographs.star``."""
    motion, gain = settings.motion_correction, settings.gain
    own = motion.program == "own"
    lines = (
        relion(
            "relion_run_motioncorr",
            out,
            option("--i", movies),
            option("--o", out),
            option("--first_frame_sum", motion.first_frame),
            option("--last_frame_sum", motion.last_frame),
            *(_own(settings, version) if own else _motioncor2(settings)),
            option("--defect_file", gain.defects),
            option("--bin_factor", motion.bin_factor),
            option("--bfactor", motion.bfactor),
            option("--dose_per_frame", settings.dose.per_frame),
            option("--preexposure", settings.dose.pre_exposure),
            option("--patch_x", motion.patches_x),
            option("--patch_y", motion.patches_y),
            option("--eer_grouping", motion.eer_grouping),
            option("--group_frames", motion.group_frames if motion.group_frames > 1 else None),
            *_gain(settings),
            option("--dose_weighting", motion.dose_weighting),
            option("--save_noDW", motion.dose_weighting and motion.save_non_dose_weighted),
            option("--grouping_for_ps", _frames_per_spectrum(settings)),
            extra=motion.extra_arguments,
        ),
    )
    if own or not motion.serial:
        return lines
    joining = joined_motion_correction(settings, version, movies=movies, out=out)
    return (
        *_turned_gain(settings, movies=movies, out=out),
        *(f"{python_command('sharding.motioncor2')} {line} --serial" for line in lines),
        *joining,
    )


def _turned_gain(settings: Settings, *, movies: str, out: str) -> Commands:
    """Have the gain reference turned before several processes need it."""
    gain = settings.gain
    if gain.file is None or not (gain.rotation or gain.flip):
        return ()
    words = (
        option("--i", movies),
        option("--o", out),
        option("--file", gain.file),
        option("--rotation", gain.rotation),
        option("--flip", gain.flip),
    )
    return (" ".join(filter(None, (python_command("sharding.gain"), *words))),)


def joined_motion_correction(
    settings: Settings, version: Version, *, movies: str, out: str
) -> Commands:
    """Write ``corrected_micrographs.star`` and ``logfile.pdf`` of what is corrected already.

    RELION's own program does so whatever has corrected them, and looks for no GPU. From 4.0 on it
    would plot the tracks of what it has just corrected, which is nothing.
    """
    motion = settings.motion_correction
    own = motion.program == "own"
    joining = replace(motion, program="own", power_spectra=own and motion.power_spectra)
    (line,) = motion_correction(
        replace(settings, motion_correction=joining), version, movies=movies, out=out
    )
    skip = "--skip_logfile" if version >= V4_0 else None
    return (" ".join(filter(None, (line, "--only_do_unfinished --do_at_most 0", skip))),)


def _own(settings: Settings, version: Version) -> Parts:
    # RELION's window allows 16 bits only with power spectra: CTF programs cannot read the images.
    half = settings.float16 and version.float16 and uses_power_spectra(settings)
    return ("--use_own", option("--float16", half))


def _motioncor2(settings: Settings) -> Parts:
    motion = settings.motion_correction
    return (
        "--use_motioncor2",
        option("--motioncor2_exe", motion.executable),
        handed_on("--other_motioncor2_args", motion.other_args),
    )


def _gain(settings: Settings) -> Parts:
    gain = settings.gain
    if gain.file is None:
        return ()
    return (
        option("--gainref", gain.file),
        option("--gain_rot", gain.rotation),
        option("--gain_flip", gain.flip),
    )


def _frames_per_spectrum(settings: Settings) -> int | None:
    motion, per_frame = settings.motion_correction, settings.dose.per_frame
    if motion.program != "own" or not motion.power_spectra or per_frame is None:
        return None
    return max(1, int(motion.power_spectra_dose / per_frame + 0.5))


def uses_power_spectra(settings: Settings) -> bool:
    """Whether CTF estimation reads power spectra instead of micrographs."""
    asked = settings.ctf.use_power_spectra
    if asked == "auto":
        return power_spectra_exist(settings) and settings.ctf.window == -1
    return asked


def ctf(settings: Settings, *, micrographs: str, out: str, builtin: str) -> Commands:
    """Estimate CTFs with CTFFIND 4, Gctf or the built-in program; ``micrographs_ctf.star``.

    Parameters
    ----------
    builtin
        Path of the built-in program, which is started in CTFFIND's place.
    """
    options = settings.ctf
    phase = options.phase_shift
    return (
        relion(
            "relion_run_ctffind",
            out,
            option("--i", micrographs),
            option("--o", out),
            option("--Box", options.box_size),
            option("--ResMin", options.min_resolution),
            option("--ResMax", options.max_resolution),
            option("--dFMin", options.min_defocus),
            option("--dFMax", options.max_defocus),
            option("--FStep", options.defocus_step),
            option("--dAst", options.astigmatism),
            option("--use_noDW", options.use_non_dose_weighted),
            option("--do_phaseshift", phase.enabled),
            option("--phase_min", phase.min if phase.enabled else None),
            option("--phase_max", phase.max if phase.enabled else None),
            option("--phase_step", phase.step if phase.enabled else None),
            *(_gctf(settings) if options.program == "gctf" else _ctffind(settings, builtin)),
            extra=options.extra_arguments,
        ),
    )


def _ctffind(settings: Settings, builtin: str) -> Parts:
    options = settings.ctf
    # RELION writes it into a shell script as it is: quoted once more, the path may hold blanks.
    ours = shlex.quote(builtin) if options.program == "builtin" else None
    return (
        option("--ctffind_exe", ours or options.executable),
        option("--ctfWin", options.window),
        "--is_ctffind4",
        option("--fast_search", not options.exhaustive_search),
        option("--use_given_ps", uses_power_spectra(settings)),
    )


def _gctf(settings: Settings) -> Parts:
    options = settings.ctf
    return (
        "--use_gctf",
        option("--gctf_exe", options.executable),
        option("--ignore_ctffind_params", options.gctf.ignore_search_parameters),
        option("--EPA", options.gctf.equiphase_averaging),
        handed_on("--extra_gctf_options", options.gctf.other_args),
    )


def extraction(
    settings: Settings, version: Version, *, micrographs: str, coordinates: str, out: str
) -> Commands:
    """Extract particles, scaled to the small box; ``particles.star``.

    Parameters
    ----------
    coordinates
        What picking wrote: a list of coordinate files (``….star`` of RELION 4.0 and later), or
        ``coords_suffix…``, whose name holds the ending of the coordinate files.
    """
    return (
        relion(
            "relion_preprocess",
            out,
            option("--i", micrographs),
            *_coordinates(version, coordinates),
            *_cut(settings, version, out, small_box_size(settings)),
            option("--minimum_pick_fom", settings.extraction.min_figure_of_merit),
            extra=settings.extraction.extra_arguments,
        ),
    )


def _coordinates(version: Version, coordinates: str) -> Parts:
    path = PurePosixPath(coordinates)
    if not path.name.startswith("coords_suffix"):
        if not version.coordinate_lists:
            raise InputError(f"RELION {version} reads coords_suffix files, not {coordinates}")
        return (option("--coord_list", coordinates),)
    return (
        option("--coord_dir", f"{path.parent}/"),
        option("--coord_suffix", path.name.removeprefix("coords_suffix")),
    )


def reextraction(
    settings: Settings, version: Version, *, micrographs: str, particles: str, out: str
) -> Commands:
    """Extract refined particles again at full size; ``particles.star``.

    Particles that were never aligned have no positions to be centred on, and RELION stops when it
    is asked to.
    """
    aligned = settings.class2d.enabled or settings.class3d.enabled
    recenter = settings.reextraction.recenter and aligned
    command = relion(
        "relion_preprocess",
        out,
        option("--i", micrographs),
        option("--reextract_data_star", particles),
        "--recenter --recenter_x 0 --recenter_y 0 --recenter_z 0" if recenter else None,
        option("--pick_star", out + "extractpick.star" if version.coordinate_lists else None),
        *_cut(settings, version, out, settings.sample.box_size or 0),
        extra=settings.reextraction.extra_arguments,
    )
    if version.coordinate_lists:
        return (command,)
    return (command, f"echo {quote(micrographs)} > {quote(out + 'coords_suffix_extract.star')}")


def _cut(settings: Settings, version: Version, out: str, scaled: int) -> Parts:
    cut, box = settings.extraction, settings.sample.box_size or 0
    diameter = cut.background_diameter or BACKGROUND_FRACTION * box
    radius = int(diameter / 2 * scaled / box)
    return (
        option("--part_star", out + "particles.star"),
        option("--part_dir", out),
        "--extract",
        option("--extract_size", box),
        option("--float16", settings.float16 and version.float16),
        option("--scale", scaled if scaled != box else None),
        "--norm",
        option("--bg_radius", radius),
        option("--white_dust", cut.white_dust),
        option("--black_dust", cut.black_dust),
        option("--invert_contrast", cut.invert_contrast),
    )


def small_box_size(settings: Settings) -> int:
    """Box of the first particles in pixels: as configured, or with pixels of about 4 Å."""
    sample = settings.sample
    box = sample.box_size or 0
    if isinstance(sample.small_box_size, int):
        return sample.small_box_size
    pixel = micrograph_pixel_size(settings)
    return min(box, 2 * round(box * pixel / SMALL_PIXEL_ANGST / 2))


def micrograph_pixel_size(settings: Settings) -> float:
    """Pixel size of the micrographs in Å, after binning in motion correction."""
    binning = settings.motion_correction.bin_factor if settings.start == "movies" else 1.0
    return (settings.optics.pixel_size or 0.0) * binning

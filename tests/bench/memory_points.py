"""Jobs of RELION that are as small as they can be and yet reach the memory of large ones.

The last iterations of a refinement need most: references that reach Nyquist make the first
iteration one of them, and ``--force_converge`` adds the one over all data. Searches are around
known angles, and the iterations of gridding, which take time but no memory, are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.bench.noise import ANGPIX, DEFOCUS, OPTICS, Noise
from tests.unit.star_files import loop

#: A job's lines: the first is what sizing sees, the last ones bring it to its most memory.
Lines = tuple[str, ...]

_NEAR = "--sigma_ang 0.7 --offset_range 1 --offset_step 1 --oversampling 0 --gridding_iter 1"
_HALVES = "--auto_refine --split_random_halves --auto_iter_max 1 --auto_local_healpix_order 4"
_LAST = "relion_refine --continue {root}_it001_optimiser.star --o {root} --force_converge"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A job to be measured.

    Attributes
    ----------
    name
        What the table says of it.
    lines
        Fills a project and returns the job's lines.
    ranks, threads
        How it runs; more than one rank with MPI.
    current_size
        Side of the transforms at the resolution it reaches, where that is not the box.
    quick
        Whether it takes but seconds.
    """

    name: str
    lines: Callable[[Noise], Lines]
    ranks: int = 1
    threads: int = 1
    current_size: int | None = None
    quick: bool = False


def points() -> Iterator[Point]:
    """Yield all points."""
    yield _refine3d(64, 2, quick=True)
    yield _refine3d(160, 1)
    yield _refine3d(128, 2, threads=2)
    yield _refine3d(96, 2, ranks=5, options=" --dont_combine_weights_via_disc")
    yield _refine3d(160, 2)
    yield _refine3d(256, 1, threads=2)
    yield Point(name="refine3d, box 128, pad 2, at 20 Å", lines=_early, ranks=3, current_size=46)
    yield Point(name="multi-body, box 96, 3 bodies, pad 2", lines=_multibody, ranks=3)
    yield _class3d(96, 3)
    yield _class3d(80, 4, ranks=3)
    yield _class3d(80, 4, ranks=3, options=" --dont_combine_weights_via_disc")
    yield _class2d(64, 4, quick=True)
    yield _class2d(128, 10)
    yield _class2d(200, 20, threads=2)
    yield Point(name="initial model, box 64, K 2, pad 1", lines=_initial_model)
    yield _motioncorr(16, (1024, 1024), quick=True)
    yield _motioncorr(12, (2048, 2048), threads=2)
    yield _motioncorr(8, (3838, 3710), movies=2, ranks=2)
    yield _polish(64, 50, 12, (1024, 1024), quick=True)
    yield _polish(96, 200, 16, (2048, 2048), threads=2)
    yield _polish(64, 50, 12, (1024, 1024), options=" --window 192 --scale 192", quick=True)
    yield _ctfrefine(96, 200)
    yield _ctfrefine(160, 20)
    yield Point(name="subtract, box 96, K 2, pad 2", lines=_subtract)
    yield Point(name="extract, box 200, 3838 x 3710", lines=_extract)
    yield Point(name="extract anew, 300000 particles", lines=_extract_anew)
    yield Point(name="mask, box 128", lines=_mask)
    yield Point(name="postprocess, box 160", lines=partial(_postprocess, locres=False))
    yield Point(name="local resolution, box 160", lines=partial(_postprocess, locres=True))


def _refine3d(
    box: int, pad: int, *, ranks: int = 3, threads: int = 1, options: str = "", quick: bool = False
) -> Point:
    def lines(noise: Noise) -> Lines:
        root = _root(noise, "Refine3D")
        first = (
            f"relion_refine {_input(noise, box, 4 * ranks)} --ref {noise.blob('ref.mrc', box)}"
            f" --o {root} --ini_high {2.02 * ANGPIX} --pad {pad} --healpix_order 4 --j {threads}"
            f" {_HALVES} {_NEAR}{options}"
        )
        last = f"{_LAST.format(root=root)} --gridding_iter 1 --j {threads}{options}"
        return first, last

    name = f"refine3d, box {box}, pad {pad}"
    return Point(name=name, lines=lines, ranks=ranks, threads=threads, quick=quick)


def _multibody(noise: Noise) -> Lines:
    """Three bodies that overlap, behind the first iteration of a refinement."""
    first, _ = _refine3d(96, 2).lines(noise)
    noise.run(first.replace("relion_refine", "relion_refine_mpi"), ranks=3)
    columns = ("rlnBodyMaskName", "rlnBodyRotateRelativeTo", "rlnBodySigmaAngles")
    rows = [
        (noise.mask(f"body{body}.mrc", 96, shift=shift), 2 if body == 1 else 1, 5, 1)
        for body, shift in enumerate((-16, 0, 16), start=1)
    ]
    noise.path("bodies.star").write_text(loop("", (*columns, "rlnBodySigmaOffset"), rows))
    return (
        (
            "relion_refine --continue Refine3D/job008/run_it001_optimiser.star"
            f" --o {_root(noise, 'MultiBody')} --multibody_masks bodies.star"
            " --solvent_correct_fsc --gridding_iter 1 --oversampling 0 --healpix_order 4"
            " --auto_local_healpix_order 4 --offset_range 1 --offset_step 1 --force_converge"
        ),
    )


def _early(noise: Noise) -> Lines:
    first, _ = _refine3d(128, 2).lines(noise)
    return (first.replace(f"--ini_high {2.02 * ANGPIX}", "--ini_high 20"),)


def _class3d(box: int, classes: int, *, ranks: int = 1, options: str = "") -> Point:
    def lines(noise: Noise) -> Lines:
        return (
            (
                f"relion_refine {_input(noise, box, 4 * classes)}"
                f" --ref {noise.blob('ref.mrc', box)} --o {_root(noise, 'Class3D')}"
                f" --ini_high {2.02 * ANGPIX} --pad 2 --K {classes} --iter 2"
                f" --healpix_order 3 {_NEAR}{options}"
            ),
        )

    how = "" if ranks == 1 else ", via MPI" if options else ", via files"
    return Point(name=f"class3d, box {box}, K {classes}, pad 2{how}", lines=lines, ranks=ranks)


def _class2d(box: int, classes: int, *, threads: int = 1, quick: bool = False) -> Point:
    def lines(noise: Noise) -> Lines:
        return (
            (
                f"relion_refine {_input(noise, box, 4 * classes)} --o {_root(noise, 'Class2D')}"
                f" --ini_high {2.02 * ANGPIX} --pad 2 --K {classes} --iter 1 --psi_step 24"
                f" --offset_range 3 --offset_step 2 --oversampling 1 --j {threads}"
            ),
        )

    name = f"class2d, box {box}, K {classes}"
    return Point(name=name, lines=lines, threads=threads, quick=quick)


def _initial_model(noise: Noise) -> Lines:
    return (
        (
            f"relion_refine {_input(noise, 64, 6)} --o {_root(noise, 'InitialModel')} --sgd"
            " --denovo_3dref --sgd_ini_iter 1 --sgd_inbetween_iter 1 --sgd_fin_iter 1"
            f" --sgd_ini_resol {2.02 * ANGPIX} --sgd_fin_resol {2.02 * ANGPIX} --sgd_ini_subset 3"
            " --sgd_fin_subset 3 --sgd_write_iter 10 --pad 1 --K 2 --healpix_order 0"
            " --offset_range 2 --offset_step 2 --oversampling 1 --gridding_iter 1"
        ),
    )


def _motioncorr(
    frames: int,
    shape: tuple[int, int],
    *,
    movies: int = 1,
    ranks: int = 1,
    threads: int = 1,
    quick: bool = False,
) -> Point:
    name = f"motioncorr, {frames} frames of {shape[0]} x {shape[1]}"
    lines = partial(_corrected, frames=frames, shape=shape, movies=movies, threads=threads)
    return Point(name=name, lines=lines, ranks=ranks, threads=threads, quick=quick)


def _corrected(
    noise: Noise, *, frames: int, shape: tuple[int, int], movies: int = 1, threads: int = 1
) -> Lines:
    return (
        (
            f"relion_run_motioncorr --i {noise.movies(movies, frames, shape)}"
            " --o MotionCorr/job002/ --use_own --first_frame_sum 1 --last_frame_sum 0"
            " --bin_factor 1 --bfactor 150 --dose_per_frame 1 --preexposure 0 --patch_x 3"
            " --patch_y 3 --dose_weighting"
            f" --save_noDW --grouping_for_ps 4 --j {threads}"
        ),
    )


def _polish(
    box: int,
    particles: int,
    frames: int,
    shape: tuple[int, int],
    *,
    threads: int = 1,
    options: str = "",
    quick: bool = False,
) -> Point:
    def lines(noise: Noise) -> Lines:
        noise.run(*_corrected(noise, frames=frames, shape=shape))
        star = noise.particles(box, particles, side=min(shape))
        return (
            (
                f"relion_motion_refine --i {star} --f {_reference(noise, box)} --o Polish/job004/"
                " --corr_mic MotionCorr/job002/corrected_micrographs.star --first_frame 1"
                " --last_frame -1 --s_vel 0.2 --s_div 5000 --s_acc 2 --combine_frames"
                f" --bfac_minfreq 20 --bfac_maxfreq -1 --j {threads}{options}"
            ),
        )

    larger = f"{options.replace(' --window', ' to').partition(' --')[0]}"
    name = f"polish, box {box}{larger}, {particles} particles"
    name += f", {frames} frames of {shape[0]} x {shape[1]}"
    return Point(name=name, lines=lines, threads=threads, quick=quick)


def _ctfrefine(box: int, particles: int) -> Point:
    def lines(noise: Noise) -> Lines:
        return (
            (
                f"relion_ctf_refine --i {noise.particles(box, particles)}"
                f" --f {_reference(noise, box)} --o CtfRefine/job005/ --fit_defocus"
                " --kmin_defocus 30 --fit_mode fpmfm --fit_beamtilt --kmin_tilt 30 --j 1"
            ),
        )

    return Point(name=f"ctf_refine, box {box}, {particles} particles", lines=lines)


def _subtract(noise: Noise) -> Lines:
    for line in _class3d(96, 2).lines(noise):
        noise.run(line)
    return (
        (
            "relion_particle_subtract --i Class3D/job008/run_it002_optimiser.star"
            f" --mask {noise.mask('mask.mrc', 96)} --o Subtract/job009/ --new_box 96"
        ),
    )


def _extract(noise: Noise) -> Lines:
    name = "MotionCorr/job002/Movies/m1.mrc"
    noise.image(name, noise.rng.standard_normal((3710, 3838), np.float32))
    labels = (*OPTICS, "rlnImagePixelSize")
    optics = loop("optics", labels, [("a", 1, 300, 2.7, 0.1, ANGPIX, ANGPIX, ANGPIX)])
    columns = ("rlnMicrographName", "rlnOpticsGroup", *DEFOCUS)
    micrographs = loop("micrographs", columns, [(name, 1, 15000, 14800, 30)])
    noise.path("CtfFind/job003/micrographs_ctf.star").write_text(optics + micrographs)
    at = noise.rng.uniform(200, 3500, (400, 2)).round(1)
    coordinates = loop("", ("rlnCoordinateX", "rlnCoordinateY"), at.tolist())
    noise.path("AutoPick/job004/Movies/m1_autopick.star").write_text(coordinates)
    return (
        (
            "relion_preprocess --i CtfFind/job003/micrographs_ctf.star --coord_dir AutoPick/job004/"
            " --coord_suffix _autopick.star --part_star Extract/job005/particles.star"
            " --part_dir Extract/job005/ --extract --extract_size 200 --norm --bg_radius 75"
            " --white_dust -1 --black_dust -1 --invert_contrast"
        ),
    )


def _extract_anew(noise: Noise) -> Lines:
    """A micrograph's particles out of very many others'."""
    line = _extract(noise)[0]
    old = noise.particles(32, 10)
    text = noise.path(old).read_text().rstrip()
    row = text.splitlines()[-1].replace("/m1.mrc", "/m2.mrc")
    noise.path(old).write_text("\n".join([text, *[row] * 300_000]) + "\n")
    coordinates = "--coord_dir AutoPick/job004/ --coord_suffix _autopick.star"
    return (line.replace(coordinates, f"--reextract_data_star {old}"),)


def _mask(noise: Noise) -> Lines:
    noise.path("MaskCreate/job006/mask.mrc")
    return (
        (
            f"relion_mask_create --i {noise.blob('map.mrc', 128)} --o MaskCreate/job006/mask.mrc"
            f" --lowpass 15 --angpix {ANGPIX} --ini_threshold 0.005 --extend_inimask 1"
            " --width_soft_edge 2 --j 1"
        ),
    )


def _postprocess(noise: Noise, *, locres: bool) -> Lines:
    halves = [noise.blob(f"run_half{half}_class001_unfil.mrc", 160) for half in (1, 2)]
    noise.path("PostProcess/job007/postprocess")
    what = "--locres --locres_sampling 120" if locres else ""
    return (
        (
            f"relion_postprocess --i {halves[0]} --mask {noise.mask('mask.mrc', 160)} {what}"
            f" --o PostProcess/job007/postprocess --angpix {ANGPIX} --adhoc_bfac -10"
        ),
    )


def _input(noise: Noise, box: int, number: int) -> str:
    return f"--i {noise.particles(box, number)} --ctf --particle_diameter {0.8 * box * ANGPIX}"


def _root(noise: Noise, kind: str) -> str:
    root = f"{kind}/job008/run"
    noise.path(root)
    return root


def _reference(noise: Noise, box: int) -> str:
    halves = [noise.blob(f"half{half}.mrc", box) for half in (1, 2)]
    return noise.fsc("postprocess.star", box, halves, noise.mask("mask.mrc", box))

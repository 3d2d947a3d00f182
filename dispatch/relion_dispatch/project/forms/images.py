"""Forms from movies to particles: Import, MotionCorr, CtfFind, Extract."""

from __future__ import annotations

from relion_dispatch.project.forms.words import Files, Filled, Step, Words, yes
from relion_dispatch.shellwords import unquote

ROTATIONS = ("No rotation (0)", "90 degrees (1)", "180 degrees (2)", "270 degrees (3)")
FLIPS = ("No flipping (0)", "Flip upside down (1)", "Flip left to right (2)")
COORDINATES = "Particle coordinates (*.box, *_pick.star)"
PARTICLES = "Particles STAR file (.star)"
_BACKGROUND = 0.75


def import_files(step: Step) -> Filled:
    """Movies, micrographs, particles or coordinates."""
    words = step.words()
    name = words.take("--ofile")
    words.skip("--odir")
    for kind in ("movies", "micrographs", "particles", "coordinates"):
        if words.flag(f"--do_{kind}") == "Yes":
            break
    raw = kind in ("movies", "micrographs")
    fields = {
        "--i": "fn_in_raw" if raw else "fn_in_other",
        "--optics_group_name": "optics_group_name",
        "--optics_group_mtf": "fn_mtf",
        "--particles_optics_group_name": "optics_group_particles",
        **{f"--{name}": name for name in ("angpix", "kV", "Cs", "Q0", "beamtilt_x", "beamtilt_y")},
    }
    options = {
        "do_raw": yes(raw),
        "do_other": yes(not raw),
        "is_multiframe": yes(kind != "micrographs"),
        "node_type": PARTICLES if kind == "particles" else COORDINATES,
        **words.values(fields),
        "other_args": words.rest(),
    }
    sub = ".movies" if raw else ".other"
    return Filled(folder="Import", sub=sub, options=options, outputs=((step.out + name, kind),))


def motion_correction(step: Step) -> Filled:
    """RELION's own motion correction, or MotionCor2."""
    words = step.words()
    words.skip("--o", "--use_motioncor2")
    own = words.flag("--use_own")
    spectra = words.take("--grouping_for_ps")
    dose = words.take("--dose_per_frame")
    fields = {
        "--i": "input_star_mics",
        "--motioncor2_exe": "fn_motioncor2_exe",
        "--other_motioncor2_args": "other_motioncor2_args",
        "--defect_file": "fn_defect",
        "--preexposure": "pre_exposure",
        "--gainref": "fn_gain_ref",
        **{f"--{n}": n for n in ("first_frame_sum", "last_frame_sum", "bin_factor", "bfactor")},
        **{f"--{n}": n for n in ("patch_x", "patch_y", "eer_grouping", "group_frames")},
    }
    options = {
        "do_own_motioncor": own,
        **words.values(fields),
        **({"dose_per_frame": dose} if dose else {}),
        "gain_rot": ROTATIONS[int(words.take("--gain_rot", "0"))],
        "gain_flip": FLIPS[int(words.take("--gain_flip", "0"))],
        "do_dose_weighting": words.flag("--dose_weighting"),
        "do_save_noDW": words.flag("--save_noDW"),
        "do_float16": words.flag("--float16"),
        "do_save_ps": yes(bool(spectra)),
        **({"group_for_ps": _product(spectra, dose)} if spectra and dose else {}),
        "other_args": words.rest(),
    }
    return Filled(
        folder="MotionCorr",
        sub=".own" if own == "Yes" else ".motioncor2",
        options=options,
        inputs=((options["input_star_mics"], "movies"),),
        outputs=step.made(
            corrected_micrographs__star="micrographs:motioncorr", logfile__pdf="log:motioncorr"
        ),
    )


def _product(count: str, dose: str) -> str:
    """Dose of so many frames: rounded back, it makes the same number of frames."""
    return f"{int(count) * float(dose):.6g}"


def ctf(step: Step) -> Filled:
    """CTFFIND, a program that speaks like it, or Gctf."""
    words = step.words()
    words.skip("--o", "--is_ctffind4")
    gctf = words.flag("--use_gctf")
    fields = {
        "--i": "input_star_mics",
        "--Box": "box",
        "--ResMin": "resmin",
        "--ResMax": "resmax",
        "--dFMin": "dfmin",
        "--dFMax": "dfmax",
        "--FStep": "dfstep",
        "--dAst": "dast",
        "--ctfWin": "ctf_win",
        "--gctf_exe": "fn_gctf_exe",
        "--extra_gctf_options": "other_gctf_args",
        **{f"--{name}": name for name in ("phase_min", "phase_max", "phase_step")},
    }
    options = {
        **words.values(fields),
        "use_noDW": words.flag("--use_noDW"),
        "do_phaseshift": words.flag("--do_phaseshift"),
        "use_gctf": gctf,
        "use_ctffind4": yes(gctf == "No"),
        "slow_search": yes(gctf == "No" and words.flag("--fast_search") == "No"),
        "use_given_ps": words.flag("--use_given_ps"),
        "do_ignore_ctffind_params": words.flag("--ignore_ctffind_params"),
        "do_EPA": words.flag("--EPA"),
    }
    if words.has("--ctffind_exe"):
        # Quoted twice where the path needs it: RELION writes it into a script as it is.
        options["fn_ctffind_exe"] = unquote(words.take("--ctffind_exe"))
    options["other_args"] = words.rest()
    return Filled(
        folder="CtfFind",
        sub=".gctf" if gctf == "Yes" else ".ctffind4",
        options=options,
        inputs=((options["input_star_mics"], "micrographs"),),
        outputs=step.made(micrographs_ctf__star="micrographs:ctf", logfile__pdf="log:ctffind"),
    )


def extraction(step: Step) -> Filled:
    """Extraction at picked coordinates, or once more at refined ones."""
    words = step.words()
    words.skip("--part_star", "--part_dir", "--extract", "--pick_star")
    source, again = words.take("--i"), words.take("--reextract_data_star")
    radius, fom = words.take("--bg_radius"), words.take("--minimum_pick_fom")
    fields = {
        **{f"--{name}": name for name in ("extract_size", "white_dust", "black_dust")},
        **{f"--recenter_{axis}": f"recenter_{axis}" for axis in "xyz"},
        "--scale": "rescale",
    }
    options = {
        "star_mics": source,
        "coords_suffix": _coordinates(words),
        "do_reextract": yes(bool(again)),
        "fndata_reextract": again,
        "do_rescale": yes(words.has("--scale")),
        **words.values(fields),
        **({"minimum_pick_fom": fom} if fom else {}),
        "do_fom_threshold": yes(bool(fom)),
        "do_recenter": words.flag("--recenter"),
        "do_reset_offsets": words.flag("--reset_offsets"),
        "do_norm": words.flag("--norm"),
        "do_invert": words.flag("--invert_contrast"),
        "do_float16": words.flag("--float16"),
    }
    options["bg_diameter"] = background_diameter(
        int(radius), int(options["extract_size"]), int(options.get("rescale", "0"))
    )
    options["other_args"] = words.rest()
    coordinates = (options["coords_suffix"], "coordinates")
    return Filled(
        folder="Extract",
        sub=".reextract" if again else "",
        options=options,
        inputs=((source, "micrographs"), (again, "particles") if again else coordinates),
        outputs=(*_extracted(step, bool(again)),),
    )


def _coordinates(words: Words) -> str:
    folder, suffix = words.take("--coord_dir"), words.take("--coord_suffix")
    return f"{folder}coords_suffix{suffix}" if suffix else words.take("--coord_list")


def _extracted(step: Step, again: bool) -> Files:
    files = step.made(particles__star="particles")
    if not again:
        return files
    list_ = "extractpick__star" if step.flavour.words else "coords_suffix_extract__star"
    return (
        *files,
        *step.made(**{list_: "coordinates:reextract"}, reference__mrc="map"),
    )


def background_diameter(radius: int, box: int, scaled: int) -> str:
    """Find the diameter that makes the window write this radius; -1 is three quarters of the box.

    Examples
    --------
    >>> background_diameter(18, 48, 0), background_diameter(10, 48, 32)
    ('-1', '30')
    """
    scale = (scaled or box) / box
    if int(_BACKGROUND * box / 2 * scale) == radius:
        return "-1"
    diameter = int(2 * radius / scale)
    while int(diameter / 2 * scale) < radius:
        diameter += 1
    return str(diameter)

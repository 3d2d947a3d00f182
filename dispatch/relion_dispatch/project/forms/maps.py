"""Forms of refined maps: MaskCreate, PostProcess, LocalRes, CtfRefine, Polish."""

from __future__ import annotations

from relion_dispatch.project.forms.words import Files, Filled, Step, Words, yes

FITS = {"f": "No", "m": "Per-micrograph", "p": "Per-particle"}
_THRESHOLD_FILE = "threshold.txt"


def mask(step: Step) -> Filled:
    """A soft mask; a threshold that is found from the map is known when the job has run."""
    words = step.words()
    words.skip("--o")
    source, threshold = words.take("--i"), words.take("--ini_threshold")
    found = "$(" in threshold
    fields = {
        "--lowpass": "lowpass_filter",
        "--angpix": "angpix",
        "--extend_inimask": "extend_inimask",
        "--width_soft_edge": "width_mask_edge",
    }
    options = {
        "fn_in": source,
        "lowpass_filter": "-1",
        **words.values(fields),
        **({} if found else {"inimask_threshold": threshold}),
        "other_args": words.rest(),
    }
    return Filled(
        folder="MaskCreate",
        options=options,
        late={"inimask_threshold": step.out + _THRESHOLD_FILE} if found else {},
        inputs=((source, "map"),),
        outputs=step.made(mask__mrc="mask:maskcreate"),
    )


def postprocess(step: Step) -> Filled:
    """Sharpening and FSC."""
    words = step.words()
    words.skip("--o")
    source, mask_ = words.take("--i"), words.take("--mask")
    fields = {
        "--angpix": "angpix",
        "--mtf": "fn_mtf",
        "--mtf_angpix": "mtf_angpix",
        "--autob_lowres": "autob_lowres",
        "--low_pass": "low_pass",
    }
    options = {
        "fn_in": source,
        "fn_mask": mask_,
        **words.values(fields),
        "do_auto_bfac": words.flag("--auto_bfac"),
        "do_adhoc_bfac": yes(words.has("--adhoc_bfac")),
        **words.values({"--adhoc_bfac": "adhoc_bfac"}),
        "do_skip_fsc_weighting": words.flag("--skip_fsc_weighting"),
        "other_args": words.rest(),
    }
    return Filled(
        folder="PostProcess",
        options=options,
        inputs=((mask_, "mask"), (source, "halfmap")),
        outputs=step.made(
            postprocess__mrc="finalmap:postprocess",
            postprocess_masked__mrc="finalmap:masked",
            logfile__pdf="log:postprocess",
            postprocess__star="postprocess",
        ),
    )


def local_resolution(step: Step) -> Filled:
    """RELION's own local resolution."""
    words = step.words()
    words.skip("--o", "--locres")
    source, mask_ = words.take("--i"), words.take("--mask")
    fields = {"--angpix": "angpix", "--adhoc_bfac": "adhoc_bfac", "--mtf": "fn_mtf"}
    options = {
        "fn_in": source,
        "fn_mask": mask_,
        "do_resmap_locres": "No",
        "do_relion_locres": "Yes",
        **words.values(fields),
        "other_args": words.rest(),
    }
    return Filled(
        folder="LocalRes",
        sub=".own",
        options=options,
        inputs=((source, "halfmap"), *(((mask_, "mask"),) if mask_ else ())),
        outputs=step.made(
            histogram__pdf="log:localres",
            relion_locres_filtered__mrc="finalmap:localres",
            relion_locres__mrc="localres",
        ),
    )


def ctf_refinement(step: Step) -> Filled:
    """Magnification, or defocus and aberrations."""
    words = step.words()
    words.skip("--o")
    particles, post = words.take("--i"), words.take("--f")
    anisotropy = words.flag("--fit_aniso")
    limits = [words.take(f"--kmin_{fit}") for fit in ("mag", "defocus", "tilt")]
    limit = next(filter(None, limits), "")
    fits = words.take("--fit_mode", "fffff")
    names = ("do_phase", "do_defocus", "do_astig", "", "do_bfactor")
    options = {
        "fn_data": particles,
        "fn_post": post,
        **({"minres": limit} if limit else {}),
        "do_aniso_mag": anisotropy,
        "do_ctf": words.flag("--fit_defocus"),
        **{name: FITS[fit] for name, fit in zip(names, fits, strict=True) if name},
        "do_tilt": words.flag("--fit_beamtilt"),
        "do_trefoil": yes(words.take("--odd_aberr_max_n") == "3"),
        "do_4thorder": words.flag("--fit_aberr"),
        "other_args": words.rest(),
    }
    kind = "particles:anisomagrefine" if anisotropy == "Yes" else "particles:ctfrefine"
    return Filled(
        folder="CtfRefine",
        sub=".anisomag" if anisotropy == "Yes" else "",
        options=options,
        inputs=((particles, "particles"), (post, "postprocess")),
        outputs=step.made(logfile__pdf="log:ctfrefine", particles_ctf_refine__star=kind),
    )


def polishing(step: Step) -> Filled:
    """Polishing, or the training of its parameters."""
    words = step.words()
    words.skip("--o", "--align_frac", "--combine_frames")
    trains = words.has("--params2") or words.has("--params3")
    fields = {
        "--i": "fn_data",
        "--f": "fn_post",
        "--corr_mic": "fn_mic",
        "--first_frame": "first_frame",
        "--last_frame": "last_frame",
        "--min_p": "optim_min_part",
        "--eval_frac": "eval_frac",
        "--params_file": "opt_params",
        "--window": "extract_size",
        "--scale": "rescale",
        "--bfac_minfreq": "minres",
        "--bfac_maxfreq": "maxres",
    }
    options = {
        "do_param_optim": yes(trains),
        "do_polish": yes(not trains),
        "do_own_params": yes(words.has("--s_vel")),
        **words.values(fields),
        **_motion(words),
        "do_float16": words.flag("--float16"),
        "other_args": words.rest(),
    }
    return Filled(
        folder="Polish",
        sub=".train" if trains else "",
        options=options,
        inputs=_polished_from(options),
        outputs=_polished(step, trains),
    )


def _motion(words: Words) -> dict[str, str]:
    # In training, a negative sigma of acceleration is how the window asks for two parameters.
    if words.flag("--params2") == "Yes":
        return {"sigma_acc": "-1"}
    words.skip("--params3")
    return words.values({f"--s_{part}": f"sigma_{part}" for part in ("vel", "div", "acc")})


def _polished_from(options: dict[str, str]) -> Files:
    kinds = {
        "fn_data": "particles",
        "fn_post": "postprocess",
        "fn_mic": "micrographs",
        "opt_params": "polishparams",
    }
    return tuple((options[name], kind) for name, kind in kinds.items() if options.get(name))


def _polished(step: Step, trains: bool) -> Files:
    if trains:
        return step.made(opt_params_all_groups__txt="polishparams")
    rescaled = step.made(reference__mrc="map", mask__mrc="mask") if len(step.lines) > 1 else ()
    made = step.made(logfile__pdf="log:polish", shiny__star="particles:polished")
    return (*made, *rescaled)

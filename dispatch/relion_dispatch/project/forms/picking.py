"""The form of AutoPick: Laplacian of Gaussian, references, or Topaz."""

from __future__ import annotations

from relion_dispatch.project.forms.words import SAMPLINGS, Files, Filled, Step, Words, yes


def picking(step: Step) -> Filled:
    """Laplacian of Gaussian, references, or Topaz."""
    words = step.words()
    words.skip("--odir", "--pickname")
    source = words.take("--i")
    inputs: Files = ()
    if words.has("--LoG"):
        options, sub = _log(words), ".log"
    elif words.has("--topaz_train") or words.has("--topaz_extract"):
        options, inputs, sub = _topaz(words)
    else:
        options, inputs, sub = _references(words)
    options |= {"fn_input_autopick": source, "other_args": words.rest()}
    made = "autopick__star" if step.flavour.words else "coords_suffix_autopick__star"
    picked = step.made(**{made: "coordinates:autopick"}, logfile__pdf="log:autopick")
    trained = step.made(model_epoch10__sav="topazmodel")
    return Filled(
        folder="AutoPick",
        sub=sub,
        options=options,
        inputs=((source, "micrographs"), *inputs),
        outputs=trained if sub == ".topaz.train" else picked,
    )


def _log(words: Words) -> dict[str, str]:
    words.skip("--LoG", "--shrink")
    fields = {
        "--LoG_diam_min": "log_diam_min",
        "--LoG_diam_max": "log_diam_max",
        "--lowpass": "log_maxres",
        "--LoG_adjust_threshold": "log_adjust_thr",
        "--LoG_upper_threshold": "log_upper_thr",
    }
    return {"do_log": "Yes", **words.values(fields), "log_invert": words.flag("--Log_invert")}


def _references(words: Words) -> tuple[dict[str, str], Files, str]:
    reference, symmetry = words.take("--ref"), words.take("--sym")
    fields = {
        "--ang": "psi_sampling_autopick",
        "--threshold": "threshold_autopick",
        "--min_distance": "mindist_autopick",
        "--max_stddev_noise": "maxstddevnoise_autopick",
        "--min_avg_noise": "minavgnoise_autopick",
        **{f"--{n}": n for n in ("shrink", "lowpass", "highpass", "angpix", "angpix_ref")},
    }
    options = {
        "do_refs": "Yes",
        "do_ref3d": yes(bool(symmetry)),
        "do_invert_refs": words.flag("--invert"),
        "do_ctf_autopick": words.flag("--ctf"),
        "do_ignore_first_ctfpeak_autopick": words.flag("--ctf_intact_first_peak"),
        # Written only when they are set.
        "lowpass": "-1",
        "minavgnoise_autopick": "-999",
        **words.values(fields),
    }
    if not symmetry:
        options["fn_refs_autopick"] = reference
        return options, ((reference, "references"),), ".ref2d"
    order = int(words.take("--healpix_order", "1"))
    options |= {
        "fn_ref3d_autopick": reference,
        "ref3d_symmetry": symmetry,
        "ref3d_sampling": SAMPLINGS[order - 1],
    }
    return options, ((reference, "map"),), ".ref3d"


def _topaz(words: Words) -> tuple[dict[str, str], Files, str]:
    words.skip("--topaz_extract")
    trains = words.flag("--topaz_train")
    fields = {
        "--topaz_exe": "fn_topaz_exec",
        "--fn_topaz_exe": "fn_topaz_exe",
        "--particle_diameter": "topaz_particle_diameter",
        "--topaz_nr_particles": "topaz_nr_particles",
        "--topaz_train_parts": "topaz_train_parts",
        "--topaz_train_picks": "topaz_train_picks",
        "--topaz_model": "topaz_model",
        "--topaz_args": "topaz_other_args",
    }
    taken = words.values(fields)
    options = {
        "do_topaz": "Yes",
        "do_topaz_train": trains,
        "do_topaz_pick": yes(trains == "No"),
        "do_topaz_train_parts": yes("topaz_train_parts" in taken),
        # The window trains on GPUs only.
        "use_gpu": trains,
        **taken,
    }
    kinds = {
        "topaz_train_parts": "particles",
        "topaz_train_picks": "coordinates",
        "topaz_model": "topazmodel",
    }
    inputs = tuple((taken[name], kind) for name, kind in kinds.items() if taken.get(name))
    return options, inputs, ".topaz.train" if trains == "Yes" else ".topaz.pick"

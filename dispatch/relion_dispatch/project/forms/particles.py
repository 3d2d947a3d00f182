"""Forms of ``relion_refine``: Class2D, InitialModel, Class3D, Refine3D."""

from __future__ import annotations

from relion_dispatch.project.forms.words import SAMPLINGS, Files, Filled, Step, Words, half, no, yes

#: Options that the windows of all these jobs always write.
_ALWAYS = ("--o", "--flatten_solvent", "--norm", "--scale", "--zero_mask")


def class2d(step: Step) -> Filled:
    """2D classes, by expectation-maximisation or by gradients."""
    words = step.words()
    options = _common(words)
    words.skip_if("--pad", "2")
    gradients = words.flag("--grad")
    words.skip("--class_inactivity_threshold", "--grad_write_iter")
    iterations = words.take("--iter")
    options |= {
        "nr_iter": iterations,
        "nr_iter_grad" if gradients == "Yes" else "nr_iter_em": iterations,
        "do_grad": gradients,
        "do_em": no(gradients),
        "do_center": words.flag("--center_classes"),
        **_classes(words),
        "psi_sampling": half(words.take("--psi_step", "12")),
        "other_args": words.rest(),
    }
    root = f"{step.out}run_it{int(iterations):03d}"
    outputs = _classified(step, root, "class2d")
    return Filled(folder="Class2D", options=options, inputs=_read(options), outputs=outputs)


def class3d(step: Step) -> Filled:
    """3D classes."""
    words = step.words()
    options = {**_common(words), **_reference(words), **_padding(words)}
    iterations, local = words.take("--iter"), words.take("--sigma_ang")
    options |= {
        "nr_iter": iterations,
        **_classes(words),
        "do_local_ang_searches": yes(bool(local)),
        **({"sigma_angles": f"{3 * float(local):.5g}"} if local else {}),
        **words.values({"--relax_sym": "relax_sym"}),
        "other_args": words.rest(),
    }
    root = f"{step.out}run_it{int(iterations):03d}"
    outputs = _classified(step, root, "class3d")
    maps = _maps(root, int(options["nr_classes"]), "map:class3d")
    return Filled(
        folder="Class3D", options=options, inputs=_read(options), outputs=(*outputs, *maps)
    )


def refine3d(step: Step) -> Filled:
    """Auto-refinement of one map."""
    words = step.words()
    words.skip("--auto_refine", "--split_random_halves")
    options = {**_common(words), **_reference(words), **_padding(words)}
    words.skip_if("--low_resol_join_halves", "40")
    faster = words.flag("--auto_ignore_angles")
    words.skip("--auto_resol_angles")
    options |= {
        "auto_faster": faster,
        "auto_local_sampling": SAMPLINGS[int(words.take("--auto_local_healpix_order", "4"))],
        "do_solvent_fsc": words.flag("--solvent_correct_fsc"),
        **words.values({"--relax_sym": "relax_sym"}),
        "other_args": words.rest(),
    }
    root = f"{step.out}run"
    optimiser = ((f"{root}_optimiser.star", "optimiser:refine3d"),) if step.flavour.words else ()
    outputs = (
        (f"{root}_data.star", "particles:refine3d"),
        *optimiser,
        (f"{root}_half1_class001_unfil.mrc", "halfmap:refine3d"),
        (f"{root}_class001.mrc", "map:refine3d"),
    )
    return Filled(folder="Refine3D", options=options, inputs=_read(options), outputs=outputs)


def initial_model(step: Step) -> Filled:
    """A map from particles alone, by stochastic gradients or VDAM."""
    words = step.words()
    vdam, solvent = words.has("--grad"), words.flag("--flatten_solvent")
    options = _common(words)
    words.skip("--denovo_3dref", "--grad", "--sgd", "--auto_sampling")
    symmetry = words.take("--sym", "C1")
    options |= {
        **words.values({"--K": "nr_classes", "--tau2_fudge": "tau_fudge", "--iter": "nr_iter"}),
        "sym_name": (_applied_symmetry(step) if vdam else "") or symmetry,
        "do_run_C1": yes(symmetry.upper() == "C1"),
        "do_solvent": solvent,
    }
    if vdam:
        words.skip("--pad", "--healpix_order")
        iterations = int(options["nr_iter"])
    else:
        options |= {**_sgd(words), **_padding(words)}
        sizes = ("sgd_ini_iter", "sgd_inbetween_iter", "sgd_fin_iter")
        iterations = sum(int(options[name]) for name in sizes)
    options["other_args"] = words.rest()
    root = f"{step.out}run_it{iterations:03d}"
    return Filled(
        folder="InitialModel",
        options=options,
        inputs=_read(options),
        outputs=_started(step, root, int(options["nr_classes"])),
    )


def _started(step: Step, root: str, classes: int) -> Files:
    maps = _maps(root, classes, "map:initialmodel")
    if step.flavour.words:
        made = step.made(initial_model__mrc="map:initialmodel")
        return (*made, *maps) if classes > 1 else made
    made = step.made(initial_model__mrc="map") if len(step.lines) > 2 else ()
    return ((f"{root}_data.star", "particles"), (f"{root}_model.star", "model"), *maps, *made)


def _applied_symmetry(step: Step) -> str:
    """Symmetry that a command behind the main one finds in the map."""
    for line in step.lines:
        if "relion_align_symmetry" in line:
            words = line.split()
            return words[words.index("--sym") + 1]
    return ""


def _sgd(words: Words) -> dict[str, str]:
    fields = {
        "--sgd_ini_subset": "sgd_ini_subset_size",
        "--sgd_fin_subset": "sgd_fin_subset_size",
        **{f"--sgd_{part}_iter": f"sgd_{part}_iter" for part in ("ini", "inbetween", "fin")},
        **{f"--sgd_{part}": f"sgd_{part}" for part in ("ini_resol", "fin_resol", "write_iter")},
    }
    return words.values(fields)


def _common(words: Words) -> dict[str, str]:
    """Take what all these windows have: input, CTF, masking, compute, search of orientations."""
    zero_mask = words.flag("--zero_mask")
    words.skip(*_ALWAYS)
    words.skip_if("--oversampling", "1")
    options = {
        "fn_img": words.take("--i"),
        "do_ctf_correction": words.flag("--ctf"),
        "ctf_intact_first_peak": words.flag("--ctf_intact_first_peak"),
        "do_zero_mask": zero_mask,
        "do_combine_thru_disc": no(words.flag("--dont_combine_weights_via_disc")),
        "do_parallel_discio": no(words.flag("--no_parallel_disc_io")),
        "do_preread_images": words.flag("--preread_images"),
        **words.values({"--scratch_dir": "scratch_dir", "--pool": "nr_pool"}),
        **words.values({"--particle_diameter": "particle_diameter"}),
        **words.values({"--offset_range": "offset_range"}),
    }
    if words.has("--offset_step"):
        options["offset_step"] = half(words.take("--offset_step"))
    return options


def _classes(words: Words) -> dict[str, str]:
    fields = {
        "--K": "nr_classes",
        "--tau2_fudge": "tau_fudge",
        "--strict_highres_exp": "highres_limit",
    }
    return {
        **words.values(fields),
        "do_fast_subsets": words.flag("--fast_subsets"),
        "dont_skip_align": no(words.flag("--skip_align")),
        "allow_coarser": words.flag("--allow_coarser_sampling"),
    }


def _reference(words: Words) -> dict[str, str]:
    """Take the reference, its mask and its symmetry."""
    fields = {
        "--ref": "fn_ref",
        "--solvent_mask": "fn_mask",
        "--ini_high": "ini_high",
        "--sym": "sym_name",
    }
    return {
        **words.values(fields),
        "ref_correct_greyscale": no(words.flag("--firstiter_cc")),
        "ctf_corrected_ref": words.flag("--ctf_corrected_ref"),
        "trust_ref_size": words.flag("--trust_ref_size"),
        "do_blush": words.flag("--blush"),
    }


def _padding(words: Words) -> dict[str, str]:
    options = {
        "do_pad1": yes(words.take("--pad", "2") == "1"),
        "skip_gridding": words.flag("--skip_gridding"),
    }
    # The window counts the sampling after oversampling: its nth choice is order n.
    order = words.take("--healpix_order")
    return {**options, **({"sampling": SAMPLINGS[int(order)]} if order else {})}


def _read(options: dict[str, str]) -> Files:
    kinds = {"fn_img": "particles", "fn_ref": "map", "fn_mask": "mask"}
    return tuple((options[name], kind) for name, kind in kinds.items() if options.get(name))


def _classified(step: Step, root: str, job: str) -> Files:
    """Particles, and what a selection begins with: the model, from 4.0 on the optimiser."""
    particles = (f"{root}_data.star", f"particles:{job}")
    if step.flavour.words:
        return (particles, (f"{root}_optimiser.star", f"optimiser:{job}"))
    return (particles, (f"{root}_model.star", "model"))


def _maps(root: str, classes: int, kind: str) -> Files:
    return tuple((f"{root}_class{number:03d}.mrc", kind) for number in range(1, classes + 1))

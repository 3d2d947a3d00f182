# From the chosen particles and a first map to refined, masked, sharpened maps, with a verdict.

if PROJECT.extracts_again:

    REEXTRACTION = PROJECT.job("reextraction", PROJECT.extract_again())

    rule reextraction:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
            particles=PROJECT.chosen_3d,
            map=PROJECT.chosen_map,
        output:
            particles=path("reextraction", "particles.star"),
            reference=path("reextraction", "reference.mrc"),
        log:
            **REEXTRACTION.logs,
        conda:
            "../envs/relion.yaml"
        threads: REEXTRACTION.threads
        resources:
            **REEXTRACTION.resources,
        params:
            **REEXTRACTION.params,
        shell:
            "{params.job}"


REFINE3D_JOBS = {number: PROJECT.refinement(number) for number in (0, *PROJECT.rounds)}

for number, job in REFINE3D_JOBS.items():

    rule:
        name:
            f"refine3d_{number}" if number else "refine3d"
        input:
            **PROJECT.refinement_inputs(number),
        output:
            map=PROJECT.refined("run_class001.mrc", number),
            half=PROJECT.refined("run_half1_class001_unfil.mrc", number),
            data=PROJECT.refined("run_data.star", number),
            model=PROJECT.refined("run_model.star", number),
        log:
            **job.logs,
        conda:
            "../envs/relion.yaml"
        threads: job.threads
        resources:
            **job.resources,
        params:
            **job.params,
        shell:
            "{params.job}"


MASK_JOBS = {number: PROJECT.mask(number) for number in REFINE3D_JOBS}

for number, job in MASK_JOBS.items():

    rule:
        name:
            f"mask_{number}" if number else "mask"
        input:
            map=PROJECT.refined("run_class001.mrc", number),
        output:
            path("mask", "mask.mrc", number),
        log:
            **job.logs,
        conda:
            "../envs/relion.yaml"
        threads: job.threads
        resources:
            **job.resources,
        params:
            **job.params,
        shell:
            "{params.job}"


POSTPROCESS_JOBS = {number: PROJECT.postprocess(number) for number in REFINE3D_JOBS}

for number, job in POSTPROCESS_JOBS.items():

    rule:
        name:
            f"postprocess_{number}" if number else "postprocess"
        input:
            half=PROJECT.refined("run_half1_class001_unfil.mrc", number),
            mask=path("mask", "mask.mrc", number),
        output:
            map=path("postprocess", "postprocess.mrc", number),
            fsc=path("postprocess", "postprocess.star", number),
        log:
            **job.logs,
        conda:
            "../envs/relion.yaml"
        threads: job.threads
        resources:
            **job.resources,
        params:
            **job.params,
        shell:
            "{params.job}"


for number in REFINE3D_JOBS:

    rule:
        name:
            f"judge_refine3d_{number}" if number else "judge_refine3d"
        input:
            map=PROJECT.refined("run_class001.mrc", number),
            model=PROJECT.refined("run_model.star", number),
            fsc=path("postprocess", "postprocess.star", number),
            before=PROJECT.verdict_before(number) or [],
            averages=PROJECT.class_averages or [],
        output:
            PROJECT.refined("verdict.json", number),
        log:
            PROJECT.refined("verdict.log", number),
        localrule: True
        conda:
            "../envs/relion.yaml"
        params:
            **PROJECT.judge_refinement(number),
        shell:
            "{params.command} > {log} 2>&1 || {{ code=$?; cat {log} >&2; exit $code; }}"


LOCAL_RESOLUTION = PROJECT.local_resolution()


rule local_resolution:
    input:
        half=PROJECT.refined("run_half1_class001_unfil.mrc", SETTINGS.polishing_rounds),
        mask=path("mask", "mask.mrc", SETTINGS.polishing_rounds),
    output:
        LOCAL_RESOLUTION.path("relion_locres.mrc"),
    log:
        **LOCAL_RESOLUTION.logs,
    conda:
        "../envs/relion.yaml"
    threads: LOCAL_RESOLUTION.threads
    resources:
        **LOCAL_RESOLUTION.resources,
    params:
        **LOCAL_RESOLUTION.params,
    shell:
        "{params.job}"

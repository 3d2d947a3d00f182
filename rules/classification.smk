# From particles to the chosen ones and a first map.

if SETTINGS.class2d.enabled:

    CLASS2D = PROJECT.job(
        "class2d",
        commands.class2d(
            SETTINGS, VERSION, particles=PROJECT.extracted, out=PROJECT.layout.dir("class2d")
        ),
    )
    SELECT2D = PROJECT.job("select2d", (PROJECT.select("select2d", PROJECT.class2d_last),))

    rule class2d:
        input:
            particles=PROJECT.extracted,
        output:
            model=f"{PROJECT.class2d_last}_model.star",
            data=f"{PROJECT.class2d_last}_data.star",
            averages=f"{PROJECT.class2d_last}_classes.mrcs",
        log:
            **CLASS2D.logs,
        conda:
            "../envs/relion.yaml"
        threads: CLASS2D.threads
        resources:
            **CLASS2D.resources,
        params:
            **CLASS2D.params,
        shell:
            "{params.job}"

    rule select2d:
        input:
            model=f"{PROJECT.class2d_last}_model.star",
            data=f"{PROJECT.class2d_last}_data.star",
        output:
            particles=path("select2d", "particles.star"),
            averages=path("select2d", "class_averages.star"),
        log:
            **SELECT2D.logs,
        conda:
            "../envs/relion.yaml"
        threads: SELECT2D.threads
        resources:
            **SELECT2D.resources,
        params:
            **SELECT2D.params,
        shell:
            "{params.job}"


START_JOBS = {
    start: PROJECT.job(
        "initial_model",
        commands.initial_model(
            SETTINGS,
            VERSION,
            particles=PROJECT.chosen_2d,
            out=PROJECT.layout.start(start),
            start=start,
        ),
        out=PROJECT.layout.start(start),
        concurrent=len(PROJECT.starts),
    )
    for start in PROJECT.starts
}

for start, job in START_JOBS.items():

    rule:
        name:
            f"initial_model_{start}"
        input:
            particles=PROJECT.chosen_2d,
        output:
            map=PROJECT.start_map(start),
            model=PROJECT.start_model(start),
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


if PROJECT.scales_own_reference:

    OWN_REFERENCE = PROJECT.job("rank_starts", (PROJECT.scale_own_reference(),))

    rule own_reference:
        input:
            map=SETTINGS.initial_model.reference,
        output:
            PROJECT.model,
        log:
            **OWN_REFERENCE.logs,
        conda:
            "../envs/relion.yaml"
        threads: OWN_REFERENCE.threads
        resources:
            **OWN_REFERENCE.resources,
        params:
            **OWN_REFERENCE.params,
        shell:
            "{params.job}"


if START_JOBS:

    RANK = PROJECT.job("rank_starts", (PROJECT.rank(),))

    rule rank_starts:
        input:
            maps=[PROJECT.start_map(start) for start in PROJECT.starts],
            models=[PROJECT.start_model(start) for start in PROJECT.starts],
            averages=PROJECT.class_averages or [],
        output:
            map=PROJECT.model,
            verdict=path("rank_starts", "verdict.json"),
        log:
            **RANK.logs,
        conda:
            "../envs/relion.yaml"
        threads: RANK.threads
        resources:
            **RANK.resources,
        params:
            **RANK.params,
        shell:
            "{params.job}"


if SETTINGS.class3d.enabled:

    CLASS3D = PROJECT.job(
        "class3d",
        commands.class3d(
            SETTINGS,
            VERSION,
            particles=PROJECT.chosen_2d,
            reference=PROJECT.model,
            out=PROJECT.layout.dir("class3d"),
        ),
    )
    SELECT3D = PROJECT.job("select3d", PROJECT.select_3d())

    rule class3d:
        input:
            particles=PROJECT.chosen_2d,
            reference=PROJECT.model,
        output:
            model=f"{PROJECT.class3d_last}_model.star",
            data=f"{PROJECT.class3d_last}_data.star",
        log:
            **CLASS3D.logs,
        conda:
            "../envs/relion.yaml"
        threads: CLASS3D.threads
        resources:
            **CLASS3D.resources,
        params:
            **CLASS3D.params,
        shell:
            "{params.job}"

    rule select3d:
        input:
            model=f"{PROJECT.class3d_last}_model.star",
            data=f"{PROJECT.class3d_last}_data.star",
            averages=PROJECT.class_averages or [],
            before=path("rank_starts", "verdict.json") if START_JOBS else [],
        output:
            particles=path("select3d", "particles.star"),
            map=PROJECT.chosen_map,
            verdict=path("select3d", "verdict.json"),
        log:
            **SELECT3D.logs,
        conda:
            "../envs/relion.yaml"
        threads: SELECT3D.threads
        resources:
            **SELECT3D.resources,
        params:
            **SELECT3D.params,
        shell:
            "{params.job}"

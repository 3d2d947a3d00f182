# From movies to micrographs with their CTFs.

IMPORT = PROJECT.job(
    "import",
    (
        commands.import_particles(SETTINGS, out=PROJECT.layout.dir("import"))
        if SETTINGS.start == "particles"
        else commands.import_movies(SETTINGS, out=PROJECT.layout.dir("import"))
    ),
)


rule relion_import:
    input:
        files=PROJECT.inputs,
    output:
        PROJECT.imported,
    log:
        **IMPORT.logs,
    conda:
        "../envs/relion.yaml"
    threads: IMPORT.threads
    resources:
        **IMPORT.resources,
    params:
        **IMPORT.params,
    shell:
        "{params.job}"


if SETTINGS.start == "movies":

    MOTION_CORRECTION = PROJECT.job(
        "motion_correction",
        commands.motion_correction(
            SETTINGS,
            VERSION,
            movies=PROJECT.imported,
            out=PROJECT.layout.dir("motion_correction"),
        ),
    )

    rule motion_correction:
        input:
            movies=PROJECT.imported,
        output:
            PROJECT.micrographs,
        log:
            **MOTION_CORRECTION.logs,
        conda:
            "../envs/relion.yaml"
        threads: MOTION_CORRECTION.threads
        resources:
            **MOTION_CORRECTION.resources,
        params:
            **MOTION_CORRECTION.params,
        shell:
            "{params.job}"


if SETTINGS.start != "particles":

    CTF = PROJECT.job(
        "ctf",
        commands.ctf(
            SETTINGS,
            micrographs=PROJECT.micrographs,
            out=PROJECT.layout.dir("ctf"),
            builtin=PROJECT.builtin_ctf,
        ),
    )

    rule ctf:
        input:
            micrographs=PROJECT.micrographs,
        output:
            PROJECT.micrographs_with_ctf,
        log:
            **CTF.logs,
        conda:
            "../envs/relion.yaml"
        threads: CTF.threads
        resources:
            **CTF.resources,
        params:
            **CTF.params,
        shell:
            "{params.job}"

# From movies to micrographs with their CTFs.

IMPORT = PROJECT.job("import", import_lines(PROJECT))


# A checkpoint: when the import has to run, Snakemake judges nothing behind it by itself, and shards,
# to which its time does not count, would not be done again for a changed movie or option. After a
# checkpoint it looks again.
checkpoint relion_import:
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

    MOTION_CORRECTION = Step(
        project=PROJECT,
        name="motion_correction",
        lines=commands.motion_correction(
            SETTINGS,
            VERSION,
            movies=PROJECT.imported,
            out=PROJECT.layout.dir("motion_correction"),
        ),
        join=commands.joined_motion_correction(
            SETTINGS,
            VERSION,
            movies=PROJECT.imported,
            out=PROJECT.layout.dir("motion_correction"),
        ),
    )

    if MOTION_CORRECTION.sharded:

        rule motion_correction_shard:
            input:
                files=MOTION_CORRECTION.inputs,
                imported=ancient(MOTION_CORRECTION.imported),
            output:
                MOTION_CORRECTION.output,
            log:
                **MOTION_CORRECTION.logs,
            wildcard_constraints:
                shard=r"\d+",
            conda:
                "../envs/relion.yaml"
            threads: MOTION_CORRECTION.threads
            resources:
                **MOTION_CORRECTION.resources,
            params:
                **MOTION_CORRECTION.params,
            shell:
                "{params.job}"

    rule motion_correction:
        input:
            movies=PROJECT.imported,
            shards=MOTION_CORRECTION.results,
        output:
            PROJECT.micrographs,
        log:
            **MOTION_CORRECTION.whole.logs,
        conda:
            "../envs/relion.yaml"
        threads: MOTION_CORRECTION.whole.threads
        resources:
            **MOTION_CORRECTION.whole.resources,
        params:
            **MOTION_CORRECTION.whole.params,
        shell:
            "{params.job}"


if SETTINGS.start != "particles":

    CTF = Step(
        project=PROJECT,
        name="ctf",
        lines=commands.ctf(
            SETTINGS,
            micrographs=PROJECT.micrographs,
            out=PROJECT.layout.dir("ctf"),
            builtin=PROJECT.builtin_ctf,
        ),
    )

    if CTF.sharded:

        rule ctf_shard:
            input:
                files=CTF.inputs,
                imported=ancient(CTF.imported),
            output:
                CTF.output,
            log:
                **CTF.logs,
            wildcard_constraints:
                shard=r"\d+",
            conda:
                "../envs/relion.yaml"
            threads: CTF.threads
            resources:
                **CTF.resources,
            params:
                **CTF.params,
            shell:
                "{params.job}"

    rule ctf:
        input:
            micrographs=PROJECT.micrographs,
            shards=CTF.results,
        output:
            PROJECT.micrographs_with_ctf,
        log:
            **CTF.whole.logs,
        conda:
            "../envs/relion.yaml"
        threads: CTF.whole.threads
        resources:
            **CTF.whole.resources,
        params:
            **CTF.whole.params,
        shell:
            "{params.job}"

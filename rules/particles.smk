# From micrographs to particles.

if SETTINGS.start != "particles" and SETTINGS.picking.method == "coordinates":

    IMPORT_COORDINATES = PROJECT.job(
        "import_coordinates",
        commands.import_coordinates(SETTINGS, out=PROJECT.layout.dir("import_coordinates")),
    )

    rule import_coordinates:
        input:
            files=PROJECT.coordinate_files,
        output:
            PROJECT.coordinates,
        log:
            **IMPORT_COORDINATES.logs,
        conda:
            "../envs/relion.yaml"
        threads: IMPORT_COORDINATES.threads
        resources:
            **IMPORT_COORDINATES.resources,
        params:
            **IMPORT_COORDINATES.params,
        shell:
            "{params.job}"


if SETTINGS.start != "particles" and PROJECT.topaz_model:

    TOPAZ_TRAINING = PROJECT.job(
        "topaz_training",
        commands.topaz_training(
            SETTINGS,
            VERSION,
            micrographs=PROJECT.micrographs_with_ctf,
            out=PROJECT.layout.dir("topaz_training"),
        ),
    )

    rule topaz_training:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
        output:
            PROJECT.topaz_model,
        log:
            **TOPAZ_TRAINING.logs,
        conda:
            "../envs/topaz.yaml"
        threads: TOPAZ_TRAINING.threads
        resources:
            **TOPAZ_TRAINING.resources,
        params:
            **TOPAZ_TRAINING.params,
        shell:
            "{params.job}"


if SETTINGS.start != "particles" and SETTINGS.picking.method != "coordinates":

    PICKING = Step(
        project=PROJECT,
        name="picking",
        lines=commands.picking(
            SETTINGS,
            VERSION,
            micrographs=PROJECT.micrographs_with_ctf,
            out=PROJECT.layout.dir("picking"),
            model=PROJECT.topaz_model,
        ),
    )

    if PICKING.sharded:

        rule picking_shard:
            input:
                files=PICKING.inputs,
                imported=ancient(PICKING.imported),
            output:
                PICKING.output,
            log:
                **PICKING.logs,
            wildcard_constraints:
                shard=r"\d+",
            conda:
                "../envs/relion.yaml"
            threads: PICKING.threads
            resources:
                **PICKING.resources,
            params:
                **PICKING.params,
            shell:
                "{params.job}"

    rule picking:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
            model=PROJECT.topaz_model or [],
            shards=PICKING.results,
        output:
            PROJECT.coordinates,
        log:
            **PICKING.whole.logs,
        conda:
            "../envs/relion.yaml"
        threads: PICKING.whole.threads
        resources:
            **PICKING.whole.resources,
        params:
            **PICKING.whole.params,
        shell:
            "{params.job}"


if SETTINGS.start != "particles":

    EXTRACTION = Step(
        project=PROJECT,
        name="extraction",
        lines=commands.extraction(
            SETTINGS,
            VERSION,
            micrographs=PROJECT.micrographs_with_ctf,
            coordinates=PROJECT.coordinates,
            out=PROJECT.layout.dir("extraction"),
        ),
    )

    if EXTRACTION.sharded:

        rule extraction_shard:
            input:
                files=EXTRACTION.inputs,
                imported=ancient(EXTRACTION.imported),
            output:
                EXTRACTION.output,
            log:
                **EXTRACTION.logs,
            wildcard_constraints:
                shard=r"\d+",
            conda:
                "../envs/relion.yaml"
            threads: EXTRACTION.threads
            resources:
                **EXTRACTION.resources,
            params:
                **EXTRACTION.params,
            shell:
                "{params.job}"

    rule extraction:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
            coordinates=PROJECT.coordinates,
            shards=EXTRACTION.results,
        output:
            PROJECT.extracted,
        log:
            **EXTRACTION.whole.logs,
        conda:
            "../envs/relion.yaml"
        threads: EXTRACTION.whole.threads
        resources:
            **EXTRACTION.whole.resources,
        params:
            **EXTRACTION.whole.params,
        shell:
            "{params.job}"

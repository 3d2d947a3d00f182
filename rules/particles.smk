# From micrographs to particles.

if SETTINGS.start != "particles" and SETTINGS.picking.method == "coordinates":

    IMPORT_COORDINATES = PROJECT.job(
        "import_coordinates",
        commands.import_coordinates(SETTINGS, out=PROJECT.layout.dir("import_coordinates")),
    )

    rule import_coordinates:
        input:
            check=ancient(CHECKED),
            files=PROJECT.coordinate_files,
        output:
            PROJECT.coordinates,
        log:
            **IMPORT_COORDINATES.logs,
        params:
            **IMPORT_COORDINATES.params,
        conda:
            "../envs/relion.yaml"
        threads: IMPORT_COORDINATES.threads
        resources:
            **IMPORT_COORDINATES.resources,
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
        params:
            **TOPAZ_TRAINING.params,
        conda:
            "../envs/topaz.yaml"
        threads: TOPAZ_TRAINING.threads
        resources:
            **TOPAZ_TRAINING.resources,
        shell:
            "{params.job}"


if SETTINGS.start != "particles" and SETTINGS.picking.method != "coordinates":

    PICKING = PROJECT.job(
        "picking",
        commands.picking(
            SETTINGS,
            VERSION,
            micrographs=PROJECT.micrographs_with_ctf,
            out=PROJECT.layout.dir("picking"),
            model=PROJECT.topaz_model,
        ),
    )

    rule picking:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
            model=PROJECT.topaz_model or [],
        output:
            PROJECT.coordinates,
        log:
            **PICKING.logs,
        params:
            **PICKING.params,
        conda:
            "../envs/relion.yaml"
        threads: PICKING.threads
        resources:
            **PICKING.resources,
        shell:
            "{params.job}"


if SETTINGS.start != "particles":

    EXTRACTION = PROJECT.job(
        "extraction",
        commands.extraction(
            SETTINGS,
            VERSION,
            micrographs=PROJECT.micrographs_with_ctf,
            coordinates=PROJECT.coordinates,
            out=PROJECT.layout.dir("extraction"),
        ),
    )

    rule extraction:
        input:
            micrographs=PROJECT.micrographs_with_ctf,
            coordinates=PROJECT.coordinates,
        output:
            PROJECT.extracted,
        log:
            **EXTRACTION.logs,
        params:
            **EXTRACTION.params,
        conda:
            "../envs/relion.yaml"
        threads: EXTRACTION.threads
        resources:
            **EXTRACTION.resources,
        shell:
            "{params.job}"

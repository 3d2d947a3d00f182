from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"
include: "rules/preprocessing.smk"
include: "rules/particles.smk"
include: "rules/classification.smk"
include: "rules/refinement.smk"
include: "rules/polishing.smk"
include: "rules/report.smk"
include: "rules/cleanup.smk"


rule all:
    default_target: True
    input:
        PROJECT.targets,
        reporting.markers(PROJECT),


onstart:
    hooks.started(config)


onsuccess:
    hooks.succeeded()


onerror:
    hooks.failed()

# Clean-up of finished jobs, only when asked for: `snakemake clean_gentle`, `snakemake clean_harsh`.

for how in ("gentle", "harsh"):

    rule:
        name:
            f"clean_{how}"
        log:
            f".relion_dispatch/clean_{how}.log",
        localrule: True
        conda:
            "../envs/relion.yaml"
        params:
            command=PROJECT.clean(how),
        shell:
            "{params.command} 2>&1 | tee {log}"

# The report, made again after each stage. It reads what the stages leave, and no step reads it.

for stage, files in reporting.stages(PROJECT).items():

    rule:
        name:
            f"report_{stage}"
        input:
            files=files,
        output:
            reporting.marker(stage),
        log:
            f".relion_dispatch/report/after_{stage}.log",
        localrule: True
        conda:
            "../envs/relion.yaml"
        # No core is kept for it, so that the next step starts at once; it runs at low priority.
        threads: 0
        params:
            command=reporting.command(stage),
        # A report that fails stops nothing.
        shell:
            "{params.command} > {log} 2>&1 || echo 'no report: see {log}' > {output}"

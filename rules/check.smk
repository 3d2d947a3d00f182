# What would fail after hours is found in the first seconds.


rule check:
    output:
        CHECKED,
    log:
        ".relion_dispatch/check.log",
    params:
        config=lambda wildcards: PROJECT.config_text,
        command=lambda wildcards, output: python_command("check", "--report", output[0]),
    conda:
        "../envs/relion.yaml"
    localrule: True
    shell:
        "{params.command} --config <(printf %s {params.config:q}) > {log} 2>&1"
        " || {{ code=$?; cat {log} >&2; exit $code; }}"

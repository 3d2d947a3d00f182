# Rounds of CTF refinement and Bayesian polishing; each round ends with a refinement.

CTF_REFINEMENT_JOBS = {
    number: PROJECT.ctf_refinement(number)
    for number in PROJECT.rounds
    if SETTINGS.ctf_refinement.enabled
}

for number, job in CTF_REFINEMENT_JOBS.items():

    rule:
        name:
            f"ctf_refinement_{number}"
        input:
            particles=PROJECT.refined("run_data.star", number - 1),
            fsc=path("postprocess", "postprocess.star", number - 1),
            verdict=PROJECT.refined("verdict.json", number - 1),
        output:
            PROJECT.ctf_refined(number),
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


TRAINING_JOBS = {
    number: PROJECT.training(number) for number in PROJECT.rounds if PROJECT.trained(number)
}

for number, job in TRAINING_JOBS.items():

    rule:
        name:
            f"polishing_training_{number}"
        input:
            **PROJECT.polishing_inputs(number),
            verdict=PROJECT.refined("verdict.json", number - 1),
        output:
            PROJECT.trained(number),
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


POLISHING_JOBS = {
    number: PROJECT.polishing(number) for number in PROJECT.rounds if SETTINGS.polishing.enabled
}

for number, job in POLISHING_JOBS.items():

    rule:
        name:
            f"polishing_{number}"
        input:
            **PROJECT.polishing_inputs(number),
            verdict=PROJECT.refined("verdict.json", number - 1),
            parameters=PROJECT.trained(number) or [],
            maps=list(PROJECT.maps_before(number).values()) if PROJECT.polishing_rescales else [],
        output:
            **PROJECT.polished_files(number),
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

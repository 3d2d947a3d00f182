"""The shipped profiles for schedulers other than Slurm: their headers, and whom they talk to."""

from __future__ import annotations

import pytest

from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.profiles import load_profile
from relion_dispatch.schedulers import LOCAL, LSF, PBS, SGE, Definition, definition_for

COMMAND = "relion_refine_mpi --o Class3D/job001/run --i a.star --ref b.mrc --K 2"
ASKED = {"nproc": 4, "nthread": 2, "mem": "8000M", "runtime": 90}
HEADERS = {
    "sge": [
        *("#$ -S /bin/bash", "#$ -cwd", "#$ -o Class3D/job001/run.out", "#$ -q all.q"),
        *("#$ -l h_rt=5400", "#$ -pe smp 8"),
    ],
    "pbs": [
        *(
            "#PBS -j oe",
            "#PBS -o Class3D/job001/run.err.pbs",
            "#PBS -q workq",
            "#PBS -l walltime=5400",
        ),
        "#PBS -l select=1:ncpus=8:mpiprocs=4:mem=8000mb",
    ],
    "lsf": [
        *("#BSUB -o Class3D/job001/run.out", "#BSUB -q normal", "#BSUB -W 90", "#BSUB -n 8"),
        '#BSUB -R "span[ptile=8] rusage[mem=8000MB/host]"',
    ],
}


def planned(profile: str, **overrides: object) -> Plan:
    request = Request(commands=(COMMAND,), overrides={**ASKED, **overrides})
    return plan(request, load_profile(profile))


@pytest.mark.parametrize("profile", HEADERS)
def test_a_job_asks_for_its_size_in_the_schedulers_words(profile: str) -> None:
    made = planned(profile)
    lines = made.script.splitlines()
    assert set(HEADERS[profile]) <= set(lines)
    assert not [line for line in lines if line.startswith("#SBATCH")]
    assert made.body.strip() in made.script
    assert (made.ntasks, made.cpus_per_task) == (4, 2)


@pytest.mark.parametrize(
    "profile, line", [("sge", "#$ -A gold"), ("pbs", "#PBS -A gold"), ("lsf", "#BSUB -P gold")]
)
def test_an_account_is_said_in_the_schedulers_words(profile: str, line: str) -> None:
    script = planned(profile, account="gold", exclude="n1", scheduler_options="-x").script

    assert line in script.splitlines()
    assert "-x" in script
    assert "--account" not in script
    assert "--exclude" not in script


def test_memory_of_grid_engine_is_for_each_slot() -> None:
    made = planned("sge", memory_resource="h_vmem")
    assert "#$ -l h_vmem=1000M" in made.script.splitlines()


@pytest.mark.parametrize(
    "profile, definition", [("sge", SGE), ("pbs", PBS), ("lsf", LSF), ("local", LOCAL)]
)
def test_each_profile_talks_to_its_scheduler(
    profile: str, definition: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SGE_ROOT", raising=False)
    assert definition_for(load_profile(profile).cluster.scheduler) == definition

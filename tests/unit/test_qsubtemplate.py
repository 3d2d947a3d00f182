"""Templates that sites have given RELION until now, as templates of a profile."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from relion_dispatch import cli, takeover
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import InputError
from relion_dispatch.profiles import load_profile
from relion_dispatch.qsubtemplate import Imported, imported

SLURM = """\
#!/bin/bash -l
#SBATCH --job-name=XXXnameXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --partition=XXXqueueXXX
#SBATCH --nodes=XXXnodesXXX
#SBATCH --ntasks=XXXmpinodesXXX
#SBATCH --ntasks-per-node=XXXdedicatedXXX
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --time=XXXextra1XXX
#SBATCH --gres=gpu:XXXextra2XXX
#SBATCH --mem=XXXextra3XXXG
#SBATCH --reservation=XXXextra4XXX

# The command is XXXcommandXXX, on ${#HOSTS[@]} hosts.
module load relion
HOSTS=(a b)
echo "${#HOSTS[@]} hosts run" XXXnameXXX

srun --mpi=pmix -n XXXmpinodesXXX XXXcommandXXX >> XXXoutfileXXX 2>> XXXerrfileXXX

echo "Done: XXXnameXXX"
"""
SGE = """\
#!/bin/tcsh
#$ -pe XXXqueueXXX XXXcoresXXX
#$ -l dedicated=XXXdedicatedXXX,h_rt=XXXextra1XXX
#$ -N XXXnameXXX
#$ -e XXXerrfileXXX
#$ -o XXXoutfileXXX
#$ -A Relion
#$ -cwd
#$ -S /bin/tcsh

mpirun --bynode -n XXXmpinodesXXX XXXcommandXXX
"""
CLUSTER = """cluster:
  scheduler: {submit: [SUBMIT]}
  partitions:
    gpu: {cores: 24, mem_mb: 99000, nodes: 3, gpus_per_node: 2, gpu_mem_mb: 16000, max_runtime_min: 2880}
"""  # noqa: E501
LINE = "`which relion_refine_mpi` --o 'Class 3D/job006/run' --i a.star --ref b.mrc --K 2"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "dispatch.yaml").write_text(CLUSTER.replace("SUBMIT", "sbatch"))
    return folder


def planned(site: Path, text: str, line: str = LINE, **overrides: object) -> Plan:
    (site / "templates").mkdir(exist_ok=True)
    (site / "templates/submit.sh.j2").write_text(imported(text).text)
    request = Request(commands=(line,), overrides={"nodes": 2, **overrides})
    return plan(request, load_profile(site))


def shellcheck(script: str) -> str:
    program = shutil.which("shellcheck")
    assert program is not None
    checked = subprocess.run(
        [program, "-"], input=script, capture_output=True, text=True, check=False
    )
    return checked.stdout


def test_a_slurm_template_with_the_engines_numbers(site: Path) -> None:
    made = planned(site, SLURM)
    (before, after) = made.script.split(made.body)

    assert before.splitlines() == [
        "#!/bin/bash -l",
        "# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands",
        '#SBATCH --job-name="Class 3D-job006"',
        '#SBATCH --output="Class 3D/job006/run.out"',
        '#SBATCH --error="Class 3D/job006/run.err"',
        "#SBATCH --partition=gpu",
        "#SBATCH --nodes=2",
        f"#SBATCH --ntasks={made.ntasks}",
        f"#SBATCH --ntasks-per-node={made.ntasks_per_node}",
        f"#SBATCH --cpus-per-task={made.cpus_per_task}",
        "#SBATCH --time=2-00:00:00",
        "#SBATCH --gres=gpu:2",
        f"#SBATCH --mem={made.mem_mb}M",
        "#SBATCH --open-mode=append",
        "",
        "# The command is XXXcommandXXX, on ${#HOSTS[@]} hosts.",
        "module load relion",
        "HOSTS=(a b)",
        "echo \"${#HOSTS[@]} hosts run\" 'Class 3D/job006/'",
        "",
    ]
    assert after == '\necho "Done: Class 3D/job006/"\n'
    assert shellcheck(made.script) == ""


def test_a_grid_engine_template(site: Path) -> None:
    made = planned(
        site, SGE, LINE.replace("'Class 3D/job006/run'", "Class3D/job006/run"), runtime="2h"
    )
    (before, after) = made.script.split(made.body)

    cores = made.ntasks_per_node * made.cpus_per_task
    assert before.splitlines() == [
        "#!/bin/bash",
        "# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands",
        f"#$ -pe gpu {made.ntasks * made.cpus_per_task}",
        f"#$ -l dedicated={cores},h_rt=7200",
        "#$ -N Class3D-job006",
        "#$ -e Class3D/job006/run.err",
        "#$ -o Class3D/job006/run.out",
        "#$ -A Relion",
        "#$ -cwd",
        "#$ -S /bin/bash",
        "",
    ]
    assert after == ""
    assert shellcheck(made.script) == ""


@pytest.mark.parametrize(
    "line, expected",
    [
        ("#PBS -l nodes=XXXnodesXXX:ppn=XXXdedicatedXXX", "#PBS -l nodes=2:ppn={cores}"),
        ("#PBS -l walltime=XXXextra1XXX,mem=XXXextra2XXXgb", "#PBS -l walltime=7200,mem={mem}mb"),
        ("#PBS -l select=1:ngpus=XXXextra3XXX", "#PBS -l select=1:ngpus=2"),
        ('#PBS -o "XXXoutfileXXX"', '#PBS -o "Class 3D/job006/run.out"'),
        ("#BSUB -W XXXextra9XXX", "#BSUB -W 120"),
        ('#BSUB -R "span[ptile=XXXdedicatedXXX]"', '#BSUB -R "span[ptile={cores}]"'),
        ("#SBATCH --time=XXXextra1XXX:00:00", "#SBATCH --time=02:00:00"),
        ("#PBS -l walltime=XXXextra1XXX:00:00,mem=1gb", "#PBS -l walltime=7200,mem=1gb"),
        ("#SBATCH --gres=gpu:XXXextra1XXX:XXXextra2XXX", "#SBATCH --gres=gpu:2"),
        ("#SBATCH --gres=tmp:9,gpu:XXXextra1XXX:XXXextra2XXX", "#SBATCH --gres=tmp:9,gpu:2"),
        ("#SBATCH -t XXXextra1XXX -A XXXextra2XXX", "#SBATCH -t 02:00:00 -A ab12"),
        ("#SBATCH --mem-per-cpu=XXXextra3XXXgb", "#SBATCH --mem-per-cpu={mem_per_core}M"),
        ("#SBATCH --output=XXXnameXXXlog", '#SBATCH --output="Class 3D/job006/"log'),
        ("cd XXXnameXXX && cd -", "cd 'Class 3D/job006/' && cd -"),
    ],
)
def test_what_the_engine_decides_stands_in_every_scheduler_s_words(
    site: Path, line: str, expected: str
) -> None:
    made = planned(site, f"#!/bin/bash\n{line}\nXXXcommandXXX\n", runtime="2h", account="ab12")
    cores = made.ntasks_per_node * made.cpus_per_task

    sizes = {"cores": cores, "mem": made.mem_mb, "mem_per_core": made.mem_mb // cores}
    assert made.script.splitlines()[2] == expected.format(**sizes)


def test_options_of_the_profile_and_the_job_count(site: Path) -> None:
    script = planned(site, SLURM, account="ab12", ngpu=0).script

    assert "#SBATCH --open-mode=append\n#SBATCH --account=ab12\n" in script
    assert "--gres" not in script


def test_a_sites_own_field_is_a_parameter(site: Path) -> None:
    assert imported(SLURM).extras == ((4, 10),)
    assert "--reservation" not in planned(site, SLURM).script
    assert "#SBATCH --reservation=mine\n" in planned(site, SLURM, extra10="mine").script


def test_a_field_without_meaning_to_the_engine_is_empty_in_the_shell(site: Path) -> None:
    text = "#!/bin/bash\nCOLOUR=XXXextra1XXX\nXXXcommandXXX\n"

    assert "\nCOLOUR=''\n" in planned(site, text).script
    assert "\nCOLOUR='dark red'\n" in planned(site, text, extra7="dark red").script


def test_other_templates_extend_it(site: Path) -> None:
    (site / "templates").mkdir()
    (site / "templates/class3d.sh.j2").write_text(
        '{% extends "submit.sh.j2" %}\n{% block preamble %}\nnvidia-smi\n{% endblock %}\n'
    )
    made = planned(site, SLURM)

    assert made.template == "class3d.sh.j2"
    assert f"\nnvidia-smi\n{made.body}" in made.script


@pytest.mark.parametrize(
    "text, message",
    [
        ("#!/bin/bash\n", "t has no line with XXXcommandXXX"),
        ("#!/bin/bash\n# XXXcommandXXX\n", "t has no line with XXXcommandXXX"),
        ("XXXcommandXXX\nXXXcommandXXX\n", "t has 2 lines with XXXcommandXXX"),
        ("if true; then XXXcommandXXX; fi\n", "t, line 1: XXXcommandXXX must stand on a line"),
        ("XXXcommandXXX | tee log\n", "t, line 1: XXXcommandXXX must stand on a line"),
        ("#SBATCH -n XXXranksXXX\nXXXcommandXXX\n", "t, line 1: .* no field XXXranksXXX"),
        ("XXXcommandXXX\necho XXXnode2XXX\n", "t, line 2: .* no field XXXnode2XXX"),
        ("#!/bin/tcsh\n\nsource ~/.cshrc\nXXXcommandXXX\n", "t, line 3: 'source ~/.cshrc' is for"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        imported(text, name="t")


def test_what_is_left_to_do_is_said(site: Path) -> None:
    cluster = load_profile(site).cluster

    assert list(takeover.advice(imported(SGE), cluster)) == [
        "Its header is for qsub: scheduler: {submit: [qsub]}",
        "Its launcher belongs into the profile: launcher: mpirun --bynode -n {ntasks}",
    ]
    plain = Imported(text="", submit="sbatch", launcher="mpirun -n {ntasks}", extras=((1, 7),))
    (said,) = takeover.advice(plain, cluster)
    assert "XXXextra1XXX is job.extra7 now" in said


def test_the_command_line_puts_it_into_the_profile(
    site: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qsub.bash").write_text(SLURM)
    arguments = ["profile", "import-template", str(tmp_path / "qsub.bash"), str(site)]

    assert cli.main(arguments) == 0
    place, *said = capfd.readouterr().out.splitlines()
    assert Path(place).read_text() == imported(SLURM).text
    assert said[0].endswith("launcher: srun --mpi=pmix -n {ntasks}")
    assert cli.main(arguments) == 2
    assert "exists already" in capfd.readouterr().err
    assert cli.main([*arguments, "--name=refine"]) == 0
    assert cli.main([*arguments, "--name=nothing"]) == 2
    assert "no job type 'nothing'" in capfd.readouterr().err


def test_a_shipped_profile_stays_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qsub.bash").write_text(SLURM)

    assert cli.main(["profile", "import-template", str(tmp_path / "qsub.bash"), "m3"]) == 2
    assert "profile install m3 --copy" in capfd.readouterr().err


@pytest.mark.parametrize("text, message", [(None, "cannot read"), (b"\xff", "is not UTF-8")])
def test_a_file_that_is_no_text(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text:
        (tmp_path / "t").write_bytes(text)
    with pytest.raises(InputError, match=message):
        takeover.read(tmp_path / "t")

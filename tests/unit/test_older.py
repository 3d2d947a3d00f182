"""A site of the older dispatcher moves without editing: its example, number by number."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch import cli
from relion_dispatch.data import DataFacts
from relion_dispatch.engine import Request, plan
from relion_dispatch.errors import DoesNotFitError, InputError, NoMatchError
from relion_dispatch.profiles import Profile, load_profile
from relion_dispatch.submit import Submission, planned, submit

CONFIG = """{
  "__comment__": "what others build on",
  "submit": {
    "match_command": "None",
    "relion_remove_parameter": ["gpu", "j"],
    "job_parameters": {
      "__comment__": "defaults",
      "nproc": 10, "nthread": 2, "partition": "cpu_short", "mem": "32G", "submit_command": "sbatch"
    }
  },
  "__comment__": "GPUs",
  "gpu": {
    "match_command": "None",
    "inherits": "submit",
    "relion_add_parameter": {"gpu": "\\"\\""},
    "job_parameters": {
      "partition": "gpu_long", "nproc": 21, "ngpu": 4,
      "nproc_slurm": 30, "nthread_slurm": 2, "mem": "240G"
    }
  },
  "sp": {
    "match_command": "None",
    "inherits": "submit",
    "job_parameters": {"nproc": 1, "nthread": 1}
  },
  "refine": {
    "match_command": "relion_refine",
    "nomatch_parameter": ["skip_align", "multibody_masks"],
    "inherits": "gpu",
    "adjust_GPU_nproc_to_mem": [4, 32212254720],
    "relion_add_parameter": {"free_gpu_memory": 1000}
  },
  "refine_noalign": {
    "match_command": "relion_refine",
    "match_parameter": "skip_align",
    "inherits": "submit"
  },
  "import": {"match_command": "relion_import", "inherits": "sp"},
  "__comment__": "the end"
}
"""
BASE = """#!/bin/bash
{% block header %}
{% endblock %}
{% block preamble %}
{% endblock %}
{% for line in job.pre_commands %}
{{ line }}
{% endfor %}
{% block command %}
{% endblock %}
{% for line in job.post_commands %}
{{ line }}
{% endfor %}
{% block postamble %}
{% endblock %}
"""
SUBMIT = """{% extends "base.sh.j2" %}
{% block header %}
#SBATCH -o {{ job.outfile }}
#SBATCH -e {{ job.errfile }}
#SBATCH -n {{ job.nproc_slurm | default(job.nproc) }}
#SBATCH -c {{ job.nthread_slurm | default(job.nthread) }}
#SBATCH -p {{ job.partition }}
#SBATCH --mem={{ job.mem }}
{% if job.ngpu is defined %}
#SBATCH --gres=gpu:{{ job.ngpu }}
{% endif %}
{% endblock %}
{% block command %}
mpirun -np {{ job.nproc }} {{ job.command }}_mpi {{ job.arguments }}
{% endblock %}
"""
SP = """{% extends "submit.sh.j2" %}
{% block command %}
{{ job.command }} {{ job.arguments }} # reads {{ job.parameters.i | default("nothing") }}
{% endblock %}
"""
OPTIONS = (
    "--o Refine3D/job019/run --auto_refine --split_random_halves --i Select/job017/particles.star"
    " --ref ref/postprocess240.mrc --firstiter_cc --ini_high 8 --dont_combine_weights_via_disc"
    " --pool 3 --pad 2  --ctf --particle_diameter 180 --flatten_solvent --zero_mask"
    " --oversampling 1 --healpix_order 2 --auto_local_healpix_order 4 --offset_range 5"
    " --offset_step 2 --sym O"
    " --low_resol_join_halves 40 --norm --scale "
)
REFINE = f"`which relion_refine_mpi` {OPTIONS} --j 2 "


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Lay out a site's folder as the older dispatcher wants it, and nothing else."""
    folder = tmp_path / "site"
    files = {
        "config/dispatch_config.json": CONFIG,
        "job_template/base.sh.j2": BASE,
        "job_template/submit.sh.j2": SUBMIT,
        "job_template/gpu.sh.j2": '{% extends "submit.sh.j2" %}\n',
        "job_template/sp.sh.j2": SP,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def profile(site: Path) -> Profile:
    return load_profile(site)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write what RELION writes, into a project, and go there."""
    project = tmp_path / "project"
    path = project / "Refine3D/job019/run_submit.script"
    path.parent.mkdir(parents=True)
    path.write_text(f"Refine3D/job019/run.out\nRefine3D/job019/run.err\n{REFINE}\n")
    monkeypatch.chdir(project)
    return path.relative_to(project)


def refine(profile: Profile, box: int | None, line: str = REFINE) -> tuple[int, str]:
    """Ranks and command for a box size."""
    request = Request(commands=(line,), data=DataFacts(box=box))
    made = plan(request, profile)
    return made.ntasks, made.command


def test_example_is_matched_sized_and_written(profile: Profile) -> None:
    made = plan(Request(commands=(REFINE,), data=DataFacts(box=240)), profile)

    assert (made.job_type, made.chain) == ("refine", ("submit", "gpu", "refine"))
    assert made.relion_job == "Refine3D"
    assert (made.ntasks, made.cpus_per_task, made.gpus) == (21, 2, 4)
    assert (made.partition, made.mem_mb) == ("gpu_long", 240 * 1024)
    assert made.template == "gpu.sh.j2"
    assert made.submit_command == "sbatch Refine3D/job019/run_submit.script.run"


def test_example_keeps_all_but_the_sizes_of_its_command(profile: Profile) -> None:
    _, command = refine(profile, 240)

    assert command.startswith(f"mpirun -n 21 `which relion_refine_mpi` {OPTIONS}")
    assert command.split()[-6:] == ["--gpu", '""', "--free_gpu_memory", "1000", "--j", "2"]


def test_example_renders_the_sites_own_template(profile: Profile) -> None:
    made = plan(Request(commands=(REFINE,), data=DataFacts(box=240)), profile)

    lines = made.script.splitlines()
    assert lines[:8] == [
        "#!/bin/bash",
        "#SBATCH -o Refine3D/job019/run.out",
        "#SBATCH -e Refine3D/job019/run.err",
        "#SBATCH -n 30",
        "#SBATCH -c 2",
        "#SBATCH -p gpu_long",
        "#SBATCH --mem=240G",
        "#SBATCH --gres=gpu:4",
    ]
    assert lines[8].startswith("mpirun -np 21 relion_refine_mpi --o Refine3D/job019/run ")
    assert lines[8].endswith(' --gpu "" --free_gpu_memory 1000 --j 2')
    assert len(lines) == 9


@pytest.mark.parametrize(
    "box, ranks",
    [
        (None, 21),  # the file is not there yet
        (240, 21),  # 13 workers would fit a GPU, the type asks for 5
        (320, 21),  # 5 fit
        (340, 17),  # 4 fit
        (400, 9),  # 2 fit
        (512, 5),  # 1 fits
        (650, 5),  # by the older formula none, by RELION's own one
    ],
)
def test_ranks_follow_the_older_formula(profile: Profile, box: int | None, ranks: int) -> None:
    assert refine(profile, box)[0] == ranks


def test_a_box_that_fits_no_gpu_is_refused_with_numbers(profile: Profile) -> None:
    with pytest.raises(DoesNotFitError, match=r"needs 32\d{3} MB .* gives 30720 MB.*--pad 1"):
        refine(profile, 740)


def test_classes_and_padding_count_as_they_did(profile: Profile) -> None:
    classes = REFINE.replace("--auto_refine --split_random_halves", "--K 2 ")
    assert refine(profile, 400, classes)[0] == 5
    assert refine(profile, 450, REFINE.replace("--pad 2", "--pad 1"))[0] == 17


def test_halves_get_an_odd_number_of_ranks(site: Path) -> None:
    path = site / "config/dispatch_config.json"
    path.write_text(path.read_text().replace('"nproc": 21', '"nproc": 20'))

    assert refine(load_profile(site), 240)[0] == 19


def test_a_bare_flag_may_have_no_value_at_all(site: Path) -> None:
    config = site / "config/dispatch_config.json"
    config.write_text(
        config.read_text().replace('"free_gpu_memory": 1000', '"skip_gridding": null')
    )

    assert refine(load_profile(site), 240)[1].rstrip().endswith('--gpu "" --skip_gridding --j 2')


def test_one_thread_needs_no_option(profile: Profile) -> None:
    line = 'relion_import --do_movies --i "Movies/*.tif" --odir Import/job001/ --ofile movies.star'
    made = plan(Request(commands=(line,)), profile)

    assert made.command == line
    assert made.template == "sp.sh.j2"
    assert f"{line} # reads Movies/*.tif" in made.script


def test_commands_around_the_job_stay_around_it(profile: Profile) -> None:
    lines = ("echo before", "`which relion_import` --i a", "echo Import > 'b c'")
    made = plan(Request(commands=lines), profile)

    tail = made.script.splitlines()[-3:]
    assert tail == ["echo before", "relion_import --i a # reads a", "echo Import > 'b c'"]


def test_only_the_sites_own_types_are_looked_through(profile: Profile) -> None:
    with pytest.raises(NoMatchError, match="relion_class_ranker"):
        plan(Request(commands=("`which relion_class_ranker` --opt a",)), profile)


def test_the_script_is_written_beside_and_submitted(
    site: Path, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\necho "Submitted batch job 42: $*"\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=":")

    said = submit(Submission(script=str(script), profile=str(site)))

    assert said == "Submitted batch job 42: Refine3D/job019/run_submit.script.run\n"
    written = Path(f"{script}.run").read_text()
    assert written == planned(Submission(script=str(script), profile=str(site))).script


def test_the_old_name_of_the_program_submits(
    site: Path, script: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELION_DISPATCH_PROFILE", str(site))

    assert cli.main(["submit", "--dry-run", str(script)]) == 0
    assert "#SBATCH -n 30" in capfd.readouterr().out


def test_a_sites_own_parameters_keep_their_meaning(site: Path) -> None:
    """Even those that are called as something of ours."""
    own = '"time": "24:00:00", "nodes": 2, "modules": "relion/3.1", "name": "hi", "nproc": 10'
    config = site / "config/dispatch_config.json"
    config.write_text(config.read_text().replace('"nproc": 10', own, 1))
    (site / "job_template/submit.sh.j2").write_text(
        "#SBATCH -t {{ job.time }} -N {{ job.nodes }} -J {{ job.name }} -n {{ job.nproc }}\n"
        "module load {{ job.modules }}\n"
    )
    made = plan(Request(commands=(REFINE,), data=DataFacts(box=512)), load_profile(site))

    assert made.script == "#SBATCH -t 24:00:00 -N 2 -J hi -n 5\nmodule load relion/3.1\n"


def test_a_template_may_ask_for_what_a_type_does_not_say(site: Path) -> None:
    template = site / "job_template/submit.sh.j2"
    template.write_text("{% if job.ngpu %}\n#SBATCH -G {{ job.ngpu }}\n{% endif %}\n")
    on_cpus = f"{REFINE} --skip_align"

    assert plan(Request(commands=(REFINE,)), load_profile(site)).script == "#SBATCH -G 4\n"
    assert plan(Request(commands=(on_cpus,)), load_profile(site)).script == ""
    template.write_text("one\n{{ job.ngpu }}\n")
    with pytest.raises(InputError, match=r"submit\.sh\.j2:2: job has no variable 'ngpu'"):
        _ = plan(Request(commands=(on_cpus,)), load_profile(site)).script


def test_multi_body_refinement_keeps_its_ranks(site: Path) -> None:
    config = site / "config/dispatch_config.json"
    text = config.read_text()
    config.write_text(text.replace('["skip_align", "multibody_masks"]', '"skip_align"'))
    line = f"{REFINE} --multibody_masks bodies.star"

    assert refine(load_profile(site), 400, line)[0] == 21


def test_a_script_that_fails_here_is_shown_as_failed(
    site: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site's own shell, which takes its time, and a template that marks nothing."""
    config = site / "config/dispatch_config.json"
    config.write_text(config.read_text().replace('"sbatch"', '"tcsh"'))
    tcsh = site / "tcsh"
    tcsh.write_text("#!/bin/sh\necho 'no such display' >&2\nexit 3\n")
    tcsh.chmod(0o755)
    monkeypatch.setenv("PATH", str(site), prepend=":")

    submit(Submission(script=str(script), profile=str(site)))

    assert (script.parent / "RELION_JOB_EXIT_FAILURE").exists()
    left = (script.parent / "run.err").read_text()
    assert "failed (exit code 3):\nno such display" in left

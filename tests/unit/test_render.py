"""Scripts from templates: which is taken, what they see, and faults with template and line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.errors import InputError
from relion_dispatch.profiles import load_profile
from relion_dispatch.render import clock, sbatch_word, variables

CLUSTER = """cluster:
  partitions: {cpu: {cores: 8, mem_mb: 64000, scheduler_options: [--exclusive]}}
job_types:
  class2d: {job_parameters: {colour: red, account: mine}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "dispatch.yaml").write_text(CLUSTER)
    return tmp_path


def planned(
    site: Path, line: str = "relion_refine --K 2 --o Class2D/job001/run", **more: str
) -> Plan:
    return plan(Request(commands=(line,), **more), load_profile(site))  # type: ignore[arg-type]


def template(site: Path, name: str, text: str) -> None:
    (site / "templates" / name).write_text(text)


def test_the_nearest_type_with_a_template_wins(site: Path) -> None:
    assert planned(site).template == "gpu.sh.j2"
    template(site, "refine.sh.j2", "refine\n")
    assert planned(site).template == "refine.sh.j2"
    template(site, "class2d.sh.j2", "class2d\n")
    assert planned(site).script == "class2d\n"


def test_the_profiles_folder_comes_before_the_shipped_one(site: Path) -> None:
    template(site, "base.sh.j2", "#!/bin/bash\n# ours\n{% block header %}\n{% endblock %}\n")

    script = planned(site).script
    assert script.startswith("#!/bin/bash\n# ours\n#SBATCH --job-name=Class2D-job001\n")


def test_a_site_extends_a_shipped_template(site: Path) -> None:
    template(
        site,
        "class2d.sh.j2",
        '{% extends "submit.sh.j2" %}\n'
        "{% block preamble %}\necho {{ job.colour }}\n{% endblock %}\n",
    )

    script = planned(site).script
    assert "\necho red\nset +u -eo pipefail\n" in script
    assert "#SBATCH --exclusive\n#SBATCH --account=mine\n" in script


@pytest.mark.parametrize(
    "text, message",
    [
        ("one\n{{ job.colours }}\n", r"class2d\.sh\.j2:2: .*'colours'"),
        ("one\n\n{% if %}\n", r"class2d\.sh\.j2:3: "),
        ('{% extends "nothing.sh.j2" %}\n', r"no template nothing\.sh\.j2 in "),
        ("one\n{{ jobs.name }}\n", r"class2d\.sh\.j2:2: 'jobs' is undefined"),
        ("one\n{{ 1 / 0 }}\n", r"class2d\.sh\.j2:2: division by zero"),
        ("{% for each in job.ntasks %}{% endfor %}", r"class2d\.sh\.j2:1: 'int' object"),
        ('\n{% extends "class2d.sh.j2" %}\n', r"class2d\.sh\.j2:2: it extends itself"),
    ],
)
def test_faults_name_template_and_line(site: Path, text: str, message: str) -> None:
    template(site, "class2d.sh.j2", text)

    with pytest.raises(InputError, match=message):
        _ = planned(site).script


def test_a_full_disk_keeps_no_templates_and_refuses_no_job(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    template(site, "class2d.sh.j2", "class2d, on a full disk\n")
    made = planned(site)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)

    assert made.script == "class2d, on a full disk\n"


def test_a_default_stands_in_for_what_is_not_there(site: Path) -> None:
    template(site, "class2d.sh.j2", "{{ job.nproc_slurm | default(job.nproc) }}\n")

    assert planned(site).script == f"{planned(site).ntasks}\n"


def test_templates_see_the_older_names_too(site: Path) -> None:
    line = "`which relion_refine` --K 2 --o 'Class 2D/job001/run' --i a.star"
    seen = variables(planned(site, line))

    assert seen["command"] == "relion_refine"
    assert seen["arguments"].startswith("--K 2 --o 'Class 2D/job001/run' --i a.star --j 2")
    assert seen["parameters"]["i"] == "a.star"
    assert (seen["nproc"], seen["nthread"]) == (4, 2)
    assert seen["mem"] == f"{seen['mem_mb']}M"
    assert "ngpu" not in seen


@pytest.mark.parametrize(
    "minutes, text",
    [(None, ""), (60, "01:00:00"), (5, "00:05:00"), (1439, "23:59:00"), (2885, "2-00:05:00")],
)
def test_time_is_written_as_slurm_reads_it(minutes: int | None, text: str) -> None:
    assert clock(minutes) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Class2D/job001/run.out", "Class2D/job001/run.out"),
        ("Class 2D/run.out", '"Class 2D/run.out"'),
        ('a"b', '"a\\"b"'),
        ("100%/run.out", "100%%/run.out"),
        ("Größe", "Größe"),
    ],
)
def test_words_for_sbatch_are_quoted(text: str, expected: str) -> None:
    assert sbatch_word(text) == expected


@pytest.mark.parametrize("profile", ["local", "slurm", "m3", "fmi"])
@pytest.mark.parametrize(
    "line",
    [
        "`which relion_refine` --K 2 --o 'a b/run' --i $DATA",
        "relion_import --i 'Movies/*.tif' --odir Import/job001/",
        "`which relion_manualpick` --i a --odir ManualPick/job001/",
        "`which relion_run_motioncorr` --use_own --i a --o 'it'\"'\"'s/'",
    ],
)
def test_scripts_are_bash(profile: str, line: str) -> None:
    script = plan(Request(commands=(line,)), load_profile(profile)).script

    checked = subprocess.run(
        ["bash", "-n"], input=script, text=True, capture_output=True, check=False
    )
    assert checked.stderr == ""

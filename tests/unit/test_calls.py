"""Which of a job's commands it is about, and where its directory is."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch.calls import Call, job_label
from relion_dispatch.errors import InputError
from relion_dispatch.plan import Request


@pytest.mark.parametrize(
    "lines, program",
    [
        (
            ["relion_refine --denovo_3dref", "rm -f a", "relion_align_symmetry --i a"],
            "relion_refine",
        ),
        (["relion_image_handler --i a --o b", "relion_refine --ref b"], "relion_refine"),
        (["relion_image_handler --i a --o b"], "relion_image_handler"),
        (["relion_refine --continue a", "relion_flex_analyse --model b"], "relion_refine"),
        (["python make.py", "relion_star_handler --i a"], "relion_star_handler"),
        (["export A=1", "my_program --o a"], "my_program"),
        (["echo a"], None),
    ],
)
def test_a_job_is_about_one_of_its_commands(lines: list[str], program: str | None) -> None:
    assert Call.read(Request(commands=tuple(lines))).main.program == program


@pytest.mark.parametrize(
    "line, outfile, directory",
    [
        (
            "relion_refine --o a/b/run --pipeline_control Class2D/job001/",
            "c/run.out",
            "Class2D/job001/",
        ),
        ("relion_python_dynamight x --pipeline-control DynaMight/job1", "", "DynaMight/job1/"),
        ("relion_refine --o a/b/run", "Class2D/job002/run.out", "Class2D/job002/"),
        ("relion_refine --o a/b/run", "", "a/b/"),
        ("relion_autopick --odir AutoPick/job003/", "", "AutoPick/job003/"),
        ("relion_preprocess --part_star a/p.star --part_dir Extract/job1/", "", "Extract/job1/"),
        ("relion_refine --o run", "", ""),
    ],
)
def test_the_directory_is_told_by_the_command(line: str, outfile: str, directory: str) -> None:
    call = Call.read(Request(commands=(line,), outfile=outfile))

    assert call.job.directory == directory


def test_the_label_is_that_of_job_star(tmp_path: Path) -> None:
    assert job_label(tmp_path) is None
    star = tmp_path / "job.star"
    star.write_text("data_job\n\n_rlnJobType   9\n_rlnJobIsContinue    0\n")
    assert job_label(tmp_path) is None
    star.write_text("data_job\n\n_rlnJobTypeLabel             relion.class2d.em\n")
    assert job_label(tmp_path) == "relion.class2d.em"


def test_a_job_needs_a_command() -> None:
    with pytest.raises(InputError, match="no commands"):
        Call.read(Request(commands=()))

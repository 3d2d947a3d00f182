from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.jobs import StepJob
from relion_dispatch.pipeline.settings import merge
from relion_dispatch.pipeline.steps import Project
from relion_dispatch.project import planned, planning
from relion_dispatch.project.flavours import RELION_3_1, RELION_5_0
from relion_dispatch.project.joblist import FILE, JobList
from tests.unit.pipeline_chain import MINIMUM


def project(changes: Mapping[str, Any] | None = None, version: str = "3.1") -> Project:
    """A project of which a Snakefile has asked for two refinements and a start."""
    config = merge({**MINIMUM, "relion_version": version}, changes or {})
    found = Project.load(config, "local")
    for round_ in (0, 1):
        found.refinement(round_)
    out = found.layout.start(2)
    command = (
        "`which relion_refine` --o {0}run --iter 200 --grad --denovo_3dref --i parts.star --K 1"
        " --sym C1 --pipeline_control {0}"
    )
    found.job("initial_model", (command.format(out),), out=out)
    return found


def test_every_job_is_planned_by_its_number() -> None:
    jobs = list(planning.plan(project(version="5.0")))

    assert [(job.name, job.step, job.type) for job in jobs] == [
        ("InitialModel/job012/", "initial_model_2", "relion.initialmodel"),
        ("Refine3D/job035/", "refine3d", "relion.refine3d"),
        ("Refine3D/job044/", "refine3d_1", "relion.refine3d"),
    ]
    assert {job.flavour for job in jobs} == {RELION_5_0}
    assert jobs[1].options["sym_name"] == "D2"


def test_jobs_inside_others_are_not_listed() -> None:
    found = project()
    found.jobs["MotionCorr/job002/.shards/001/"] = found.jobs["Refine3D/job035/"]
    assert len(list(planning.plan(found))) == 3


def test_a_command_that_no_form_expects_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = project()
    job: StepJob = found.jobs["Refine3D/job035/"]
    odd = tuple(line.replace("--healpix_order 2", "--healpix_order two") for line in job.commands)
    assert odd != job.commands
    found.job("refine3d", odd)
    (record,) = [each for each in planning.plan(found) if each.name == job.out]

    assert record.options["sym_name"] == "C1"
    assert "shows no options" in capsys.readouterr().err


def test_a_snakefile_enters_what_it_has_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "_loaded", [])
    planned.show_in_window(tmp_path)
    assert list(tmp_path.iterdir()) == []

    planned.remember(project({"first_job": 301}))
    planned.show_in_window(tmp_path)
    jobs = JobList.read((tmp_path / FILE).read_text(), RELION_3_1)
    assert jobs.names[0] == "InitialModel/job312/"
    assert jobs.counter == 401

    planned.remember(project({"first_job": 201}))
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace("job312", "job250"))
    with pytest.raises(InputError, match="first_job: 401"):
        planned.show_in_window(tmp_path)


def test_a_list_that_cannot_be_read_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planned, "_loaded", [project()])
    (tmp_path / FILE).write_text("no list\n")
    planned.show_in_window(tmp_path)
    assert "stays as it is" in capsys.readouterr().err

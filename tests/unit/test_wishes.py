from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch.submit import Submission, planned

COMMAND = "`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --i a.star --ref map.mrc"


@pytest.mark.parametrize("asked, ranks", [("1", 9), ("5", 5), ("6", 9)])
def test_the_windows_mpi_processes_are_ranks_where_they_can_be_laid_out(
    asked: str, ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two halves of workers on two GPUs: five ranks can be laid out, six cannot."""
    monkeypatch.chdir(tmp_path)
    lines = ("Refine3D/job019/run.out", "Refine3D/job019/run.err", f"# mpinodes: {asked}", COMMAND)
    script = tmp_path / "run_submit.script"
    script.write_text("\n".join(lines) + "\n")
    made = planned(Submission(script=str(script), profile="m3"))
    assert made.ntasks == ranks
    assert any("not heeded" in note for note in made.notes) == (asked == "6")

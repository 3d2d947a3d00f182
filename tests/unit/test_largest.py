from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.pipeline import largest
from tests.unit.star_files import class_row, write_model

if TYPE_CHECKING:
    import pytest


def test_the_largest_class_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shares = {1: 0.2, 2: 0.7, 3: 0.1}
    for number in shares:
        Path(f"class{number}.mrc").write_text(f"map {number}")
    rows = [class_row(share, 20.0, image=f"class{n}.mrc") for n, share in shares.items()]
    write_model(Path("run_model.star"), rows)
    assert largest.main(["--model", "run_model.star", "--o", "model.mrc"]) == 0
    assert Path("model.mrc").read_text() == "map 2"
    assert "class 2 is the largest: 70.0 %" in capsys.readouterr().out.replace("%", " %")


def test_no_model_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "run_model.star"
    assert largest.main(["--model", str(missing), "--o", str(tmp_path / "model.mrc")]) == 2
    assert "missing" in capsys.readouterr().err

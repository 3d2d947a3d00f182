from __future__ import annotations

import subprocess
from pathlib import Path

import relion_dispatch
from relion_dispatch.this_python import python_command


def test_the_files_of_a_project_are_not_taken_for_pythons_own(tmp_path: Path) -> None:
    for name in ("random", "select", "token", "relion_dispatch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    done = subprocess.run(
        ["bash", "-c", python_command("cli", "--version")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == (relion_dispatch.__version__, "")

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    *("bash", "cat", "dirname", "env", "flock", "head", "id", "mkdir", "mktemp", "rm"),
    *("sha256sum", "sort", "tail", "touch"),
)
PROGRAMS = ("relion_refine_mpi", "mpirun", "gs")

# Does for an interpreter: new enough, makes an environment, and notes what pip is asked for.
PYTHON = """#!/bin/bash
case "$1 $2" in
    -c*) ;;
    "-m venv") mkdir -p "$3/bin" && cat "$0" > "$3/bin/python" && "$CHMOD" +x "$3/bin/python" ;;
    "-m pip") printf '%s\\n' "$*" >> "$CALLS" ;;
esac
"""
# Grants everything, and "installs" by making the programs appear.
SUDO = """#!/bin/bash
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
    *install*) touch "$BIN"/{relion_refine_mpi,mpirun,gs} && "$CHMOD" +x "$BIN"/* ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A checkout of just the set-up's files, and the only programs that it can see."""

    checkout: Path
    bin: Path
    calls: Path

    def add(self, name: str, text: str = "#!/bin/bash\n") -> None:
        program = self.bin / name
        program.unlink(missing_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def set_up(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        chmod = shutil.which("chmod")
        assert chmod is not None
        environment = {
            "PATH": str(self.bin),
            "BIN": str(self.bin),
            "CALLS": str(self.calls),
            "CHMOD": chmod,
            "TMPDIR": str(self.checkout),
            **variables,
        }
        return subprocess.run(
            [self.checkout / "tools" / "setup.sh", *arguments],
            cwd=self.bin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    checkout = tmp_path / "a check out"
    (checkout / "tools").mkdir(parents=True)
    for name in ("pyproject.toml", "tools/constraints.txt", "tools/setup.sh"):
        shutil.copy(ROOT / name, checkout / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path is not None, tool
        (tmp_path / "bin" / tool).symlink_to(path)
    machine = Machine(checkout=checkout, bin=tmp_path / "bin", calls=tmp_path / "calls")
    # Nobody: what would need root's rights goes through sudo, where there is one.
    machine.add("id", "#!/bin/bash\necho 1000\n")
    return machine


def test_without_a_package_manager_it_says_what_to_install(machine: Machine) -> None:
    done = machine.set_up()

    assert done.returncode == 1
    assert "There is no apt-get here" in done.stderr
    assert "apt-get install --no-install-recommends ghostscript openmpi-bin relion\n" in done.stderr


def test_the_tests_need_more_than_a_user(machine: Machine) -> None:
    machine.add("Xvfb")

    user, tests = machine.set_up(), machine.set_up("slurm")

    more = ("relion-gui", "xdotool", "imagemagick", "gcc", "libopenmpi-dev", "tcsh", "chromium")
    assert not any(package in user.stderr for package in more)
    assert all(f" {package}" in tests.stderr for package in more)
    assert "xvfb" not in tests.stderr


def test_a_header_is_there_when_the_compiler_finds_it(machine: Machine) -> None:
    machine.add("mpicc", '#!/bin/bash\n[ "$1 $2" = "-include mpi.h" ]\n')

    assert "libopenmpi-dev" not in machine.set_up("slurm").stderr


def test_without_rights_it_names_only_what_is_missing(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("gs")
    machine.add("python3")
    machine.add("sudo", "#!/bin/bash\necho a password is required >&2; exit 1\n")

    done = machine.set_up()

    assert done.returncode == 1
    assert "python3-venv" not in done.stderr
    assert "needs root's rights" in done.stderr
    assert "apt-get install --no-install-recommends openmpi-bin relion\n" in done.stderr
    assert "password" not in done.stderr


def test_packages_that_cannot_be_had_are_an_error(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("sudo", '#!/bin/bash\n[ "$*" = "-n true" ]\n')

    done = machine.set_up()

    assert done.returncode == 1
    assert "apt-get could not install them" in done.stderr


def test_missing_python_is_an_error_that_says_what_to_do(machine: Machine) -> None:
    for program in PROGRAMS:
        machine.add(program)
    machine.add("python4", "#!/bin/bash\nexit 1\n")

    done = machine.set_up(PYTHON="python4")

    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert not (machine.checkout / ".venv").exists()


def test_installs_what_is_missing_once_and_does_nothing_after(machine: Machine) -> None:
    machine.add("apt-get")
    machine.add("sudo", SUDO)
    machine.add("python3", PYTHON)

    first = machine.set_up()
    calls = machine.calls.read_text()
    second = machine.set_up()

    assert first.returncode == 0, first.stderr
    assert "install --no-install-recommends ghostscript openmpi-bin relion" in calls
    assert "--editable . --group dev" in calls
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert machine.calls.read_text() == calls


@pytest.mark.parametrize("change", ["requirements", "place", "python"])
def test_environment_follows_the_project(machine: Machine, change: str) -> None:
    for program in PROGRAMS:
        machine.add(program)
    machine.add("python3", PYTHON)
    assert machine.set_up().returncode == 0
    left_over = machine.checkout / ".venv" / "left-over"
    left_over.touch()
    before = machine.calls.read_text()
    if change == "requirements":
        with (machine.checkout / "pyproject.toml").open("a") as file:
            file.write("# changed\n")
    elif change == "python":
        machine.checkout.joinpath(".venv", "bin", "python").unlink()
    else:
        os.rename(machine.checkout, moved := machine.checkout.with_name("moved"))
        machine = Machine(checkout=moved, bin=machine.bin, calls=machine.calls)

    done = machine.set_up()

    assert done.returncode == 0, done.stderr
    assert machine.calls.read_text() != before
    # Scripts of an environment know its place and its Python by heart: without, it is made anew.
    assert (machine.checkout / ".venv" / "left-over").exists() == (change == "requirements")

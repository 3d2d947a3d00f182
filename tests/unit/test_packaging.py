from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import relion_dispatch
from relion_dispatch import resources
from relion_dispatch.errors import DispatchError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ("Snakefile", "rules", "workflow", "config", "profiles", "envs")


def run(*argv: str | Path, cwd: Path) -> str:
    """Run a program in a folder that is not the checkout, and give what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and what that depends on lent by ours."""
    folder = tmp_path_factory.mktemp("fresh") / "an environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def files_below(name: str) -> set[str]:
    path = ROOT / name
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(ROOT)) for file in found if "__pycache__" not in file.parts}


def test_wheel_holds_the_packages_and_the_workflow_and_nothing_else(wheel: Path) -> None:
    packages = {file.removeprefix("dispatch/") for file in files_below("dispatch")}
    workflow = {
        f"relion_dispatch/_workflow/{file}" for name in WORKFLOW for file in files_below(name)
    }

    names = zipfile.ZipFile(wheel).namelist()
    metadata = {name for name in names if name.split("/")[0].startswith("relion_dispatch-")}

    assert set(names) - metadata == packages | workflow
    assert "relion_dispatch/py.typed" in names


@pytest.mark.parametrize("name", WORKFLOW)
def test_every_part_of_the_workflow_is_in_the_checkout(name: str) -> None:
    assert files_below(name)


def test_installed_wheel_finds_its_own_workflow(installed: Path) -> None:
    code = "from relion_dispatch.resources import workflow_dir; print(workflow_dir())"

    folder = Path(run(installed / "bin" / "python", "-c", code, cwd=installed))

    assert folder.is_relative_to(installed.resolve())
    assert (folder / "Snakefile").read_text() == (ROOT / "Snakefile").read_text()


def test_programs_beside_the_older_script_find_the_package_and_not_the_script(
    installed: Path,
) -> None:
    program = installed / "bin" / "program"
    program.write_text("import relion_dispatch.errors; print(relion_dispatch.__file__)")

    found = Path(run(installed / "bin" / "python", program, cwd=installed))

    assert (installed / "bin" / "relion_dispatch.py").is_file()
    assert found.name == "__init__.py"


@pytest.mark.parametrize("program", ["relion-dispatch", "relion_dispatch.py"])
def test_installed_commands_start(installed: Path, program: str) -> None:
    assert "usage: relion" in run(installed / "bin" / program, "--help", cwd=installed)


def test_checkout_is_the_workflow_of_an_editable_install() -> None:
    assert resources.workflow_dir() == ROOT


def test_missing_workflow_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "relion_dispatch" / "resources.py"))

    with pytest.raises(DispatchError, match="install relion-dispatch again"):
        resources.workflow_dir()


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("target", sorted(project()["project"]["scripts"].values()))
def test_every_command_has_its_function(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, function = target.split(":")
    # The older name's module loads the package anew; the other tests go on with this one.
    monkeypatch.setitem(sys.modules, "relion_dispatch", relion_dispatch)

    assert callable(getattr(importlib.import_module(module), function, None))


def required() -> list[Requirement]:
    declared: list[str] = list(project()["project"]["dependencies"])
    for name, group in project()["dependency-groups"].items():
        if name != "bench":  # a benchmark's own environment, which the set-up does not make
            declared += [entry for entry in group if isinstance(entry, str)]
    return [Requirement(text) for text in declared]


def test_set_up_pins_a_version_of_every_requirement_that_satisfies_it() -> None:
    lines = (ROOT / "tools" / "constraints.txt").read_text().split()
    pins = {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines)
    }

    for requirement in required():
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} and {version}"


def test_citation_and_changelog_name_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert citation["version"] == relion_dispatch.__version__
    assert re.search(r"^## \[Unreleased\]", changelog, re.MULTILINE)

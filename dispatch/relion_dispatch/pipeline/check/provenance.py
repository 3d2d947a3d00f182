"""Versions of everything that a pipeline uses, for its records."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib import metadata

from relion_dispatch import __version__, processes
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline.check.programs import TIMEOUT_S, command_of, externals
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import Version

PACKAGES = ("snakemake", "numpy", "scipy", "pandas", "mrcfile", "starfile", "jinja2")
_NUMBER = re.compile(r"\d+(?:\.\d+)+\w*")


def found_versions(settings: Settings, version: Version | None) -> dict[str, str]:
    """Find the version of everything that the pipeline uses, as far as it says."""
    found = {"relion-dispatch": __version__, "Python": sys.version.split()[0]}
    found |= {name: _package(name) for name in PACKAGES}
    found["RELION"] = str(version) if version is not None else "not found"
    found["MPI"] = _first_line(["mpirun", "--version"])
    found["ghostscript"] = _first_line(["gs", "--version"])
    for external in externals(settings, version):
        found[external.name] = _external_version(command_of(external))
    if settings.start != "particles" and settings.ctf.program == "builtin":
        found["CTF program"] = f"built-in {__version__}"
    return {name: text for name, text in found.items() if text}


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _first_line(argv: list[str]) -> str:
    if shutil.which(argv[0]) is None:
        return "not found"
    try:
        done = processes.run(argv, timeout_s=TIMEOUT_S)
    except InputError as failure:
        return str(failure)
    return next(iter(done.stdout.strip().splitlines()), "")


def _external_version(command: str) -> str:
    """Path of a program, and its version if it prints one when asked."""
    program = shutil.which(next(iter(shlex.split(command)), ""))
    if program is None:
        return "not found"
    try:
        done = processes.run([program, "--version"], timeout_s=TIMEOUT_S)
    except InputError:
        return program
    number = _NUMBER.search(done.stdout)
    return f"{number.group()} ({program})" if number else program

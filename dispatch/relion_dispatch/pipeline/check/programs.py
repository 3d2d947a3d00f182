"""Programs that the steps in use will start: are they there."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from relion_dispatch import processes
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import versions
from relion_dispatch.pipeline.check.findings import Finding, error, warning
from relion_dispatch.pipeline.check.names import SHELL_CHARACTERS, spelled
from relion_dispatch.pipeline.consistency import check_version
from relion_dispatch.pipeline.initialmodel import runs_in_c1
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import Version

BUILTIN_CTF = "relion-dispatch-ctffind"
TIMEOUT_S = 20.0
INSTALL_RELION = "load RELION's module, or install it (Debian: apt install relion)"
_GPU_BUILD = re.compile(r"\b(?:CUDA|HIP)-ACC=")


@dataclass(frozen=True, kw_only=True)
class External:
    """A program that RELION starts for a step.

    Parameters
    ----------
    name
        What people call it.
    option
        The setting that names it.
    value
        The setting's value.
    variable
        The environment variable that RELION takes instead; empty if none.
    default
        What RELION starts without either; empty if it stops.
    """

    name: str
    option: str
    value: str | None
    variable: str = ""
    default: str = ""


def check_relion(settings: Settings, version: Version | None) -> Iterator[Finding]:
    """Check RELION's programs, its version and MPI."""
    if is_elsewhere(settings):
        yield warning(
            "relion-elsewhere",
            "RELION",
            "it is not on PATH here, so neither its programs nor those it starts were looked for",
            f"see to it that the jobs load RELION {settings.relion_version} and the others",
        )
        return
    steps = relion_programs(settings, version)
    missing = [program for program in steps if shutil.which(program) is None]
    if missing:
        used = ", ".join(f"{program} ({steps[program]})" for program in missing)
        yield error("no-program", "RELION", f"not on PATH: {used}", INSTALL_RELION)
    if version is not None:
        yield from _version(settings, version)
    if settings.refine3d.enabled and not (shutil.which("mpirun") or shutil.which("srun")):
        yield error(
            "no-program",
            "MPI",
            "neither mpirun nor srun is on PATH, and refinement needs at least three ranks",
            "load the module of the MPI that RELION was built with (Debian: apt install"
            " openmpi-bin)",
        )


def is_elsewhere(settings: Settings) -> bool:
    """Whether only the jobs load RELION, as on some clusters; its version is configured then."""
    return settings.relion_version != "auto" and shutil.which(versions.PROGRAM) is None


def relion_programs(settings: Settings, version: Version | None) -> dict[str, str]:
    """Programs of RELION that will run, each with the step that needs it first."""
    s = settings
    own_particles = s.start != "particles"
    new_model = s.initial_model.reference is None
    symmetrised = new_model and version is not None and (version.vdam or runs_in_c1(s, version))
    rounds = s.polishing_rounds if s.refine3d.enabled else 0
    wanted = {
        "relion_import": ("import", True),
        "relion_run_motioncorr": ("motion correction", s.start == "movies"),
        "relion_run_ctffind": ("CTF estimation", own_particles),
        "relion_autopick": ("picking", own_particles and s.picking.method != "coordinates"),
        "relion_preprocess": ("extraction", own_particles),
        "relion_refine": ("classification", True),
        "relion_align_symmetry": ("initial model", symmetrised),
        "relion_image_handler": ("scaling of the reference", True),
        "relion_refine_mpi": ("3D refinement", s.refine3d.enabled),
        "relion_mask_create": ("mask", s.refine3d.enabled),
        "relion_postprocess": ("post-processing", s.refine3d.enabled),
        "relion_ctf_refine": ("CTF refinement", bool(rounds) and s.ctf_refinement.enabled),
        "relion_motion_refine": ("polishing", bool(rounds) and s.polishing.enabled),
        "relion_python_blush": ("Blush", s.class3d.blush or s.refine3d.blush),
    }
    return {program: step for program, (step, needed) in wanted.items() if needed}


def _version(settings: Settings, version: Version) -> Iterator[Finding]:
    try:
        check_version(settings, version)
    except InputError as problem:
        for line in str(problem).splitlines():
            yield error("relion-version", "config.yaml", line, "change it, or load another RELION")
    if settings.relion_version == "auto":
        return
    try:
        installed = versions.installed()
    except InputError:
        return
    if (installed.major, installed.minor) != (version.major, version.minor):
        yield error(
            "relion-version",
            "relion_version",
            f"it says {settings.relion_version}, but the RELION on PATH is {installed}",
            "options differ between versions: set relion_version: auto, or load the other RELION",
        )


def externals(settings: Settings, version: Version | None) -> tuple[External, ...]:
    """Programs of others that RELION will start for these settings."""
    s = settings
    found = []
    if s.start == "movies" and s.motion_correction.program == "motioncor2":
        value = s.motion_correction.executable
        found.append(
            External(
                name="MotionCor2",
                option="motion_correction.executable",
                value=value,
                variable="RELION_MOTIONCOR2_EXECUTABLE",
            )
        )
    if s.start != "particles" and s.ctf.program != "builtin":
        gctf = s.ctf.program == "gctf"
        found.append(
            External(
                name="Gctf" if gctf else "CTFFIND4",
                option="ctf.executable",
                value=s.ctf.executable,
                variable="RELION_GCTF_EXECUTABLE" if gctf else "RELION_CTFFIND_EXECUTABLE",
            )
        )
    if s.start != "particles" and s.picking.method == "topaz":
        ours = version is not None and version.topaz_in_relion
        found.append(
            External(
                name="Topaz",
                option="picking.topaz.executable",
                value=s.picking.topaz.executable,
                default="relion_python_topaz" if ours else "topaz",
            )
        )
    return tuple(found)


def check_externals(settings: Settings, version: Version | None) -> Iterator[Finding]:
    """Check MotionCor2, CTFFIND4, Gctf, Topaz, the built-in CTF program and ghostscript."""
    if settings.start != "particles" and settings.ctf.program == "builtin":
        yield from _builtin()
    if is_elsewhere(settings):
        return
    for external in externals(settings, version):
        yield from _external(external)
        if external.name == "MotionCor2" and not settings.motion_correction.serial:
            yield from _devices(external)
    if shutil.which("gs") is None:
        yield warning(
            "no-ghostscript",
            "ghostscript",
            "gs is not on PATH: RELION's logfile.pdf files will be empty",
            "install ghostscript (Debian: apt install ghostscript) or load its module",
        )


def command_of(external: External) -> str:
    """Give what RELION will start; empty when it would stop for want of a name."""
    value = external.value or os.environ.get(external.variable, "") or external.default
    return os.path.expandvars(value)


def _external(external: External) -> Iterator[Finding]:
    command = command_of(external)
    set_it = f"load its module, or set {external.option} in config.yaml to its path"
    if not command:
        near = shutil.which(_USUAL_NAMES.get(external.name, ""))
        yield error(
            "no-program",
            external.name,
            f"neither {external.option} nor ${external.variable} says where it is",
            f"set {external.option}: {near}" if near else set_it + _ALTERNATIVES[external.name],
        )
    elif os.path.isfile(command) and set(command) & set(SHELL_CHARACTERS):
        odd = "".join(dict.fromkeys(c for c in command if c in SHELL_CHARACTERS))
        yield error(
            "odd-names",
            external.option,
            f"RELION starts it unquoted, and its path holds {spelled(odd)}: {command}",
            "make a symbolic link to it with a plain path, and name that",
        )
    elif shutil.which(command.split()[0]) is None:
        yield error(
            "no-program",
            external.name,
            f"{command} is not there or may not be run",
            set_it + _ALTERNATIVES[external.name],
        )


def _devices(external: External) -> Iterator[Finding]:
    """Check that RELION can count GPUs: else it divides by their number, which is not set.

    RELION's side is ``MotioncorrRunner::executeMotioncor2`` (``rank % devCount``).
    """
    program = shutil.which("relion_run_motioncorr")
    if program is None:
        return
    built = processes.run([program, "--version"], timeout_s=TIMEOUT_S).stdout
    if not _GPU_BUILD.search(built):
        yield error(
            "no-cuda",
            external.name,
            "the RELION on PATH was built without CUDA and dies when it is to start MotionCor2",
            "load a RELION that was built with CUDA" + _ALTERNATIVES[external.name],
        )


_USUAL_NAMES = {"CTFFIND4": "ctffind", "MotionCor2": "MotionCor2", "Gctf": "Gctf"}
_ALTERNATIVES = {
    "CTFFIND4": "; without CTFFIND4 set ctf.program: builtin",
    "Gctf": "; without Gctf set ctf.program: ctffind4 or builtin",
    "MotionCor2": "; without it set motion_correction.program: own",
    "Topaz": "; without it set picking.method: log",
}


def builtin_ctf() -> str | None:
    """Path of the built-in CTF program: on ``PATH``, or beside the Python that runs this."""
    beside = os.path.join(os.path.dirname(sys.executable), BUILTIN_CTF)
    return shutil.which(BUILTIN_CTF) or shutil.which(beside)


def _builtin() -> Iterator[Finding]:
    if builtin_ctf() is None:
        yield error(
            "no-program",
            BUILTIN_CTF,
            "the built-in CTF program is not on PATH",
            "activate the environment that relion-dispatch is installed in, or install it again",
        )

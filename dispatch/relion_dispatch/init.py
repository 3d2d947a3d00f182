"""``relion-dispatch init``: a RELION project, ready for Snakemake, from a folder of movies."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch.atomic import write_text
from relion_dispatch.errors import InputError
from relion_dispatch.resources import workflow_dir

if TYPE_CHECKING:
    from relion_dispatch.pipeline.check.findings import Report
    from relion_dispatch.pipeline.proposal import Draft, Wishes

#: What makes the installed pipeline that of a folder's Snakefile.
MODULE = """\
from relion_dispatch.resources import workflow_dir


configfile: "config.yaml"


module relion:
    snakefile:
        str(workflow_dir() / "Snakefile")
    config:
        config


use rule * from relion
"""
SNAKEFILE = f"""\
# The pipeline of this RELION project: `snakemake --profile NAME` runs it.
# What it does is in config.yaml; the rules are those of the installed relion-dispatch.
from relion_dispatch.pipeline import hooks
{MODULE}

onstart:
    hooks.started(config)


onsuccess:
    hooks.succeeded()


onerror:
    hooks.failed()
"""
FILES = ("Snakefile", "config.yaml")
GUI_MARK = ".gui_projectdir"  # without it RELION's window asks whether to start a new project
NUMBERS = {
    "pixel_size": ("optics.pixel_size", "Å", "Å per pixel of the movies"),
    "voltage": ("optics.voltage", "kV", "voltage in kV"),
    "cs": ("optics.spherical_aberration", "mm", "spherical aberration in mm"),
    "amplitude_contrast": ("optics.amplitude_contrast", "", "amplitude contrast, a fraction"),
    "dose_per_frame": ("dose.per_frame", "e/Å²", "dose in e/Å² per frame (EER: per fraction)"),
    "bin": ("motion_correction.bin_factor", "", "binning, 2 for super-resolution movies"),
    "diameter": ("sample.particle_diameter", "Å", "diameter of the particle's mask in Å"),
}
OTHERS = {
    "symmetry": "sample.symmetry",
    "box": "sample.box_size",
    "small_box": "sample.small_box_size",
    "ctf": "ctf.program",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``init`` to a parser."""
    parser.add_argument("directory", type=Path, help="project directory, made if it is missing")
    parser.add_argument(
        "--movies", metavar="DIR|PATTERN", help="folder of the movies or a pattern in quotes"
    )
    for name, (_, unit, words) in NUMBERS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, metavar=unit or "X", help=words)
    parser.add_argument("--symmetry", help="point group (default: C1)")
    parser.add_argument("--box", type=int, metavar="PX", help="box size (default: from --diameter)")
    parser.add_argument("--small-box", type=int, metavar="PX", help="scaled box up to 3D classes")
    parser.add_argument(
        "--records",
        metavar="FILE|DIR",
        help="SerialEM's .mdoc or EPU's .xml files (default: those beside the movies)",
    )
    parser.add_argument("--gain", metavar="FILE", help="gain reference, or 'none'")
    parser.add_argument("--mtf", metavar="FILE", help="STAR file with the detector's MTF")
    parser.add_argument(
        "--ctf",
        choices=("ctffind4", "gctf", "builtin"),
        help="CTF program (default: what is there)",
    )
    parser.add_argument("--profile", metavar="NAME", help="profile of the cluster it will run on")
    parser.add_argument("--force", action="store_true", help="write Snakefile and config.yaml anew")


def main(args: argparse.Namespace) -> int:
    """Make a project, say what was assumed, and check it.

    Returns
    -------
    int
        0 when the project can run as it is; 2 when something is left to correct in its
        ``config.yaml``.

    Raises
    ------
    InputError
        When no project can be made of it; nothing is written then.
    """
    from relion_dispatch.pipeline import check, proposal, settings

    project = Path(os.path.abspath(args.directory))
    _refuse_existing(project, force=args.force)
    here = _is_here(args.profile)
    draft = proposal.propose(_wishes(args, here=here), project)
    _write(project, draft, force=args.force)
    config = settings.read(project / "config.yaml")
    report = check.check_project(config, project, with_programs=here)
    ready = report.ok and not draft.undecided
    _tell(project, draft, report, args.profile, ready=ready)
    return 0 if ready else InputError.exit_code


def _wishes(args: argparse.Namespace, *, here: bool) -> Wishes:
    from relion_dispatch.pipeline.proposal import Wishes

    flags = {name: option for name, (option, _, _) in NUMBERS.items()} | OTHERS
    given = {option: getattr(args, name) for name, option in flags.items()}
    given["optics.mtf"] = None if args.mtf is None else os.path.abspath(args.mtf)
    return Wishes(
        options={option: value for option, value in given.items() if value is not None},
        movies=args.movies,
        gain=args.gain,
        here=here,
        records=args.records,
        ask=_ask if sys.stdin.isatty() and sys.stdout.isatty() else None,
    )


def _ask(option: str) -> float | str | None:
    """Ask for an option until the answer makes sense; no answer leaves it open."""
    if option == "sample.symmetry":
        return _answer("Point group of the particle [C1]: ") or None
    unit, words = next((unit, words) for path, unit, words in NUMBERS.values() if path == option)
    while answer := _answer(f"{words[0].upper()}{words[1:]}: "):
        with contextlib.suppress(ValueError):
            number = float(answer.removesuffix(unit).strip())
            if 0 < number < math.inf:
                return number
        sys.stdout.write(f"'{answer}' is no such number: write one such as 1.06\n")
    return None


def _answer(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:  # Ctrl-D
        sys.stdout.write("\n")
        return ""


def _is_here(profile: str | None) -> bool:
    """Whether jobs run on this machine, so that their programs must be here.

    Raises
    ------
    InputError
        When there is no such profile.
    """
    from relion_dispatch.profiles import load_profile

    return profile is None or load_profile(profile).cluster.local


def _refuse_existing(project: Path, *, force: bool) -> None:
    there = [name for name in FILES if os.path.lexists(project / name)]
    if there and not force:
        raise InputError(
            f"{project} has {' and '.join(there)} already: --force writes them anew, and what was"
            " changed in them is lost"
        )
    if project.exists() and not project.is_dir():
        raise InputError(f"{project} is a file, not a folder")


def _write(project: Path, draft: Draft, *, force: bool) -> None:
    from relion_dispatch.pipeline.configtext import fill_in

    defaults = (workflow_dir() / "config" / "config.yaml").read_text(encoding="utf-8")
    text = fill_in(defaults, draft.values, draft.why)
    for name, target in draft.links.items():
        _check_link(project, name, target, force=force)
    _check_others(project, draft)
    try:
        for name, target in draft.links.items():
            _link(project / name, target)
        write_text(project / "config.yaml", text)
        write_text(project / "Snakefile", SNAKEFILE)
        (project / GUI_MARK).touch()
    except OSError as failure:
        raise InputError(f"{project} cannot be written: {failure}") from None


def _check_link(project: Path, name: str, target: Path, *, force: bool) -> None:
    path = project / name
    for above in list(Path(name).parents)[:-1]:
        # What is made there would be made in the folder of the data.
        if (project / above).is_symlink():
            raise InputError(
                f"{project / above} is a link, and has to be a folder with a link to each movie:"
                " remove it"
            )
    if not os.path.lexists(path) or _points_to(path, target):
        return
    if not (force and path.is_symlink()):
        raise InputError(
            f"{path} is there already and is no link to {target}: move it away, or give movies"
            " that are inside it"
        )


def _check_others(project: Path, draft: Draft) -> None:
    """Refuse links to single movies in a folder that holds others already."""
    from relion_dispatch.pipeline.check import movies

    pattern = draft.values["movies"]
    folder = Path(pattern).parts[0]
    others = sorted({*movies.find(pattern, project)} - draft.links.keys())
    if others and any(folder in Path(name).parts[:-1] for name in draft.links):
        raise InputError(
            f"{project / folder} holds {len(others)} other movies already, such as {others[0]}:"
            " move them away, or make another project"
        )


def _points_to(path: Path, target: Path) -> bool:
    return path.is_symlink() and os.readlink(path) == str(target)


def _link(path: Path, target: Path) -> None:
    if _points_to(path, target):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _tell(project: Path, draft: Draft, report: Report, profile: str | None, *, ready: bool) -> None:
    config = project / "config.yaml"
    look = "Look through" if ready else "Correct"
    lines = [
        f"{project} is a RELION project now.",
        *(f"  {sentence}" for sentence in draft.told),
        *(finding.to_text() for finding in report.findings),
        *draft.undecided,
        *_missing(draft),
        f"{look} {config}, then:",
        *(f"  {command}" for command in _next_commands(project, profile)),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _missing(draft: Draft) -> list[str]:
    """Say which numbers are missing, and the flags that give them."""
    from relion_dispatch.pipeline.proposal import NEEDED

    flags = [
        f"--{name.replace('_', '-')} {unit or 'X'}"
        for name, (option, unit, _) in NUMBERS.items()
        if option in NEEDED and option not in draft.values
    ]
    if not flags:
        return []
    return [f"Missing: {', '.join(flags)}. Give them together with --force, or in config.yaml."]


def _next_commands(project: Path, profile: str | None) -> list[str]:
    enter = f"cd {shlex.quote(str(project))}"
    if profile is None:
        return [f"{enter} && snakemake --cores all    # or, on a cluster, --profile NAME"]
    word = shlex.quote(profile)
    install = [] if _snakemake_finds(profile) else [f"relion-dispatch profile install {word}"]
    return [*install, f"{enter} && snakemake --profile {word}"]


def _snakemake_finds(profile: str) -> bool:
    """Whether ``snakemake --profile`` will find a profile by this name, from any folder."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    site = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    folders = [config, *site.split(os.pathsep)]
    return os.path.isabs(profile) or any(
        os.path.isdir(os.path.join(folder, "snakemake", profile)) for folder in folders
    )

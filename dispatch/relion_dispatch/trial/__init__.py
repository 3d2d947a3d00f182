"""``relion-dispatch try``: a step on a few micrographs with several values side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from relion_dispatch.errors import InputError

STEPS = ("motion_correction", "ctf", "picking")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relion-dispatch try``."""
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="the project")
    parser.add_argument("--step", choices=STEPS, help="what is tried")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=V1,V2",
        help="values of an option; of several options every combination is tried",
    )
    parser.add_argument(
        "--micrographs", type=int, default=3, metavar="N", help="how many of them (default: 3)"
    )
    parser.add_argument("--profile", default="", help="default: $RELION_DISPATCH_PROFILE, or here")
    parser.add_argument("--quiet", action="store_true", help="say nothing until it is done")
    parser.add_argument(
        "--choose", type=int, metavar="NUMBER", help="write a variant to config.yaml"
    )
    parser.add_argument("--trial", metavar="NNN", help="with --choose: which one (the latest)")


def main(args: argparse.Namespace) -> int:
    """Run ``relion-dispatch try``.

    Returns
    -------
    int
        0; 2 when a variant failed.

    Raises
    ------
    InputError
        When the project, an option or a value is wrong.
    """
    project = Path(args.folder)
    if not (project / "config.yaml").is_file():
        raise InputError(f"{project} has no config.yaml: give a project that init has made")
    try:
        return _choose(project, args) if args.choose is not None else _try(project, args)
    except OSError as error:
        raise InputError(f"stopped: {error}") from None


def _choose(project: Path, args: argparse.Namespace) -> int:
    from relion_dispatch.trial import choice, scratch

    named = None if args.trial is None else project / scratch.FOLDER / args.trial
    folder = named or scratch.latest(project)
    values = choice.choose(project, folder, args.choose)
    for option, value in values.items():
        _say(f"{option}: {value}")
    _say(f"is in {project / 'config.yaml'} now.")
    return 0


def _try(project: Path, args: argparse.Namespace) -> int:
    from relion_dispatch.pipeline import settings
    from relion_dispatch.trial import choice, running, scratch
    from relion_dispatch.trial.perform import Trial
    from relion_dispatch.trial.variants import variants

    if args.step is None:
        raise InputError(f"try what? Give --step {'|'.join(STEPS)}")
    if args.micrographs < 1:
        raise InputError("--micrographs: at least one")
    config = settings.read(project / "config.yaml")
    if args.step == "motion_correction" and config.get("start", "movies") != "movies":
        raise InputError("the project does not start from movies: there is no motion to correct")
    tried = variants(args.step, args.set, config)
    names = scratch.images(project, config, args.micrographs)
    where = running.place(args.profile, project)
    folder = scratch.new_folder(project)
    choice.note(folder, args.step, names, tried)
    trial = Trial(
        project=project,
        folder=folder,
        step=args.step,
        config=config,
        images=tuple(names),
        variants=tried,
    )
    found, failed = trial.results(trial.run(where, quiet=args.quiet))
    for line in trial.report(found, failed):
        _say(line)
    return InputError.exit_code if failed else 0


def _say(text: str) -> None:
    sys.stdout.buffer.write(f"{text}\n".encode(errors="surrogateescape"))
    sys.stdout.flush()

"""The command line, ``relion-dispatch COMMAND``: a command's modules are imported when it runs."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from relion_dispatch import __version__
from relion_dispatch.errors import DispatchError, InputError

if TYPE_CHECKING:
    from relion_dispatch.plan import Plan

_PROFILE_HELP = "name or path of the profile; default: $RELION_DISPATCH_PROFILE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0, or the exit code of the error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    given, command = _split(arguments)
    args = _parser(given[:1]).parse_args(given)
    args.command = command
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except DispatchError as error:
        print(f"relion-dispatch: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - nobody reads us any more
        return 0
    except OSError as error:
        print(f"relion-dispatch: error: {error}", file=sys.stderr)
        return InputError.exit_code
    except KeyboardInterrupt:
        print("relion-dispatch: interrupted", file=sys.stderr)
        return 130  # what a shell says of a program that Ctrl-C has ended


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Take off a command line that stands behind ``--``."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _parser(asked: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser, with that command alone which is asked for, or with all of them."""
    parser = argparse.ArgumentParser(
        prog="relion-dispatch", description="RELION jobs on clusters: matched, sized, submitted."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [name for name in asked if name in _COMMANDS] or _COMMANDS:
        text, fill = _COMMANDS[name]
        fill(commands.add_parser(name, **_told(text)))
    return parser


def _told(text: str) -> dict[str, Any]:
    """Tell what a command is for, among the others and in its own help."""
    return {"help": text, "description": f"{text[0].upper()}{text[1:]}."}


def _add_submit(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the script, submit nothing")
    parser.add_argument("script", metavar="SCRIPT", help="the file that RELION wrote")
    parser.set_defaults(run=_submit)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "relion-dispatch explain [-h] [--profile P] [--json] [--set NAME=VALUE]"
        " (SCRIPT | -- COMMAND...)"
    )
    _add_common(parser)
    parser.add_argument("--json", action="store_true", help="as a JSON object")
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="the file that RELION wrote")
    parser.set_defaults(run=_explain)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help=_PROFILE_HELP)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of this job: nproc, nthread, ngpu, nodes, mem, partition, runtime, ...",
    )


def _add_env(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help=_PROFILE_HELP)
    parser.add_argument("--shell", choices=("bash", "csh", "module"), default="bash")
    parser.set_defaults(run=_env)


def _add_profile(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", **_told("the profiles that can be used by name"))
    listing.set_defaults(run=_profile_list)
    show = actions.add_parser("show", **_told("what a profile says, all layers together"))
    show.add_argument("name", nargs="?", default="", help=_PROFILE_HELP)
    show.set_defaults(run=_profile_show)
    install = actions.add_parser("install", **_told("make Snakemake find a profile by its name"))
    install.add_argument("name", help="name or path of the profile")
    install.add_argument("--site", action="store_true", help="for all users of this machine")
    install.add_argument("--copy", action="store_true", help="a copy to edit, not a link")
    install.set_defaults(run=_profile_install)
    check = actions.add_parser("check", **_told("compare a profile with the live scheduler"))
    check.add_argument("name", nargs="?", default="", help=_PROFILE_HELP)
    check.set_defaults(run=_profile_check)
    new = actions.add_parser("new", **_told("write a first profile from the live scheduler"))
    new.add_argument("folder", help="the new profile's folder")
    new.set_defaults(run=_profile_new)
    take = actions.add_parser("import-template", **_told("take over a RELION_QSUB_TEMPLATE"))
    take.add_argument("template", help="the file that RELION_QSUB_TEMPLATE has named so far")
    take.add_argument("profile", nargs="?", default="", help=_PROFILE_HELP)
    take.add_argument("--name", default="submit", help="of the job type; default: submit")
    take.set_defaults(run=_profile_import)


def _add_status(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch import status

    status.add_arguments(parser)
    parser.set_defaults(run=status.main)


def _add_clean(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch import cleanup

    cleanup.add_arguments(parser)
    parser.set_defaults(run=cleanup.main)


def _add_heal(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch.healing import command

    command.add_arguments(parser)
    parser.set_defaults(run=command.main)


def _add_try(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch import trial

    trial.add_arguments(parser)
    parser.set_defaults(run=trial.main)


def _add_init(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch import init

    init.add_arguments(parser)
    parser.set_defaults(run=init.main)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch.sharding import session

    session.add_arguments(parser)
    parser.set_defaults(run=session.main)


def _add_report(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch.report import command

    command.add_arguments(parser)
    parser.set_defaults(run=command.main)


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    from relion_dispatch.calibration import command

    command.add_arguments(parser)
    parser.set_defaults(run=command.main)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "init": ("make a RELION project that is ready to run", _add_init),
    "try": ("run a step on a few micrographs with several values side by side", _add_try),
    "watch": ("process movies as they arrive from the microscope", _add_watch),
    "status": ("show the project's jobs, from RELION's markers and the scheduler", _add_status),
    "report": ("write what a project has come to as one HTML page", _add_report),
    "clean": ("take intermediate files of finished jobs away", _add_clean),
    "explain": ("say how a job would run, and why; changes nothing", _add_explain),
    "submit": ("submit the job of a RELION parameter file", _add_submit),
    "heal": ("look after a job that has failed: try it again, or say why not", _add_heal),
    "env": ("print the settings that RELION's window needs", _add_env),
    "profile": ("list, show, install, check and make profiles", _add_profile),
    "calibrate": ("learn from finished jobs how much sizes have to change", _add_calibrate),
}


def _submit(args: argparse.Namespace) -> int:
    # A process of a tenth of a second leaves no garbage worth a walk through all its objects.
    gc.disable()
    from relion_dispatch.submit import Submission, planned, submit

    submission = Submission(script=args.script, profile=args.profile, overrides=_overrides(args))
    _write(planned(submission).script if args.dry_run else submit(submission))
    return 0


def _explain(args: argparse.Namespace) -> int:
    from relion_dispatch.submit import Submission, planned

    if (args.script is None) == (args.command is None):
        raise InputError("explain what? Give a parameter file, or -- and a command line")
    if args.script is not None:
        made = planned(
            Submission(script=args.script, profile=args.profile, overrides=_overrides(args))
        )
    else:
        made = _planned_command(args)
    if args.json:
        _write(made.json_text() + "\n")
        return 0
    from relion_dispatch.explain import explanation

    _write(explanation(made))
    return 0


def _planned_command(args: argparse.Namespace) -> Plan:
    from relion_dispatch.engine import Request, plan
    from relion_dispatch.profiles import load_profile

    request = Request(commands=_lines(args.command), overrides=_overrides(args))
    return plan(request, load_profile(args.profile or None))


def _lines(words: Sequence[str]) -> tuple[str, ...]:
    """Return the shell lines that a command line's words stand for.

    One word is shell text; several are words of one line, in which ``$`` and backticks still mean
    what they mean to a shell.
    """
    if len(words) == 1:
        return tuple(line for line in words[0].splitlines() if line.strip())
    return (" ".join(_word(word) for word in words),) if words else ()


def _word(word: str) -> str:
    from shlex import quote

    plain = word.replace("`", "").replace("$", "")
    if plain and quote(plain) == plain:
        return word
    if plain == word:
        return quote(word)
    if re.fullmatch(r"`[^`]*`|\$\([^()]*\)", word):
        return word
    return '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'


def _overrides(args: argparse.Namespace) -> dict[str, object]:
    pairs = [text.partition("=") for text in args.set]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise InputError(f"--set {name}: expected NAME=VALUE, e.g. --set nproc=17")
    return {name: value for name, _, value in pairs}


def _env(args: argparse.Namespace) -> int:
    import shutil
    from pathlib import Path
    from shlex import join

    from relion_dispatch import fields
    from relion_dispatch.jobscript import TEMPLATE
    from relion_dispatch.profiles import load_profile

    profile = load_profile(args.profile or None)
    beside = Path(sys.argv[0]).resolve().with_name("relion-dispatch")
    program = str(beside) if beside.is_file() else shutil.which("relion-dispatch")
    # RELION gives the command to a shell, and is started in any folder.
    by_name = profile.path.is_absolute() and "/" not in profile.name
    name = profile.name if by_name else str(profile.path.resolve())
    values = fields.settings(
        profile.cluster,
        profile=name,
        command=join([program or "relion-dispatch", "submit"]),
        template=str(TEMPLATE),
    )
    _write(fields.shell_text(values, args.shell))
    return 0


def _profile_list(_: argparse.Namespace) -> int:
    from relion_dispatch import profiles

    for name in profiles.names():
        _write(f"{name}\t{profiles.find(name)}\n")
    return 0


def _profile_show(args: argparse.Namespace) -> int:
    from relion_dispatch import profiles

    _write(profiles.shown(profiles.load_profile(args.name or None)))
    return 0


def _profile_install(args: argparse.Namespace) -> int:
    from relion_dispatch import profiles

    place = profiles.install(args.name, site=args.site, copy=args.copy)
    who = "snakemake and relion-dispatch find"
    if not profiles.is_snakemake_profile(place):
        who = f"relion-dispatch finds (snakemake wants a {profiles.SNAKEMAKE_FILES[0]} too)"
    _write(f"{place}\n{who} it by --profile {place.name} now.\n")
    return 0


def _profile_check(args: argparse.Namespace) -> int:
    from relion_dispatch import live, profiles

    profile = profiles.load_profile(args.name or None)
    faults = list(live.differences(profile.cluster, live.ask(profile.cluster)))
    _write("".join(f"{fault}\n" for fault in faults) or f"{profile.name} fits the scheduler.\n")
    return InputError.exit_code if faults else 0


def _profile_new(args: argparse.Namespace) -> int:
    from relion_dispatch import live, profiles

    place = profiles.new(args.folder, live.profile_text(live.ask(profiles.slurm())))
    _write(f"{place}\nrelion-dispatch profile install {place} makes it known by its name.\n")
    return 0


def _profile_import(args: argparse.Namespace) -> int:
    from relion_dispatch import profiles, takeover

    profile = profiles.load_profile(args.profile or None)
    made = takeover.read(args.template)
    place = takeover.add_template(profile, args.name, made.text)
    _write("".join(f"{line}\n" for line in (place, *takeover.advice(made, profile.cluster))))
    return 0


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", errors="surrogateescape"))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

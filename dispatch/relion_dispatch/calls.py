"""A job's commands as they came: which of them it is about, and where its directory is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relion_dispatch.command import Command
from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass
from relion_dispatch.jobtypes import Job
from relion_dispatch.plan import Request

#: Programs that the jobs of others run on the side, before or after what they are about.
_HELPERS = frozenset(
    {
        "relion_align_symmetry",
        "relion_convert_star",
        "relion_flex_analyse",
        "relion_helix_toolbox",
        "relion_image_handler",
        "relion_star_handler",
    }
)

#: Options that name the job's directory itself, and those that name something in it.
_CONTROL = ("pipeline_control", "pipeline-control")
_OUTPUT = ("o", "odir", "part_dir", "output-directory", "output_directory")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A job's commands, taken apart.

    Attributes
    ----------
    commands
        All of them.
    main
        The one that the job is about.
    job
        What job types are matched against.
    """

    commands: tuple[Command, ...]
    main: Command
    job: Job

    @classmethod
    def read(cls, request: Request) -> Call:
        """Take a job's commands apart.

        Raises
        ------
        InputError
            When there are none, or one cannot be read.
        """
        if not request.commands:
            raise InputError("the job has no commands: expected at least one shell line")
        commands = tuple(Command.parse(line) for line in request.commands)
        main = main_command(commands)
        directory = job_directory(commands, request.outfile)
        label = job_label(request.project / directory)
        return cls(
            commands=commands, main=main, job=Job(command=main, directory=directory, label=label)
        )


def main_command(commands: Sequence[Command]) -> Command:
    """Return the command that a job is about: RELION's before others, helpers last of RELION's."""
    relion = [each for each in commands if each.relion]
    about = (each for each in relion if each.program not in _HELPERS)
    program = (each for each in commands if each.program)
    return next(about, None) or next(iter(relion), None) or next(program, None) or commands[0]


def job_directory(commands: Sequence[Command], outfile: str = "") -> str:
    """Return the job's directory, as ``Class2D/job006/``; empty where nothing tells it.

    ``--pipeline_control`` names it, or it is where the output file or the results go.
    """
    for value in _values(commands, _CONTROL):
        return value.rstrip("/") + "/"
    if outfile:
        return folder_of(outfile)
    return next((folder_of(value) for value in _values(commands, _OUTPUT)), "")


def job_label(directory: Path) -> str | None:
    """Return the label of the job that ``job.star`` names, e.g. ``relion.class2d``.

    None without a ``job.star`` or without a label in it: RELION 3.1 writes a number.
    """
    try:
        with (directory / "job.star").open(encoding="utf-8", errors="replace") as handle:
            for line in handle:
                words = line.split()
                if len(words) == 2 and words[0] == "_rlnJobTypeLabel":
                    return words[1]
    except OSError:
        return None
    return None


def folder_of(path: str) -> str:
    """Return a path's folder with a slash at its end; empty for a bare name."""
    folder = path.rpartition("/")[0]
    return f"{folder}/" if folder else ""


def _values(commands: Sequence[Command], names: Sequence[str]) -> list[str]:
    found = [command.value(name) for command in commands for name in names]
    return [value for value in found if value]

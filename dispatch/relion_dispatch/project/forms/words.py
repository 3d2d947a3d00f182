"""What forms read and write: a step's command line, taken option by option, and filled fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from relion_dispatch.calls import main_command
from relion_dispatch.command import Command
from relion_dispatch.project.flavours import Flavour
from relion_dispatch.shellwords import unquote

#: Kinds of files by path; the kinds are those of `flavours.FILE_KINDS`.
Files = tuple[tuple[str, str], ...]

#: The angular steps that the window offers: a HEALPix order each.
SAMPLINGS = tuple(
    f"{angle} degrees" for angle in ("30", "15", "7.5", "3.7", "1.8", "0.9", "0.5", "0.2", "0.1")
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the pipeline.

    Attributes
    ----------
    folder
        Directory of its job type, such as ``Class3D``.
    out
        Its own directory, with a slash at the end.
    lines
        Its command lines.
    flavour
        The RELION that they are for.
    name
        The step's name, as in ``config.yaml``.
    is_own
        Whether it is a program of this package that no form of the window stands for.
    """

    folder: str
    out: str
    lines: tuple[str, ...]
    flavour: Flavour
    name: str = ""
    is_own: bool = False

    def words(self) -> Words:
        """Take its main command apart; what every command has is gone already."""
        words = Words(main_command([Command.parse(line) for line in self.lines]))
        words.skip("--pipeline_control", "--j", "--gpu")
        return words

    def made(self, **kinds: str) -> Files:
        """Name files in its directory with their kinds; ``__`` stands for the dot in a name."""
        return tuple((self.out + name.replace("__", "."), kind) for name, kind in kinds.items())


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A form, filled in.

    Attributes
    ----------
    folder
        Directory of the job type whose form it is.
    sub
        What RELION 4.0 and later write behind the type, such as ``.own``.
    options
        The fields, by RELION's names for them.
    late
        Fields whose value is in a file once the job has run, by their names.
    inputs, outputs
        The files that the window lists for the job.
    """

    folder: str
    sub: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, str] = field(default_factory=dict)
    inputs: Files = ()
    outputs: Files = ()

    def with_options(self, options: Mapping[str, str]) -> Filled:
        """Return the same form with other fields."""
        return replace(self, options=options)


Form = Callable[[Step], Filled]


class Words:
    """The options of a command line; each can be taken once.

    Parameters
    ----------
    command
        The command line, taken apart.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._left = list(command.options)

    def has(self, name: str) -> bool:
        """Tell whether an option is there and not taken yet."""
        return any(option.name == name.lstrip("-") for option in self._left)

    def take(self, name: str, default: str = "") -> str:
        """Take an option's value; the last of a repeated one counts, as in RELION."""
        name = name.lstrip("-")
        found = [unquote(option.raw or "") for option in self._left if option.name == name]
        self._left = [option for option in self._left if option.name != name]
        return found[-1].strip() if found else default

    def flag(self, name: str) -> str:
        """Take an option without a value: ``Yes`` when it is there, else ``No``."""
        found = self.has(name)
        self.skip(name)
        return yes(found)

    def values(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Take options into fields; a field whose option is not there is left out."""
        return {name: self.take(option) for option, name in fields.items() if self.has(option)}

    def flags(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Take options without a value into fields."""
        return {name: self.flag(option) for option, name in fields.items()}

    def skip(self, *names: str) -> None:
        """Leave options out that the window writes by itself."""
        for name in names:
            self.take(name)

    def skip_if(self, name: str, value: str) -> None:
        """Leave an option out if it has the only value that the window writes."""
        given = self._command.values(name.lstrip("-"))
        if given and given[-1] == value:
            self.skip(name)

    def rest(self) -> str:
        """Return what is left, as shell text."""
        words = [word for option in self._left for word in (option.key.raw, _value(option.value))]
        return " ".join(word for word in words if word)


def _value(token: object) -> str:
    return str(getattr(token, "raw", "") or "")


def yes(flag: bool) -> str:
    """Write a field that is ticked or not."""
    return "Yes" if flag else "No"


def no(flag: str) -> str:
    """Turn a field round."""
    return yes(flag == "No")


def half(text: str) -> str:
    """Halve a number; the window shows steps after oversampling, the command before it."""
    value = float(text) / 2
    return str(int(value)) if value.is_integer() else f"{value:.10g}"

"""One shell line as RELION and its users write it: read its options, edit them, keep the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from relion_dispatch.errors import InputError
from relion_dispatch.invocation import Group, Invocation, Option, find_invocation, is_option
from relion_dispatch.launchers import Role
from relion_dispatch.shellwords import Kind, Token, quote, tokenize, unquote

_NAME = re.compile(r"(-{0,2})([A-Za-z0-9_][\w.:+-]*)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A shell line, taken apart without loss; build it with `Command.parse`.

    A line may hold several commands (``unset DISPLAY && relion_schemer …``). The one that
    everything below is about is the first that runs a RELION program, else the first that
    runs any program; all else is text that no edit touches.

    Parameters
    ----------
    text
        The line. Two commands are equal when their lines are.
    tokens
        The line's tokens.
    invocation
        The command that everything is about.
    options
        The program's options, in order.
    """

    text: str
    tokens: tuple[Token, ...] = field(compare=False, repr=False)
    invocation: Invocation = field(compare=False, repr=False)
    options: tuple[Option, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, line: str) -> Command:
        """Read one shell line.

        Parameters
        ----------
        line
            The line; it may be continued over several by a backslash at a line's end.

        Returns
        -------
        Command
            ``str(Command.parse(line)) == line``, always.

        Raises
        ------
        InputError
            When a quote, a backtick, an expansion or a continuation is left open.
        """
        tokens = tokenize(line)
        invocation = find_invocation(tokens)
        options = tuple(invocation.options())
        return cls(text=line, tokens=tokens, invocation=invocation, options=options)

    def __str__(self) -> str:
        return self.text

    @property
    def program(self) -> str | None:
        """The program's name without path and ``_mpi``; None for ``echo …`` and the like."""
        name = self.invocation.name
        return name.removesuffix("_mpi") if name and self.relion else name

    @property
    def relion(self) -> bool:
        """Whether the program is one of RELION's (``relion_…``)."""
        return self.invocation.relion

    @property
    def mpi(self) -> bool:
        """Whether the program is the MPI version of a RELION program (``…_mpi``)."""
        return self.relion and (self.invocation.name or "").endswith("_mpi")

    @property
    def launcher(self) -> tuple[str, ...]:
        """The raw words in front of the program: ``mpirun -n 5``, ``time``, ``VAR=x``, …."""
        at = self.invocation.program_at or 0
        return tuple(word.raw for word in self.invocation.words[:at])

    @property
    def parallel_launcher(self) -> tuple[str, ...]:
        """The raw words that start the ranks: ``mpirun -n 5`` without ``nice``, ``python``, …."""
        words = self.invocation.words
        groups = ((each.start, each.stop) for each in self._parallel())
        return tuple(word.raw for start, stop in groups for word in words[start:stop])

    @property
    def before(self) -> str:
        """The line's text in front of the program; all of it when there is no program."""
        word = self._program
        return self.text[: word.start] if word else self.text

    @property
    def program_word(self) -> str:
        """The program as written (```` `which relion_refine_mpi` ````); empty without one."""
        return self._program.raw if self._program else ""

    @property
    def arguments(self) -> str:
        """The line's text behind the program, redirections and further commands included."""
        return self.text[self._program.end :] if self._program else ""

    @property
    def _program(self) -> Token | None:
        at = self.invocation.program_at
        return None if at is None else self.invocation.words[at]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all options without leading dashes, in order, repeated ones repeated."""
        return tuple(option.name for option in self.options)

    def has(self, name: str) -> bool:
        """Tell whether the option is there, with or without a value."""
        return bool(self._find(name))

    def value(self, name: str) -> str | None:
        """Read an option's value.

        Parameters
        ----------
        name
            The option, with or without leading dashes.

        Returns
        -------
        str or None
            Without its quotes; empty for a bare option and for ``""``; that of the last if the
            option is repeated, as in RELION; None when the option is not there.
        """
        return next(reversed(self.values(name)), None)

    def values(self, name: str) -> tuple[str, ...]:
        """Read the values of each of an option's occurrences, in order; see `value`."""
        return tuple(unquote(option.raw or "") for option in self._find(name))

    def _find(self, name: str) -> list[Option]:
        name = name.lstrip("-")
        return [option for option in self.options if option.name == name]

    def without(self, *names: str) -> Command:
        """Remove these options and their values, wherever they stand."""
        gone = [option for name in names for option in self._find(name)]
        return self._edited(edit for option in gone for edit in self._removal(option))

    def with_option(self, name: str, value: str | None, *, raw: bool = False) -> Command:
        """Set an option.

        Parameters
        ----------
        name
            With leading dashes if they are to be written so; ``--`` is put in front otherwise.
        value
            Its value, quoted as needed; None for a bare option.
        raw
            Take ``value`` as shell text that is quoted already (``$SLURM_CPUS_PER_TASK``);
            an empty one makes a bare option.

        Returns
        -------
        Command
            Changed in place where the option stands first, further ones removed; added behind
            the last argument, in front of redirections and further commands, where there is none.

        Raises
        ------
        InputError
            When the line runs no program, or the name is none, or the value cannot be written.
        """
        match = _NAME.fullmatch(name)
        key = "" if match is None else (match[1] or "--") + match[2]
        if not is_option(key):
            raise InputError(f"'{name}' cannot be the name of an option")
        self._need_program(f"give the option {key} to")
        written = (value or None) if raw or value is None else _quoted(value)
        return self._set(key, written)

    def _set(self, key: str, written: str | None) -> Command:
        found = self._find(key)
        if not found:
            text = f" {key}" if written is None else f" {key} {written}"
            return self._edited([self._insertion(self.invocation.words[-1], text)])
        if written is None and self._takes_next(found[0]):
            dashed = found[0].key.raw.partition("=")[0]
            return self.without(key).with_option(dashed, None)
        edits = [edit for option in found[1:] for edit in self._removal(option)]
        return self._edited([*edits, *self._replacement(found[0], written)])

    def _takes_next(self, option: Option) -> bool:
        """Tell whether the option, made bare, would take the next word as its value."""
        words = self.invocation.words
        following = words[words.index(option.value or option.key) + 1 :][:1]
        return any(not is_option(word.raw) for word in following)

    def _replacement(self, option: Option, written: str | None) -> list[_Edit]:
        key, value = option.key, option.value
        if value is not None:
            return [self._cut(value) if written is None else self._swap(value, written)]
        if option.raw is not None:
            name = key.raw.partition("=")[0]
            return [self._swap(key, name if written is None else f"{name}={written}")]
        return [] if written is None else [self._insertion(key, f" {written}")]

    def _removal(self, option: Option) -> list[_Edit]:
        return [self._cut(word) for word in (option.key, option.value) if word]

    def _swap(self, word: Token, text: str) -> _Edit:
        return _Edit(word.start, word.end, text + self._gap(word))

    def _insertion(self, word: Token, text: str) -> _Edit:
        return _Edit(word.end, word.end, text + self._gap(word))

    def _cut(self, word: Token) -> _Edit:
        """Remove a word and the space in front of it, which a redirection behind it needs."""
        space = self.tokens[self.tokens.index(word) - 1]
        start = word.start if self._gap(word) else space.start
        return _Edit(start, word.end, "")

    def _gap(self, word: Token) -> str:
        """Keep a word's last digits clear of a redirection, which would take them for its own."""
        following = self.tokens[self.tokens.index(word) + 1 :][:1]
        return " " if following and following[0].kind is Kind.REDIRECT else ""

    def with_program_mpi(self, mpi: bool) -> Command:
        """Take the MPI version of the RELION program, or the version without MPI.

        Path, backticks and quotes are kept. A line without a RELION program comes back unchanged.

        Raises
        ------
        InputError
            When quotes inside the program's name hide where it ends.
        """
        word, name = self._program, self.invocation.name
        if word is None or name is None or not self.relion or mpi == self.mpi:
            return self
        at = word.raw.rfind(name)
        if at < 0:
            raise InputError(f"write the program's name plainly to have it changed: {word.raw}")
        end = word.start + at + len(name)
        return self._edited([_Edit(end, end, "_mpi") if mpi else _Edit(end - 4, end, "")])

    def without_launcher(self) -> Command:
        """Remove what starts the ranks (``mpirun -n 5``, ``srun …``).

        Other words in front of the program stay: ``VAR=x``, ``time``, ``env``, ``python``.
        """
        return self._edited(map(self._launcher_cut, self._parallel()))

    def with_launcher(self, launcher: str) -> Command:
        """Put ``launcher``, shell text, in the place of what starts the ranks.

        Without that, it goes in front of the program, behind ``VAR=x``, ``time`` and the like.

        Raises
        ------
        InputError
            When the line runs no program.
        """
        program = self._need_program(f"launch with '{launcher}'")
        words = self.invocation.words
        if groups := self._parallel():
            start, end = words[groups[0].start].start, words[groups[0].stop - 1].end
            cuts = map(self._launcher_cut, groups[1:])
            return self._edited([_Edit(start, end, launcher), *cuts])
        wrappers = [g.start for g in self.invocation.groups if g.role is Role.WRAPPER]
        start = words[wrappers[0]].start if wrappers else program.start
        return self._edited([_Edit(start, start, f"{launcher} ")])

    def _parallel(self) -> list[Group]:
        groups = self.invocation.groups if self._program else ()
        return [group for group in groups if group.role is Role.PARALLEL]

    def _launcher_cut(self, group: Group) -> _Edit:
        words = self.invocation.words
        return _Edit(words[group.start].start, words[group.stop].start, "")

    def _need_program(self, to_do: str) -> Token:
        if self._program is None:
            raise InputError(f"this line runs no program to {to_do}: {self.text}")
        return self._program

    def _edited(self, edits: Iterable[_Edit]) -> Command:
        text = self.text
        for edit in sorted(set(edits), reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return Command.parse(text) if text != self.text else self


@dataclass(frozen=True, order=True, slots=True)
class _Edit:
    """Text that takes the place of the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def _quoted(value: str) -> str:
    """Write a value as a shell word that does not look like an option."""
    written = quote(value)
    return f'"{written}"' if is_option(written) else written

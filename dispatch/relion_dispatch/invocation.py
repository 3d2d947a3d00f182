"""What a shell line runs: launchers, program, options.

An option's value is the word behind it, unless that word looks like an option itself: RELION's
own rule (``src/args.cpp``) would need the list of each program's options. What begins with a
minus sign and a digit is a number, as in RELION.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from relion_dispatch.launchers import LAUNCHERS, MPIRUN, RANKS, UTILITIES, Launcher, Role
from relion_dispatch.shellwords import Kind, Token, unquote


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Words ``start`` to ``stop`` (exclusive) in front of a program, and what they do."""

    role: Role
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """An option of a program.

    Parameters
    ----------
    name
        As written, without leading dashes.
    key
        The word that holds its name.
    value
        The word that holds its value; None when it has none, or has it behind ``=``.
    raw
        The value's raw text; None when it has none.
    """

    name: str
    key: Token
    value: Token | None
    raw: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """A simple command taken apart.

    Parameters
    ----------
    words
        Its words in order, redirections left out.
    groups
        The launchers in front of the program, in order.
    program_at
        Index of the program among ``words``; None when there is no program.
    name
        The program's name without path, ``_mpi`` kept; None when there is no program.
    """

    words: tuple[Token, ...]
    groups: tuple[Group, ...]
    program_at: int | None
    name: str | None

    @property
    def relion(self) -> bool:
        """Whether the program is RELION's."""
        return self.name is not None and _RELION.fullmatch(self.name) is not None

    def options(self) -> Iterator[Option]:
        """Yield the program's options, in order."""
        if self.program_at is None:
            return
        words = self.words[self.program_at + 1 :]
        for word, following in zip_longest(words, words[1:]):
            if match := _KEY.fullmatch(word.raw):
                name, glued = unquote(match[1]), match[2]
                taken = following and glued is None and not is_option(following.raw)
                value = following if taken else None
                raw = value.raw if value else glued
                yield Option(name=name, key=word, value=value, raw=raw)


_KEY = re.compile(r"(?:--+|-(?![-\d.]))([^-=\s][^=\s]*)(?:=(.*))?", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^]]*\])?\+?=", re.ASCII)
_RELION = re.compile(r"relion_[A-Za-z]\w*(?:\.(?:py|sh|csh))?", re.ASCII)
_LOOKUP = re.compile(
    r"""["']?(?:`|\$\()\s*(?:\S*/?which|command\s+-v|type\s+-[pP])\s+(.*?)\s*[`)](.*?)["']?""",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d+")


def is_option(raw: str) -> bool:
    """Tell whether a raw word looks like an option rather than a value."""
    return _KEY.fullmatch(raw) is not None


def program_name(raw: str) -> str:
    """Name the program that a word stands for, without its path.

    Parameters
    ----------
    raw
        The raw word: ``relion_refine``, a full path, ``$(which relion_refine)``, ….

    Returns
    -------
    str
        The name; for a word that only an expansion can tell, the word itself.
    """
    if found := _LOOKUP.fullmatch(raw):
        raw = found[1] + found[2]
    return unquote(raw).rpartition("/")[2]


def find_invocation(tokens: Sequence[Token]) -> Invocation:
    """Find the command of a line that is a job's.

    Parameters
    ----------
    tokens
        The line's tokens.

    Returns
    -------
    Invocation
        The first that runs a RELION program; else the first that runs any program; else the
        first, which has none.
    """
    found = [_invocation(words) for words in _simple_commands(tokens)]
    relion = (one for one in found if one.relion)
    program = (one for one in found if one.program_at is not None)
    return next(relion, None) or next(program, None) or found[0]


def _simple_commands(tokens: Sequence[Token]) -> list[tuple[Token, ...]]:
    """Collect the words of each simple command; a redirection's target is none of them."""
    commands: list[list[Token]] = [[]]
    target = False
    for token in tokens:
        if token.kind is Kind.WORD and not target:
            commands[-1].append(token)
        elif token.kind is Kind.OPERATOR:
            commands.append([])
        target = token.kind is Kind.REDIRECT or (target and token.kind is Kind.SPACE)
    return [tuple(command) for command in commands]


def _invocation(tokens: tuple[Token, ...]) -> Invocation:
    words = [token.raw for token in tokens]
    groups: list[Group] = []
    at = 0
    while at < len(words) and (group := _group(words, at)):
        groups.append(group)
        at = group.stop
    if at == len(words) and groups and groups[-1].role is Role.WRAPPER:
        at = groups.pop().start  # an interpreter without a script is the program itself
    name = program_name(words[at]) if at < len(words) else ""
    known = bool(name) and name not in UTILITIES
    return Invocation(
        words=tokens,
        groups=tuple(groups),
        program_at=at if known else None,
        name=name if known else None,
    )


def _group(words: Sequence[str], start: int) -> Group | None:
    """Find the launcher that begins at word ``start``; None when that word is the program."""
    word = words[start]
    if _ASSIGNMENT.match(word):
        return Group(role=Role.PREFIX, start=start, stop=start + 1)
    name = program_name(word)
    if _RELION.fullmatch(name) or name in UTILITIES:
        return None
    if launcher := LAUNCHERS.get(name):
        stop = _operands_end(words, _options_end(words, start + 1, launcher), launcher)
        return Group(role=launcher.role, start=start, stop=stop)
    stop = _options_end(words, start + 1, MPIRUN)
    if not _launches(words, start, stop):
        return None
    parallel = any(word in RANKS for word in words[start + 1 : stop])
    return Group(role=Role.PARALLEL if parallel else Role.PREFIX, start=start, stop=stop)


def _launches(words: Sequence[str], start: int, stop: int) -> bool:
    """Tell whether an unknown word (a site's script, ``$MPIRUN``) launches a RELION program.

    A RELION name right behind a long option may as well be that option's value, unless it is
    looked up with ``which``.
    """
    if stop >= len(words):
        return False
    direct = stop == start + 1
    name = program_name(words[stop])
    if not _RELION.fullmatch(name):
        return direct and name in LAUNCHERS and LAUNCHERS[name].role is Role.PARALLEL
    return direct or not words[stop - 1].startswith("--") or bool(_LOOKUP.fullmatch(words[stop]))


def _options_end(words: Sequence[str], start: int, launcher: Launcher) -> int:
    at = start
    while at < len(words) and words[at].startswith("-"):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word in launcher.two:
            at += 2
        elif word in launcher.one or _value_follows(words, at):
            at += 1
    return min(at, len(words))


def _value_follows(words: Sequence[str], at: int) -> bool:
    """Tell whether the word behind an unknown option is its value rather than the program."""
    if at >= len(words) or words[at].startswith("-"):
        return False
    if _NUMBER.fullmatch(words[at]):
        return True
    return not _is_known(words[at]) and any(_is_known(word) for word in words[at + 1 :])


def _operands_end(words: Sequence[str], start: int, launcher: Launcher) -> int:
    at = start
    for _ in range(launcher.operands):
        if at < len(words) and not _is_known(words[at]):
            at = _options_end(words, at + 1, launcher)
    return at


def _is_known(word: str) -> bool:
    name = program_name(word)
    return name in LAUNCHERS or _RELION.fullmatch(name) is not None

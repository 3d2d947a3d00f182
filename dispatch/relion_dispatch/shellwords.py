"""Shell text as tokens that keep every byte: what the shell sees, and what was written.

The grammar is that part of the POSIX shell's (and bash's) which command lines are made of:
words with their quoting and expansions, redirections, operators, comments and line
continuations. Nothing is expanded. The tokens of a text, put together again, are that text.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from relion_dispatch.errors import InputError


class Kind(enum.Enum):
    """What a token is to the shell."""

    SPACE = "space"
    WORD = "word"
    OPERATOR = "operator"
    REDIRECT = "redirect"
    COMMENT = "comment"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A piece of shell text.

    Parameters
    ----------
    kind
        What it is to the shell.
    raw
        Its text, with all quoting.
    start
        Offset of its first character in the whole text.
    """

    kind: Kind
    raw: str
    start: int

    @property
    def end(self) -> int:
        """Offset just behind its last character."""
        return self.start + len(self.raw)


_PIECES = re.compile(
    r"""
    (?P<SPACE>    (?:[ \t]|\\\n)+ )
  | (?P<COMMENT>  \#[^\n]* )
  | (?P<REDIRECT> (?:\d+|\{[A-Za-z_]\w*\})?(?:<<<|<<-?|<>|<&|<(?!\()|>>|>&|>\||>(?!\())|&>>? )
  | (?P<OPERATOR> &&|\|\||;;|\|&|[;|&()\n] )
    """,
    re.ASCII | re.VERBOSE,
)
_PLAIN = re.compile(r"""(?:[^ \t\n\\'"`$;&|<>()]+|\\\n(?![ \t\n]|\Z)|\\[^\n])+""")
_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_NEEDS_SINGLE_QUOTES = re.compile(r"""["$`\\!\n\r]""")
_SPECIAL = re.compile(r"""[\\'"`$]""")
_ANSI_C = re.compile(
    r"""\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))""",
    re.DOTALL,
)
_ANSI_C_LETTERS = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))


def tokenize(text: str) -> tuple[Token, ...]:
    """Split shell text into tokens.

    Parameters
    ----------
    text
        One command line, or several lines.

    Returns
    -------
    tuple of Token
        In order, without gaps: ``"".join(token.raw for token in tokenize(text)) == text``.

    Raises
    ------
    InputError
        When a quote, an expansion or a line continuation is left open; says where.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        kind, end = _next(text, position)
        tokens.append(Token(kind=kind, raw=text[position:end], start=position))
        position = end
    return tuple(tokens)


def _next(text: str, start: int) -> tuple[Kind, int]:
    if match := _PIECES.match(text, start):
        return Kind[match.lastgroup or ""], match.end()
    return Kind.WORD, _word_end(text, start)


def _word_end(text: str, start: int) -> int:
    position = start
    while position < len(text):
        if match := _PLAIN.match(text, position):
            position = match.end()
            continue
        end = _quoted_end(text, position)
        if end == position:
            break
        position = end
    return position


def _quoted_end(text: str, start: int) -> int:
    """Find the end of the quoted or expanded piece at ``start``; ``start`` if there is none."""
    character = text[start]
    if character == "'":
        return _find(text, "'", start, start + 1, "single quote (')")
    if character == '"':
        return _double_end(text, start)
    if character == "`":
        return _backtick_end(text, start)
    if character == "$":
        return _dollar_end(text, start)
    if character in "<>" and text.startswith("(", start + 1):
        return _bracket_end(text, start, start + 1)
    if character == "\\" and start + 1 == len(text):
        raise _open_end("backslash (\\)", text, start)
    return start


def _find(text: str, closing: str, start: int, after: int, what: str) -> int:
    end = text.find(closing, after)
    if end < 0:
        raise _open_end(what, text, start)
    return end + 1


def _double_end(text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return position + 1
        if character == "\\":
            position += 2
        elif character == "`":
            position = _backtick_end(text, position)
        elif character == "$" and text[position + 1 : position + 2] in ("(", "{"):
            position = _dollar_end(text, position)
        else:
            position += 1
    raise _open_end('double quote (")', text, start)


def _escaped_end(text: str, start: int, after: int, closing: str, what: str) -> int:
    position = after
    while position < len(text):
        if text[position] == closing:
            return position + 1
        position += 2 if text[position] == "\\" else 1
    raise _open_end(what, text, start)


def _backtick_end(text: str, start: int) -> int:
    return _escaped_end(text, start, start + 1, "`", "backtick (`)")


def _dollar_end(text: str, start: int) -> int:
    following = text[start + 1 : start + 2]
    if following in ("(", "{"):
        return _bracket_end(text, start, start + 1)
    if following == "'":
        return _escaped_end(text, start, start + 2, "'", "quote ($')")
    if following == '"':
        return _double_end(text, start + 1)
    return start + 1


def _bracket_end(text: str, start: int, opening: int) -> int:
    """Find the end of the bracket at ``opening``, skipping quotes and brackets inside."""
    pair = "()" if text[opening] == "(" else "{}"
    depth, position = 1, opening + 1
    while position < len(text):
        character = text[position]
        if character in "'\"`$":
            position = _quoted_end(text, position)
            continue
        depth += (character == pair[0]) - (character == pair[1])
        position += 2 if character == "\\" else 1
        if depth == 0:
            return position
    raise _open_end(f"bracket ({text[start : opening + 1]})", text, start)


def _open_end(what: str, text: str, start: int) -> InputError:
    line = text.count("\n", 0, start) + 1
    column = start - text.rfind("\n", 0, start)
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    excerpt = text[start : start + 40].splitlines()[0]
    cure = "remove it" if what.startswith("backslash") else "close it, or put a backslash before it"
    return InputError(f"unfinished command: the {what} at {where} is left open: {excerpt}\n{cure}")


def unquote(raw: str) -> str:
    r"""Give what the shell makes of a word, its expansions left as they are written.

    Parameters
    ----------
    raw
        The raw text of one word.

    Returns
    -------
    str
        Without quotes and escapes: ``" -Tor 0.5 "`` loses its quotes, ``$HOME/x`` stays.

    Raises
    ------
    InputError
        When a quote is left open.
    """
    if not _SPECIAL.search(raw):
        return raw
    pieces: list[str] = []
    position = 0
    while position < len(raw):
        if raw[position] == "\\":
            pieces.append("" if raw.startswith("\n", position + 1) else raw[position + 1 :][:1])
            position += 2
            continue
        end = max(_quoted_end(raw, position), position + 1)
        pieces.append(_piece(raw[position:end]))
        position = end
    return "".join(pieces)


def _piece(raw: str) -> str:
    if raw.startswith("$'"):
        return re.sub(_ANSI_C, _ansi_c, raw[2:-1])
    if raw.startswith('$"'):
        raw = raw[1:]
    if raw.startswith('"'):
        return re.sub(r'\\(?:([$`"\\])|\n)', lambda match: match[1] or "", raw[1:-1])
    return raw[1:-1] if raw.startswith("'") else raw


def _ansi_c(match: re.Match[str]) -> str:
    *hexadecimal, octal, letter = match.groups()
    if letter is not None:
        return _ANSI_C_LETTERS.get(letter, match[0])
    if octal is not None:
        return chr(int(octal, 8) & 0xFF)
    code = int(next(digits for digits in hexadecimal if digits is not None), 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def quote(value: str) -> str:
    """Write a value as one shell word, in the plainest form that is safe.

    Parameters
    ----------
    value
        Any text without a NUL character.

    Returns
    -------
    str
        As it is if it is safe, else in double quotes as RELION writes them (``""``, ``"0 1"``),
        else in single quotes: ``unquote(quote(value)) == value``.

    Raises
    ------
    InputError
        When the value holds a NUL character, which no argument of a program can.
    """
    if "\0" in value:
        raise InputError(f"the value {value!r} holds a NUL character, which no argument can")
    if _SAFE.fullmatch(value):
        return value
    if not _NEEDS_SINGLE_QUOTES.search(value):
        return f'"{value}"'
    return "'" + value.replace("'", "'\"'\"'") + "'"

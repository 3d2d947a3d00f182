"""Shell text as tokens: nothing lost, and the words are the shell's."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.shellwords import Kind, quote, tokenize, unquote

# Text made of what a shell's grammar turns on, rather than of letters.
shell_text = st.text(alphabet=" \t\n\\'\"`$(){}<>&|;#=-_*?~!02aé\r\udc80", max_size=40)
any_value = st.text().filter(lambda text: "\0" not in text)


def words(text: str) -> list[str]:
    return [token.raw for token in tokenize(text) if token.kind is Kind.WORD]


@given(shell_text | st.text())
@example("relion_refine --o a\\\n --j 2 2>&1 | tee log # done")
def test_tokens_put_together_are_the_text(text: str) -> None:
    try:
        tokens = tokenize(text)
    except InputError:
        return
    assert "".join(token.raw for token in tokens) == text
    assert all(text[token.start : token.end] == token.raw for token in tokens)
    assert all(token.raw for token in tokens)


@given(st.text(alphabet=" ab'\"\\-=1.", max_size=20))
def test_words_are_those_that_python_finds(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(InputError, match="left open"):
            tokenize(text)
        return
    assert [unquote(word) for word in words(text)] == expected


@given(any_value)
@example("")
@example('it\'s "quoted" $HOME `x` \\ ! \n end')
def test_a_quoted_value_is_one_word_of_that_value(value: str) -> None:
    written = quote(value)
    assert words(f"a {written} b") == ["a", written, "b"]
    assert unquote(written) == value
    assert shlex.split(written) == [value]


def test_bash_reads_quoted_values_back() -> None:
    values = [
        "",
        " -Tor 0.5 ",
        "a'b",
        'a"b',
        "$HOME",
        "`x`",
        "a\\b",
        "a\nb",
        "*?[]{}~",
        "!x",
        "é",
        "#",
    ]
    script = "printf '%s\\0' " + " ".join(map(quote, values))
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().split("\0")[:-1] == values


def test_nothing_is_quoted_without_need() -> None:
    assert quote("Class3D/job009/run_it025_data.star") == "Class3D/job009/run_it025_data.star"
    assert quote("0,1:2,3") == "0,1:2,3"
    assert quote("") == '""'
    assert quote("0 1 2") == '"0 1 2"'
    assert quote("$HOME") == "'$HOME'"


def test_no_argument_holds_a_nul() -> None:
    with pytest.raises(InputError, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize(
    "raw, value",
    [
        ('" -Tor 0.5 "', " -Tor 0.5 "),
        ("'a b'", "a b"),
        ("a\\ b", "a b"),
        ('"a\\"b\\$c\\d"', 'a"b$c\\d'),
        ('run_"$name"_x', "run_$name_x"),
        ("$SLURM_JOB_ID", "$SLURM_JOB_ID"),
        ('${x:-"a b"}', '${x:-"a b"}'),
        ("`which relion_refine`", "`which relion_refine`"),
        ('"$(cat "a b")"', '$(cat "a b")'),
        ("$'a\\tb\\x41\\u00e9\\101\\'\\q'", "a\tbAéA'\\q"),
        ('$"text"', "text"),
        ('""', ""),
        ("ab\\\ncd", "abcd"),
        ('"ab\\\ncd"', "abcd"),
        ("\\\\", "\\"),
        ("$'\\U0010ffff\\UFFFFFFFF'", "\U0010ffff\\UFFFFFFFF"),
    ],
)
def test_unquote(raw: str, value: str) -> None:
    assert words(raw) == [raw]
    assert unquote(raw) == value


@pytest.mark.parametrize(
    "text, kinds",
    [
        ("a 2>&1", ["a", " ", "2>&", "1"]),
        ("a2>b", ["a2", ">", "b"]),
        ("a &>> b", ["a", " ", "&>>", " ", "b"]),
        ("a <(b c) {fd}>x", ["a", " ", "<(b c)", " ", "{fd}>", "x"]),
        ("a&&b||c;d|&e&", ["a", "&&", "b", "||", "c", ";", "d", "|&", "e", "&"]),
        ("a #b 'c", ["a", " ", "#b 'c"]),
        ("a#b", ["a#b"]),
        ("$((1+(2)))x", ["$((1+(2)))x"]),
        ("$(a \"b)\" ')' `)` ${x})y", ["$(a \"b)\" ')' `)` ${x})y"]),
        ("${a:-${b}}", ["${a:-${b}}"]),
        ('"a`b "c"`d"', ['"a`b "c"`d"']),
        ("a \\\n\tb", ["a", " \\\n\t", "b"]),
        ("a\\\n b", ["a", "\\\n ", "b"]),
        ("a\nb", ["a", "\n", "b"]),
    ],
)
def test_tokens(text: str, kinds: list[str]) -> None:
    assert [token.raw for token in tokenize(text)] == kinds


@pytest.mark.parametrize(
    "text, where",
    [
        ("relion_refine --o 'run", r"single quote \('\) at column 19"),
        ('relion_refine --o "run', r'double quote \("\) at column 19'),
        ("`which relion_refine --o x", r"backtick \(`\) at column 1"),
        ("a $(which b", r"bracket \(\$\(\) at column 3"),
        ("a ${b", r"bracket \(\$\{\) at column 3"),
        ("a <(b", r"bracket \(<\(\) at column 3"),
        ("a $'b", r"quote \(\$'\) at column 3"),
        ("a b\\", r"backslash \(\\\) at column 4"),
        ("a \\\n  --o 'x", r"line 2, column 7"),
        ('a "b `c', r"backtick \(`\) at column 6"),
    ],
)
def test_what_is_left_open_is_an_error_that_says_where(text: str, where: str) -> None:
    with pytest.raises(InputError, match=where):
        tokenize(text)


@given(shell_text)
def test_unquote_takes_every_word(text: str) -> None:
    try:
        found = words(text)
    except InputError:
        assume(False)
    assert all(isinstance(unquote(word), str) for word in found)

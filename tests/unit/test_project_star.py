from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.project import star
from relion_dispatch.project.star import Star, Table

VALUES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\a"),
    max_size=12,
)
LABELS = st.lists(st.from_regex(r"rln[A-Za-z]{1,8}", fullmatch=True), min_size=1, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    labels = draw(LABELS)
    loop = draw(st.booleans())
    row = st.fixed_dictionaries(dict.fromkeys(labels, VALUES))
    rows = draw(st.lists(row, min_size=1, max_size=4 if loop else 1))
    name = draw(st.from_regex(r"[a-z_]{1,9}", fullmatch=True))
    return Table(name=name, labels=labels, rows=rows, loop=loop)


@given(st.lists(tables(), max_size=3), st.sampled_from([0, 30001, 50001]))
def test_what_is_written_is_read_again(found: list[Table], version: int) -> None:
    written = star.write(Star(tables=found, version=version))
    again = star.parse(written)

    assert again.tables == found
    assert again.version == (version if found else 0)


@pytest.mark.parametrize(
    "value, written",
    [
        ('say "no"', '"say "no\a""'),
        ('a "b" c', '"a "b\a" c"'),
        ("'quoted", '"\'quoted"'),
        ("#1", '"#1"'),
        ("it's", "it's"),
    ],
)
def test_values_are_quoted_as_relion_quotes_them(value: str, written: str) -> None:
    assert star.escape(value) == written
    assert list(star.tokens(written)) == [value]


def test_relions_own_file_is_read() -> None:
    text = (
        "\n# version 30001\n\ndata_job\n\n_rlnJobType                             0\n"
        "_rlnJobIsContinue                       0\n \n\n# version 30001\n\n"
        "data_joboptions_values\n\nloop_ \n_rlnJobOptionVariable #1 \n_rlnJobOptionValue #2 \n"
        '        Cs        2.7 \n    fn_mtf         "" \nother_args "--foo \'a b\' "c\a"" \n \n'
    )
    found = star.parse(text)
    job, options = found.tables

    assert (job.loop, job.rows) == (False, [{"rlnJobType": "0", "rlnJobIsContinue": "0"}])
    values = {row["rlnJobOptionVariable"]: row["rlnJobOptionValue"] for row in options.rows}
    assert values == {"Cs": "2.7", "fn_mtf": "", "other_args": "--foo 'a b' \"c\""}


@pytest.mark.parametrize(
    "text",
    [
        "_rlnLabel 1\n",
        "data_a\nloop_\n_rlnA #1\n_rlnB #2\nonly_one\n",
        "data_a\nvalue\n",
        'data_a\nloop_\n_rlnA #1\n"open\n',
    ],
)
def test_what_is_no_star_file_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="STAR file"):
        star.parse(text)

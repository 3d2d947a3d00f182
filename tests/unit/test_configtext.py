from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline.configtext import fill_in
from relion_dispatch.resources import workflow_dir


def load(text: str) -> dict[str, Any]:
    content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    assert isinstance(content, dict)
    return content


TEXT = (workflow_dir() / "config" / "config.yaml").read_text()
DEFAULTS = load(TEXT)
COMMENTS = [line.partition("# ")[2] for line in TEXT.splitlines()]


def flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


OPTIONS = dict(flat(DEFAULTS))
SCALARS = [path for path, value in OPTIONS.items() if not isinstance(value, Mapping)]


def test_nothing_to_fill_in_changes_nothing() -> None:
    assert fill_in(TEXT, {}) == TEXT


def test_every_option_can_be_filled_in() -> None:
    values = {path: 1000.5 + number for number, path in enumerate(SCALARS)}
    text = fill_in(TEXT, values)
    assert dict(flat(load(text))) == OPTIONS | values
    assert [line.partition("# ")[2] for line in text.splitlines()] == COMMENTS


@settings(max_examples=30)
@given(
    values=st.dictionaries(
        st.sampled_from(SCALARS),
        st.none()
        | st.booleans()
        | st.integers(-(10**6), 10**6)
        | st.floats(1e-9, 1e9).map(lambda number: round(number, 8))
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
        | st.sampled_from(["null", "yes", "1e5", "Movies/*.mrcs", "a # b", 'a "b"', "$TMPDIR/x"]),
        max_size=5,
    )
)
def test_values_come_back_as_they_were(values: dict[str, Any]) -> None:
    read = dict(flat(load(fill_in(TEXT, values))))
    for path, value in values.items():
        assert read[path] == (pytest.approx(value) if isinstance(value, float) else value)


def test_comments_keep_their_column() -> None:
    text = "a:\n  b: null        # one\n  c: 1  # two\n"
    assert fill_in(text, {"a.b": 300}) == "a:\n  b: 300         # one\n  c: 1  # two\n"
    long = fill_in(text, {"a.c": "a longer value"})
    assert long.endswith('  c: "a longer value"  # two\n')


def test_unknown_option() -> None:
    with pytest.raises(DispatchError, match=r"no option optics\.voltag$"):
        fill_in(TEXT, {"optics.voltag": 300})

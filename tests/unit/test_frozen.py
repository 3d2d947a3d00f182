"""The quick dataclasses are those of the standard library in all that can be seen of them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Any

import pytest

from relion_dispatch import frozen


def made(dataclass: Callable[..., Any]) -> Any:
    """Return the same class, made by either."""

    @dataclass(frozen=True, kw_only=True)
    class Base:
        """A class."""

        number: int
        words: tuple[str, ...] = ()

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError("negative")

    @dataclass(frozen=True, kw_only=True)
    class Size(Base):
        """A class that inherits."""

        table: dict[str, int] = field(default_factory=dict, hash=False, compare=False)
        hidden: int = field(default=0, repr=False)

        @cached_property
        def double(self) -> int:
            return 2 * self.number

        @property
        def name(self) -> str:
            return "a property"

    return Size


#: The same class, made by either.
MADE = {"quick": made(frozen.dataclass), "usual": made(dataclasses.dataclass)}


@pytest.mark.parametrize("kind", ["quick", "usual"])
def test_what_can_be_seen(kind: str) -> None:
    cls = MADE[kind]
    one, same = cls(number=3, words=("a",)), cls(number=3, words=("a",), table={"x": 1})
    assert (one.number, one.words, one.table, one.hidden) == (3, ("a",), {}, 0)
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (cls(number=4, words=("a",)), (3, ("a",), 0))
    assert repr(one).endswith("Size(number=3, words=('a',), table={})")
    assert one.double == 6
    assert one == cls(number=3, words=("a",)), "a cached value is no field"
    changed = dataclasses.replace(one, number=5)
    assert (changed.number, changed.words, changed.double) == (5, ("a",), 10)
    assert [each.name for each in dataclasses.fields(cls)] == ["number", "words", "table", "hidden"]
    assert dataclasses.asdict(one) == {"number": 3, "words": ("a",), "table": {}, "hidden": 0}
    assert cls(number=1).table is not cls(number=1).table
    assert copy.deepcopy(one) == one


@pytest.mark.parametrize("kind", ["quick", "usual"])
def test_what_is_refused(kind: str) -> None:
    cls = MADE[kind]
    one = cls(number=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.number = 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.number
    with pytest.raises(TypeError):
        cls()
    with pytest.raises(TypeError):
        cls(3)
    with pytest.raises(TypeError):
        cls(number=3, colour="red")
    with pytest.raises(ValueError, match="negative"):
        cls(number=-1)


def test_other_options_are_refused() -> None:
    options: dict[str, Any] = {"frozen": False, "kw_only": True}
    with pytest.raises(TypeError, match="frozen=True"):
        frozen.dataclass(**options)


def test_the_engines_own_survive_pickling() -> None:
    from relion_dispatch.plan import Request

    request = Request(commands=("relion_refine --o run",), overrides={"nproc": 3})
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 # our own

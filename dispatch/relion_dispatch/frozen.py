"""Frozen dataclasses that are made in a moment: what the hook imports while a person waits.

`dataclasses.dataclass` writes Python source for the methods of each class and compiles it whenever
the module is imported, half a millisecond a class. The engine has some sixty. Here the methods are
ordinary functions, shared by all classes; fields, `replace`, `fields` and everything else are those
of the standard library. Each object takes two microseconds more to make.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    T = TypeVar("T")

    def dataclass(*, frozen: bool, kw_only: bool) -> Callable[[type[T]], type[T]]:
        """Make a dataclass with both options true; type checkers see the standard library's.

        Raises
        ------
        TypeError
            For any other values of the options.
        """
        if not (frozen and kw_only):
            raise TypeError("frozen=True and kw_only=True are all that there is")
        return _made


__all__ = ["dataclass"]


def _made(cls: type) -> type:
    plain: type = dataclasses.dataclass(
        init=False, repr=False, eq=False, kw_only=True, match_args=False
    )(cls)
    for name, method in _METHODS.items():
        if name not in vars(plain):
            setattr(plain, name, method)
    compared = [each.name for each in dataclasses.fields(plain) if each.compare]
    plain.__compared__ = attrgetter("__class__", *compared)  # type: ignore[attr-defined]
    return plain


def _init(self: Any, **values: Any) -> None:
    inside = self.__dict__
    for name, field in self.__dataclass_fields__.items():
        if name in values:
            inside[name] = values.pop(name)
        elif field.default is not dataclasses.MISSING:
            inside[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            inside[name] = field.default_factory()
        else:
            raise TypeError(f"{type(self).__name__} needs a value for '{name}'")
    if values:
        raise TypeError(f"{type(self).__name__} has no '{next(iter(values))}'")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _frozen(self: Any, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"'{name}' of {type(self).__name__} cannot be changed")


def _eq(self: Any, other: object) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    values: Callable[[Any], Any] = type(self).__compared__  # type: ignore[attr-defined]
    return self is other or values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(type(self).__compared__(self))


def _repr(self: Any) -> str:
    shown = [name for name, field in self.__dataclass_fields__.items() if field.repr]
    return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"


_METHODS: dict[str, Callable[..., Any]] = {
    "__init__": _init,
    "__setattr__": _frozen,
    "__delattr__": _frozen,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
}

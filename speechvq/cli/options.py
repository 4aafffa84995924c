"""The settings of a tree of dataclasses as a list, with descriptions, for ``--help``."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any

from speechvq.settings import default_of, subclasses

_KINDS = {int: "INT", float: "NUMBER", bool: "BOOL", str: "TEXT", types.NoneType: "null"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One setting of a tree of dataclasses.

    Attributes
    ----------
    path : str
        Such as ``model.wavenet.layers``.
    hint : type
        The type hint of the field.
    default : object
        ``dataclasses.MISSING`` for a setting that must be given.
    text : str
        Its entry in the numpydoc section "Attributes" of its class, on one line; "" for none.
    """

    path: str
    hint: Any
    default: Any
    text: str

    @property
    def kind(self) -> str:
        """The type in a few characters, such as INT or {ema,loss}."""
        return _kind(self.hint)


def options(hint: Any, path: str, default: Any = None) -> list[Option]:
    """All settings of a dataclass, a tagged union or a tuple of a tagged union, in order."""
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
        return [
            option
            for tag, cls in subclasses(hint).items()
            for option in options(cls, f"{path}.{tag}")
            if option.path != f"{path}.{tag}.{hint.TAG}"
        ]
    hints, texts = typing.get_type_hints(hint), attributes(hint)
    found = []
    for field in dataclasses.fields(hint):
        where = f"{path}.{field.name}"
        value = default_of(field) if default is None else getattr(default, field.name)
        expected = hints[field.name]
        if hasattr(expected, "TAG"):
            found += _of_union(expected, where, value)
        elif dataclasses.is_dataclass(expected):
            found += options(expected, where, None if value is dataclasses.MISSING else value)
        else:
            found.append(Option(where, expected, value, texts.get(field.name, "")))
    return found


def _of_union(hint: Any, path: str, default: Any) -> list[Option]:
    """The settings of every member of a tagged union, those of the default's member first."""
    members = sorted(subclasses(hint).values(), key=lambda cls: cls is not type(default))
    found: dict[str, Option] = {}
    for cls in members:
        own = options(cls, path, default if cls is type(default) else None)
        found = {option.path: option for option in own} | found
    tag = f"{path}.{hint.TAG}"
    kinds: Any = typing.Literal[tuple(subclasses(hint))]
    found[tag] = dataclasses.replace(found[tag], hint=kinds)
    return list(found.values())


def attributes(cls: type) -> dict[str, str]:
    """The entries of the numpydoc section "Attributes" of a class and its bases, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("Attributes\n----------\n")
        names: list[str] = []
        for line in section.splitlines():
            if line.startswith("---"):  # the next section; its title was taken for a name
                for name in names:
                    found.pop(name, None)
                break
            if line and not line[0].isspace():
                names = [name.strip() for name in line.partition(" :")[0].split(",")]
                found |= dict.fromkeys(names, "")
            else:
                found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def _kind(hint: Any) -> str:
    """A type in a few characters."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"{{{','.join(map(str, choices))}}}"
    if origin in (typing.Union, types.UnionType):
        return "|".join(_kind(choice) for choice in choices)
    return "LIST" if origin is tuple else _KINDS.get(hint, "VALUE")

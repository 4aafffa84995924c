"""Settings: build dataclasses from plain values, with errors that begin with the path of the key.

A setting is a field of a frozen dataclass; its type hint says which values are accepted. Nested
dataclasses are nested mappings. A dataclass with a class variable ``TAG`` is the base of a tagged
union, which is open: the value of the key that ``TAG`` names chooses the subclass, any that has
been imported ::

    @dataclass(frozen=True)
    class Stage:
        TAG: ClassVar[str] = "objective"

    @dataclass(frozen=True)
    class DecoderStage(Stage):
        objective: str = "decoder"
        steps: int = 1000

    build(tuple[Stage, ...], [{"objective": "decoder", "steps": 0}], "stages")

In a list of these, an entry's path has its tag: ``stages.decoder.steps``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
}
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 60, 60, 60
"""Of a few entries each: aliases can make a small file a large value."""
_BEGINS_WITH_KEY = re.compile(r"[\w.\[\]]+: ")


class SettingsError(ValueError):
    """A setting that cannot be used; one line, which begins with the path of its key."""


class RemovedError(SettingsError):
    """A part that there was once; its union tells, in `REMOVED`, what to do."""


def build(hint: Any, values: Any, path: str, default: Any = None) -> Any:
    """Check plain values, as YAML or JSON gives them, and build what a type hint asks for.

    Parameters
    ----------
    hint
        A dataclass, or any type hint of a field: numbers, text, Literal, unions, tuples of these,
        and tagged unions.
    values
        Mappings, lists, numbers, text, booleans, None.
    path
        Path of the key that holds them.
    default
        For a dataclass: an instance whose values the keys left out take, in place of the fields'
        defaults.

    Raises
    ------
    SettingsError
        An unknown key, a wrong type or a value out of range.
    """
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(hint, values, path, default)
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if not any(values == c and type(values) is type(c) for c in choices):
            raise SettingsError(f"{path}: expected {_name(hint)}, got {_shown(values)}")
        return values
    if origin in (typing.Union, types.UnionType):
        return _build_union(hint, choices, values, path)
    if origin is tuple:
        return _build_tuple(hint, choices, values, path)
    return _build_scalar(hint, values, path)


def override(hint: Any, values: Any, keys: list[str], value: Any, path: str) -> Any:
    """A copy of plain values in which one setting has another value.

    Parameters
    ----------
    hint
        Type hint of `values`.
    values
        Plain values, as for `build`.
    keys
        The way to the setting. In a list of a tagged union, a key is the label of an entry.
    value
        The new plain value.
    path
        Path of the key that holds `values`.

    Raises
    ------
    SettingsError
        There is no such entry in a list; the message names those that there are.
    """
    if not keys:
        return value
    key, *rest = keys
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        tag = inner.TAG
        entries = list(values) if isinstance(values, list | tuple) else []
        names = [label(entry, tag) or "?" for entry in entries]
        if key not in names:
            there = f"there are {', '.join(names)}" if names else "the list is empty"
            raise SettingsError(f"{path}.{key}: no entry with {tag}: {key}; {there}")
        place = names.index(key)
        chosen = subclasses(inner).get(str(entries[place].get(tag)), inner)
        entries[place] = override(chosen, entries[place], rest, value, f"{path}.{key}")
        return entries
    if not isinstance(values, dict | None):
        raise SettingsError(f"{path}: expected keys and values, got {_shown(values)}")
    inner = typing.get_type_hints(hint).get(key) if dataclasses.is_dataclass(hint) else None
    values = dict(values or {})
    return values | {key: override(inner, values.get(key), rest, value, f"{path}.{key}")}


def label(entry: Any, tag: str | None) -> str | None:
    """What tells an entry of a list of a tagged union from the others: its name, else its tag."""
    if not isinstance(entry, Mapping):
        return None
    given = entry.get("name") or entry.get(tag)
    return given if isinstance(given, str) else None


def subclasses(cls: Any) -> dict[str, type]:
    """The members of a tagged union by tag, in the order in which they were defined."""
    found: dict[str, type] = {}
    for member in _descendants(cls):
        for field in dataclasses.fields(member):
            if field.name == cls.TAG and isinstance(field.default, str):
                found.setdefault(field.default, member)
    return found


def plain(value: Any) -> Any:
    """Dataclasses as mappings, tuples as lists, paths as text: what YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, os.PathLike) else value


def unknown(path: str, known: Iterable[str], what: str = "setting") -> SettingsError:
    """The error for a path that is not among the known ones."""
    known = list(known)
    near = difflib.get_close_matches(path, known, n=1)
    parent = path.rpartition(".")[0]
    names = [name.removeprefix(f"{parent}.") for name in known]
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return SettingsError(f"{path}: no such {what}; {hint}")


def _build_dataclass(cls: Any, values: Any, path: str, default: Any) -> Any:
    if values is None:
        raise SettingsError(f"{path}: expected keys and values, got nothing (blank)")
    if not isinstance(values, Mapping):
        raise SettingsError(f"{path}: expected keys and values, got {_shown(values)}")
    values = dict(values)
    if hasattr(cls, "TAG"):
        cls = _chosen(cls, values, path, default)
        values.pop(cls.TAG, None)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    start = default if type(default) is cls else None
    arguments = {} if start is None else {name: getattr(start, name) for name in fields}
    for key, value in values.items():
        where = f"{path}.{key}"
        if key not in fields:
            raise unknown(where, (f"{path}.{name}" for name in fields))
        inner = default_of(fields[key]) if start is None else getattr(start, key)
        arguments[key] = build(hints[key], value, where, inner)
    for name, field in fields.items():
        if name not in arguments and default_of(field) is dataclasses.MISSING:
            raise SettingsError(f"{path}.{name}: missing; expected {_name(hints[name])}")
    try:
        return cls(**arguments)
    except ValueError as error:
        dot = "." if _BEGINS_WITH_KEY.match(str(error)) else ": "
        raise SettingsError(f"{path}{dot}{error}") from error


def _chosen(cls: Any, values: Mapping[str, Any], path: str, default: Any) -> type:
    """The member of a tagged union that the values ask for; without a tag that of the default."""
    members, tag = subclasses(cls), cls.TAG
    known = ", ".join(members) or "none"
    if tag not in values:
        if isinstance(cls.__dict__.get(tag), str):  # a member itself
            return cls
        if isinstance(default, cls):
            return type(default)
        raise SettingsError(f"{path}: no key '{tag}'; expected one of {known}")
    value = values[tag]
    if not isinstance(value, str) or value not in members:
        if advice := getattr(cls, "REMOVED", {}).get(str(value)):
            raise RemovedError(f"{path}.{tag}: {value} is {advice}")
        near = difflib.get_close_matches(str(value), members, n=1)
        hint = f"did you mean {near[0]}? known are" if near else "known are"
        raise SettingsError(f"{path}.{tag}: no such {tag}: {_shown(value)}; {hint} {known}")
    return members[value]


def _build_union(hint: Any, choices: tuple[Any, ...], values: Any, path: str) -> Any:
    if values is None:
        if types.NoneType in choices:
            return None
        raise _wrong(hint, values, path)
    # A list is meant for the choice that takes one, a mapping for a dataclass
    if isinstance(values, list | tuple):
        fitting = [c for c in choices if typing.get_origin(c) is tuple]
    elif isinstance(values, Mapping):
        fitting = [c for c in choices if dataclasses.is_dataclass(c)]
    else:
        fitting = [c for c in choices if _is_scalar(c)]
        for choice in fitting:
            try:
                return build(choice, values, path)
            except SettingsError:
                continue
        raise _wrong(hint, values, path)
    if len(fitting) != 1:
        raise _wrong(hint, values, path)
    return build(fitting[0], values, path)


def _build_tuple(hint: Any, choices: tuple[Any, ...], values: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise _wrong(hint, values, path)
    inner = choices[0]
    if choices[1:] != (Ellipsis,):
        if len(values) != len(choices):
            raise SettingsError(f"{path}: expected {len(choices)} entries, got {len(values)}")
        return tuple(
            build(choice, value, f"{path}[{i}]")
            for i, (choice, value) in enumerate(zip(choices, values, strict=True))
        )
    tag = getattr(inner, "TAG", None)
    if tag is None:
        return tuple(build(inner, value, f"{path}[{i}]") for i, value in enumerate(values))
    paths = []
    for i, value in enumerate(values):
        given = label(value, tag)
        known = given is not None and value.get(tag) in subclasses(inner)
        paths.append(f"{path}.{given}" if known else f"{path}[{i}]")
        if paths[-1] in paths[:-1]:
            raise SettingsError(
                f"{paths[-1]}: two entries of this name; give one of them another, as 'name'"
            )
    return tuple(build(inner, v, where) for v, where in zip(values, paths, strict=True))


def _build_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float:
        number = value
        if isinstance(value, str):  # PyYAML reads 2e-4 as text
            try:
                number = float(value)
            except ValueError:
                raise _wrong(kind, value, path) from None
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise _wrong(kind, value, path)
        try:
            number = float(number)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise SettingsError(f"{path}: expected a finite number, got {value}")
        return number
    if kind is types.NoneType:
        fits = value is None
    elif kind in _NAMES:
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    else:
        raise TypeError(f"{path}: settings of type {kind!r} are not supported")
    if kind is str and value is not None and not fits:
        raise SettingsError(f"{path}: expected text, got {_shown(value)}; put it into quotes")
    if not fits:
        raise _wrong(kind, value, path)
    if kind is int and abs(value) >= 2**63:
        raise SettingsError(f"{path}: too large a number, {_shown(value)}")
    return value


def _wrong(hint: Any, value: Any, path: str) -> SettingsError:
    return SettingsError(f"{path}: expected {_name(hint)}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value in an error: short, on one line."""
    if value is None:
        return "nothing (blank)"
    text = _SHORT.repr(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_scalar(hint: Any) -> bool:
    return hint in _NAMES or typing.get_origin(hint) is typing.Literal


def _name(hint: Any) -> str:
    """A type in words."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, choices))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(choice) for choice in choices)
    if origin is tuple:
        return "a list such as [4, 4]" if choices[0] is int else "a list"
    return "keys and values" if dataclasses.is_dataclass(hint) else _NAMES.get(hint, str(hint))


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field; ``dataclasses.MISSING`` for none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _descendants(cls: type) -> Iterator[type]:
    """The class and its subclasses, bases first, each once."""
    seen, waiting = set(), [cls]
    while waiting:
        here = waiting.pop(0)
        if here not in seen:
            seen.add(here)
            yield here
            waiting += here.__subclasses__()

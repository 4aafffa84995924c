"""Commands whose every setting is an option and a key of a YAML file: those that train."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser

from speechvq.cli.errors import ERROR

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "tuple": "a list such as [4, 4]",
}


class SettingsParser(ArgumentParser):
    """A parser whose errors are one line that begins with the key's path.

    Parameters
    ----------
    name : str
        The command without its prefix.
    description : str
        For ``--help``.
    sections : mapping of str to type
        The dataclass behind each section of the file.
    """

    def __init__(self, name: str, description: str, sections: Mapping[str, type]):
        super().__init__(prog=f"speechvq-{name}", description=description)
        self._sections = sections
        named = ", ".join(sections)
        self.add_argument(
            "--config", action=ActionConfigFile, help=f"YAML file with the sections {named}"
        )

    def add_sections(self) -> None:
        """Add an option for every setting; after the command's own, which --help shows first."""
        for name, section in self._sections.items():
            self.add_class_arguments(section, name)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with status 2 and one line."""
        line = f"{self.prog}: error: {_explained(str(message), self._hint)}"
        self.exit(ERROR, f"{line} (see {self.prog} --help)\n")

    def _hint(self, key: str, prefix: str = "") -> str:
        keys = [key for name, section in self._sections.items() for key in _keys(section, name)]
        keys += ["config", "out", "device", "resume", "overwrite"]
        near = difflib.get_close_matches(key, keys, n=1)
        return f"; did you mean {prefix}{near[0]}?" if near else ""


def file_first(argv: list[str]) -> list[str]:
    """The arguments with --config before all others, so that these override the file."""
    first, others = [], []
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--config":
            first += [argument, *itertools.islice(arguments, 1)]
        else:
            (first if argument.startswith("--config=") else others).append(argument)
    return first + others


def built(cls: type, values: dict, path: str):
    """The dataclass `cls` from plain values; a value out of range is named by its whole path."""
    fields = {f.name: f.type for f in dataclasses.fields(cls)}
    values = {
        name: built(fields[name], value, f"{path}.{name}")
        if dataclasses.is_dataclass(fields[name])
        else value
        for name, value in values.items()
    }
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{path}.{error}") from error


def _keys(cls: type, path: str) -> list[str]:
    """The paths of all settings of a dataclass."""
    keys = []
    for field in dataclasses.fields(cls):
        key = f"{path}.{field.name}"
        keys += _keys(field.type, key) if dataclasses.is_dataclass(field.type) else [key]
    return keys


def _explained(message: str, hint: Callable[..., str]) -> str:
    """The parser's message as one line: the key's path, what was wrong, what was expected."""
    message = " ".join(message.split())
    if found := re.match(r"[Uu]nrecognized arguments: --([^\s=]+)", message):
        return f"--{found[1]}: no such option{hint(found[1], '--')}"
    if found := re.match(r"(?:Group '([^']+)' does not accept o|O)ption '([^']+)'", message):
        key = f"{found[1]}.{found[2]}" if found[1] else found[2]
        return f"{key}: no such setting{hint(key)}"
    if found := re.match(r'Parser key "([^"]+)": (.*)', message):
        key, what = found.groups()
        if found := re.match(r"Expected an? (.+?)\. Got value: (.*)", what):
            return f"{key}: expected {_named(found[1])}, got {found[2]}"
        return f"{key}: {what[0].lower()}{what[1:]}"
    if message.startswith("Problems parsing config: "):
        return f"config: not YAML: {message.split(': ', 1)[1]}"
    return message


def _named(kind: str) -> str:
    """A type as the parser writes it, in words."""
    if choices := re.search(r"Literal\[(.*)\]", kind):
        return "one of " + choices[1].replace("'", "")
    return _TYPES.get(re.sub(r"<class '(\w+)'>", r"\1", kind), kind)

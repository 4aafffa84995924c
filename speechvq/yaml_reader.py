"""YAML as people write it: the values of a text, and the line of a value, for messages.

Numbers are those of YAML 1.2: ``1:30`` is no 90, and ``010`` is refused, since it would be 8. Dates
are text, and a key is there once.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterator
from typing import Any

import yaml

from speechvq.text import EncodingError, read_text

_HINTS = (  # what the parser says, and what to do
    ("'\\t' that cannot start", "indent with blanks, not with tabs"),
    ("unknown escape character", "a backslash is itself in single quotes alone"),
    ("mapping values are not allowed here", "quote a text with a colon in it"),
)


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no text that can be known, not YAML, not a mapping, has a key twice or refers to
        itself; the message begins with its path and, where there is one, the line.
    """
    values = parse_yaml(_text(path), str(path))
    if values is None:
        raise ValueError(f"{path}: holds no settings")
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, got {reprlib.repr(values)}")
    return values


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text; ValueError begins with `source`, the file or the option."""
    try:
        return yaml.load(text, _Loader)
    except _FaultError as error:
        raise ValueError(f"{source}, line {error.line}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or ""
        hint = next((f"; {hint}" for said, hint in _HINTS if said in what), "")
        raise ValueError(f"{source}, line {line}: not YAML: {what}{hint}") from error
    except RecursionError as error:
        raise ValueError(f"{source}: not YAML: nested too deeply") from error
    except (ValueError, OverflowError) as error:  # a number or a character that there is none of
        raise ValueError(f"{source}: not YAML: {error}") from error


def line_of(path: str | os.PathLike[str], keys: str, tag: str) -> int | None:
    """The line of a setting in a file, or of the nearest section around it; None for none.

    Parameters
    ----------
    path
        A YAML file that can be read.
    keys
        Path of the setting: ``model.encoder.strides[0]``, ``stages.decoder.steps``.
    tag
        Key by which an entry of a list is named, where it has no `name`.
    """
    node, line = yaml.compose(_text(path), _Loader), None
    for key in re.findall(r"[^.\[\]]+", keys):
        found = dict(_children(node, tag)).get(key)
        if found is None:
            break
        line, node = found
    return line


def _children(node: yaml.Node | None, tag: str) -> Iterator[tuple[str, tuple[int, yaml.Node]]]:
    """Key, line and value of each entry of a mapping or a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), (key.start_mark.line + 1, value)
    elif isinstance(node, yaml.SequenceNode):
        for i, entry in enumerate(node.value):
            own = {key: value.value for key, (_, value) in _children(entry, tag)}
            line = entry.start_mark.line + 1
            for name in (str(i), own.get("name") or own.get(tag)):
                if isinstance(name, str):
                    yield name, (line, entry)


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return read_text(path)
    except EncodingError as error:
        raise ValueError(f"{path}: {error}") from error


class _FaultError(ValueError):
    def __init__(self, message: str, line: int):
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses keys that stand twice and what holds itself."""

    def __init__(self, stream: str):
        super().__init__(stream)
        self._open: list[str] = []  # anchors of what is being read

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            mark: Any = event.start_mark
            line = mark.line + 1
            raise _FaultError(f"*{event.anchor} stands inside of what it stands for", line)
        self._open.append(getattr(event, "anchor", None) or "")
        node = super().compose_node(parent, index)
        self._open.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, first = key.start_mark.line + 1, lines.get(key.value)
                if first is not None:
                    raise _FaultError(
                        f"key {key.value!r} is there twice, first in line {first}; keep one", line
                    )
                lines[key.value] = line
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if re.fullmatch(r"[-+]?0[0-9_]+", node.value):
            number = node.value.replace("_", "")
            raise _FaultError(
                f"{node.value}: a number that begins with 0, which YAML takes as octal; expected "
                f"{int(number)}",
                node.start_mark.line + 1,
            )
        return super().construct_yaml_int(node)


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_NUMBERS = {
    _INT: re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$"),
    _FLOAT: re.compile(
        r"[-+]?(([0-9][0-9_]*)?\.[0-9_]+|[0-9][0-9_]*\.)([eE][-+]?[0-9]+)?$"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _NUMBERS.get(tag, pattern))
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(_INT, _Loader.construct_yaml_int)

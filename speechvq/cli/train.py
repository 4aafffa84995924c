"""speechvq-train: manifests to a trained model."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import sys
from pathlib import Path
from typing import NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser

from speechvq.cli.errors import ERROR, INTERRUPTED, OK, command
from speechvq.config import DataConfig, TrainingConfig, VQVAEConfig

DESCRIPTION = """Train a VQ-VAE on the manifests of speechvq-prepare. Every setting of the
configuration file is an option too, which overrides the file: --model.codebook_size 128.
Ctrl-C writes a checkpoint, and the same command with --resume goes on from it, exactly. torchrun
--nproc-per-node N -m speechvq.cli.train … shares each batch among N processes."""

_SECTIONS = {"model": VQVAEConfig, "data": DataConfig, "training": TrainingConfig}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "tuple": "a list such as [4, 4]",
}


class _Parser(ArgumentParser):
    """A parser whose errors are one line that begins with the key's path."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with status 2 and one line."""
        line = f"{self.prog}: error: {_explained(str(message))} (see {self.prog} --help)"
        self.exit(ERROR, line + "\n")


def parser() -> ArgumentParser:
    """The options of speechvq-train."""
    parser = _Parser(prog="speechvq-train", description=DESCRIPTION)
    add = parser.add_argument
    add(
        "--config",
        action=ActionConfigFile,
        help="YAML file with the sections model, data and training",
    )
    add("--out", default="exp/vctk/vqvae", metavar="DIR", help="model folder to write")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add("--resume", action="store_true", help="go on from the last checkpoint of --out, if any")
    add("--overwrite", action="store_true", help="delete the training that --out holds")
    for name, section in _SECTIONS.items():
        parser.add_class_arguments(section, name)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Train as the configuration says and print the model folder."""
    options = parser().parse_args(_file_first(sys.argv[1:] if argv is None else argv))
    values = options.as_dict()
    model, data, training = (_built(cls, values[name], name) for name, cls in _SECTIONS.items())
    for path in (data.train, data.valid):
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such manifest; speechvq-prepare makes it")

    from speechvq.training.loop import Interrupted
    from speechvq.training.processes import rank
    from speechvq.training.vqvae import train_vqvae

    try:
        folder = train_vqvae(
            model,
            data,
            training,
            options.out,
            device=options.device,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=True,
        )
    except Interrupted as stopped:
        if rank() == 0:
            print(
                f"speechvq-train: interrupted ({stopped}); the same command with --resume goes on",
                file=sys.stderr,
            )
        return INTERRUPTED
    if rank() == 0:
        print(folder)
    return OK


def _file_first(argv: list[str]) -> list[str]:
    """The arguments with --config before all others, so that these override the file."""
    first, others = [], []
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--config":
            first += [argument, *itertools.islice(arguments, 1)]
        else:
            (first if argument.startswith("--config=") else others).append(argument)
    return first + others


def _built(cls: type, values: dict, path: str):
    """The dataclass `cls` from plain values; a value out of range is named by its whole path."""
    fields = {f.name: f.type for f in dataclasses.fields(cls)}
    values = {
        name: _built(fields[name], value, f"{path}.{name}")
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


def _explained(message: str) -> str:
    """The parser's message as one line: the key's path, what was wrong, what was expected."""
    message = " ".join(message.split())
    if found := re.match(r"[Uu]nrecognized arguments: --([^\s=]+)", message):
        return f"--{found[1]}: no such option{_hint(found[1], '--')}"
    if found := re.match(r"(?:Group '([^']+)' does not accept o|O)ption '([^']+)'", message):
        key = f"{found[1]}.{found[2]}" if found[1] else found[2]
        return f"{key}: no such setting{_hint(key)}"
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


def _hint(key: str, prefix: str = "") -> str:
    keys = [key for name, section in _SECTIONS.items() for key in _keys(section, name)]
    keys += ["config", "out", "device", "resume", "overwrite"]
    near = difflib.get_close_matches(key, keys, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


if __name__ == "__main__":
    sys.exit(main())

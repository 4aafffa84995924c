"""Commands whose every setting is a key of a YAML file and an option: those that train."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import fnmatch
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, get_args

import yaml

from speechvq import settings
from speechvq.cli.errors import Parser
from speechvq.cli.options import Option, options
from speechvq.yaml_reader import line_of, parse_yaml, read_yaml

MOVED: dict[str, str] = {
    "training.spectral": "now two entries of the list 'stages': {objective: cepstra, steps: …} and "
    "{objective: mel_predictor, steps: …}",
    "training.likelihood": "now an entry of the list 'stages': {objective: decoder, steps: …} on "
    "frozen codes, or {objective: likelihood, steps: …}",
    "training.phase": "now an entry of the list 'stages': {objective: prior, steps: …}",
    "training.freeze_codes": "now the choice of a stage: objective decoder keeps the codes, "
    "likelihood trains them, too",
    "training.codes_from": "now training.init_from, a model folder to begin with",
    "training.history_noise": "now input_noise of the stage decoder or likelihood",
    "training.dialects": "gone: conversions were no worse without (recipes/vctk/RESULTS.md)",
    "model.strides": "now model.encoder.strides",
    "model.encoder_input": "gone: the encoder's input is the waveform",
    "model.encoder_*": "now a key of the section model.encoder, without the prefix",
    "model.features.normalisation": "gone: the encoder's input is the waveform",
    "model.codebook_update": "now model.quantizer.update",
    "model.codebook_*": "now a key of the section model.quantizer",
    "model.decay": "now model.quantizer.decay",
    "model.beta": "now model.quantizer.beta",
    "model.restart_below": "now model.quantizer.restart_below",
    "model.condition_*": "now a key of model.decoder.conditioner, without the prefix",
    "model.subbands": "now model.decoder.subbands",
    "model.wavenet": "now model.decoder.wavenet",
    "model.envelope_bands": "now model.mel_predictor.bands",
}
"""Former paths of settings, as shell patterns, and what takes their place.

A path that is a setting today is never looked up here.
"""


class SettingsParser(Parser):
    """A parser for ``--config FILE`` and one option for each setting, which overrides the file.

    Parameters
    ----------
    name
        The command without its prefix.
    description
        For ``--help``.
    sections
        Of the file: a dataclass each, or a tuple of a tagged union, such as
        ``tuple[StageConfig, ...]``.
    """

    def __init__(self, name: str, description: str, sections: Mapping[str, Any]):
        super().__init__(name, description)
        self.usage = "%(prog)s [--config FILE] [--SECTION.KEY VALUE …] [options]"
        self._sections = sections
        self._settings = {
            option.path: option
            for section, hint in sections.items()
            for option in options(hint, section)
        }
        add = self.add_argument
        add("--config", metavar="FILE", help=f"YAML file with the sections {', '.join(sections)}")
        add("--print_config", action="store_true", help="print all settings as YAML and exit")

    def add_sections(self) -> None:
        """Add an option for every setting, after the command's own options."""
        groups = {name: self.add_argument_group(name) for name in self._sections}
        for path, option in self._settings.items():
            groups[path.split(".")[0]].add_argument(
                f"--{path}",
                dest=path,
                metavar=option.kind,
                default=argparse.SUPPRESS,
                help=_help(option),
            )

    def parse_settings(self, argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
        """Parse the command line and the file that it names.

        Returns
        -------
        parsed : argparse.Namespace
            The command's own options.
        sections : dict
            What `settings.build` makes of each section.

        Raises
        ------
        ValueError
            A setting cannot be used; the message begins with its path.
        OSError
            The file cannot be read.
        """
        parsed, unknown = self.parse_known_args(argv)
        values = {} if parsed.config is None else read_yaml(parsed.config)
        self._file, self._overridden = parsed.config, set()
        with self.located():
            self._check_keys(values)
        given = {path: getattr(parsed, path) for path in vars(parsed) if path in self._settings}
        for path in given:
            delattr(parsed, path)
        found = {path: (self._settings[path], text) for path, text in given.items()}
        for path, (option, text) in (found | self._by_name(unknown, values)).items():
            section, *keys = path.split(".")
            value, hint = _value(option, text), self._sections[section]
            values[section] = settings.override(hint, values.get(section), keys, value, section)
            self._overridden.add(path)
        with self.located():
            sections = {
                name: settings.build(hint, values.get(name, _nothing(hint)), name)
                for name, hint in self._sections.items()
            }
        if parsed.print_config:
            text = yaml.safe_dump(settings.plain(sections), sort_keys=False, allow_unicode=True)
            self._print_message(text, sys.stdout)
            self.exit()
        return parsed, sections

    @contextmanager
    def located(self) -> Iterator[None]:
        """Add file and line to an error that begins with the path of a setting in the file."""
        try:
            yield
        except ValueError as error:
            path = str(error).partition(": ")[0]
            if self._file is None or path in self._overridden:
                raise
            section = self._sections.get(path.partition(".")[0])
            tag = getattr(next(iter(get_args(section)), None), "TAG", "")
            if (line := line_of(self._file, path, tag)) is None:
                raise
            raise ValueError(f"{error} ({self._file}, line {line})") from error

    def _by_name(self, unknown: list[str], values: dict[str, Any]) -> dict[str, tuple[Option, str]]:
        """Options of entries that have a name of their own, such as ``--stages.warm_up.steps``.

        Which names there are, only the file tells. Any other argument is refused.
        """
        found, words = {}, iter(unknown)
        for word in words:
            path, equals, text = word.removeprefix("--").partition("=")
            section, _, rest = path.partition(".")
            name, _, key = rest.partition(".")
            entries = values.get(section)
            tag = getattr(next(iter(get_args(self._sections.get(section))), None), "TAG", None)
            for entry in entries if tag and isinstance(entries, list) else []:
                if not isinstance(entry, dict):
                    continue
                option = self._settings.get(f"{section}.{entry.get(tag)}.{key}")
                if settings.label(entry, tag) == name and option is not None:
                    found[path] = option, text if equals else next(words, "")
            if path not in found:
                self._refuse(word)
        return found

    def _check_keys(self, values: dict[str, Any]) -> None:
        """Refuse sections that there are not and settings that have moved."""
        for path in self._paths(values):
            if advice := self._moved(path):
                raise ValueError(f"{path}: {advice}")
            key = path.rpartition(".")[2]
            homes = [known for known in self._settings if known.rpartition(".")[2] == key]
            if homes and not any(f"{known}.".startswith(f"{path}.") for known in self._settings):
                raise ValueError(f"{path}: no such setting; there is {homes[0]}")
        for name in values:
            if name in self._sections:
                continue
            if f"--{name}" in self._option_string_actions:
                raise ValueError(f"{name}: not a section; give it as an option, --{name}")
            raise settings.unknown(str(name), self._sections, "section")

    def _paths(self, values: dict[str, Any], prefix: str = "") -> Iterator[str]:
        """The path of every key of nested mappings; nothing below a key that is no section."""
        for key, value in values.items():
            path = f"{prefix}{key}"
            yield path
            if isinstance(value, dict) and any(k.startswith(f"{path}.") for k in self._settings):
                yield from self._paths(value, f"{path}.")

    def _moved(self, path: str) -> str | None:
        """What takes the place of a path that is no setting any more."""
        if any(known == path or known.startswith(f"{path}.") for known in self._settings):
            return None
        patterns = (advice for old, advice in MOVED.items() if fnmatch.fnmatchcase(path, old))
        return next(patterns, None)

    def _refuse(self, argument: str) -> NoReturn:
        """Exit because of an argument that is no option."""
        if not argument.startswith("--"):
            self.error(f"unrecognized arguments: {argument}")
        name = argument[2:].partition("=")[0]
        keys = name.split(".")
        for end in range(len(keys), 0, -1):
            if advice := self._moved(".".join(keys[:end])):
                self.error(f"--{name}: {advice}")
        near = difflib.get_close_matches(f"--{name}", self._option_string_actions, n=1)
        self.error(f"--{name}: no such option{f'; did you mean {near[0]}?' if near else ''}")


def _value(option: Option, text: str) -> Any:
    """What an option's text stands for: YAML, but for settings that are text."""
    if option.hint is str:
        return text
    value = parse_yaml(text, option.path)
    return text if option.hint == str | None and value is not None else value


def _nothing(hint: Any) -> Any:
    """A section that the file does not have."""
    return {} if dataclasses.is_dataclass(hint) else []


def _help(option: Option) -> str:
    """The first sentence of a setting's description, and its default."""
    sentence = option.text.split(". ")[0].removesuffix(".")
    default = settings.plain(option.default)
    shown = "required" if default is dataclasses.MISSING else f"default: {_written(default)}"
    return f"{sentence} ({shown})".strip().replace("%", "%%")


def _written(value: Any) -> str:
    """A plain value as YAML writes it on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)

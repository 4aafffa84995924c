"""Players of the page: versions of an utterance over one time axis, with its codes and phones.

Sounds are found by name: ``ID-original``, ``ID-reconstruction`` and ``ID-to-SPEAKER`` are versions
of the utterance ID; any other sound stands alone. All versions are drawn from the codes of ID.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from speechvq import audio
from speechvq.analysis.phone_classes import class_of
from speechvq.codes import read_codes
from speechvq.config import ModelConfig
from speechvq.data.manifest import Phone, Utterance, read_manifest
from speechvq.report.code_map import CodeMap
from speechvq.report.pictures import HIGHEST

logger = logging.getLogger(__name__)

KINDS = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
"""Files that browsers play, and their media types."""

_NAME = re.compile(r"(?P<id>.+)-(?P<kind>original|reconstruction|to-.+)")
_ORDER = {"original": 0, "reconstruction": 1}
_GOLDEN = 137.508
"""Degrees between the hues of neighbouring codes: the golden angle keeps them apart."""


@dataclass(frozen=True)
class Cell:
    """A part of a lane: `length` in units of the lane, what it says, and its colour.

    The colour is the class of a phone, else a hue in degrees.
    """

    length: float
    text: str
    kind: str = ""
    hue: float | None = None


@dataclass(frozen=True)
class Lane:
    """Cells one after the other below a spectrogram, `seconds` long in all."""

    name: str
    seconds: float
    cells: list[Cell]


@dataclass(frozen=True)
class Version:
    """A sound: its title, file, and waveform (T,)."""

    title: str
    path: Path
    waveform: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Player:
    """Versions of one utterance; `frame_rate` is of its codes, if they are known, in Hz."""

    id: str
    text: str | None
    versions: list[Version]
    lanes: list[Lane]
    frame_rate: float | None

    @property
    def seconds(self) -> float:
        """Duration of the longest version."""
        return max(len(v.waveform) / v.sample_rate for v in self.versions)

    @property
    def highest(self) -> float:
        """Hz at the top of its spectrograms."""
        return min(HIGHEST, self.versions[0].sample_rate / 2)


def find_players(
    folder: Path,
    utterances: Mapping[str, Utterance],
    codes: Mapping[str, np.ndarray],
    frame_rate: float,
    meanings: CodeMap,
) -> list[Player]:
    """Make a player for each utterance with sounds in a folder.

    Parameters
    ----------
    folder
        Of sounds; those that cannot be used are logged and left out.
    utterances
        By their ids; those with a text or phones are shown with them.
    codes
        Of each utterance (N,) or (N, G), by its id.
    frame_rate
        Codes per second.
    meanings
        Phones of the codes; empty if they are not known.
    """
    try:
        named = [_named(path) for path in audio.find(folder)]
    except FileNotFoundError:  # no folder, or no sounds in it
        return []
    players = []
    for id, group in groupby(sorted(named, key=lambda entry: entry[0]), key=lambda e: e[0]):
        paths = sorted(group, key=lambda entry: (_ORDER.get(entry[1], 2), entry[1]))
        versions = [v for _, title, path in paths if (v := _version(title, path)) is not None]
        if not versions:
            continue
        utterance, own = utterances.get(id), codes.get(id)
        lanes = [] if own is None else code_lanes(own, frame_rate, meanings)
        if utterance is not None and utterance.phones:
            lanes.append(phone_lane(utterance.phones))
        text = utterance.text if utterance else None
        players.append(Player(id, text, versions, lanes, None if own is None else frame_rate))
    return players


def code_lanes(codes: np.ndarray, frame_rate: float, meanings: CodeMap) -> list[Lane]:
    """A lane for each codebook; a code that is repeated is one cell."""
    lanes = []
    for column in codes.reshape(len(codes), -1).T.tolist():
        cells = []
        for code, run in groupby(column):
            meaning, length = meanings.get(code), len(list(run))
            if meaning is not None:
                cells.append(Cell(length, str(code), meaning.kind))
            else:
                cells.append(Cell(length, str(code), hue=round(code * _GOLDEN % 360)))
        lanes.append(Lane("code", len(column) / frame_rate, cells))
    return lanes


def phone_lane(phones: Iterable[Phone]) -> Lane:
    """A lane of phones; a time without a phone is an empty cell."""
    cells, before = [], 0.0
    for phone in phones:
        if phone.start > before:
            cells.append(Cell(round(phone.start - before, 4), ""))
        length = round(phone.end - phone.start, 4)
        cells.append(Cell(length, phone.label, class_of(phone.label)))
        before = phone.end
    return Lane("phone", before, cells)


def find_codes(paths: Iterable[Path], config: ModelConfig) -> dict[str, np.ndarray]:
    """Codes by the utterance's id, from files of codes; those of another model are left out."""
    found: dict[str, np.ndarray] = {}
    quantizer = config.quantizer
    ours = (quantizer.codebook_size, quantizer.codebooks, config.hop_length, config.sample_rate)
    for path in paths:
        try:
            book, codes = read_codes(path)
        except (ValueError, OSError) as error:
            logger.error("%s; left out", error)
            continue
        if (book.codebook_size, book.codebooks, book.hop_length, book.sample_rate) != ours:
            logger.warning("%s: codes of another model; left out", path)
            continue
        found |= codes
    return found


def find_utterances(paths: Iterable[str | Path | None]) -> dict[str, Utterance]:
    """Utterances by id, from the first of these manifests that can be read."""
    for path in paths:
        if path and Path(path).is_file():
            try:
                return {utterance.id: utterance for utterance in read_manifest(path)}
            except ValueError as error:
                logger.error("%s; left out", error)
    return {}


def _named(path: Path) -> tuple[str, str, Path]:
    """The id of the utterance, which version of it the file is, and the file."""
    match = _NAME.fullmatch(path.stem)
    if not match:
        return path.stem, "sound", path
    return match["id"], match["kind"].replace("to-", "to ", 1), path


def _version(title: str, path: Path) -> Version | None:
    try:
        if path.suffix.lower() not in KINDS:
            raise audio.AudioError(f"{path}: browsers play {', '.join(KINDS)} alone; convert it")
        return Version(title, path, *audio.read(path))
    except (audio.AudioError, OSError) as error:
        logger.error("%s; left out", error)
        return None

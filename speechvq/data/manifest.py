"""Utterances, and manifests: JSON-lines files that list utterances."""

from __future__ import annotations

import codecs
import json
import logging
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, overload

import numpy as np
import numpy.typing as npt

from speechvq import audio
from speechvq.codes import check_speaker
from speechvq.data.label_names import without_context
from speechvq.data.lines import Lines
from speechvq.data.roots import Roots
from speechvq.json_reader import parse_json

logger = logging.getLogger(__name__)


class CorpusError(ValueError):
    """Invalid data; the message says where (``file:line``), what was expected, and what to do."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone with start and end, in seconds from the beginning of the utterance."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech of one speaker: `duration` seconds from `start` in the file `path`.

    ``audio.read(u.path, sample_rate, u.start, u.duration)`` reads the audio. Times of phones are
    relative to `start`. `text` and `phones` are None where they are not known.
    """

    id: str
    speaker: str
    path: str
    duration: float
    start: float = 0.0
    text: str | None = None
    phones: tuple[Phone, ...] | None = None

    @property
    def recording(self) -> tuple[str, float, float]:
        """Which audio it is: path, start and duration. Other manifests may have the same id."""
        return self.path, self.start, self.duration


_KEYS = ("id", "speaker", "path", "duration", "start", "text", "phones")
_REQUIRED = _KEYS[:4]
OPENED = 100_000
"""Utterances of a manifest up to which every recording is opened before a training."""
_NAMED = 10  # unusable recordings that are named one by one
_DECIMALS = 6  # a microsecond, well below a sample


def write_manifest(
    path: str | os.PathLike[str],
    utterances: Iterable[Utterance],
    roots: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Write one utterance a line, as a JSON object; the file appears whole or not at all.

    Audio paths become absolute, so that a manifest can be used from any working folder. `roots`
    are folders of audio outside of the manifest's, which are added to its ``roots.txt``
    (`speechvq.data.roots`).
    """
    lines = (json.dumps(_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances)
    Roots(Path(path).parent).allow(roots)
    audio.write_bytes(path, (line.encode() for line in lines))


@dataclass(frozen=True)
class Columns:
    """What a training needs to know of all utterances at once, by their place in a list."""

    durations: npt.NDArray[np.float64]
    """Seconds, (utterances,)."""
    speakers: tuple[str, ...]
    """Names, sorted."""
    speaker: npt.NDArray[np.int32]
    """Place in `speakers`, (utterances,)."""

    @classmethod
    def of(cls, utterances: Sequence[Utterance]) -> Columns:
        """Columns of utterances; a manifest has them already."""
        if isinstance(utterances, Manifest):
            return utterances.columns
        names = sorted({u.speaker for u in utterances})
        place = {name: i for i, name in enumerate(names)}
        speaker = np.array([place[u.speaker] for u in utterances], np.int32)
        return cls(np.array([u.duration for u in utterances], float), tuple(names), speaker)

    def select(self, chosen: npt.NDArray[np.generic] | slice) -> Columns:
        """Columns of some of the utterances, by a mask, by places, or by a slice."""
        speaker = self.speaker[chosen]
        there = np.flatnonzero(np.bincount(speaker, minlength=len(self.speakers)))
        moved = np.searchsorted(there, speaker).astype(np.int32)
        return Columns(self.durations[chosen], tuple(self.speakers[i] for i in there), moved)


class Manifest(Sequence[Utterance]):
    """Utterances of a manifest. Each is read from its line when it is asked for.

    So memory holds 28 bytes an utterance, in arrays that forked processes share.

    Attributes
    ----------
    columns : Columns
        What is known without reading a line.
    """

    def __init__(self, lines: Lines, columns: Columns, roots: Roots):
        self._lines, self.columns, self._roots = lines, columns, roots

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> Manifest: ...
    def __getitem__(self, index: int | slice) -> Utterance | Manifest:
        if isinstance(index, slice):
            return self.select(index)
        return self._utterance(self._lines[index], index)

    def __iter__(self) -> Iterator[Utterance]:
        return (self._utterance(line, i) for i, line in enumerate(self._lines))

    def select(self, chosen: npt.NDArray[np.generic] | slice) -> Manifest:
        """Some of the utterances, by a mask, by places, or by a slice."""
        return Manifest(self._lines.select(chosen), self.columns.select(chosen), self._roots)

    def number(self, index: int) -> int:
        """Line of an utterance in the file, from 1."""
        return self._lines.number(index)

    def _utterance(self, line: bytes, index: int) -> Utterance:
        try:
            return _parsed(line, self._roots)
        except ValueError as error:  # the file has been written to since its lines were found
            raise CorpusError(f"{self._lines.path}:{self.number(index)}: {error}") from error


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest; relative audio paths are relative to the folder of the manifest.

    Every line is checked once, in one pass; memory then holds some numbers of each (`Manifest`).

    Raises
    ------
    FileNotFoundError
        The manifest does not exist.
    CorpusError
        A line is not an utterance or names a file where it may not (`speechvq.data.roots`), two
        utterances share an id, or there is no utterance.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such manifest; speechvq-prepare makes them")
    roots = Roots(path.parent)
    offsets, sizes, ids, speaker = array("q"), array("q"), array("q"), array("i")
    durations, places, end = array("d"), dict[str, int](), 0
    file = open(path, "rb")  # noqa: SIM115, since it stays open with the manifest
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                utterance = _parsed(line, roots)
            except ValueError as error:
                raise CorpusError(f"{path}:{number}: {error}") from error
            offsets.append(end)
            sizes.append(len(line))
            durations.append(utterance.duration)
            speaker.append(places.setdefault(utterance.speaker, len(places)))
            ids.append(hash(utterance.id))
        end += len(line)
    if not offsets:
        raise CorpusError(f"{path}: no utterances in it; make it again with speechvq-prepare")
    names = sorted(places)
    order = np.empty(len(names), np.int32)
    order[[places[name] for name in names]] = np.arange(len(names))
    columns = Columns(np.asarray(durations), tuple(names), order[np.asarray(speaker)])
    manifest = Manifest(Lines(file, np.asarray(offsets), np.asarray(sizes)), columns, roots)
    _refuse_doubles(manifest, np.asarray(ids), path)
    return manifest


def _refuse_doubles(manifest: Manifest, ids: npt.NDArray[np.int64], path: Path) -> None:
    """Raise CorpusError if two utterances share an id; `ids` are hashes, which may be equal."""
    ordered = np.sort(ids)
    equal = ordered[1:][ordered[1:] == ordered[:-1]]
    seen: dict[str, int] = {}
    for i in np.flatnonzero(np.isin(ids, equal)).tolist() if len(equal) else ():
        id = manifest[i].id
        if id in seen:
            here, before = manifest.number(i), manifest.number(seen[id])
            raise CorpusError(f"{path}:{here}: utterance {id!r} is also in line {before}")
        seen[id] = i


def read_usable(path: str | os.PathLike[str]) -> Manifest:
    """Read the utterances of a manifest whose audio can be opened; the others are logged.

    Raises
    ------
    ValueError, OSError
        No utterance has audio that can be opened; or as `read_manifest`.
    """
    everything, unusable = read_checked(path)
    return everything.select(~unusable) if unusable.any() else everything


def read_checked(path: str | os.PathLike[str]) -> tuple[Manifest, npt.NDArray[np.bool_]]:
    """Read a manifest, and which utterances have audio that cannot be opened, as logged.

    Of more than `OPENED` utterances none is opened, nor what lies at a URL: what cannot be read is
    found when it is drawn.

    Raises
    ------
    ValueError, OSError
        No utterance has audio that can be opened; or as `read_manifest`.
    """
    everything, faults = read_manifest(path), list[Exception]()
    unusable = np.zeros(len(everything), bool)
    for i, utterance in enumerate(everything if len(everything) <= OPENED else ()):
        try:
            if audio.as_url(utterance.path) is None:
                audio.info(utterance.path)
        except (audio.AudioError, OSError) as error:
            faults.append(error)
            unusable[i] = True
    if unusable.all():
        raise faults[0]
    for fault in faults[:_NAMED]:
        logger.error("%s; left out", fault)
    if len(faults) > _NAMED:
        logger.error("%s: %d more are left out", path, len(faults) - _NAMED)
    return everything, unusable


def read_known(path: str | os.PathLike[str], speakers: Sequence[str], whose: str) -> Manifest:
    """Read the utterances of known speakers from a manifest; warn if others are left out.

    Parameters
    ----------
    path
        The manifest.
    speakers
        Names of the known speakers.
    whose
        Owner of these speakers, for messages: "the model".

    Raises
    ------
    ValueError
        No utterance is by a known speaker; or as `read_manifest`.
    """
    everything, names = read_usable(path), set(speakers)
    of = everything.columns
    is_known = np.array([name in names for name in of.speakers])[of.speaker]
    if not is_known.any():
        raise ValueError(
            f"{path}: no utterance by a speaker of {whose} ({', '.join(speakers[:5])}, …)"
        )
    known = everything.select(is_known)
    if len(known) < len(everything):
        logger.warning(
            "%s: %d utterances of speakers unknown to %s are left out",
            path,
            len(everything) - len(known),
            whose,
        )
    return known


def _to_json(utterance: Utterance) -> dict[str, object]:
    record: dict[str, object] = {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "path": audio.absolute(utterance.path),
        "duration": round(utterance.duration, _DECIMALS),
    }
    if utterance.start:
        record["start"] = round(utterance.start, _DECIMALS)
    if utterance.text is not None:
        record["text"] = utterance.text
    if utterance.phones is not None:
        record["phones"] = [
            [round(phone.start, _DECIMALS), round(phone.end, _DECIMALS), phone.label]
            for phone in utterance.phones
        ]
    return record


def _parsed(line: bytes, roots: Roots) -> Utterance:
    """Return the utterance of a line: the one place where a line becomes one. ValueError if not."""
    try:
        record = parse_json(line.removeprefix(codecs.BOM_UTF8), dict)
    except ValueError as error:
        raise ValueError(f"{error}; a line is one JSON object, in UTF-8") from error
    return _from_json(record, roots)


def _from_json(record: dict[str, Any], roots: Roots) -> Utterance:
    for key in _REQUIRED:
        if key not in record:
            raise ValueError(f"no {key!r}; an utterance has {', '.join(_REQUIRED)}")
    for key, value in record.items():
        if key not in _KEYS:
            raise ValueError(f"unknown key {key!r}; an utterance has {', '.join(_KEYS)}")
        if key in ("id", "speaker", "path") and not (isinstance(value, str) and value):
            raise ValueError(f"{key!r} must be a text that is not empty, not {value!r}")
    text, phones = record.get("text"), record.get("phones")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"'text' must be a text or null, not {text!r}")
    duration, start = _seconds(record, "duration"), _seconds(record, "start")
    if duration == 0:
        raise ValueError("'duration' must be above 0 seconds")
    return Utterance(
        id=record["id"],
        speaker=check_speaker(record["speaker"]),
        path=roots.path(record["path"]),
        duration=duration,
        start=start,
        text=text,
        phones=None if phones is None else _phones(phones),
    )


def _seconds(record: dict[str, object], key: str) -> float:
    value = record.get(key, 0.0)
    if not _is_time(value) or value < 0:
        raise ValueError(f"{key!r} must be seconds, 0 or more, not {value!r}")
    return float(value)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _phones(entries: object) -> tuple[Phone, ...]:
    if not isinstance(entries, list):
        raise ValueError(f"'phones' must be a list of [start, end, label], not {entries!r}")
    phones, before = [], 0.0
    for entry in entries:
        if not (
            isinstance(entry, list)
            and len(entry) == 3
            and _is_time(entry[0])
            and _is_time(entry[1])
            and isinstance(entry[2], str)
        ):
            raise ValueError(f"a phone is [start, end, label] in seconds, not {entry!r}")
        start, end, label = entry
        if not before <= start <= end:
            raise ValueError(f"phone {entry!r} begins before {before:g} s or ends before it begins")
        phones.append(Phone(float(start), float(end), label))
        before = end
    names = without_context([phone.label for phone in phones])
    return tuple(
        Phone(phone.start, phone.end, name) for phone, name in zip(phones, names, strict=True)
    )

"""Utterances, and manifests: JSON-lines files that list utterances."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechvq import audio
from speechvq.codes import check_speaker
from speechvq.data.label_names import without_context
from speechvq.data.roots import Roots
from speechvq.text import EncodingError, read_text

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


_KEYS = ("id", "speaker", "path", "duration", "start", "text", "phones")
_REQUIRED = _KEYS[:4]
_NAMED = 10  # unusable recordings that are named one by one
_DECIMALS = 6  # a microsecond, well below a sample


def write_manifest(
    path: str | os.PathLike,
    utterances: Iterable[Utterance],
    roots: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Write one utterance a line, as a JSON object; the file appears whole or not at all.

    Audio paths become absolute, so that a manifest can be used from any working folder. `roots`
    are folders of audio outside of the manifest's, which are added to its ``roots.txt``
    (`speechvq.data.roots`).
    """
    lines = [json.dumps(_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    Roots(Path(path).parent).allow(roots)
    audio.write_bytes(path, "".join(lines).encode())


def read_manifest(path: str | os.PathLike) -> list[Utterance]:
    """Read a manifest; relative audio paths are relative to the folder of the manifest.

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
    utterances: list[Utterance] = []
    seen: dict[str, int] = {}
    try:
        lines = read_text(path).split("\n")
    except EncodingError as error:
        raise CorpusError(
            f"{path}: not UTF-8 text; a manifest holds JSON lines ({error})"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            utterance = _from_json(json.loads(line), roots)
        except json.JSONDecodeError as error:
            raise CorpusError(
                f"{path}:{number}: not JSON ({error.msg}), one object expected"
            ) from error
        except ValueError as error:
            raise CorpusError(f"{path}:{number}: {error}") from error
        if utterance.id in seen:
            raise CorpusError(
                f"{path}:{number}: utterance {utterance.id!r} is also in line {seen[utterance.id]}"
            )
        seen[utterance.id] = number
        utterances.append(utterance)
    if not utterances:
        raise CorpusError(f"{path}: no utterances in it; make it again with speechvq-prepare")
    return utterances


def read_usable(path: str | os.PathLike) -> list[Utterance]:
    """Read the utterances of a manifest whose audio can be opened; the others are logged.

    Raises
    ------
    ValueError, OSError
        No utterance has audio that can be opened; or as `read_manifest`.
    """
    everything, unusable = read_checked(path)
    return [utterance for utterance in everything if utterance.id not in unusable]


def read_checked(path: str | os.PathLike) -> tuple[list[Utterance], set[str]]:
    """Read a manifest, and the ids of the utterances whose audio cannot be opened, as logged.

    Raises
    ------
    ValueError, OSError
        No utterance has audio that can be opened; or as `read_manifest`.
    """
    everything, faults = read_manifest(path), {}
    for utterance in everything:
        try:
            audio.info(utterance.path)
        except (audio.AudioError, OSError) as error:
            faults[utterance.id] = error
    errors = list(faults.values())
    if len(errors) == len(everything):
        raise errors[0]
    for error in errors[:_NAMED]:
        logger.error("%s; left out", error)
    if len(errors) > _NAMED:
        logger.error("%s: %d more are left out", path, len(errors) - _NAMED)
    return everything, set(faults)


def read_known(path: str | os.PathLike, speakers: Sequence[str], whose: str) -> list[Utterance]:
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
    known = [u for u in everything if u.speaker in names]
    if not known:
        raise ValueError(
            f"{path}: no utterance by a speaker of {whose} ({', '.join(speakers[:5])}, …)"
        )
    if len(known) < len(everything):
        logger.warning(
            "%s: %d utterances of speakers unknown to %s are left out",
            path,
            len(everything) - len(known),
            whose,
        )
    return known


def _to_json(utterance: Utterance) -> dict:
    record: dict = {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "path": os.path.abspath(utterance.path),
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


def _from_json(record: object, roots: Roots) -> Utterance:
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object expected, not {json.dumps(record)[:40]}")
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


def _seconds(record: dict, key: str) -> float:
    value = record.get(key, 0.0)
    if not _is_time(value) or value < 0:
        raise ValueError(f"{key!r} must be seconds, 0 or more, not {value!r}")
    return float(value)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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

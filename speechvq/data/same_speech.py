"""Utterances that are the same recording: doubled files, several microphones, other rates.

Two utterances are taken for one recording if they are equally long and either the samples are the
same or the level runs the same; or if one speaker has two files of one name and about one length.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechvq import audio
from speechvq.data.manifest import Utterance

SAME_LENGTH = 0.000126
"""Seconds by which the lengths of copies at other rates differ at most: a sample at 8 kHz."""
EQUAL_LENGTH = 0.000001
"""Seconds, as manifests are rounded."""
SMALL = 5000
"""Utterances of a corpus in which all of about the same length are compared; in a larger one these
are compared within one speaker, and across speakers only those of equal length."""
ABOUT_SAME_LENGTH = 0.05
"""Seconds by which copies of one name differ."""
MOST_COPIES = 4
"""Files of one name below one speaker; more are not copies, but files all named alike."""
FRAME = 0.01
"""Seconds of a frame of the level."""
DYNAMIC_RANGE = 1e-3
"""Power of the softest frames that count, relative to the mean."""
LEAST_CHANGE = 1.0
"""dB, standard deviation of the level below which a recording is too even to be compared by it."""
LONG = 1.5
"""Seconds from which the level of other speech is hardly ever alike."""
ALIKE, ALIKE_SHORT = 0.9, 0.99
"""Least correlation of the levels of two recordings of the same speech, long and short ones.

Other sentences of the stand-in, of 3 s, have .25 ± .13; a second microphone in a room
(reverberation of .2 s, noise 45 dB below) has .77 at least and .9 in the middle.
"""
BLOCK = 1024
"""Recordings compared with all others at a time."""

_COPY = re.compile(r"[ _-]*(mic|ch|channel|copy|orig|wav)[ _-]?\d*$|[ _-]*\(\d+\)$", re.IGNORECASE)


@dataclass(frozen=True)
class Copies:
    """Groups of ids of one recording each, and the ids that could not be read to compare."""

    groups: list[list[str]]
    unread: list[str]


def find_copies(utterances: Sequence[Utterance], threads: int = 4) -> Copies:
    """Find utterances that are the same recording.

    Only utterances as long as another one are read.
    """
    groups = [[u.id for u in group] for group in _same_names(utterances)]
    unread: list[str] = []
    with ThreadPoolExecutor(threads) as executor:
        for candidates in _candidates(utterances):
            heard = list(zip(candidates, executor.map(_hear, candidates), strict=True))
            unread += [u.id for u, sound in heard if sound is None]
            sounds = {u.id: sound for u, sound in heard if sound is not None}
            samples = defaultdict(list)
            for id, sound in sounds.items():
                samples[sound.samples].append(id)
            groups += [ids for ids in samples.values() if len(ids) > 1]
            groups += _alike({id: s.level for id, s in sounds.items() if s.level is not None})
    return Copies(_joined(groups), unread)


@dataclass(frozen=True)
class _Sound:
    """What is compared: a digest of the samples, and the level in the course of time.

    The level (T,) is in units in which its norm is 1 and its mean 0; None where it hardly changes.
    """

    samples: bytes
    level: np.ndarray | None


def plain_name(path: str) -> str:
    """Return the name of a file without suffixes and without the mark of a copy or microphone."""
    name = Path(path).name.lower()
    while Path(name).suffix in audio.SUFFIXES:
        name = Path(name).stem
    return _COPY.sub("", name) or name


def _same_names(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    named = defaultdict(list)
    for utterance in utterances:
        named[utterance.speaker, plain_name(utterance.path)].append(utterance)
    for group in named.values():
        if 1 < len(group) <= MOST_COPIES:
            yield from _runs(group, ABOUT_SAME_LENGTH)


def _candidates(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """Yield utterances to compare with each other."""
    if len(utterances) <= SMALL:
        yield from _runs(utterances, SAME_LENGTH)
        return
    by_speaker = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    for own in by_speaker.values():
        yield from _runs(own, SAME_LENGTH)
    yield from _runs(utterances, EQUAL_LENGTH)


def _runs(utterances: Iterable[Utterance], tolerance: float) -> Iterator[list[Utterance]]:
    """Yield groups of at least two, in which each is as long as the next one."""
    run: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: (u.duration, u.id)):
        if run and utterance.duration - run[-1].duration > tolerance:
            if len(run) > 1:
                yield run
            run = []
        run.append(utterance)
    if len(run) > 1:
        yield run


def _hear(utterance: Utterance) -> _Sound | None:
    """Read what is compared of an utterance; None if it cannot be read."""
    digest, powers = hashlib.blake2b(digest_size=16), [np.zeros(0, np.float32)]
    try:
        _, rate = audio.info(utterance.path)
        size = max(1, round(FRAME * rate))
        blocks = audio.blocks(utterance.path, None, utterance.start, utterance.duration)
        for block in audio.framed(blocks, size):
            digest.update(audio.to_pcm(block).tobytes())
            whole = block[: len(block) // size * size].reshape(-1, size)
            powers.append(np.square(whole).mean(axis=1))
    except (audio.AudioError, OSError):
        return None
    samples, power = digest.digest(), np.concatenate(powers)
    if len(power) < 2:
        return _Sound(samples, None)
    level = 10 * np.log10(power + DYNAMIC_RANGE * power.mean() + 1e-12)
    level -= level.mean()
    if level.std() < LEAST_CHANGE:
        return _Sound(samples, None)
    return _Sound(samples, (level / np.linalg.norm(level)).astype(np.float32))


def _alike(levels: dict[str, np.ndarray]) -> list[list[str]]:
    """Groups of ids of which the levels run the same as that of the first of the group."""
    if len(levels) < 2:
        return []
    ids, shortest = list(levels), min(map(len, levels.values()))
    matrix = np.stack([level[:shortest] for level in levels.values()])
    least = ALIKE if shortest >= LONG / FRAME else ALIKE_SHORT
    groups = []
    for begin in range(0, len(ids), BLOCK):
        alike = matrix[begin : begin + BLOCK] @ matrix.T > least
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            members = [ids[i] for i in np.flatnonzero(alike[row])]
            groups.append(members)
    return groups


def _joined(groups: Iterable[Sequence[str]]) -> list[list[str]]:
    """Join the groups that share an id."""
    group_of: dict[str, list[str]] = {}
    for group in groups:
        whole = list(dict.fromkeys(id for one in group for id in group_of.get(one, [one])))
        group_of.update(dict.fromkeys(whole, whole))
    return list({id(group): group for group in group_of.values()}.values())

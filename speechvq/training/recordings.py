"""Recordings of one speaker, to learn a voice from and to judge it by.

Shapes: T samples.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechvq import audio
from speechvq.data.code_shards import file_fingerprint
from speechvq.data.manifest import Utterance
from speechvq.data.pieces import equal_pieces
from speechvq.data.segments import Waveforms
from speechvq.data.trim import find_sound
from speechvq.progress import track
from speechvq.sampling.level import gains_between

logger = logging.getLogger(__name__)

LEAST = 10.0
"""Seconds of speech below which nobody is enrolled."""
ENOUGH = 60
"""Seconds of speech that serve well."""

_PIECE = 4.0  # s, at most, of the stretches that are held out
_HELD_OUT = 6  # one piece of so many
_MOST_HELD_OUT = 12  # pieces


@dataclass(frozen=True)
class Recordings:
    """What one speaker's recordings gave."""

    train: Waveforms
    held_out: Waveforms
    """Stretches that the new vector does not learn from."""
    speech: float
    """Seconds of sound in both."""
    used: int
    """Files."""
    unusable: dict[Path, str]
    """Files that cannot be used, and why."""


def read_recordings(
    paths: Sequence[Path],
    speaker: str,
    sample_rate: int,
    level: float | None = None,
    progress: bool = False,
) -> Recordings:
    """Read recordings, without the silence at their ends, and hold a part of them out.

    Of copies of a file one is read.

    Each is made as loud as `level`, in dB, if it is given: that of the model's other speakers. What
    is read is kept on the disk (`audio.Spool`), so that memory does not grow with it.

    Raises
    ------
    ValueError
        Less than `LEAST` seconds of speech in all that can be used.
    """
    paths = _without_copies(paths)
    spool = audio.Spool()
    pieces: list[tuple[Path, int, int]] = []
    speech, unusable = 0.0, {}
    for path in track(paths, "reading recordings", " files", shown=progress):
        recording = audio.Recording(path, sample_rate)
        try:
            found = audio.speech_level(recording, sample_rate)
        except (audio.AudioError, OSError) as error:
            unusable[path] = str(error)
            logger.error("%s; left out", error)
            continue
        gain = 1.0 if level is None else gains_between(found, level).to_model
        begin = len(spool)
        sound = find_sound(_kept(spool, (gain * block for block in recording)), sample_rate)
        speech += sound.seconds
        first, last = (begin + round(s * sample_rate) for s in (sound.start, sound.end))
        for start, length in equal_pieces(last - first, round(_PIECE * sample_rate)):
            pieces.append((path, first + start, first + start + length))
    used = len(paths) - len(unusable)
    if speech < LEAST:
        raise ValueError(
            f"{speech:.1f} s of speech in {used} usable recording{'s' * (used != 1)}; at least "
            f"{LEAST:g} s is needed, and {ENOUGH} s serve well"
        )
    count = min(max(1, round(len(pieces) / _HELD_OUT)), _MOST_HELD_OUT)
    places = set(np.linspace(0, len(pieces) - 1, count + 2)[1:-1].round().astype(int).tolist())
    held_out: list[tuple[Path, int, int]] = []
    train: list[tuple[Path, int, int]] = []
    for place, (path, first, last) in enumerate(pieces):
        if place in places:
            held_out.append((path, first, last))
        elif train and place - 1 not in places and train[-1][0] == path:
            # Its neighbour goes on where it ends: in one piece, the codes at the seam are right
            train[-1] = path, train[-1][1], last
        else:
            train.append((path, first, last))
    return Recordings(
        _waveforms(spool, train, speaker, sample_rate),
        _waveforms(spool, held_out, speaker, sample_rate),
        speech,
        used,
        unusable,
    )


def _kept(spool: audio.Spool, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the blocks (T,) after they have been added to the spool."""
    for block in blocks:
        spool.add(block)
        yield block


def _waveforms(
    spool: audio.Spool, pieces: Sequence[tuple[Path, int, int]], speaker: str, sample_rate: int
) -> Waveforms:
    utterances = [
        Utterance(f"{path.stem}_{i}", speaker, str(path), (last - first) / sample_rate)
        for i, (path, first, last) in enumerate(pieces)
    ]
    parts: list[Any] = [spool.part(first, last) for _, first, last in pieces]
    return Waveforms(utterances, sample_rate, waveforms=parts)


def _without_copies(paths: Sequence[Path]) -> list[Path]:
    """The first of files that have the same content."""
    found: dict[str, Path] = {}
    for path in paths:
        try:  # what is no file, such as a pipe, which would be waited for, is told by what reads it
            key = file_fingerprint(path) if path.is_file() else str(path)
        except OSError:
            key = str(path)
        found.setdefault(key, path)
    if copies := len(paths) - len(found):
        logger.info("left out %d cop%s of other recordings", copies, "y" if copies == 1 else "ies")
    return list(found.values())

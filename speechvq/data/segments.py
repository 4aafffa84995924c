"""Training batches of audio: random segments of the utterances, by training step.

Shapes: B batch, T samples, N codes.
"""

import logging
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechvq import audio
from speechvq.data.batches import RandomSegments, speaker_weights
from speechvq.data.frame_labels import Codes, Labels
from speechvq.data.manifest import Columns, Utterance
from speechvq.progress import track

logger = logging.getLogger(__name__)

CACHE_BYTES = 2 << 30
"""Audio up to this size is decoded once and kept in memory."""

_MARGIN = 0.02  # s read on both sides of a crop, so that a resampler's edges fall outside it
_FULL_SCALE = 32768
_DRAWS = 20  # of another utterance in place of one that cannot be decoded
_NAMED = 10  # utterances that are named at once


class Batch(NamedTuple):
    """Segments of audio with all that an objective may need of them.

    Attributes
    ----------
    waveform : Tensor
        (B, T) float32 in [-1, 1].
    speaker : Tensor
        Speaker indices (B,) int64.
    labels : Tensor, optional
        Frame labels (B, N) int64.
    inputs : Tensor, optional
        Input of the encoder, as the feature front end computes it from the waveform.
    codes : Tensor, optional
        Codes (B, N) or (B, N, G) of the waveform, found in the whole utterances.
    speed : Tensor, optional
        (B,), how much faster than in `waveform` the speech of `inputs` is (perturbation).
    """

    waveform: Tensor
    speaker: Tensor
    labels: Tensor | None = None
    inputs: Tensor | None = None
    codes: Tensor | None = None
    speed: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor to a device."""
        return Batch._make(x if x is None else x.to(device, non_blocking=True) for x in self)


class Waveforms:
    """Audio of utterances at one sample rate, with access to any segment.

    Audio that fits into `cache_bytes` as 16-bit integers is decoded when the object is made. More
    audio is read from the files at each access, and then the requested segment alone.

    An utterance that cannot be decoded is left out from then on, in all processes that load
    batches. Its place in the list stays, so that the segments of the others do.

    Parameters
    ----------
    utterances : sequence of Utterance
    sample_rate : int
        Hz.
    cache_bytes : int
        Largest size of the audio to keep in memory; 0 keeps none.
    progress : bool
        Show progress on stderr while decoding.
    level : float, optional
        dB; the speech of each utterance is scaled to this level. By default as it is.
    waveforms : sequence of ndarray, optional
        Audio (T,) of each utterance, if it is at hand already; no file is then opened. 16-bit
        integers, also parts of an `audio.Spool`, are taken as they are.
    unusable : ndarray, optional
        Whether each utterance is left out from the beginning, (utterances,) bool.

    Raises
    ------
    FileNotFoundError, AudioError
        None of the utterances to be cached can be decoded.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        sample_rate: int,
        cache_bytes: int = CACHE_BYTES,
        progress: bool = False,
        waveforms: Sequence[np.ndarray] | None = None,
        level: float | None = None,
        unusable: np.ndarray | None = None,
    ):
        if not utterances:
            raise ValueError("no utterances; at least one is needed")
        self.utterances = utterances
        self.columns = Columns.of(utterances)
        self.sample_rate = sample_rate
        samples = np.rint(self.columns.durations * sample_rate).astype(int)
        self.lengths = np.maximum(1, samples)
        """Samples of each utterance."""
        # In memory that processes share: one that loads batches tells the one that trains
        self.left_out = torch.zeros(len(utterances), dtype=torch.bool).share_memory_()
        """Whether each utterance is left out, (utterances,) bool."""
        if unusable is not None:
            self.left_out.copy_(torch.from_numpy(unusable))
        self._reported = set(self.left_out.nonzero()[:, 0].tolist())
        self._cache: list[np.ndarray] | None = None
        if waveforms is not None:
            self._cache = [_as_integers(waveform) for waveform in waveforms]
        elif 2 * int(self.lengths.sum()) <= cache_bytes:
            bar = track(self.lengths, "reading audio", " utterances", shown=progress)
            self._cache = [self._whole(i, length) for i, length in enumerate(bar)]
            if self.left_out.all():
                self._read(0, 0, int(self.lengths[0]))  # raises the error
        self.level = level
        # Found when an utterance is read first, which decodes it to its end; NaN until then
        gains = torch.full((0 if level is None else len(self),), torch.nan)
        self._gains = gains.share_memory_()

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def cached(self) -> bool:
        """Whether all audio is in memory."""
        return self._cache is not None

    @property
    def seconds(self) -> float:
        """Duration of all utterances."""
        return float(self.lengths.sum()) / self.sample_rate

    def usable(self, utterance: int) -> bool:
        """Whether an utterance is not left out."""
        return not self.left_out[utterance]

    def leave_out(self, utterance: int) -> None:
        """Leave an utterance out from now on."""
        self.left_out[utterance] = True

    def unreported(self) -> list[int]:
        """Utterances that have been left out and that `report` has not named yet."""
        if np.count_nonzero(self.left_out.numpy()) == len(self._reported):
            return []
        return sorted(set(self.left_out.nonzero()[:, 0].tolist()) - self._reported)

    def report(self, new: Sequence[int]) -> None:
        """Log, by name, utterances that have turned out to be unusable; they are then reported."""
        self._reported.update(new)
        for i in new[:_NAMED]:
            logger.error("%s; left out from now on", self.fault(i))
        if len(new) > _NAMED:
            logger.error("%d more utterances are left out from now on", len(new) - _NAMED)

    def fault(self, utterance: int) -> str:
        """Why an utterance cannot be decoded."""
        try:
            self._read(utterance, 0, int(self.lengths[utterance]))
        except (audio.AudioError, OSError) as error:
            return str(error)
        return f"{self.utterances[utterance].path}: could not be read a moment ago"

    def try_crop(self, utterance: int, start: int, length: int) -> np.ndarray | None:
        """As `crop`, or None for an utterance that is left out, now if it cannot be decoded."""
        if not self.usable(utterance):
            return None
        try:
            return self.crop(utterance, start, length)
        except (audio.AudioError, OSError):
            self.leave_out(utterance)
            return None

    def crop(self, utterance: int, start: int, length: int) -> np.ndarray:
        """Samples `start` to `start + length` of an utterance, by its place in the list.

        Returns
        -------
        numpy.ndarray
            float32 (length,), zeros where the utterance has ended.

        Raises
        ------
        OSError, AudioError
            The utterance cannot be decoded.
        """
        samples = self._decoded(utterance, start, min(length, self.lengths[utterance] - start))
        if self.level is not None and (gain := self._gain(utterance, self.level)) != 1:
            samples = gain * samples
        return np.pad(samples, (0, length - len(samples)))

    def _gain(self, utterance: int, level: float) -> np.float32:
        """Factor that brings the speech of an utterance to a level in dB; silence stays."""
        if self._gains[utterance].isnan():
            samples = self._decoded(utterance, 0, int(self.lengths[utterance]))
            found = audio.speech_level([samples], self.sample_rate)
            gain = 10 ** ((level - found) / 20) if np.isfinite(found) else 1.0
            self._gains[utterance] = gain
        return self._gains.numpy()[utterance]

    def _decoded(self, utterance: int, start: int, length: int) -> np.ndarray:
        """Samples (≤ length,) float32 of an utterance, of the level that they have."""
        if self._cache is not None and len(self._cache[utterance]):
            samples = self._cache[utterance][start : start + length]
            return samples.astype(np.float32) / _FULL_SCALE
        return self._read(utterance, start, length)

    def _whole(self, utterance: int, length: int) -> np.ndarray:
        """All samples (T,) as integers; none of an utterance that is left out."""
        if self.usable(utterance):
            try:
                return _as_integers(self._read(utterance, 0, length))
            except (audio.AudioError, OSError):
                self.leave_out(utterance)
        return np.zeros(0, np.int16)

    def _read(self, utterance: int, start: int, length: int) -> np.ndarray:
        u, rate = self.utterances[utterance], self.sample_rate
        margin = round(_MARGIN * rate)
        # Whole hundredths of a second are whole samples at the usual rates of files, too
        grid = max(1, rate // 100)
        before = start - max(0, start - margin) // grid * grid
        after = min(self.lengths[utterance] - start - length, margin)
        waveform, _ = audio.read(
            u.path, rate, u.start + (start - before) / rate, (before + length + after) / rate
        )
        return waveform[before : before + length]


def _as_integers(waveform: np.ndarray) -> np.ndarray:
    """Convert to 16-bit integers, unless they are; samples of a 16-bit file are kept exactly."""
    if waveform.dtype == np.int16:
        return waveform
    return np.rint(waveform * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


class SegmentBatches(RandomSegments):
    """Batches of random segments of audio: `batches[step]` is a Batch.

    The padding after an utterance's end is zeros. See `RandomSegments` for how segments are drawn.

    Parameters
    ----------
    waveforms : Waveforms
    speakers : sequence of str
        All speakers of the model; the index of a speaker is the position in this list.
    seed : int
    stage : str
        Name of the stage; two stages draw different segments.
    batch_size : int
        Segments per step, over all processes.
    segment_length : int
        Samples per segment, rounded up to a multiple of `hop_length`.
    hop_length : int
        Samples per code.
    steps : int
        Length of the data set.
    margin : int
        Samples before and after each segment that are added to the waveform; zeros outside the
        utterance.
    labels : Labels, optional
        Frame labels of the utterances; batches then have the labels of the segment's codes.
    codes : Codes, optional
        Codes of the utterances; batches then have the codes of the segment and its margins, and
        segments begin where a code does.
    speaker_exponent : float
        A speaker is drawn in proportion to the length of all utterances to this power.
    only : sequence of str
        Speakers to draw from; all of them if it is empty.
    rank, world_size : int
        Rank of this process and number of processes.

    Raises
    ------
    ValueError
        `batch_size` does not divide among the processes, the speaker of an utterance is unknown,
        or one of `only` has no utterance.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        speakers: Sequence[str],
        *,
        seed: int,
        stage: str,
        batch_size: int,
        segment_length: int,
        hop_length: int,
        steps: int,
        margin: int = 0,
        labels: Labels | None = None,
        codes: Codes | None = None,
        speaker_exponent: float = 1.0,
        only: Sequence[str] = (),
        rank: int = 0,
        world_size: int = 1,
    ):
        index = {name: i for i, name in enumerate(speakers)}
        columns = waveforms.columns
        unknown = sorted(set(columns.speakers) - set(index))
        if unknown:
            raise ValueError(
                f"speaker {unknown[0]!r} of the utterances is not among the model's speakers"
            )
        super().__init__(
            waveforms.lengths,
            seed=(seed, zlib.crc32(stage.encode())),
            batch_size=batch_size,
            segment_length=-(-segment_length // hop_length) * hop_length,
            steps=steps,
            rank=rank,
            world_size=world_size,
            weights=speaker_weights(columns, waveforms.lengths, speaker_exponent, only),
        )
        self.waveforms = waveforms
        self.margin = margin
        self.labels = labels
        self.codes = codes
        self.hop_length = hop_length
        self._index = np.array([index[name] for name in columns.speakers])

    @property
    def samples_per_step(self) -> int:
        """Samples of a step over all processes, without margins."""
        return self.batch_size * self.segment_length

    @property
    def steps_per_epoch(self) -> int:
        """Steps that draw as much audio as the utterances have."""
        return max(1, round(int(self.lengths.sum()) / self.samples_per_step))

    def __getitem__(self, step: int) -> Batch:
        """This process's rows of a step, T being `segment_length` and twice the `margin`."""
        rows = self._read_rows(step)
        segments = [(utterance, start) for utterance, start, _ in rows]
        waveform = np.stack([samples for _, _, samples in rows])
        labels = None
        if self.labels is not None:
            N = self.segment_length // self.hop_length
            own = [self.labels.of_codes(*segment, N, self.hop_length) for segment in segments]
            labels = torch.from_numpy(np.stack(own))
        codes = None
        if self.codes is not None:
            hop, count = self.hop_length, waveform.shape[1] // self.hop_length
            starts = [(u, (start - self.margin) // hop) for u, start in segments]
            found = [self.codes.crop(u, start, count) for u, start in starts]
            codes = torch.from_numpy(np.stack(found))
        speaker = self._index[self.waveforms.columns.speaker[[u for u, _ in segments]]]
        return Batch(torch.from_numpy(waveform), torch.from_numpy(speaker), labels, codes=codes)

    def places(self, step: int) -> list[tuple[int, int]]:
        """Utterance and start of each row, of those that are drawn in place of others, too."""
        return [(utterance, start) for utterance, start, _ in self._read_rows(step)]

    def _read_rows(self, step: int) -> list[tuple[int, int, np.ndarray]]:
        drawn = zip(*self.draw(step), strict=True)
        return [self._row(step, row, *segment) for row, segment in enumerate(drawn)]

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Utterances (B,) and starts (B,), where a code begins if the codes are given."""
        utterances, starts = super().draw(step)
        return utterances, self._at_code(starts)

    def draw_again(self, step: int, row: int, attempt: int) -> tuple[int, int]:
        """Another utterance and start for a row, as `draw`."""
        utterance, start = super().draw_again(step, row, attempt)
        return utterance, self._at_code(start)

    def _at_code(self, starts: Any) -> Any:
        return starts if self.codes is None else starts - starts % self.hop_length

    def _row(self, step: int, row: int, utterance: int, start: int) -> tuple[int, int, np.ndarray]:
        """Utterance, start and segment with its margins, (segment_length + 2 · margin,).

        Another draw takes the place of an utterance that cannot be decoded: a function of what
        can be decoded, and of nothing that was read before.
        """
        length = self.segment_length + 2 * self.margin
        for attempt in range(_DRAWS):
            before = max(self.margin - start, 0)  # samples before the utterance
            inside = start - self.margin + before
            samples = self.waveforms.try_crop(utterance, inside, length - before)
            if samples is not None:
                return utterance, start, np.pad(samples, (before, 0))
            utterance, start = self.draw_again(step, row, attempt)
        self.waveforms.left_out.fill_(True)  # nothing can be read: the training is to stop
        return utterance, start, np.zeros(length, np.float32)

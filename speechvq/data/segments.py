"""Training batches: random crops of the utterances, each batch a pure function of its step.

Shapes: B batch, T samples.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from speechvq import audio
from speechvq.data.manifest import Utterance

CACHE_BYTES = 2 << 30
"""Audio up to this size is decoded once and kept in memory."""

_MARGIN = 0.02  # s read on both sides of a crop, so that a resampler's edges fall outside it
_FULL_SCALE = 32768


class Waveforms:
    """The audio of utterances at one sample rate, of which any part can be had.

    Audio that fits into `cache_bytes` as 16-bit integers is decoded when the object is made; more
    than that is read from the files each time, and then only the part that is asked for.

    Parameters
    ----------
    utterances : sequence of Utterance
    sample_rate : int
        Hz.
    cache_bytes : int
        Largest size of the audio to keep in memory; 0 keeps none.
    progress : bool
        Show a bar on stderr while decoding.
    waveforms : sequence of ndarray, optional
        The audio of each utterance, (T,), where it has been read already; no file is then opened.

    Raises
    ------
    FileNotFoundError, AudioError
        A file of a cached utterance is missing or cannot be used.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        sample_rate: int,
        cache_bytes: int = CACHE_BYTES,
        progress: bool = False,
        waveforms: Sequence[np.ndarray] | None = None,
    ):
        if not utterances:
            raise ValueError("no utterances; at least one is needed")
        self.utterances = list(utterances)
        self.sample_rate = sample_rate
        self.lengths = np.array([max(1, round(u.duration * sample_rate)) for u in utterances])
        """Samples of each utterance."""
        self._cache: list[np.ndarray] | None = None
        if waveforms is not None:
            self._cache = [_as_integers(waveform) for waveform in waveforms]
        elif 2 * int(self.lengths.sum()) <= cache_bytes:
            bar = tqdm(self.lengths, "reading audio", disable=not progress, leave=False)
            self._cache = [_as_integers(self._read(i, 0, length)) for i, length in enumerate(bar)]

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

    def crop(self, utterance: int, start: int, length: int) -> np.ndarray:
        """Samples `start` to `start + length` of an utterance, by its place in the list.

        Returns
        -------
        numpy.ndarray
            float32 (length,), zeros where the utterance has ended.
        """
        if self._cache is not None:
            samples = self._cache[utterance][start : start + length]
            samples = samples.astype(np.float32) / _FULL_SCALE
        else:
            samples = self._read(utterance, start, min(length, self.lengths[utterance] - start))
        return np.pad(samples, (0, length - len(samples)))

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
    """16-bit integers, of which a 16-bit file's samples come back unchanged."""
    return np.rint(waveform * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


class Labels:
    """Integers that belong to moments of utterances, so many a second.

    Parameters
    ----------
    of_utterances : sequence of ndarray
        For each utterance (n,) int64; label i holds from second i / rate to (i + 1) / rate.
    rate : float
        Labels per second.
    sample_rate : int
        Hz, in which places are given.
    """

    NONE = -100
    """Label of what lies beyond an utterance's end."""

    def __init__(self, of_utterances: Sequence[np.ndarray], rate: float, sample_rate: int):
        self._labels = list(of_utterances)
        self._per_sample = rate / sample_rate

    def of_codes(self, utterance: int, start: int, count: int, hop_length: int) -> np.ndarray:
        """Labels (count,) at the middle of each code, the first of which begins at `start`."""
        labels = self._labels[utterance]
        middles = start + (np.arange(count) + 0.5) * hop_length
        places = (middles * self._per_sample).astype(np.int64)
        known = places < len(labels)
        return np.where(known, labels[np.minimum(places, len(labels) - 1)], self.NONE)


class SegmentBatches(Dataset):
    """Batches of random crops, by step: `batches[step]` is (waveform, speaker).

    A batch depends on `seed`, `phase` and the step alone, so that a resumed training reads the very
    same audio and the processes that load batches need no state. Each of `world_size` processes
    gets its own rows of the batch that a single process would get. Give it to
    `DataLoader(batches, batch_size=None, sampler=range(first, last))`.

    An utterance is drawn with a probability in proportion to its duration and its crop begins at
    any sample; what is shorter than a segment is padded with zeros.

    Parameters
    ----------
    waveforms : Waveforms
    speakers : sequence of str
        All speakers of the model; a speaker's place here is its index.
    seed : int
    phase : str
        Name of the phase; two phases read different crops.
    batch_size : int
        Segments per step, over all processes.
    segment_length : int
        Samples per segment, rounded up to a multiple of `hop_length`.
    hop_length : int
        Samples per code.
    steps : int
        Length of the data set.
    margin : int
        Samples that a crop has on either side beyond its segment; zeros outside the utterance.
    labels : Labels, optional
        Of the utterances; batches then have those of their codes, too.
    rank, world_size : int
        Which process this is, of how many.

    Raises
    ------
    ValueError
        `batch_size` does not divide among the processes, or an utterance's speaker is unknown.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        speakers: Sequence[str],
        *,
        seed: int,
        phase: str,
        batch_size: int,
        segment_length: int,
        hop_length: int,
        steps: int,
        margin: int = 0,
        labels: Labels | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        if batch_size % world_size:
            raise ValueError(
                f"batch_size: {batch_size} segments do not divide among {world_size} processes; "
                f"take a multiple of {world_size}"
            )
        if seed < 0:
            raise ValueError(f"seed: must be at least 0, got {seed}")
        index = {name: i for i, name in enumerate(speakers)}
        unknown = sorted({u.speaker for u in waveforms.utterances} - set(index))
        if unknown:
            raise ValueError(
                f"speaker {unknown[0]!r} of the utterances is not among the model's speakers"
            )
        self.waveforms = waveforms
        self.batch_size = batch_size
        self.segment_length = -(-segment_length // hop_length) * hop_length
        self.steps = steps
        self.margin = margin
        self.labels = labels
        self._hop_length = hop_length
        self._seed = (seed, zlib.crc32(phase.encode()))
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._speakers = np.array([index[u.speaker] for u in waveforms.utterances])
        self._until = np.cumsum(waveforms.lengths)  # samples of the utterances up to each

    def __len__(self) -> int:
        return self.steps

    @property
    def samples_per_step(self) -> int:
        """Samples of a step, margins apart, over all processes."""
        return self.batch_size * self.segment_length

    @property
    def steps_per_epoch(self) -> int:
        """Steps that draw as much audio as there is."""
        return max(1, round(int(self._until[-1]) / self.samples_per_step))

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        """This process's part of a step: waveform (B, T) float32 and speaker indices (B,) int64.

        T is `segment_length` and twice the `margin`. With labels, there is a third part: those of
        the segment's codes, (B, N) int64.
        """
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        rng = np.random.default_rng((*self._seed, step))
        drawn = rng.integers(self._until[-1], size=self.batch_size)
        utterances = np.searchsorted(self._until, drawn, side="right")
        latest = np.maximum(self.waveforms.lengths[utterances] - self.segment_length, 0)
        starts = rng.integers(latest + 1)
        mine = list(zip(utterances[self._rows], starts[self._rows], strict=True))
        crops = [self._crop(utterance, start) for utterance, start in mine]
        speaker = self._speakers[utterances[self._rows]]
        batch = torch.from_numpy(np.stack(crops)), torch.from_numpy(speaker)
        if self.labels is None:
            return batch
        N = self.segment_length // self._hop_length
        labels = [self.labels.of_codes(*crop, N, self._hop_length) for crop in mine]
        return *batch, torch.from_numpy(np.stack(labels))

    def _crop(self, utterance: int, start: int) -> np.ndarray:
        """A segment with its margins: (segment_length + 2 · margin,)."""
        first, last = start - self.margin, start + self.segment_length + self.margin
        inside = max(first, 0)
        return np.pad(self.waveforms.crop(utterance, inside, last - inside), (inside - first, 0))


def pieces(length: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut `length` samples into (start, length) of at most `longest`, for validation."""
    for start in range(0, length, longest):
        yield start, min(longest, length - start)

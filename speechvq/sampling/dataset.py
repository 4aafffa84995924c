"""A dataset of codes and waveforms, for those who train on codes.

Shapes: B batch, T samples, N codes, G codebooks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from speechvq.audio.reading import checked_waveform, mixed, resampled
from speechvq.data.manifest import Utterance, read_usable
from speechvq.model import Model
from speechvq.sampling.encode import encode
from speechvq.sampling.utterances import read_waveform


class Recordings(Protocol):
    """What can be wrapped: any dataset of tuples (waveform, sample_rate, …), as torchaudio's."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, ...]: ...


class CodedSpeech(NamedTuple):
    """A recording and its codes."""

    codes: Tensor
    """(N,) int64, N = ceil(T / hop_length); of a product code (N, G)."""
    waveform: Tensor
    """(T,) float32 in [-1, 1] at the sample rate of the model."""
    rest: tuple[Any, ...]
    """What the dataset gives beside waveform and sample rate; of a manifest the `Utterance`."""


class CodedBatch(NamedTuple):
    """Recordings and their codes, filled up with zeros to the longest."""

    codes: Tensor
    """(B, N) int64; of product codes (B, N, G)."""
    code_lengths: Tensor
    """(B,) int64."""
    waveforms: Tensor
    """(B, T) float32."""
    lengths: Tensor
    """(B,) int64, in samples."""
    rest: list[tuple[Any, ...]]


class CodesDataset(Dataset[CodedSpeech]):
    """Codes and waveforms of recordings, which are encoded when they are asked for.

    A `torch.utils.data.DataLoader` takes it, with ``collate_fn=CodesDataset.collate``; its workers
    then encode. Those of a model on a GPU must be started with ``multiprocessing_context="spawn"``.

    Parameters
    ----------
    model : Model
        In eval mode, as `speechvq.load` gives it.
    recordings : path or Recordings
        A manifest of `speechvq-prepare`; or a dataset of tuples (waveform, sample_rate, …) with
        waveforms (T,) or (channels, T), float in [-1, 1]. They are resampled to the rate of the
        model.

    Raises
    ------
    ValueError, OSError
        As `data.manifest.read_usable`, for a manifest.
    """

    def __init__(self, model: Model, recordings: str | os.PathLike[str] | Recordings):
        self.model = model
        if isinstance(recordings, str | os.PathLike):
            recordings = _OfManifest(read_usable(recordings), model.sample_rate)
        self.recordings = recordings

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> CodedSpeech:
        """Encode a recording.

        Raises
        ------
        ValueError, OSError
            It cannot be read, is no waveform, or is empty.
        """
        item = self.recordings[index]
        try:
            found, sample_rate, *rest = item
            waveform = _mono(np.asarray(found), sample_rate, self.model.sample_rate)
            codes = torch.from_numpy(encode(self.model, waveform))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"recording {index}: expected a tuple (waveform, sample_rate, …), the waveform of "
                f"shape (T,) or (channels, T), float in [-1, 1]; {error}"
            ) from error
        return CodedSpeech(codes, torch.from_numpy(waveform), tuple(rest))

    @staticmethod
    def collate(items: Sequence[CodedSpeech]) -> CodedBatch:
        """Make a batch of several recordings."""
        codes = [item.codes for item in items]
        waveforms = [item.waveform for item in items]
        return CodedBatch(
            pad_sequence(codes, batch_first=True),
            torch.tensor([len(each) for each in codes]),
            pad_sequence(waveforms, batch_first=True),
            torch.tensor([len(each) for each in waveforms]),
            [item.rest for item in items],
        )


class _OfManifest:
    """The utterances of a manifest as tuples (waveform, sample_rate, utterance)."""

    def __init__(self, utterances: Sequence[Utterance], sample_rate: int):
        self._utterances, self._sample_rate = utterances, sample_rate

    def __len__(self) -> int:
        return len(self._utterances)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, Utterance]:
        utterance = self._utterances[index]
        return read_waveform(utterance, self._sample_rate), self._sample_rate, utterance


def _mono(waveform: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """A waveform (T,) or (channels, T) at `rate` as one channel (T,) float32 at `sample_rate`."""
    if waveform.ndim not in (1, 2) or not waveform.size:
        raise ValueError(f"got the shape {waveform.shape}")
    channels = np.atleast_2d(waveform)
    if len(channels) > channels.shape[1]:
        raise ValueError(f"got the shape {waveform.shape}, in which the channels come last")
    mono = mixed(np.stack([checked_waveform(channel) for channel in channels], axis=1))
    return np.concatenate(list(resampled([mono], int(rate), sample_rate)))

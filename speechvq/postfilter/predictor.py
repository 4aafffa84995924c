"""The mel predictor: log-mel frames, a spectral envelope, from codes and a speaker.

A small WaveNet draws more noise between the formants than speech has, and words drown in it. The
log-mel spectrum can be predicted from the codes by a network that learns in minutes, and drawn
speech is filtered to it (`filter.py`). This is not in the paper.

Shapes: B batch, T samples, N codes, D codebook_dim, M frames, F mel bands.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import ConditionerConfig, StreamingMelPredictorConfig
from speechvq.features.log_mel import LogMel
from speechvq.features.streaming_stack import StackStream, StreamingStack
from speechvq.models.conditioner import Conditioner, ConditionerStream
from speechvq.speaker_weights import own_dimensions


class MelPredictor(nn.Module):
    """Log-mel frames from quantized latents and a speaker.

    A subclass has `standardised`, which gives the frames with a mean of 0 and a standard deviation
    of 1, `stream`, which does so for codes that arrive in pieces, and `speakers`, its table of
    speaker vectors.

    Parameters
    ----------
    mel : LogMel
        Computes the frames of a waveform.
    bands : int
        F.
    """

    mean: Tensor
    std: Tensor
    guidance: float | None = None
    """How far the frames of the post-filter go in the direction of the speaker: see `guidance.py`.

    None for a predictor without `stream_beside_average`.
    """

    def __init__(self, mel: LogMel, bands: int):
        super().__init__()
        self.mel = mel
        # Of the log-mel frames of the training speech
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("std", torch.ones(bands))

    def standardised(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Standardised frames (B, M, F) for z_q (B, N, D) and speaker indices (B,)."""
        raise NotImplementedError

    @property
    def speakers(self) -> nn.Embedding:
        """The table of speaker vectors."""
        raise NotImplementedError

    @property
    def projections(self) -> Sequence[nn.Linear]:
        """What projects a speaker vector to a scale and shift of each layer, if anything does."""
        return ()

    @property
    def lookahead(self) -> int:
        """Codes after its own that a frame depends on."""
        raise NotImplementedError

    def stream(self, speaker: Tensor) -> "PredictorStream":
        """The predictor on codes that arrive in pieces, for a speaker index (1,)."""
        raise NotImplementedError

    def stream_beside_average(self, speaker: Tensor) -> "PredictorStream":
        """The same, giving frames (2, m, F): of the speaker, and of the average speaker."""
        raise NotImplementedError

    def forward(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Log-mel frames (B, M, F), in nats, for z_q (B, N, D) and speaker indices (B,)."""
        return self.in_nats(self.standardised(quantized, speaker))

    def in_nats(self, frames: Tensor) -> Tensor:
        """Log-mel frames of standardised ones."""
        return frames * self.std + self.mean

    @property
    def fitted(self) -> bool:
        """Whether mean and standard deviation of the frames are set."""
        return bool(self.mean.any())

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Set mean and standard deviation of the frames by typical speech (B, T)."""
        frames = self.mel(waveforms).flatten(0, 1)
        self.mean.copy_(frames.mean(0))
        self.std.copy_(frames.std(0, correction=0) + 1e-3)

    def error(
        self, waveform: Tensor, quantized: Tensor, speaker: Tensor, speed: Tensor | None = None
    ) -> Tensor:
        """Error (B, M, F), predicted less true, of standardised log-mel frames of a waveform.

        The magnitude of a constant prediction's is about 0.8. A waveform (B, T) that ends within a
        code is padded with silence. With speeds (B,), the codes are of the waveform played so much
        faster, and the frames are taken from it at that pace.
        """
        predicted = self.standardised(quantized, speaker).float()
        M = predicted.shape[1]
        waveform = F.pad(waveform, (0, max(0, M * self.mel.hop_length - waveform.shape[-1])))
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            mel = self.mel(waveform) if speed is None else self.mel.at_speed(waveform, speed, M)
            standardised = (mel - self.mean) / self.std
        return predicted - standardised


class ConditionerMelPredictor(MelPredictor):
    """A mel predictor of the shape of the decoder's conditioner: a frame a condition vector.

    Parameters
    ----------
    conditioner : ConditionerConfig
        Shape of the predictor's own conditioner.
    codebook_dim : int
        D.
    hop_length : int
        Samples per code.
    n_speakers : int
    sample_rate : int
        Hz.
    bands : int
        F.
    """

    def __init__(
        self,
        conditioner: ConditionerConfig,
        codebook_dim: int,
        hop_length: int,
        n_speakers: int,
        sample_rate: int,
        bands: int,
    ):
        super().__init__(LogMel(sample_rate, hop_length // conditioner.upsample, bands), bands)
        self.conditioner = Conditioner(conditioner, codebook_dim, n_speakers)
        self.output = nn.Linear(conditioner.channels, bands)

    @property
    def speakers(self) -> nn.Embedding:
        """The table of speaker vectors."""
        return self.conditioner.speakers

    def standardised(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Standardised frames (B, M, F) for z_q (B, N, D) and speaker indices (B,)."""
        return self.output(self.conditioner(quantized, speaker))

    @property
    def lookahead(self) -> int:
        """Codes after its own that a frame depends on."""
        return self.conditioner.lookahead

    def stream(self, speaker: Tensor) -> "PredictorStream":
        """The predictor on codes that arrive in pieces, for a speaker index (1,)."""
        stream = self.conditioner.stream(speaker)
        return PredictorStream(stream, lambda quantized: quantized, self.output)


class StreamingMelPredictor(MelPredictor):
    """A mel predictor with a bounded lookahead: a frame a code.

    Parameters
    ----------
    config : StreamingMelPredictorConfig
    codebook_dim, hop_length, n_speakers, sample_rate
        As in `ConditionerMelPredictor`.
    """

    def __init__(
        self,
        config: StreamingMelPredictorConfig,
        codebook_dim: int,
        hop_length: int,
        n_speakers: int,
        sample_rate: int,
    ):
        super().__init__(LogMel(sample_rate, hop_length, config.bands, config.floor), config.bands)
        C = config.stack.channels
        self.guidance = config.guidance
        self.table = nn.Embedding(n_speakers, config.speaker_dim)
        self.input = nn.Linear(codebook_dim, C)
        self.stack = StreamingStack(config.stack, config.speaker_dim)
        self.norm = nn.LayerNorm(C)
        self.output = nn.Linear(C, config.bands)

    @property
    def speakers(self) -> nn.Embedding:
        """The table of speaker vectors."""
        return self.table

    @property
    def projections(self) -> Sequence[nn.Linear]:
        """What projects a speaker vector to a scale and shift of each layer."""
        return [layer.speaker for layer in self.stack.layers if layer.speaker is not None]

    @property
    def lookahead(self) -> int:
        """Codes after its own that a frame depends on."""
        return self.stack.lookahead

    def standardised(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Standardised frames (B, N, F) for z_q (B, N, D) and speaker indices (B,)."""
        return self._frames(self.stack(self.input(quantized), self.speakers(speaker)))

    def stream(self, speaker: Tensor) -> "PredictorStream":
        """The predictor on codes that arrive in pieces, for a speaker index (1,)."""
        return self._stream(self.speakers(speaker))

    def stream_beside_average(self, speaker: Tensor) -> "PredictorStream":
        """The same, giving frames (2, m, F): of the speaker, and of the average speaker.

        The latter is the mean vector of the speakers of the training. Speakers who were enrolled do
        not count, so that another one changes nobody's voice, unless there are no others.
        """
        table = self.table.weight
        enrolled = (table[:, own_dimensions(table)] != 0).any(1)
        learned = table if enrolled.all() else table[~enrolled]
        return self._stream(torch.cat([self.speakers(speaker), learned.mean(0, keepdim=True)]))

    def _stream(self, vectors: Tensor) -> "PredictorStream":
        return PredictorStream(self.stack.stream(vectors), self.input, self._frames)

    def _frames(self, x: Tensor) -> Tensor:
        return self.output(self.norm(x))


class PredictorStream:
    """A mel predictor on quantized latents that come in pieces, for B speakers at once.

    Parameters
    ----------
    stream : StackStream or ConditionerStream
        What looks at neighbouring codes.
    before, after : callable
        What comes before and after it, code by code.
    """

    def __init__(
        self,
        stream: StackStream | ConditionerStream,
        before: Callable[[Tensor], Tensor],
        after: Callable[[Tensor], Tensor],
    ):
        self._stream, self._before, self._after = stream, before, after

    def add(self, quantized: Tensor) -> Tensor:
        """Take z_q (1, n, D); give the standardised frames (B, m, F) that are known now."""
        return self._after(self._stream.add(self._before(quantized)))

    def end(self) -> Tensor:
        """Give the remaining standardised frames (B, m, F) when no more codes come."""
        return self._after(self._stream.end())

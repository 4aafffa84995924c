"""Equation 3 with a Laplace likelihood of log-mel frames in place of the WaveNet's.

    L = |d| + |Δ_t d| + |Δ_f d| + ‖sg[z_e] - e‖² + β ‖z_e - sg[e]‖²,   d = m̂(z_q, speaker) - m

Encoder, codebook and mel predictor learn together through the quantizer, at a small part of the
cost of a WaveNet. A WaveNet can do without its codes, so that in short runs its likelihood leaves
the codebook unused; log-mel frames cannot be predicted without codes. |d| alone is least for a
blur; the differences between neighbours in time, Δ_t, and in frequency, Δ_f, keep onsets and
formants (recipes/librispeech/RESULTS.md). This is not in the paper.

Shapes: B batch, T samples, N codes, D codebook_dim, M frames, F mel bands.
"""

from torch import Tensor, nn

from speechvq.config import MelStage
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.training.corpus import Corpus
from speechvq.training.objective import Losses, Objective, trained_of
from speechvq.training.objectives.mel_predictor import start_mel_predictor


class MelObjective(Objective):
    """Laplace likelihood of log-mel frames through the quantizer, and the quantizer's losses.

    `config.quantization` chooses what stands for the quantizer in training: codes with the
    straight-through gradient, or nothing (a warm-up).
    """

    def __init__(self, config: MelStage, model: Model):
        super().__init__()
        self.config = config
        self.encoder = model.vqvae.encoder
        self.quantizer = model.vqvae.quantizer
        assert model.mel_predictor is not None
        self.predictor = model.mel_predictor
        self.bitrate = model.bitrate

    def start(self, corpus: Corpus) -> None:
        """Set mean and scale of the log-mel frames, and start the codebook."""
        start_mel_predictor(self.predictor, corpus, self.config)
        if self.config.quantization != "none":
            corpus.start_codebook(self.config.codebook, self.config)

    def trained(self) -> list[nn.Parameter]:
        """Encoder, mel predictor and, if it learns by gradients, codebook."""
        parts: list[nn.Module] = [self.encoder, self.predictor]
        if self.config.quantization != "none":
            parts.append(self.quantizer)
        return [p for part in parts for p in trained_of(part)]

    def metrics(self) -> dict[str, float]:
        """Bits per second of the codes under the uniform prior."""
        return {} if self.config.quantization == "none" else {"bitrate": self.bitrate}

    def forward(self, batch: Batch) -> Losses:
        """Losses for waveforms (B, T), T a multiple of the hop length in training."""
        z_e = self.encoder(batch.inputs)
        quantized, losses, codes = self._quantize(z_e)
        d = self.predictor.error(batch.waveform, quantized, batch.speaker, batch.speed)  # (B, M, F)
        mel_loss = d.abs().mean()
        total = mel_loss + d.diff(dim=1).abs().mean() + d.diff(dim=2).abs().mean()
        if losses:
            beta = self.quantizer.beta
            total = total + losses["codebook_loss"] + beta * losses["commitment_loss"]
        terms = {"mel_loss": mel_loss.detach(), **{name: x.detach() for name, x in losses.items()}}
        return Losses(total, terms, codes, weight=batch.waveform.shape[-1], score=mel_loss.detach())

    def _quantize(self, z_e: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """What the predictor is given (B, N, D), the quantizer's losses, and codes (B, N)."""
        if self.config.quantization == "none":
            return z_e, {}, None
        z = self.quantizer(z_e)
        terms = {"codebook_loss": z.codebook_loss, "commitment_loss": z.commitment_loss}
        return z.quantized, terms, z.codes

"""What sampling needs of a model's decoder; the one place that knows where its parts are.

A decoder is sampled in one of two ways. Of a WaveNet the parts are taken: conditioner, WaveNet and
sub-bands; `draw` and `streaming` run them step by step. Any other decoder, such as a GAN vocoder,
has a method that gives the waveform of an utterance at once:

    sample(quantized, speaker, random) -> waveform

    quantized   Tensor (N, D) on the model's device: the code vectors of the utterance
    speaker     int, index of the speaker
    random      numpy.random.Generator, seeded for this utterance
    waveform    Tensor or ndarray (N · hop_length,), float in [-1, 1]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from speechvq.model import Model
from speechvq.models.conditioner import Conditioner
from speechvq.models.pqmf import PQMF
from speechvq.models.wavenet import WaveNet
from speechvq.sampling.options import SamplingOptions


@dataclass(frozen=True)
class WaveNetParts:
    """The parts of a WaveNet decoder."""

    conditioner: Conditioner
    wavenet: WaveNet
    pqmf: PQMF
    period: int
    """Steps of a condition vector."""

    @property
    def channels(self) -> int:
        """G, channels of a condition vector."""
        return self.wavenet.condition.in_features

    @property
    def on_cpu(self) -> bool:
        """Whether the weights lie on the CPU."""
        return next(self.wavenet.parameters()).device.type == "cpu"


def wavenet_parts(model: Model) -> WaveNetParts:
    """Parts of a model's WaveNet decoder."""
    decoder = model.vqvae.decoder
    conditioner, wavenet = decoder.conditioner, decoder.wavenet
    period = model.hop_length // conditioner.upsample // wavenet.bands
    return WaveNetParts(conditioner, wavenet, decoder.pqmf, period)


def samples_itself(model: Model) -> bool:
    """Whether a model's decoder has a method `sample` of its own."""
    return hasattr(model.vqvae.decoder, "sample")


@torch.inference_mode()
def sample_decoder(
    model: Model, codes: np.ndarray, speaker: str, options: SamplingOptions
) -> np.ndarray:
    """Draw an utterance by the decoder's own method `sample`.

    Parameters
    ----------
    model : Model
        Its decoder has a method `sample`.
    codes : ndarray
        (N,) int64 in 0 … K-1.
    speaker : str
        A name among `model.speakers`.
    options : SamplingOptions
        Only the seed is used. The post-filter is not applied.

    Returns
    -------
    ndarray
        (N · hop_length,) float32 in [-1, 1].

    Raises
    ------
    ValueError
        Another distribution, precision or guidance than the decoder's own; a waveform of another
        shape or with NaN or infinite samples.
    """
    if not options.is_models_own or options.precision != "float32" or options.guidance:
        raise ValueError(
            "temperature, top_k, top_p, precision, guidance: this model's decoder draws from its "
            "own distribution only; leave them at their defaults"
        )
    index = model.speaker_index(speaker)
    given = torch.from_numpy(codes).to(model.device).unsqueeze(0)
    quantized = model.local_condition(given, torch.tensor([index], device=model.device))[0]
    random = np.random.Generator(np.random.PCG64(options.seed))
    drawn = model.vqvae.decoder.sample(quantized, index, random)
    waveform = torch.as_tensor(drawn).detach().to("cpu", torch.float32).numpy()
    expected = (len(codes) * model.hop_length,)
    if waveform.shape != expected or not np.isfinite(waveform).all():
        raise ValueError(
            f"the decoder's sample: expected finite samples of shape {expected}, got shape "
            f"{waveform.shape}" + (", NaN or infinity" if waveform.shape == expected else "")
        )
    return waveform.clip(-1, 1)

"""Scores of a VQ-VAE on held-out utterances.

Long utterances are scored in pieces of a few seconds, which bounds memory. The decoder starts each
piece anew, as it starts an utterance.
"""

import logging
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from speechvq.data.segments import Labels, Waveforms, pieces
from speechvq.models.cepstra import SpeakerCepstra, Voice, voice_of
from speechvq.models.spectral import SpectralObjective
from speechvq.models.vqvae import VQVAE
from speechvq.sampling.encode import estimate_transform
from speechvq.training.loop import Validation
from speechvq.training.meter import code_use
from speechvq.training.processes import Processes

logger = logging.getLogger(__name__)

LONGEST = 4.0
"""Seconds of a piece."""
SOUND = 1.0
"""Seconds of a reconstruction to listen to."""


class Validator:
    """Scores a model on the utterances of `waveforms`, each process its part of them.

    Parameters
    ----------
    model : VQVAE
    waveforms : Waveforms
    processes : Processes
    bfloat16 : bool
        Run the decoder in bfloat16; the codes are always found in float32, as they are when the
        model is used.
    sounds : int
        Utterances to reconstruct for listening.
    units : Labels, optional
        Of the waveforms, where the encoder learns units.
    voices : SpeakerCepstra, optional
        Of the speakers, where the encoder listens to voices.
    """

    def __init__(
        self,
        model: VQVAE,
        waveforms: Waveforms,
        processes: Processes,
        bfloat16: bool,
        sounds: int = 0,
        units: Labels | None = None,
        voices: SpeakerCepstra | None = None,
    ):
        self.model = model
        self.waveforms = waveforms
        self.processes = processes
        self.bfloat16 = bfloat16
        self.sounds = min(sounds, len(waveforms))
        self.units = units
        self.voices = voices
        self._warned = False

    @torch.no_grad()
    def likelihood(self, stop: Callable[[], bool] = lambda: False) -> Validation | None:
        """The ELBO and the use of codes; None when `stop` broke it off.

        The metrics: `bits_per_sample`, the reconstruction term; `kl_bits_per_code`, constant;
        `bitrate`, the KL in bits/s; `total_bits_per_second`, their sum, the negative ELBO.
        """
        model, device = self.model, self.processes.device
        counts, sums = self._zeros()
        for waveform, speaker, voice, _ in self._pieces():
            if stop():
                return None
            codes = model.encode(waveform, voice)
            T = waveform.shape[-1]
            padded = _padded(waveform, model.hop_length)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                log_p = model.log_likelihood(padded, model.condition(codes, speaker))[:, :T]
            sums += torch.tensor([-log_p.double().sum(), T], device=device)
            counts += torch.bincount(codes.flatten(), minlength=len(counts))
        nats, samples = self.processes.sum(sums).tolist()
        bits = nats / samples / math.log(2)
        metrics = {
            "bits_per_sample": bits,
            "kl_bits_per_code": model.kl_bits_per_code,
            "bitrate": model.bitrate,
            "total_bits_per_second": bits * model.sample_rate + model.bitrate,
            **code_use(self.processes.sum(counts)),
        }
        return Validation(metrics, bits, self._sounds())

    @torch.no_grad()
    def spectral(
        self, objective: SpectralObjective, quantize: bool, stop: Callable[[], bool] = lambda: False
    ) -> Validation | None:
        """The auxiliary loss and the use of codes; None when `stop` broke it off.

        The loss of the latents, `latent_loss`, is no candidate for the best.
        """
        counts, sums = self._zeros()
        for waveform, speaker, voice, units in self._pieces(with_units=not quantize):
            if stop():
                return None
            T = waveform.shape[-1]
            padded = _padded(waveform, self.model.hop_length)
            output = objective(padded, speaker, quantize, units, voice)
            sums += torch.tensor([output.loss.double() * T, T], device=sums.device)
            if quantize:
                counts += torch.bincount(output.codes.flatten(), minlength=len(counts))
        total, samples = self.processes.sum(sums).tolist()
        loss = total / samples
        if not quantize:
            return Validation({"latent_loss": loss}, None)
        use = code_use(self.processes.sum(counts))
        return Validation({"spectral_loss": loss, "bitrate": self.model.bitrate, **use}, loss)

    def _zeros(self) -> tuple[Tensor, Tensor]:
        device, K = self.processes.device, self.model.config.codebook_size
        return (
            torch.zeros(K, dtype=torch.int64, device=device),
            torch.zeros(2, dtype=torch.float64, device=device),
        )

    def _pieces(
        self, with_units: bool = False
    ) -> Iterator[tuple[Tensor, Tensor, Voice | None, Tensor | None]]:
        """This process's share: waveform (1, T), speaker (1,), voice and perhaps units (1, N)."""
        processes = self.processes
        longest = round(LONGEST * self.model.sample_rate)
        for i in range(processes.rank, len(self.waveforms), processes.world_size):
            index = self.model.speaker_index(self.waveforms.utterances[i].speaker)
            speaker = torch.tensor([index], device=processes.device)
            voice = self._voice(i, speaker)
            for start, length in pieces(int(self.waveforms.lengths[i]), longest):
                waveform = torch.from_numpy(self.waveforms.crop(i, start, length))
                units = None
                if with_units and self.units is not None:
                    hop_length = self.model.hop_length
                    found = self.units.of_codes(i, start, -(-length // hop_length), hop_length)
                    units = torch.from_numpy(found).unsqueeze(0).to(processes.device)
                yield (
                    waveform.unsqueeze(0).to(processes.device),
                    speaker,
                    voice,
                    units,
                )

    def _voice(self, utterance: int, speaker: Tensor) -> Voice | None:
        """The voice in which an utterance is heard: its speaker's, or what is found in it."""
        if self.voices is not None or not self.model.hears_voices:
            return voice_of(self.voices, speaker)
        whole = self.waveforms.crop(utterance, 0, int(self.waveforms.lengths[utterance]))
        return estimate_transform(self.model, whole)

    def _sounds(self) -> dict[str, tuple[np.ndarray, int]]:
        """The beginnings of some utterances, encoded and drawn back by the decoder."""
        if not self.sounds or not self.processes.first:
            return {}
        try:
            from speechvq.sampling import sample
        except ImportError as error:
            if not self._warned:
                logger.warning("no samples to listen to: %s", error)
                self._warned = True
            return {}
        sounds, rate = {}, self.model.sample_rate
        for i in np.linspace(0, len(self.waveforms) - 1, self.sounds).astype(int):
            utterance = self.waveforms.utterances[i]
            length = min(round(SOUND * rate), int(self.waveforms.lengths[i]))
            waveform = torch.from_numpy(self.waveforms.crop(i, 0, length)).unsqueeze(0)
            waveform = waveform.to(self.processes.device)
            speaker = torch.tensor([self.model.speaker_index(utterance.speaker)])
            voice = voice_of(self.voices, speaker.to(waveform.device))
            codes = self.model.encode(waveform, voice)[0]
            sounds[utterance.id] = (sample(self.model, codes, utterance.speaker), rate)
        return sounds


def _padded(waveform: Tensor, hop_length: int) -> Tensor:
    return torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % hop_length))

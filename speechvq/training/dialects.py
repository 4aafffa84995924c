"""Codes in dialect: what another speaker would have had for what one says.

Speakers share few codes. So a decoder that has only heard the codes of the voice that it speaks in
does not know what to say for those of a conversion's source. Here recordings get such codes: for
each code that of the moment, in the other's recordings, whose surroundings are most alike. Of one
code's latents alone the nearest is of the same phone half as often.

Shapes: B batch, N codes, S speakers, M codes of a speaker's recordings, D codebook_dim, C features
that are compared.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechvq.data.segments import Waveforms
from speechvq.models.cepstra import SpeakerCepstra, voice_of
from speechvq.models.quantizer import take_from_first
from speechvq.models.vqvae import VQVAE
from speechvq.training.speakers import CEPSTRA, some_of_each, with_context

SECONDS = 200.0
"""Speech of each speaker, if there is so much, in which the like is sought."""
TOGETHER = 3600.0
"""Seconds of all speakers, at most."""
CONTEXT = (-0.06, -0.03, 0.0, 0.03, 0.06)
"""Seconds from a code to those that are compared with it."""


class Dialects:
    """Recordings of each speaker, in which to look up what is said.

    Parameters
    ----------
    surroundings : sequence of Tensor
        For each speaker (M, C), the latents around each code, by `surroundings_of`.
    codes : sequence of Tensor
        For each speaker (M,) int64.
    frame_rate : float
        Codes per second.
    """

    def __init__(self, surroundings: Sequence[Tensor], codes: Sequence[Tensor], frame_rate: float):
        self._surroundings = list(surroundings)
        self._codes = list(codes)
        self._frame_rate = frame_rate

    def translate(self, latents: Tensor, codes: Tensor, speaker: Tensor, share: float) -> Tensor:
        """Codes as they are, but in a share of the rows as of a speaker drawn at random.

        Parameters
        ----------
        latents : Tensor
            (B, N, D), what was said.
        codes : Tensor
            (B, N), theirs.
        speaker : Tensor
            (B,), who said it. Who is drawn for the own words keeps their codes.
        share : float
            Of the rows, in the mean.

        Returns
        -------
        Tensor
            (B, N) int64.
        """
        S, B = len(self._codes), len(codes)
        drawn = torch.where(torch.rand(B) < share, torch.randint(S, (B,)), -1).to(speaker.device)
        codes = codes.clone()
        for other in range(S):
            rows = (drawn == other) & (speaker != other)
            if rows.any():
                codes[rows] = self._said_by(other, latents[rows])
        return codes

    def _said_by(self, other: int, latents: Tensor) -> Tensor:
        """Codes (B, N) that another speaker would have for latents (B, N, D)."""
        asked = surroundings_of(latents, self._frame_rate)
        known = self._surroundings[other]
        # ‖a - b‖² without ‖a‖², which is the same for all that are compared
        distance = known.square().sum(1) - 2 * asked @ known.T
        return self._codes[other][distance.argmin(-1)]


@torch.no_grad()
def find_dialects(
    model: VQVAE, waveforms: Waveforms, voices: SpeakerCepstra | None = None
) -> Dialects:
    """Encode some speech of each of a model's speakers, in every process alike."""
    device = model.quantizer.codebook.device
    surroundings, codes = [], []
    for s, its in enumerate(some_of_each(waveforms, model.speakers, SECONDS, TOGETHER)):
        voice = voice_of(voices, torch.tensor([s], device=device))
        latents = [model.latents(torch.from_numpy(x)[None].to(device), voice) for x in its]
        around = [surroundings_of(z, model.frame_rate)[0] for z in latents]
        surroundings.append(torch.cat(around))
        codes.append(torch.cat([model.quantizer.nearest(z)[0] for z in latents]))
        take_from_first(surroundings[-1])
        take_from_first(codes[-1])
    return Dialects(surroundings, codes, model.frame_rate)


def surroundings_of(latents: Tensor, frame_rate: float) -> Tensor:
    """What is compared of latents (B, N, D): (B, N, C)."""
    offsets = sorted({round(seconds * frame_rate) for seconds in CONTEXT})
    return with_context(latents.float()[..., :CEPSTRA], offsets)

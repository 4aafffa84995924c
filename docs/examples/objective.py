"""A new objective: contrastive predictive coding, as a pretext stage before equation 3.

    python docs/examples/objective.py TRAIN.jsonl VALID.jsonl OUT

trains the encoder to tell the latent that follows from others, then the whole model by equation 3.
"""

import sys
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

import speechvq
from speechvq.config import (
    DataConfig,
    LikelihoodStage,
    ModelConfig,
    QuantizerConfig,
    StageConfig,
    StridedEncoderConfig,
    TrainingConfig,
    WaveformConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.training.objective import Losses, Objective
from speechvq.training.objectives import build_objective
from speechvq.training.train import train


@dataclass(frozen=True)
class ContrastiveStage(StageConfig):
    """Contrastive predictive coding of the latents.

    Attributes
    ----------
    objective : {"contrastive"}
    ahead : int
        Codes from a latent to the one that it predicts.
    """

    objective: Literal["contrastive"] = "contrastive"
    ahead: int = 2

    def check(self, model: ModelConfig) -> None:
        """Refuse a model that this stage cannot train."""
        if not isinstance(model.features, WaveformConfig):
            raise ValueError("objective: contrastive trains an encoder of the waveform")


class ContrastiveObjective(Objective):
    """Cross-entropy, in nats, of telling z_e[n + ahead] among the latents of its utterance."""

    def __init__(self, config: ContrastiveStage, model: Model):
        super().__init__()
        self.ahead = config.ahead
        self.encoder = model.vqvae.encoder
        D = model.config.quantizer.codebook_dim
        self.predict = nn.Linear(D, D)  # of the objective alone; checkpoints have it

    def forward(self, batch: Batch) -> Losses:
        """Losses of waveforms (B, T); `trained` is by default every parameter of this module."""
        latents = self.encoder(batch.inputs).float()  # (B, N, D)
        if latents.shape[1] <= self.ahead:  # the end of a held-out utterance may be a single code
            return Losses(latents.new_zeros(()), {"accuracy": latents.new_zeros(())}, weight=0)
        predicted, following = self.predict(latents[:, : -self.ahead]), latents[:, self.ahead :]
        scores = predicted @ following.transpose(1, 2)  # (B, N', N')
        right = torch.arange(scores.shape[1]).expand(len(scores), -1).to(scores.device)
        loss = F.cross_entropy(scores.flatten(0, 1), right.flatten())
        accuracy = (scores.argmax(-1) == right).float().mean()
        return Losses(loss, {"accuracy": accuracy}, weight=batch.waveform.shape[-1])


@build_objective.register
def _(config: ContrastiveStage, model: Model) -> Objective:
    return ContrastiveObjective(config, model)


def main(train_manifest: str, valid_manifest: str, out: str) -> None:
    """Train two stages, then encode and sample."""
    wavenet = WaveNetConfig(layers=4, dilation_cycle=4, residual_channels=16, skip_channels=16)
    config = ModelConfig(
        sample_rate=8000,
        encoder=StridedEncoderConfig(strides=(10, 8), channels=32),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8),
        decoder=WaveNetDecoderConfig(wavenet=wavenet),
    )
    stages = [
        ContrastiveStage(steps=6, batch_size=2, segment_length=1600, warmup_steps=2, ahead=1),
        LikelihoodStage(steps=4, batch_size=2, segment_length=1600, warmup_steps=2),
    ]
    data = DataConfig(train_manifest, valid_manifest)
    folder = train(config, data, stages, TrainingConfig(workers=0, samples=0), out)

    model = speechvq.load(folder)
    utterance = read_manifest(valid_manifest)[0]
    waveform, _ = speechvq.audio.read(utterance.path, model.sample_rate)
    codes = speechvq.encode(model, waveform)
    drawn = speechvq.sample(model, codes[:10], model.speakers[0])
    print(f"{len(waveform)} samples, {len(codes)} codes, {len(drawn)} samples drawn")


if __name__ == "__main__":
    main(*sys.argv[1:])

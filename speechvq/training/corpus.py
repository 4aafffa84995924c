"""The speech that a training learns from, as objectives and the trainer need it.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size, S speakers.
"""

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from speechvq.config import PerturbationConfig, StageConfig
from speechvq.data.frame_labels import Codes, Labels
from speechvq.data.pieces import pieces
from speechvq.data.segments import Batch, SegmentBatches, Waveforms
from speechvq.distributed import Processes
from speechvq.features.perturbation import PerturbedBatches, source_length
from speechvq.model import Model
from speechvq.models.quantizer import Quantizer
from speechvq.training.codebook import start_whitened

logger = logging.getLogger(__name__)

MOST_UNUSABLE = 0.1
"""Share of the training utterances that may turn out to be unusable; more stop the training."""
LATENTS_PER_CODE = 64
"""Latents that k-means gets for each code, if there is so much data."""
PIECE_SECONDS = 4.0
"""Longest piece of an utterance that is scored at once in a validation, which bounds memory."""


class Corpus(nn.Module):
    """Training speech of named speakers.

    `decoder_started` tells whether a stage, or the model that the training began with, has started
    the decoder; it is a buffer, so that a checkpoint holds it.

    Parameters
    ----------
    model : Model
    waveforms : Waveforms
        To learn from; in the held-out set every speaker is one of the model's.
    held_out : Waveforms or None
        To validate on.
    group : Processes
    seed : int
    """

    decoder_started: Tensor

    def __init__(
        self,
        model: Model,
        waveforms: Waveforms,
        held_out: Waveforms | None,
        group: Processes,
        seed: int,
    ):
        super().__init__()
        self._model = [model]  # in a list: a corpus has no weights of the model
        self.waveforms = waveforms
        self.held_out = held_out
        self.group = group
        self.seed = seed
        self._lost = 0  # utterances to learn from that have turned out to be unusable
        self.register_buffer("decoder_started", torch.tensor(False))
        self.report_unusable()

    @property
    def model(self) -> Model:
        """The model that is trained."""
        return self._model[0]

    @property
    def speakers(self) -> list[str]:
        """Names, in the order of their indices."""
        return self.model.speakers

    def get_extra_state(self) -> Tensor:
        """Which utterances are left out, for the checkpoint, from which it is filled again."""
        return self.waveforms.left_out

    def set_extra_state(self, state: Tensor) -> None:
        """Leave the same utterances out."""
        self.waveforms.left_out.copy_(state)

    def report_unusable(self) -> None:
        """Log utterances that have turned out to be unusable; stop where these are too many.

        Raises
        ------
        ValueError
            They are more than one and more than `MOST_UNUSABLE` of those to learn from, or all of
            a speaker.
        """
        waveforms = self.waveforms
        if new := waveforms.unreported():
            self._lost += len(new)
            columns = waveforms.columns
            heard = set(columns.speaker[~waveforms.left_out.numpy()].tolist())
            silent = sorted(set(self.speakers) - {columns.speakers[i] for i in heard})
            if self._lost > max(1, MOST_UNUSABLE * len(waveforms)) or silent:
                whose = f", all of {silent[0]}'s among them," if silent else ""
                raise ValueError(
                    f"{waveforms.fault(new[0])}; {self._lost} of {len(waveforms)} utterances to "
                    f"learn from{whose} cannot be decoded, which is too many; mend the files, or "
                    "run speechvq-prepare --check, which leaves them out of the manifest"
                )
            waveforms.report(new)  # these alone: another process may have found more meanwhile
        if self.held_out is not None:
            self.held_out.report(self.held_out.unreported())

    def prepare(self, batch: Batch) -> Batch:
        """Move a batch to the device and compute the encoder's input."""
        self.report_unusable()
        batch = batch.to(self.group.device)
        source = batch.waveform if batch.inputs is None else batch.inputs
        return batch._replace(inputs=self.model.features(source))

    def batches(
        self,
        config: StageConfig,
        name: str = "",
        steps: int | None = None,
        margin: int = 0,
        labels: Labels | None = None,
        perturbation: PerturbationConfig | None = None,
        codes: Codes | None = None,
    ) -> SegmentBatches | PerturbedBatches:
        """Random segments for a stage, by step.

        Parameters
        ----------
        config : StageConfig
            Of the stage.
        name : str
            Added to the stage's name, for segments of their own.
        steps : int, optional
            By default those of the stage.
        margin : int
            Codes of context on either side of a segment.
        labels : Labels, optional
            Frame labels of the utterances.
        perturbation : PerturbationConfig, optional
            Of the encoder's input.
        codes : Codes, optional
            Codes of the utterances.
        """
        hop_length = self.model.hop_length
        if perturbation is not None and not perturbation.changes:
            perturbation = None
        length = -(-config.segment_length // hop_length) * hop_length
        try:
            segments = SegmentBatches(
                self.waveforms,
                self.speakers,
                seed=self.seed,
                stage=f"{config.label} {name}".strip(),
                batch_size=config.batch_size,
                segment_length=source_length(length, perturbation) if perturbation else length,
                hop_length=hop_length,
                steps=config.steps if steps is None else steps,
                margin=margin * hop_length,
                labels=labels,
                codes=codes,
                speaker_exponent=config.speaker_exponent,
                only=config.speakers,
                rank=self.group.rank,
                world_size=self.group.world_size,
            )
        except ValueError as error:
            raise ValueError(f"stages.{config.label}.{error}") from error
        if perturbation is None:
            return segments
        return PerturbedBatches(segments, perturbation, self.model.sample_rate, length)

    def held_out_batches(
        self, labels: Labels | None = None, codes: Codes | None = None
    ) -> Iterator[Batch]:
        """This process's share of the held-out utterances, in pieces (1, T)."""
        waveforms, rate = self.held_out, self.model.sample_rate
        assert waveforms is not None
        hop_length = self.model.hop_length
        for i in range(self.group.rank, len(waveforms), self.group.world_size):
            index = self.model.speaker_index(waveforms.utterances[i].speaker)
            longest = round(PIECE_SECONDS * rate) // hop_length * hop_length
            for start, length in pieces(int(waveforms.lengths[i]), longest):
                samples = waveforms.try_crop(i, start, length)
                if samples is None:
                    break
                waveform = torch.from_numpy(samples)[None]
                count, own_labels, own_codes = -(-length // hop_length), None, None
                if labels is not None:
                    found = labels.of_codes(i, start, count, hop_length)
                    own_labels = torch.from_numpy(found)[None]
                if codes is not None:
                    found = codes.crop(i, start // hop_length, count)
                    own_codes = torch.from_numpy(found)[None]
                yield Batch(waveform, torch.tensor([index]), own_labels, codes=own_codes)

    def speech(self, name: str, config: StageConfig, seconds: float) -> Tensor:
        """Random segments of some minutes of speech, the same in all processes: (B, T)."""
        samples = min(self.waveforms.seconds, seconds) * self.model.sample_rate
        return torch.cat(
            [self.group.gather(x.waveform) for x in self._some(name, config, int(samples))]
        )

    @torch.no_grad()
    def latents(self, config: StageConfig) -> Tensor:
        """Latents (≥ K, D) of random segments, the same in all processes."""
        K, model = self.model.codebook_size, self.model
        available = int(self.waveforms.seconds * model.frame_rate)
        wanted = max(K, min(LATENTS_PER_CODE * K, available))
        some = self._some("codebook", config, wanted * model.hop_length)
        found = (model.vqvae.encoder(self.prepare(batch).inputs) for batch in some)
        return torch.cat([self.group.gather(z).flatten(0, 1) for z in found])

    def start_codebook(self, how: str, config: StageConfig) -> None:
        """Start the codebook at k-means centres of latents.

        Parameters
        ----------
        how : {"kmeans", "whitened", "keep"}
            As in `MelStage.codebook`.
        config : StageConfig
            Of the stage that begins.
        """
        if how == "keep":
            return
        vqvae, latents = self.model.vqvae, self.latents(config)
        K = self.model.codebook_size
        self.log("starting %d codes at the k-means centres of %d latents", K, len(latents))
        if how == "kmeans":
            vqvae.quantizer.initialise(latents)
        else:
            assert isinstance(vqvae.quantizer, Quantizer)  # the settings are checked
            start_whitened(vqvae.quantizer, vqvae.encoder.output, latents)

    def log(self, message: str, *values: object) -> None:
        """Log, in the first process, what takes long while no step shows progress."""
        if self.group.first:
            logger.info(message, *values)

    def _some(self, name: str, config: StageConfig, samples: int) -> Iterator[Batch]:
        """Batches of this process, of `samples` at least over all processes."""
        steps = math.ceil(samples / self.batches(config).samples_per_step)
        segments = self.batches(config, name, steps)
        return (segments[step].to(self.group.device) for step in range(steps))

"""How close a model's reconstructions are to the recordings that they are drawn from.

Shapes: T samples, M frames, F mel bands.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.judges.closeness import STOI, PitchError, SpectralDistance, ViSQOL
from speechvq.analysis.judges.judge import RECONSTRUCTION, SOURCE, Judge, Recordings, Score, Speech
from speechvq.analysis.judges.level import normalised
from speechvq.analysis.judges.quality import DNSMOS
from speechvq.analysis.judges.scores import Scores, summarise
from speechvq.data.manifest import Utterance, read_known, read_usable
from speechvq.evaluation.conversion import real
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.model import Model
from speechvq.progress import Progress
from speechvq.sampling import SamplingOptions, sample_batch
from speechvq.sampling.griffin_lim import griffin_lim, griffin_lim_batch
from speechvq.sampling.utterances import Encoded, encode_utterances

logger = logging.getLogger(__name__)

PREDICTED, RECORDED = "Griffin-Lim, predicted mel", "Griffin-Lim, recorded mel"
"""Speech, without a decoder, of the mel predictor's frames and of those of the recording."""

JUDGES = {judge.title: judge for judge in (SpectralDistance, STOI, ViSQOL, PitchError, DNSMOS)}
"""By title, what compares reconstructions with recordings, and DNSMOS, which hears each alone."""


@dataclass(frozen=True)
class ReconstructionEvaluation:
    """Scores of reconstructions.

    Attributes
    ----------
    utterances : list of Utterance
        Their speakers are those of the reconstructions.
    speech : dict
        By kind, waveforms (T,) of the utterances at the judges' sample rate and level.
    judges : list of Judge
    scores : dict
        By the title of the judge, estimates by kind of speech and name of the number.
    each : list of dict
        Of each utterance, the numbers of its reconstruction by name.
    bits_per_sample : Estimate
        Of the recordings given their codes.
    """

    utterances: Sequence[Utterance]
    speech: dict[str, list[np.ndarray]]
    judges: list[Judge]
    scores: dict[str, Scores]
    each: list[dict[str, float]]
    bits_per_sample: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return {
            "utterances": len(self.utterances),
            "judges": {judge.title: judge.name for judge in self.judges},
            "bits_per_sample": self.bits_per_sample,
            "scores": self.scores,
        }


def evaluate_reconstruction(
    model: Model,
    utterances: Sequence[Utterance],
    judges: Sequence[Judge],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    progress: Progress = lambda items, _: items,
    drawn: Callable[[int], None] | None = None,
) -> ReconstructionEvaluation:
    """Draw utterances from their codes and compare them with the recordings.

    A model with a mel predictor is compared with the speech of its frames by Griffin-Lim, and with
    that of the recording's frames: the loss by the phases alone.

    Parameters
    ----------
    model
        Knows the speakers of the utterances.
    utterances
        See :func:`reconstructible`.
    judges
        Of :data:`JUDGES`, those whose packages are there.
    options
        Of sampling. The seed is that of the first utterance; each further one has the next.
    progress, drawn
        Show progress; `drawn` gets numbers of samples.
    """
    speech = reconstruct(model, list(encode_utterances(model, utterances)), options, drawn)
    recordings = Recordings({}, (), functools.cache(real))
    scores: dict[str, Scores] = {}
    each: list[dict[str, float]] = [{} for _ in utterances]
    for judge in judges:
        kinds = (
            speech if SOURCE in judge.kinds else {k: x for k, x in speech.items() if k != SOURCE}
        )
        found: dict[str, list[tuple[str, Score]]] = {kind: [] for kind in kinds}
        for i, utterance in enumerate(progress(utterances, judge.title)):
            for kind, waveforms in kinds.items():
                piece = Speech(kind, utterance, recordings, synthesised=waveforms[i])
                found[kind].append((utterance.id, judge.score(piece)))
            each[i] |= _numbers(found[RECONSTRUCTION][-1][1])
        scores[judge.title] = summarise(found)
    bits = bits_per_sample(model, progress(utterances, "bits per sample"))
    return ReconstructionEvaluation(list(utterances), speech, list(judges), scores, each, bits)


def reconstruct(
    model: Model,
    encoded: Sequence[Encoded],
    options: SamplingOptions,
    drawn: Callable[[int], None] | None = None,
) -> dict[str, list[np.ndarray]]:
    """Speech (T,) by kind, as long as the recordings, at the judges' sample rate and level."""
    codes = [e.codes for e in encoded]
    speakers = [e.utterance.speaker for e in encoded]
    seeds = [options.seed + i for i in range(len(encoded))]
    found = {
        SOURCE: [e.waveform for e in encoded],
        RECONSTRUCTION: sample_batch(model, codes, speakers, options, seeds=seeds, progress=drawn),
    }
    if model.mel_predictor is not None:
        found[PREDICTED] = griffin_lim_batch(model, codes, speakers, options, seeds=seeds)
        found[RECORDED] = [
            _of_mel(model, e.waveform, seed) for e, seed in zip(encoded, seeds, strict=True)
        ]
    return {
        kind: [
            normalised(x[: len(e.waveform)], model.sample_rate)
            for x, e in zip(waveforms, encoded, strict=True)
        ]
        for kind, waveforms in found.items()
    }


@torch.inference_mode()
def _of_mel(model: Model, waveform: np.ndarray, seed: int) -> np.ndarray:
    """Speech (T,) of the log-mel frames (M, F) of a waveform (T,), by Griffin-Lim."""
    assert model.mel_predictor is not None
    mel = model.mel_predictor.mel
    x = F.pad(torch.from_numpy(waveform), (0, -len(waveform) % model.hop_length))
    return griffin_lim(mel, mel(x[None].to(model.device))[0].cpu().numpy(), seed)


def reconstructible(path: str, model: Model, speaker: str | None = None) -> Sequence[Utterance]:
    """Utterances of a manifest with a speaker of the model to reconstruct them by.

    Parameters
    ----------
    path
        The manifest.
    model
        Knows some of its speakers.
    speaker
        Of the model; reconstructs those utterances whose speakers the model does not know. Without
        it these are left out with a warning.

    Raises
    ------
    ValueError
        The model does not know the speaker, or no speaker of the manifest.
    """
    if speaker is None:
        try:
            return read_known(path, model.speakers, "the model")
        except ValueError as error:
            raise ValueError(f"{error}; say by --speaker who is to reconstruct them") from error
    model.speaker_index(speaker)
    return [
        u if u.speaker in model.speakers else dataclasses.replace(u, speaker=speaker)
        for u in read_usable(path)
    ]


def _numbers(score: Score) -> dict[str, float]:
    """The numbers of a score, with error rates divided; those that are undefined are left out."""
    found = {}
    for name, number in score.numbers.items():
        if isinstance(number, tuple):
            number = number[0] / number[1] if number[1] else np.nan
        if not np.isnan(number):
            found[name] = float(number)
    return found

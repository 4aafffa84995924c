"""The likelihood of utterances under a model: bits per sample."""

from __future__ import annotations

from collections.abc import Iterable

from speechvq.analysis.bootstrap import Estimate, ratio
from speechvq.config import DecoderStage
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.training.corpus import Corpus
from speechvq.training.frozen_codes import frozen_codes_of
from speechvq.training.objectives.decoder import DecoderObjective
from speechvq.training.validate import validate


def bits_per_sample(model: Model, utterances: Iterable[Utterance]) -> Estimate | None:
    """Bits per sample of utterances given their codes and speakers: the reconstruction term.

    Parameters
    ----------
    model
        Knows the speakers of the utterances.
    utterances
        The mean is over all samples of these.

    Returns
    -------
    Estimate or None
        With a 95 % interval over utterances; None without utterances.
    """
    processes = Processes(model.device)
    objective = DecoderObjective(DecoderStage(), model)
    bits, samples = [], []
    for utterance in utterances:
        waveforms = Waveforms([utterance], model.sample_rate)
        corpus = Corpus(model, waveforms, waveforms, processes, seed=0)
        samples.append(int(waveforms.lengths[0]))
        if codes := frozen_codes_of(model, waveforms, processes):
            codes.find()
        pieces = corpus.held_out_batches(codes=codes)
        scores = validate(objective, pieces, corpus.prepare, processes)
        assert scores is not None  # nothing stops it
        bits.append(scores.metrics["bits_per_sample"] * samples[-1])
    return ratio(bits, samples) if bits else None

"""Reconstructions to listen to while a decoder learns."""

import numpy as np
import torch

from speechvq.sampling import sample
from speechvq.training.corpus import Corpus

SECONDS = 1.0
"""Of each utterance."""


def draw_beginnings(corpus: Corpus, count: int) -> dict[str, tuple[np.ndarray, int]]:
    """Draw the beginnings of some held-out utterances from their codes.

    Returns
    -------
    dict of str to tuple
        By utterance id: waveform (T,) and sample rate in Hz.
    """
    sounds, model, waveforms = {}, corpus.model, corpus.held_out
    assert waveforms is not None
    most = min(count, len(waveforms))
    for i in np.linspace(0, len(waveforms) - 1, most).astype(int):
        speaker = waveforms.utterances[i].speaker
        length = min(round(SECONDS * model.sample_rate), int(waveforms.lengths[i]))
        samples = waveforms.try_crop(i, 0, length)
        if samples is None:
            continue
        waveform = torch.from_numpy(samples)[None].to(model.device)
        codes = model.encode(waveform)[0].cpu().numpy()
        sounds[waveforms.utterances[i].id] = (sample(model, codes, speaker), model.sample_rate)
    return sounds

"""Frame labels of utterances, from a file of codes."""

from pathlib import Path

import numpy as np

from speechvq.codes import read_codes
from speechvq.data.frame_labels import Labels
from speechvq.data.segments import Waveforms


def read_labels(path: str, waveforms: Waveforms, codebook_size: int) -> Labels:
    """Labels of the utterances of `waveforms`, in their order; none of those that are left out.

    Raises
    ------
    ValueError
        The file has labels of K and more, none for some utterance, or none of its length.
    OSError
        It is missing or cannot be read.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{path}: no such file of labels; make it with: python recipes/vctk/units.py --train "
            f"TRAIN.jsonl --label TRAIN.jsonl VALID.jsonl --out {path}"
        )
    source, labels = read_codes(path)
    if source.codebook_size > codebook_size:
        raise ValueError(
            f"{path}: {source.codebook_size} different labels, and model.quantizer.codebook_size "
            f"is {codebook_size}; give it that number at least"
        )
    rate = source.sample_rate / source.hop_length
    found = []
    for i, utterance in enumerate(waveforms.utterances):
        if not waveforms.usable(i):
            found.append(np.zeros(0, np.int64))
            continue
        if utterance.id not in labels:
            raise ValueError(
                f"{path}: no labels of {utterance.id}; make them for every utterance of the "
                "training and validation data"
            )
        own = labels[utterance.id]
        if abs(len(own) / rate - utterance.duration) > 2 / rate:
            raise ValueError(
                f"{path}: labels for {len(own) / rate:.2f} s of {utterance.id}, which has "
                f"{utterance.duration:.2f} s; make them anew"
            )
        found.append(own)
    return Labels(found, rate, waveforms.sample_rate)

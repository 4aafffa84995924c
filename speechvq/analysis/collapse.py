"""What of posterior collapse is counted: the result behind one bottleneck, and the bits of codes.

Shapes: N codes, K codebook_size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.phonemes import PhonemeScores


@dataclass(frozen=True)
class Behind:
    """What a decoder learned behind one bottleneck; estimates are over utterances.

    Attributes
    ----------
    own, other : Estimate
        Bits per sample with the latents of the utterance, and with those of another one.
    gain : Estimate
        `other` less `own`, of the same utterances.
    rate : Estimate or None
        Bits per second that the latents carry: the KL divergence from the prior N(0, 1), or from
        the frequencies of the codes in the training data. None where nothing bounds them.
    phones : PhonemeScores or None
        Of the codes, or of k-means with the same K on the latents. None without phone labels.
    """

    own: Estimate
    other: Estimate
    gain: Estimate
    rate: Estimate | None
    phones: PhonemeScores | None


def code_bits(
    train: Sequence[np.ndarray], scored: Sequence[np.ndarray], codebook_size: int
) -> list[float]:
    """Bits of each utterance's codes (N,) under the frequencies of the training codes.

    One is added to the count of each of the K codes, so that none is impossible.
    """
    counts = 1 + np.bincount(np.concatenate(train), minlength=codebook_size)
    cost = -np.log2(counts / counts.sum())
    return [float(cost[codes].sum()) for codes in scored]

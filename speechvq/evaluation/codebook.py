"""How a model uses its codebook, on the speech of a manifest; phones are not needed.

Shapes: K codebook_size, G codebooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechvq.analysis.codebook import (
    BitRate,
    CodebookUse,
    bit_rates,
    code_map,
    codebook_use,
    side_by_side,
)
from speechvq.analysis.frames import frame_labels
from speechvq.analysis.phone_classes import classes_of
from speechvq.analysis.phonemes import joint_counts
from speechvq.data.manifest import Phone, Utterance
from speechvq.evaluation.phonemes import codebook_names
from speechvq.model import Model
from speechvq.sampling.utterances import encode_utterances

APART, TUPLES = "all, each coded alone", "all, as one symbol"


@dataclass(frozen=True)
class CodebookEvaluation:
    """Use and bit rates by the name of the codebook, and a map of each codebook's code vectors.

    Attributes
    ----------
    use : dict of str to CodebookUse
        Of each codebook; of product codes also of the tuples of their codes (:data:`TUPLES`).
    rates : dict of str to (dict of str to BitRate)
        Of the same, and of all codebooks side by side (:data:`APART`).
    maps : list of ndarray
        G arrays (K, 2).
    classes : list of ndarray
        G arrays (K,) of the phone class most frequent among the frames of each code; "" for a code
        without a labelled frame.
    """

    codebook_size: int
    frame_rate: float
    bitrate: float
    manifest: str
    utterances: int
    labelled: int
    frames: int
    use: dict[str, CodebookUse]
    rates: dict[str, dict[str, BitRate]]
    maps: list[np.ndarray]
    classes: list[np.ndarray]
    how: str
    seed: int

    @property
    def counts(self) -> list[np.ndarray]:
        """The frames of each code (K,), for each codebook alone."""
        return [use.counts for use in self.use.values() if use.counts is not None]

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return {
            "codebooks": len(self.maps),
            "codebook_size": self.codebook_size,
            "frame_rate": self.frame_rate,
            "bitrate": self.bitrate,
            "manifest": self.manifest,
            "utterances": self.utterances,
            "utterances_with_phones": self.labelled,
            "frames": self.frames,
            "map": self.how,
            "seed": self.seed,
            "use": {name: self._use(use) for name, use in self.use.items()},
            "bits_per_second": self.rates,
        }

    def _use(self, use: CodebookUse) -> dict[str, Any]:
        alone = use.counts is not None
        return {
            "codes_used": use.used,
            "dead_codes": np.flatnonzero(use.counts == 0).tolist() if alone else None,
            "perplexity": use.perplexity,
            "run_seconds": use.run_seconds,
            "longest_run_frames": len(use.run_counts) - 1,
        }


def evaluate_codebook(
    model: Model,
    manifest: str,
    utterances: Iterable[Utterance],
    how: str = "tsne",
    seed: int = 0,
) -> CodebookEvaluation:
    """Measure how a model uses its codebook.

    Parameters
    ----------
    model
        In eval mode.
    manifest
        The name of the manifest, and
    utterances
        its utterances; those with phones colour the map.
    how, seed
        Of the map (`analysis.codebook.code_map`).
    """
    G, K, frame_rate = model.codebooks, model.codebook_size, model.frame_rate
    codes, labels = [], []
    for encoded in encode_utterances(model, utterances):
        codes.append(encoded.codes.reshape(-1, G))
        phones, N = encoded.utterance.phones, len(encoded.codes)
        labels.append(None if phones is None else _classes(phones, N, frame_rate))
    names = codebook_names(G)
    use = {
        name: codebook_use([own[:, g] for own in codes], K, frame_rate)
        for g, name in enumerate(names)
    }
    codings = {name: found.codings for name, found in use.items()}
    if G > 1:
        use[TUPLES] = codebook_use(codes, K, frame_rate)
        codings[APART] = side_by_side(list(codings.values()))
        codings[TUPLES] = use[TUPLES].codings
    seconds = np.array([len(own) for own in codes]) / frame_rate
    vectors = [v.detach().float().cpu().numpy() for v in model.vqvae.quantizer.codebooks]
    return CodebookEvaluation(
        K,
        frame_rate,
        model.bitrate,
        manifest,
        len(codes),
        sum(own is not None for own in labels),
        sum(map(len, codes)),
        use,
        {name: bit_rates(found, seconds) for name, found in codings.items()},
        [code_map(own, how, seed) for own in vectors],
        list(_classes_of_codes(codes, labels, K)),
        how,
        seed,
    )


def _classes(phones: Iterable[Phone] | None, n_frames: int, frame_rate: float) -> np.ndarray:
    """The phone class (N,) at the centre of each code's frame."""
    return classes_of(frame_labels(phones, n_frames, 1 / frame_rate))


def _classes_of_codes(
    codes: list[np.ndarray], labels: list[np.ndarray | None], codebook_size: int
) -> Iterator[np.ndarray]:
    """For each codebook, the most frequent phone class (K,) of each code; "" where none is known.

    Codes are (N, G), labels (N,) or None, of each utterance.
    """
    known = [i for i, own in enumerate(labels) if own is not None]
    for g in range(codes[0].shape[1]):
        found = np.full(codebook_size, "", dtype="<U16")
        if known:
            own = np.concatenate([codes[i][:, g] for i in known])
            counts, classes = joint_counts(
                own, np.concatenate([labels[i] for i in known]), codebook_size
            )
            seen = counts.sum(axis=1) > 0
            found[seen] = classes[counts[seen].argmax(axis=1)]
        yield found

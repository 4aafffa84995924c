"""Use of a codebook: perplexity, dead codes, runs of a code, and the bit rates of coding them.

A run is a stretch of equal codes within an utterance; with z the code and l the length of a run:

==================== ===========================================================================
uniform              log2 K for each frame: the bit rate of the paper, nothing known of the codes
entropy              H(z) for each frame: an ideal entropy coder that knows how often each code is
run lengths          log2 K + log2 L for each run, L the longest one: pairs (z, l) of a fixed size
run lengths, entropy H(z, l) for each run: an ideal entropy coder of the pairs
merged, entropy      H(z) over runs, for each run: the lengths are lost, as in the units of
                     discrete-unit language models
==================== ===========================================================================

Entropies are those of the relative frequencies of the same speech (plug-in), in bits. They are too
low where symbols are rare: by (m - 1) / (2 ln 2) bits in all for m different symbols, to the first
order (Miller, "Note on the bias of information estimates", 1955). No context is used: an
autoregressive prior needs fewer bits.

Shapes: U utterances, N codes, R runs, G codebooks, K codebook_size, D codebook_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate, estimate, ratio

UNIFORM, ENTROPY = "uniform", "entropy"
RUNS, RUNS_ENTROPY, MERGED = "run lengths", "run lengths, entropy", "merged, entropy"
CODINGS = (UNIFORM, ENTROPY, RUNS, RUNS_ENTROPY, MERGED)


@dataclass(frozen=True)
class Coded:
    """What a way of coding costs.

    Attributes
    ----------
    bits : ndarray
        (U,), of each utterance; their sum divided by the number of symbols is the entropy.
    symbols, different : int
        Frames or runs that are coded, and how many different symbols there are among them.
    missing : float
        Bits by which the sum is too low, by Miller's correction.
    """

    bits: np.ndarray
    symbols: int
    different: int
    missing: float = 0.0


@dataclass(frozen=True)
class BitRate:
    """Bits per second of a way of coding, with the 95 % interval; ``corrected`` is by Miller."""

    rate: Estimate
    corrected: float
    symbols: int
    different: int


@dataclass(frozen=True)
class CodebookUse:
    """Result of :func:`codebook_use`.

    Attributes
    ----------
    counts : ndarray
        (K,), the frames of each code; None for tuples of several codebooks.
    used : int
        Different codes that occur.
    perplexity : Estimate
        2^H(z).
    run_seconds : Estimate
        Mean length of a run.
    run_counts : ndarray
        (L + 1,), the runs of each length in frames.
    codings : dict of str to Coded
        By the names in :data:`CODINGS`.
    """

    counts: np.ndarray | None
    used: int
    perplexity: Estimate
    run_seconds: Estimate
    run_counts: np.ndarray
    codings: dict[str, Coded]


def runs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the runs of equal codes.

    Parameters
    ----------
    codes
        Integers (N,).

    Returns
    -------
    codes : ndarray, shape (R,)
        The code of each run.
    lengths : ndarray, shape (R,)
        Frames of each run.
    """
    starts = np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1))
    return codes[starts], np.diff(starts, append=len(codes))


def codebook_use(
    utterances: Sequence[np.ndarray], codebook_size: int, frame_rate: float
) -> CodebookUse:
    """Measure how codes are used.

    Parameters
    ----------
    utterances
        Codes of each: (N,), or (N, G) of a product code, whose tuples are then the symbols.
    codebook_size
        K, of a single codebook.
    frame_rate
        Codes per second.

    Raises
    ------
    ValueError
        No codes, or codes out of range.
    """
    everything = np.concatenate([np.asarray(codes) for codes in utterances])
    if not len(everything):
        raise ValueError("no codes: there is nothing to measure")
    if everything.min() < 0 or everything.max() >= codebook_size:
        raise ValueError(
            f"codes from {everything.min()} to {everything.max()}, expected 0 to "
            f"{codebook_size - 1}; were they made by another model?"
        )
    single = everything.ndim == 1
    log_size = math.log2(codebook_size) * (1 if single else everything.shape[1])
    frames = np.array([len(codes) for codes in utterances])
    _, symbols = np.unique(everything, axis=0, return_inverse=True)
    symbols = symbols.reshape(-1)  # a tuple of codes is one symbol
    found = [runs(own) for own in np.split(symbols, np.cumsum(frames)[:-1])]
    of_runs = np.array([len(own) for own, _ in found])
    run_codes, run_lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    pairs = np.stack([run_codes, run_lengths], axis=1)
    entropy, paired = _by_entropy(symbols, frames), _by_entropy(pairs, of_runs)
    pair = log_size + math.log2(run_lengths.max())
    return CodebookUse(
        np.bincount(everything, minlength=codebook_size) if single else None,
        entropy.different,
        estimate(lambda bits, n: 2 ** (bits / n), entropy.bits, frames),
        ratio(frames / frame_rate, of_runs),
        np.bincount(run_lengths),
        {
            UNIFORM: Coded(log_size * frames, len(symbols), entropy.different),
            ENTROPY: entropy,
            RUNS: Coded(pair * of_runs, len(pairs), paired.different),
            RUNS_ENTROPY: paired,
            MERGED: _by_entropy(run_codes, of_runs),
        },
    )


def side_by_side(codings: Sequence[Mapping[str, Coded]]) -> dict[str, Coded]:
    """Code several codebooks, each for itself: the sums over codebooks."""
    return {
        name: Coded(
            np.sum([of_codebook[name].bits for of_codebook in codings], axis=0),
            sum(of_codebook[name].symbols for of_codebook in codings),
            sum(of_codebook[name].different for of_codebook in codings),
            sum(of_codebook[name].missing for of_codebook in codings),
        )
        for name in CODINGS
    }


def bit_rates(codings: Mapping[str, Coded], seconds: np.ndarray) -> dict[str, BitRate]:
    """Bits per second of each way of coding.

    Parameters
    ----------
    codings
        By name.
    seconds
        (U,), of each utterance.
    """
    rates = {}
    for name, coded in codings.items():
        rate = ratio(coded.bits, seconds)
        corrected = rate.value + coded.missing / float(np.sum(seconds))
        rates[name] = BitRate(rate, corrected, coded.symbols, coded.different)
    return rates


def _by_entropy(symbols: np.ndarray, counts: np.ndarray) -> Coded:
    """Code symbols, (X,) or (X, 2), with -log2 p bits each; `counts` (U,) are of utterances.

    The sum is X times the entropy. Under a fixed table of p, the bits of utterances are
    independent, so that the interval of their mean comes from resampling utterances; entropies of
    resampled speech would be too low, as fewer different symbols occur in it.
    """
    _, index, times = np.unique(symbols, axis=0, return_inverse=True, return_counts=True)
    bits = np.log2(times.sum() / times)[index.reshape(-1)]
    owner = np.repeat(np.arange(len(counts)), counts)
    missing = (len(times) - 1) / (2 * math.log(2))
    return Coded(np.bincount(owner, bits, len(counts)), len(symbols), len(times), missing)


def code_map(vectors: np.ndarray, how: str = "tsne", seed: int = 0) -> np.ndarray:
    """Place code vectors in a plane.

    Parameters
    ----------
    vectors
        (K, D).
    how
        ``"pca"``, the two directions in which they differ most, or ``"tsne"``, by which near
        vectors stay near and distances between far ones mean nothing.
    seed
        Of t-SNE.

    Returns
    -------
    ndarray
        (K, 2).
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    K, D = vectors.shape
    vectors = np.asarray(vectors, dtype=np.float64)
    if how == "tsne" and K > 3:
        perplexity = min(30.0, (K - 1) / 3)
        start = "pca" if min(K, D) > 1 else "random"
        return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(vectors)
    components = min(2, K, D)
    placed = PCA(components, random_state=seed).fit_transform(vectors)
    return np.pad(placed, ((0, 0), (0, 2 - components)))

"""Acoustic unit discovery: hidden Markov models of units, trained without transcripts.

A phone is a sequence of spectra: a stop is a closure and then a burst, a diphthong a glide. Each
unit is therefore a left-to-right hidden Markov model with one Gaussian a state, and a bigram over
units joins the models. Viterbi training learns all parameters from speech alone: the likeliest
state sequence is decoded, and the parameters are estimated from it, in turns.

Speakers realise units differently, in speaker-normalised features, too. Each state therefore has
a mean for each speaker, MAP-adapted from the mean over all speakers; without this adaptation, about
half of the units belong to single speakers.

After Varadarajan, Khudanpur and Dupoux, "Unsupervised learning of acoustic sub-word units", 2008,
and Gauvain and Lee, "Maximum a posteriori estimation for multivariate Gaussian mixture observations
of Markov chains", 1994.

Shapes: B batch, T frames, F features, K units, S states of a unit, G speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import speechvq  # noqa: F401  before torch, whose threads then sleep while they wait

# isort: split
import numpy as np
import torch
from torch import Tensor

from speechvq.features.whitening import whitening
from speechvq.progress import track

BIGRAM_PRIOR = 10
"""Counts with which the unigram distribution enters each row of the bigram."""
SPLIT_STD = 0.15
"""Standard deviation of the noise by which a replaced unit differs from its source."""


@dataclass(frozen=True)
class HMMTraining:
    """Settings of unit discovery.

    Attributes
    ----------
    units : int
        K.
    states : int
        S. A unit lasts at least as many frames.
    iterations : int
        Iterations of Viterbi training.
    speaker_independent_iterations : int
        First iterations, in which all speakers share the means, so that the units are the same
        sounds for all speakers.
    relevance_factor : float
        MAP relevance factor of a speaker's means, in frames.
    likelihood_scale : float
        Weight of a frame's log-likelihood: neighbouring frames are correlated.
    insertion_penalty : float
        Subtracted from the log-probability at each new unit, so that units last as long as phones.
    minimum_occupancy : float
        A unit with less than this share of the mean number of frames is replaced by a variant of a
        frequent unit.
    change_frames : int
        Frames over which the rate of spectral change is averaged, for the initial segments.
    seed : int
        Seed of the initial clusters.
    """

    units: int = 128
    states: int = 3
    iterations: int = 12
    speaker_independent_iterations: int = 4
    relevance_factor: float = 30.0
    likelihood_scale: float = 0.3
    insertion_penalty: float = 6.0
    minimum_occupancy: float = 0.03
    change_frames: int = 4
    seed: int = 0

    def __post_init__(self):
        for name in ("units", "states", "iterations", "change_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("relevance_factor", "likelihood_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name):g}")


@dataclass
class HMMUnits:
    """K unit models.

    Attributes
    ----------
    means : Tensor
        (G, K·S, F), means of the states for each speaker.
    whiten : Tensor
        (F, F). The covariance that all states share is the identity for x @ whiten.
    initial : Tensor
        (K,), log-probabilities of the first unit of an utterance.
    bigram : Tensor
        (K, K), row i has the log-probabilities of the units that follow unit i.
    likelihood_scale, insertion_penalty : float
        As in `HMMTraining`.
    """

    means: Tensor
    whiten: Tensor
    initial: Tensor
    bigram: Tensor
    likelihood_scale: float = HMMTraining.likelihood_scale
    insertion_penalty: float = HMMTraining.insertion_penalty

    @property
    def states_per_unit(self) -> int:
        """S."""
        return self.means.shape[1] // len(self.initial)

    def units(self, features: Sequence[Tensor], speakers: Sequence[int]) -> list[Tensor]:
        """Decode the unit of every frame, (T,) of 0 … K-1, of utterances (T, F)."""
        return [states // self.states_per_unit for states in self.states(features, speakers)]

    def states(
        self, features: Sequence[Tensor], speakers: Sequence[int], batch_size: int = 64
    ) -> list[Tensor]:
        """Decode the likeliest states, (T,) of 0 … K·S - 1, of utterances (T, F).

        Utterances of similar length are decoded together; the batch size does not change a result.
        """
        order = sorted(range(len(features)), key=lambda i: len(features[i]))
        decoded: list[Tensor] = [torch.empty(0)] * len(features)
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            paths = self._viterbi([features[i] for i in batch], [speakers[i] for i in batch])
            for i, path in zip(batch, paths, strict=True):
                decoded[i] = path
        return decoded

    def _viterbi(self, features: list[Tensor], speakers: list[int]) -> list[Tensor]:
        lengths = torch.tensor([len(x) for x in features])
        means = self.means[speakers] @ self.whiten  # (B, K·S, F)
        x = torch.nn.utils.rnn.pad_sequence(features, batch_first=True) @ self.whiten
        B, T, _ = x.shape
        K, S = len(self.initial), self.states_per_unit
        # log N(x; mean) up to a constant and |x|², which are the same for all states
        scores = self.likelihood_scale * (x @ means.mT - means.square().sum(-1).unsqueeze(1) / 2)
        scores = scores.unflatten(-1, (K, S))  # (B, T, K, S)

        best = x.new_full((B, K, S), -torch.inf)
        best[:, :, 0] = self.initial + scores[:, 0, :, 0]
        final = best.clone()  # scores at the last frame of each utterance
        advanced = torch.zeros(T, B, K, S, dtype=torch.bool)  # from another state than the same
        previous = torch.zeros(T, B, K, dtype=torch.int64)  # the unit before, where a unit begins
        for t in range(1, T):
            entry, previous[t] = (best[:, :, -1:] + self.bigram).max(dim=1)  # (B, K)
            entry = (entry - self.insertion_penalty).unsqueeze(-1)
            advance = torch.cat([entry, best[:, :, :-1]], dim=-1)
            advanced[t] = advance > best
            best = torch.maximum(advance, best) + scores[:, t]
            at_end = lengths == t + 1
            final[at_end] = best[at_end]
        return [
            _traceback(
                int(final[b].argmax()),
                advanced[:length, b].flatten(1).numpy(),
                previous[:length, b].numpy(),
                S,
            )
            for b, length in enumerate(lengths.tolist())
        ]


def _traceback(state: int, advanced: np.ndarray, previous: np.ndarray, S: int) -> Tensor:
    """States (T,) of the best path that ends in `state`.

    `advanced` (T, K·S) says whether a state was entered at a frame, `previous` (T, K) from which
    unit a unit was entered.
    """
    states = np.empty(len(advanced), np.int64)
    for t in range(len(states) - 1, -1, -1):
        states[t] = state
        if advanced[t, state]:
            unit, place = divmod(state, S)
            state = state - 1 if place else int(previous[t, unit]) * S + S - 1
    return torch.from_numpy(states)


@torch.no_grad()
def train_hmm_units(
    features: Sequence[Tensor],
    speakers: Sequence[int],
    settings: HMMTraining,
    progress: bool = False,
) -> HMMUnits:
    """Train HMM units by Viterbi training.

    Parameters
    ----------
    features : sequence of Tensor
        Features (T, F) of the utterances, of similar variance in all dimensions.
    speakers : sequence of int
        Speaker index of each utterance, 0 … G-1.
    settings : HMMTraining
        Settings of the training.
    progress : bool
        Show a progress bar on stderr.

    Raises
    ------
    ValueError
        The speech has fewer segments than units.
    """
    random = torch.Generator().manual_seed(settings.seed)
    means = _initial_means(features, settings)  # (K·S, F)
    K, S, F, G = settings.units, settings.states, means.shape[1], max(speakers) + 1
    uniform = torch.full((K,), 1 / K).log()
    scales = settings.likelihood_scale, settings.insertion_penalty
    model = HMMUnits(
        means.expand(G, K * S, F), torch.eye(F), uniform, uniform.expand(K, K), *scales
    )
    frames = torch.cat(list(features))
    lengths = torch.tensor([len(x) for x in features])
    speaker = torch.tensor(speakers).repeat_interleave(lengths)  # of each frame
    for iteration in track(range(settings.iterations), "HMM units", " iterations", shown=progress):
        paths = model.states(features, speakers)
        state = speaker * K * S + torch.cat(paths)  # index of the state of the speaker
        whiten = whitening(frames - model.means.flatten(0, 1)[state])
        adapt = iteration >= settings.speaker_independent_iterations
        means, counts = _state_means(
            frames, state, model.means, settings.relevance_factor if adapt else None
        )
        _replace_rare_units(means, counts, settings, random)
        model = HMMUnits(means, whiten, *_unit_bigram(paths, K, S), *scales)
    return model


def _state_means(
    frames: Tensor, state: Tensor, old: Tensor, relevance_factor: float | None
) -> tuple[Tensor, Tensor]:
    """Means (G, K·S, F) of the frames (T, F) of each state, and frames of each state, (K·S,).

    The means are MAP-adapted to each speaker, or shared by all speakers where the relevance factor
    is None. A state without frames keeps the mean over speakers of the `old` means.
    """
    G, states, F = old.shape
    counts = torch.bincount(state, minlength=G * states).float().view(G, states, 1)
    sums = torch.zeros(G * states, F).index_add_(0, state, frames).view(G, states, F)
    total = counts.sum(0)
    common = torch.where(total > 0, sums.sum(0) / total.clamp(min=1), old.mean(0))  # (K·S, F)
    if relevance_factor is None:
        return common.expand(G, states, F).clone(), total[:, 0]
    return (sums + relevance_factor * common) / (counts + relevance_factor), total[:, 0]


def _replace_rare_units(
    means: Tensor, counts: Tensor, settings: HMMTraining, random: torch.Generator
) -> None:
    """Overwrite the means (G, K·S, F) of rare units with variants of the most frequent units."""
    K, S = settings.units, settings.states
    occupancy = counts.view(K, S).sum(1)
    frequent = occupancy.argsort(descending=True)
    rare = (occupancy < settings.minimum_occupancy * occupancy.mean()).nonzero()[:, 0]
    by_unit = means.view(len(means), K, S, -1)
    for unit, source in zip(rare.tolist(), frequent.tolist(), strict=False):
        noise = torch.randn(S, by_unit.shape[-1], generator=random)
        by_unit[:, unit] = by_unit[:, source] + SPLIT_STD * noise


def _unit_bigram(paths: Sequence[Tensor], K: int, S: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities of units, (K,), and of a unit after another, (K, K)."""
    counts, bigrams = torch.zeros(K), torch.zeros(K, K)
    for path in paths:
        sequence = unit_sequence(path, S)
        counts += torch.bincount(sequence, minlength=K)
        pairs = sequence[:-1] * K + sequence[1:]
        bigrams += torch.bincount(pairs, minlength=K * K).view(K, K)
    unigram = (counts + 1) / (counts + 1).sum()
    total = bigrams.sum(1, keepdim=True)
    return unigram.log(), ((bigrams + BIGRAM_PRIOR * unigram) / (total + BIGRAM_PRIOR)).log()


def unit_sequence(path: Tensor, S: int) -> Tensor:
    """Units (n,) that a state path (T,) goes through, each occurrence once."""
    entered = (path[1:] != path[:-1]) & (path[1:] % S == 0)
    starts = torch.cat([torch.ones(1, dtype=torch.bool), entered])
    return path[starts] // S


def _initial_means(features: Sequence[Tensor], settings: HMMTraining) -> Tensor:
    """K-means centres of segments, as means of states (K·S, F)."""
    from sklearn.cluster import KMeans

    K, S = settings.units, settings.states
    segments = [segment for x in features for segment in _segments(x, settings)]
    if len(segments) < K:
        raise ValueError(
            f"{len(segments)} segments of speech cannot start {K} units; use more audio, or fewer "
            "units"
        )
    kmeans = KMeans(K, n_init=1, max_iter=30, random_state=settings.seed)
    centres = kmeans.fit(torch.stack(segments).numpy()).cluster_centers_
    return torch.from_numpy(centres).float().view(K * S, -1)


def _segments(x: Tensor, settings: HMMTraining) -> list[Tensor]:
    """Segments of an utterance (T, F) between maxima of spectral change: S means each, (S·F,)."""
    S, width = settings.states, settings.change_frames
    if len(x) <= width:
        return []
    change = (x[1:] - x[:-1]).norm(dim=1)
    # Element t is the mean over frames t to t + width
    change = torch.nn.functional.avg_pool1d(change[None], width, 1)[0]
    boundaries = [0]
    for t in range(1, len(change) - 1):
        peak = change[t] >= change[t - 1] and change[t] > change[t + 1]
        if peak and t + width // 2 - boundaries[-1] >= S:
            boundaries.append(t + width // 2)
    segments = []
    for start, end in zip(boundaries, [*boundaries[1:], len(x)], strict=True):
        if end - start >= S:
            parts = torch.tensor_split(x[start:end], S)
            segments.append(torch.cat([part.mean(0) for part in parts]))
    return segments

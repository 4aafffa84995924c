"""Acoustic units: the sounds that speech is made of, found without being told.

A phone is no single spectrum: a stop is a silence and then a burst, a diphthong a movement. So each
unit is a hidden Markov model whose states follow one another, one Gaussian each, and any unit may
follow any other, some more often than others. All is learned from the speech alone, by finding the
likeliest states and estimating anew (Viterbi training). The encoder then learns to tell the unit
(`models/spectral.py`), and the codes of the codebook become the units. This is not in the paper.

Speakers do not sound alike, not even after `models/cepstra.py`. So a state has a mean for each of
them, which leans on what all have in common where there is little of it (maximum a posteriori
adaptation): without, half of the units would be of one speaker or another.

Shapes: T frames, F features, K units, S states of a unit, G speakers. After Varadarajan, Khudanpur
and Dupoux, "Unsupervised learning of acoustic sub-word units", 2008, and Gauvain and Lee, "Maximum
a posteriori estimation for multivariate Gaussian mixture observations of Markov chains", 1994.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

STATES = 3
"""S: the beginning, middle and end of a unit, of at least one frame each."""
SLOPE = 4
"""Frames over which it is measured how fast the speech changes, to find the first segments."""
ITERATIONS = 12
ALIKE = 4
"""Iterations in which speakers share their means, so that the units are the same for all."""
LEANING = 30.0
"""Frames that a speaker's mean leans on the common one with."""
SHARPNESS = 0.3
"""Weight of a frame's log-likelihood: neighbouring frames tell much the same."""
CHANGE = -6.0
"""Log-probability, beside the bigram's, of ending a unit: units then last as long as phones."""
RARE = 0.03
"""A unit used less than this share of the mean starts anew, as a variant of a frequent one."""
TOGETHER = 64
"""Utterances whose states are found at once."""


@dataclass
class Units:
    """K unit models.

    Attributes
    ----------
    means : Tensor
        (G, K·S, F), of the states as each speaker says them.
    whiten : Tensor
        (F, F): in the space of x @ whiten the covariance that all states share is the identity.
    first : Tensor
        (K,) log-probabilities of a unit.
    follow : Tensor
        (K, K): row i has the log-probabilities of the units that follow unit i.
    """

    means: Tensor
    whiten: Tensor
    first: Tensor
    follow: Tensor

    def states(self, features: Sequence[Tensor], speakers: Sequence[int]) -> list[Tensor]:
        """The likeliest states, (T,) of 0 … K·S - 1 each, of utterances (T, F) by Viterbi."""
        order = sorted(range(len(features)), key=lambda i: len(features[i]))
        found: list[Tensor] = [torch.empty(0)] * len(features)
        for first in range(0, len(order), TOGETHER):
            batch = order[first : first + TOGETHER]
            its_states = self._viterbi([features[i] for i in batch], [speakers[i] for i in batch])
            for i, states in zip(batch, its_states, strict=True):
                found[i] = states
        return found

    def _viterbi(self, features: list[Tensor], speakers: list[int]) -> list[Tensor]:
        lengths = torch.tensor([len(x) for x in features])
        means = self.means[speakers] @ self.whiten  # (B, K·S, F)
        x = torch.nn.utils.rnn.pad_sequence(features, batch_first=True) @ self.whiten
        B, T, _ = x.shape
        K, S = len(self.first), means.shape[1] // len(self.first)
        # log N(x; mean) up to a constant and |x|², which are the same for all states
        scores = SHARPNESS * (x @ means.mT - means.square().sum(-1).unsqueeze(1) / 2)
        scores = scores.unflatten(-1, (K, S))  # (B, T, K, S)

        best = x.new_full((B, K, S), -torch.inf)
        best[:, :, 0] = self.first + scores[:, 0, :, 0]
        ends = best.clone()
        moved = torch.zeros(T, B, K, S, dtype=torch.bool)  # from the state before, not the same
        come_from = torch.zeros(T, B, K, dtype=torch.int64)  # the unit before, where one begins
        for t in range(1, T):
            begin, come_from[t] = (best[:, :, -1:] + self.follow).max(dim=1)  # (B, K)
            advance = torch.cat([(begin + CHANGE).unsqueeze(-1), best[:, :, :-1]], dim=-1)
            moved[t] = advance > best
            best = torch.maximum(advance, best) + scores[:, t]
            at_end = lengths == t + 1
            ends[at_end] = best[at_end]

        found = []
        for b, length in enumerate(lengths.tolist()):
            states, state = np.empty(length, np.int64), int(ends[b].argmax())
            its_moved, its_come_from = moved[:, b].flatten(1).numpy(), come_from[:, b].numpy()
            for t in range(length - 1, -1, -1):
                states[t] = state
                if its_moved[t, state]:
                    unit, place = divmod(state, S)
                    state = state - 1 if place else int(its_come_from[t, unit]) * S + S - 1
            found.append(torch.from_numpy(states))
        return found


@torch.no_grad()
def discover(
    features: Sequence[Tensor],
    speakers: Sequence[int],
    count: int,
    seed: int = 0,
    progress: bool = False,
) -> Units:
    """Find units in speech.

    Parameters
    ----------
    features : sequence of Tensor
        Utterances (T, F), of similar scale in all F.
    speakers : sequence of int
        The speaker of each, 0 … G-1.
    count : int
        K.
    seed : int
        Of the first clusters.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    ValueError
        Less speech than a segment for each unit.
    """
    random = torch.Generator().manual_seed(seed)
    first_means = _first_means(features, count, seed)  # (K·S, F)
    K, S, F, G = count, STATES, first_means.shape[1], max(speakers) + 1
    uniform = torch.full((K,), 1 / K).log()
    units = Units(first_means.expand(G, K * S, F), torch.eye(F), uniform, uniform.expand(K, K))
    frames = torch.cat(list(features))
    lengths = torch.tensor([len(x) for x in features])
    speaker = torch.tensor(speakers).repeat_interleave(lengths)  # of each frame
    for iteration in tqdm(range(ITERATIONS), "finding units", disable=not progress):
        states = units.states(features, speakers)
        every = torch.cat(states)
        place = speaker * K * S + every  # a state of a speaker
        uses = torch.bincount(place, minlength=G * K * S).float().view(G, K * S, 1)
        sums = torch.zeros(G * K * S, F).index_add_(0, place, frames).view(G, K * S, F)
        within = frames - units.means.flatten(0, 1)[place]
        covariance = within.T @ within / len(frames) + 1e-3 * torch.eye(F)
        common = torch.where(
            uses.sum(0) > 0, sums.sum(0) / uses.sum(0).clamp(min=1), units.means.mean(0)
        )  # (K·S, F)
        means = common.expand(G, K * S, F).clone()
        if iteration >= ALIKE:
            means = (sums + LEANING * common) / (uses + LEANING)

        counts = torch.zeros(K, K)
        begun = torch.zeros(K)
        for its_states in states:
            sequence = _sequence(its_states, S)
            begun += torch.bincount(sequence, minlength=K)
            pairs = sequence[:-1] * K + sequence[1:]
            counts += torch.bincount(pairs, minlength=K * K).view(K, K)
        share = (begun + 1) / (begun + 1).sum()
        # Where a unit is rare, the bigram leans on the unigram (10 counts of it)
        follow = (counts + 10 * share) / (counts.sum(1, keepdim=True) + 10)

        of_unit = uses.sum(0).view(K, S).sum(1)
        frequent = of_unit.argsort(descending=True)
        rare = (of_unit < RARE * of_unit.mean()).nonzero()[:, 0]
        means = means.view(G, K, S, F)
        for unit, like in zip(rare.tolist(), frequent.tolist(), strict=False):
            means[:, unit] = means[:, like] + 0.15 * torch.randn(S, F, generator=random)
        units = Units(
            means.view(G, K * S, F),
            torch.linalg.cholesky(torch.linalg.inv(covariance)),
            share.log(),
            follow.log(),
        )
    return units


def _sequence(states: Tensor, S: int) -> Tensor:
    """The units (n,) that an utterance's states (T,) go through, each entry once."""
    entered = states[1:] != states[:-1]
    entered &= states[1:] % S == 0
    starts = torch.cat([torch.ones(1, dtype=torch.bool), entered])
    return states[starts] // S


def _first_means(features: Sequence[Tensor], count: int, seed: int) -> Tensor:
    """Means of states (K·S, F): clusters of segments between the places of fastest change."""
    from sklearn.cluster import KMeans

    segments = []
    for x in features:
        if len(x) <= SLOPE:
            continue
        change = (x[1:] - x[:-1]).norm(dim=1)
        # At t of frames t to t + SLOPE
        change = torch.nn.functional.avg_pool1d(change[None], SLOPE, 1)[0]
        cuts = [0]
        for t in range(1, len(change) - 1):
            peak = change[t] >= change[t - 1] and change[t] > change[t + 1]
            if peak and t + 2 - cuts[-1] >= STATES:
                cuts.append(t + 2)
        for start, end in zip(cuts, [*cuts[1:], len(x)], strict=True):
            if end - start >= STATES:
                parts = torch.tensor_split(x[start:end], STATES)
                segments.append(torch.cat([part.mean(0) for part in parts]))
    if len(segments) < count:
        raise ValueError(
            f"{len(segments)} segments of speech cannot start {count} units; use more audio, or a "
            "smaller codebook_size"
        )
    clusters = KMeans(count, n_init=1, max_iter=30, random_state=seed)
    centres = clusters.fit(torch.stack(segments).numpy()).cluster_centers_
    return torch.from_numpy(centres).float().view(count * STATES, -1)

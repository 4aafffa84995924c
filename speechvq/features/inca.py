"""INCA alignment: linear transforms that map each speaker to where others have similar frames.

In turn each frame's nearest neighbours among other speakers are found, and a linear transform to
these is fitted by least squares. Source: Erro, Moreno and Bonafonte, "INCA algorithm for training
voice conversion systems from nonparallel corpora", 2010; here every speaker maps to all others.

Shapes: T frames, D cepstra, F features, S speakers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechvq.config import SpeakerNormalisationConfig
from speechvq.features.gmm_mapping import SPEECH_STD
from speechvq.features.neighbours import (
    mean_distance,
    nearest,
    sample_frames,
    std,
    with_context,
)
from speechvq.progress import track


def inca_transforms(
    cepstra: Sequence[Tensor],
    lengths: Sequence[Sequence[int]],
    rate: float,
    config: SpeakerNormalisationConfig,
    seed: int,
    progress: bool = False,
) -> list[Tensor]:
    """Matrices (D, D) that map each speaker's standardised cepstra to where others have the like.

    A silent speaker gets the identity; so do all speakers if they are near each other already
    (`speaker_distance_ratio` below `config.inca_threshold`): each transform also removes something
    that tells phones apart.

    Parameters
    ----------
    cepstra : sequence of Tensor
        (T, D) of each speaker.
    lengths : sequence of sequences of int
        Frames of each speaker's utterances.
    rate : float
        Frames per second.
    config : SpeakerNormalisationConfig
        How frames are compared and transforms fitted.
    seed : int
        Of the frames that are compared.
    progress : bool
        Show progress on stderr.
    """
    S, D = len(cepstra), cepstra[0].shape[1]
    random = np.random.default_rng(seed)
    identity = torch.eye(D, device=cepstra[0].device)
    matrices = [identity] * S
    speaking = [s for s in range(S) if cepstra[s].std() > SPEECH_STD]
    for round_ in range(config.inca_rounds if len(speaking) > 1 else 0):
        mapped = [x @ matrix for x, matrix in zip(cepstra, matrices, strict=True)]
        compared = [
            with_context(x[:, : config.compared_cepstra], frames, rate, config.context)
            for x, frames in zip(mapped, lengths, strict=True)
        ]
        if not round_:
            ratio = speaker_distance_ratio([compared[s] for s in speaking], config, seed)
            if ratio < config.inca_threshold:
                break
        title = f"linear transforms, round {round_ + 1} of {config.inca_rounds}"
        for s in track(speaking, title, " speakers", shown=progress):
            query = sample_frames(cepstra[s], config.inca_frames, random)
            targets = []
            others = [o for o in speaking if o != s]
            for o in random.permutation(others)[: config.inca_speakers]:
                reference = sample_frames(cepstra[o], config.reference_frames, random)
                found = nearest(compared[s][query], compared[o][reference])
                targets.append(mapped[o][reference[found]])
            x, y = cepstra[s][query], torch.stack(targets).mean(0)
            matrix = _least_squares(x - x.mean(0), y - y.mean(0), config.inca_ridge)
            matrices[s] = matrix / std(cepstra[s] @ matrix)
    return matrices


def speaker_distance_ratio(
    frames: Sequence[Tensor], config: SpeakerNormalisationConfig, seed: int
) -> float:
    """Ratio of cross-speaker to within-speaker nearest-neighbour distance (squared).

    `frames` are (T, F) of each speaker; within a speaker, one half is compared with the other.
    Four flite voices have 1.8, four recorded people of Asterisk's prompts 1.2.
    """
    random = np.random.default_rng(seed)
    most = min(config.reference_frames, *(len(x) // 2 for x in frames))
    ratios = []
    for s, x in enumerate(frames):
        one_half, other_half = x[: len(x) // 2], x[len(x) // 2 :]
        query = one_half[sample_frames(one_half, config.query_frames, random)]
        others = random.permutation([o for o in range(len(frames)) if o != s])
        across = np.mean(
            [
                mean_distance(query, frames[o][sample_frames(frames[o], most, random)])
                for o in others[: config.inca_speakers]
            ]
        )
        within = mean_distance(query, other_half[sample_frames(other_half, most, random)])
        ratios.append(across / max(within, 1e-9))
    return float(np.mean(ratios))


def _least_squares(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """The matrix (D, D) that maps x (T, D) to y (T, D), regularised towards the identity."""
    identity = torch.eye(x.shape[1], device=x.device)
    weight = ridge * len(x) * identity
    return torch.linalg.solve(x.T @ x + weight, x.T @ y + weight)

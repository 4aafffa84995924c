"""Speaker normalisation of a corpus: the transform of each speaker, estimated without transcripts.

Each speaker's VTLN warp factor is the one that brings the speaker's frames nearest to those of the
others. Then come level, mean and variance (CMVN), and a linear transform by INCA alignment. What
this leaves can be removed by a `GMMSpeakerMapping`.

Shapes: T samples or frames, D cepstra, S speakers, W warp factors that are tried.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechvq.config import SpeakerNormalisationConfig
from speechvq.data.segments import Waveforms
from speechvq.data.subsets import sampled
from speechvq.distributed import broadcast_from_rank0
from speechvq.features.inca import inca_transforms
from speechvq.features.log_mel import LogMel, floor_log_mel, speech_level_nats
from speechvq.features.mfcc import MFCC, SpeakerTransforms, dct
from speechvq.features.neighbours import mean_distance, std, with_context
from speechvq.features.vtln import warp_factors
from speechvq.progress import track

LOUD = 5.0
"""Nats below the level of speech down to which a frame counts for mean and variance while warp
factors are compared."""


@torch.no_grad()
def fit_speaker_transforms(
    transforms: SpeakerTransforms,
    mfcc: MFCC,
    waveforms: Waveforms,
    speakers: Sequence[str],
    config: SpeakerNormalisationConfig,
    seed: int,
    progress: bool = False,
) -> list[Tensor]:
    """Estimate the transform of each speaker, in every process the same.

    Parameters
    ----------
    transforms : SpeakerTransforms
        What is set.
    mfcc : MFCC
        Of whose cepstra.
    waveforms : Waveforms
        Speech of all speakers.
    speakers : sequence of str
        In the order of their indices.
    config : SpeakerNormalisationConfig
        How frames are compared and transforms fitted.
    seed : int
        Of the frames that are compared.
    progress : bool
        Show progress on stderr: hundreds of speakers take minutes.

    Returns
    -------
    list of Tensor
        The normalised cepstra (T, D) of each speaker that were fitted to.
    """
    device = transforms.mean.device
    some = sampled(waveforms, speakers, config.seconds_per_speaker, config.seconds)
    recordings = [
        [torch.from_numpy(np.pad(x, (0, -len(x) % mfcc.hop_length))).to(device) for x in utterances]
        for utterances in some
    ]
    spectra = [[mfcc.mel.power(x[None])[0] for x in utterances] for utterances in recordings]
    transforms.warp.copy_(_choose_warps(spectra, mfcc.mel, config, seed, progress))
    standard = []
    for s, powers in enumerate(spectra):
        mel = mfcc.mel.of_power(torch.cat(powers)[None], transforms.warp[s : s + 1])
        transforms.level[s] = speech_level_nats(mel[0])
        frames = mfcc.floored(mel, transforms.level[s])[0] @ mfcc.dct.T  # (T, D)
        mean, scale = frames.mean(0), std(frames)
        transforms.matrix[s] = torch.diag(1 / scale)
        standard.append((frames - mean) / scale)
    lengths = [[len(x) for x in powers] for powers in spectra]
    normalised = []
    matrices = inca_transforms(standard, lengths, mfcc.mel.rate, config, seed, progress)
    for s, matrix in enumerate(matrices):
        transforms.mean[s] = 0.0
        transforms.matrix[s] @= matrix
        transform = transforms(torch.tensor([s], device=device))
        frames = torch.cat([mfcc(x[None], transform)[0] for x in recordings[s]])
        mean, scale = frames.mean(0), std(frames)
        transforms.mean[s] = torch.linalg.solve(transforms.matrix[s].T, mean)
        transforms.matrix[s] /= scale
        normalised.append((frames - mean) / scale)
    for buffer in transforms.buffers():
        broadcast_from_rank0(buffer)
    return normalised


def _choose_warps(
    spectra: Sequence[Sequence[Tensor]],
    mel: LogMel,
    config: SpeakerNormalisationConfig,
    seed: int,
    progress: bool,
) -> Tensor:
    """The warp factor of each speaker, (S,), from power spectra (T, bins) of utterances.

    In each round every speaker takes the factor that suits the present factors of the others; the
    mean over speakers is kept at 1.
    """
    warps = warp_factors(config.warps, config.largest_log_warp)
    S, W = len(spectra), len(warps)
    chosen = [W // 2] * S
    if S > 1:
        random = np.random.default_rng(seed)
        frames = [_frames_at_warps(x, mel, warps, config, random) for x in spectra]  # (W, T, F)
        each = config.reference_frames // (S - 1) + 1
        for round_ in range(config.warp_rounds):
            before = list(chosen)
            title = f"warp factors, round {round_ + 1} of {config.warp_rounds} at most"
            for s in track(range(S), title, " speakers", shown=progress):
                reference = torch.cat([frames[o][chosen[o], :each] for o in range(S) if o != s])
                query = frames[s][:, : config.query_frames]
                distances = [mean_distance(x, reference) for x in query]
                chosen[s] = int(np.argmin(distances))
            centre = round(sum(chosen) / S) - W // 2
            chosen = [min(max(w - centre, 0), W - 1) for w in chosen]
            if chosen == before:
                break
    return warps[chosen]


def _frames_at_warps(
    spectra: Sequence[Tensor],
    mel: LogMel,
    warps: Tensor,
    config: SpeakerNormalisationConfig,
    random: np.random.Generator,
) -> Tensor:
    """A speaker's frames at each warp factor, with their context, in random order: (W, T, F).

    The same frames for every factor; standardised, so that the channel does not matter.
    """
    lengths = [len(x) for x in spectra]
    most = max(config.query_frames, config.reference_frames)
    order = torch.from_numpy(random.permutation(sum(lengths))[:most])
    bands = len(mel.filters)
    power = torch.cat(list(spectra))
    to_cepstra = dct(bands, min(config.compared_cepstra, bands)).to(power)
    found = []
    for warp in warps.to(power):
        frames = mel.of_power(power[None], warp[None])  # (1, T, F)
        level = speech_level_nats(frames[0])
        cepstra = floor_log_mel(frames, level, config.dynamic_range)[0] @ to_cepstra.T
        speech = cepstra[frames[0].mean(1) > level - LOUD]
        cepstra = (cepstra - speech.mean(0)) / (speech.std(0, correction=0) + 1e-3)
        found.append(with_context(cepstra, lengths, mel.rate, config.context)[order])
    return torch.stack(found)

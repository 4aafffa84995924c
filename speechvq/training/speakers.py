"""How a corpus's speakers differ, found from some speech of each, whatever it says.

The warp of a speaker's frequencies is that which brings the speech nearest to the speech of the
others: with the right one, most stretches of a fifth of a second have a like among them. Then a
linear map is fitted to these pairs of likes, and what is now nearest is sought anew: INCA, of Erro,
Moreno and Bonafonte, "INCA algorithm for training voice conversion systems from nonparallel
corpora", 2010, with every speaker on the way to all the others; unless they are hardly further from
each other than from themselves. What a linear map leaves is found sound by sound
(models/sounds.py).

Shapes: T samples or frames, F features, D cepstra, S speakers, W warps that are tried.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechvq import audio
from speechvq.data.segments import Waveforms
from speechvq.models.cepstra import (
    LogMel,
    SpeakerCepstra,
    above_floor,
    dct,
    level_of_speech,
    voice_of,
)
from speechvq.models.quantizer import take_from_first
from speechvq.models.sounds import SPEAKING, Sounds
from speechvq.models.voice import WARPS
from speechvq.models.vqvae import VQVAE
from speechvq.sampling.encode import ESTIMATION_SECONDS, estimate_transform

SECONDS = 150.0
"""Speech of each speaker, if there is so much, from which the cepstra are fitted."""
TOGETHER = 3600.0
"""Seconds of all speakers, at most: half a minute of each of VCTK's."""
ROUNDS = 4
CEPSTRA = 12
"""Of the frames that are compared: enough for the phone, too few for the voice."""
CONTEXT = (-0.09, -0.06, -0.03, 0.0, 0.03, 0.06, 0.09)
"""Frames that are compared together, seconds from the one in the middle."""
LOUD = 5.0
"""Nats below the level of speech down to which a frame counts for mean and scale, when voices are
compared at warps."""
SECONDS_FOR_LEVEL = 20.0
"""Speech of each speaker in which the level is measured."""
SECONDS_FOR_DIALECT = 300.0
"""Speech of each speaker, if there is so much, in which codes are counted."""
OWN_SHARE = 0.5
"""Of an even share among the speakers: a code that a speaker uses less is no code of this speaker.
"""
ASKED, COMPARED = 2500, 18000
"""Frames of a speaker for which the nearest is sought, and frames of the others."""
PAIRED, OTHERS = 4000, 12
"""Frames of a speaker to which the map is fitted, and how many others have their like, at most."""
MAP_ROUNDS = 3
"""Each brings the speakers nearer, and each takes something from all of them that neighbours do not
tell; with more, phones become harder to tell again."""
APART = 1.5
"""How far speakers must be from each other, by `_apart`, for maps to be worth what they take: four
voices of flite have 1.8, four recorded people 1.2, whose codes told phones worse with maps."""
RIDGE = 0.1
"""How strongly a map is held to change nothing, as a share of the frames."""


def some_of_each(
    waveforms: Waveforms, speakers: Sequence[str], seconds: float, together: float = np.inf
) -> list[list[np.ndarray]]:
    """Utterances (T,) of each speaker, evenly from all there are, of about so many seconds.

    `together` bounds what all speakers have.
    """
    most = min(seconds, together / len(speakers)) * waveforms.sample_rate
    of_speaker: list[list[int]] = [[] for _ in speakers]
    index = {name: i for i, name in enumerate(speakers)}
    for i, utterance in enumerate(waveforms.utterances):
        of_speaker[index[utterance.speaker]].append(i)
    chosen = []
    for its in of_speaker:
        count = len(its) * most / max(1, waveforms.lengths[its].sum())
        places = np.linspace(0, len(its) - 1, int(np.clip(np.ceil(count), 1, len(its))))
        lengths = waveforms.lengths
        chosen.append(
            [waveforms.crop(its[p], 0, int(lengths[its[p]])) for p in places.round().astype(int)]
        )
    return chosen


def speech_level(waveforms: Waveforms, speakers: Sequence[str]) -> float:
    """How loud the speakers are, in the mean over them, in dB (audio/level.py)."""
    some = some_of_each(waveforms, speakers, SECONDS_FOR_LEVEL)
    levels = [audio.speech_level(its, waveforms.sample_rate) for its in some]
    audible = [level for level in levels if np.isfinite(level)]
    return round(float(np.mean(audible)), 1) if audible else 0.0


@torch.no_grad()
def fit_speakers(
    cepstra: SpeakerCepstra, waveforms: Waveforms, speakers: Sequence[str], seed: int
) -> list[Tensor]:
    """Find each speaker's warp, level, mean and matrix, in every process alike.

    Parameters
    ----------
    cepstra : SpeakerCepstra
        What to fit.
    waveforms : Waveforms
        Speech of all speakers.
    speakers : sequence of str
        In the order of their indices.
    seed : int
        Of the frames that are compared.

    Returns
    -------
    list of Tensor
        Of each speaker, the cepstra that were fitted to, made alike: (T, D).
    """
    device = cepstra.mean.device
    recordings = [
        [
            torch.from_numpy(np.pad(x, (0, -len(x) % cepstra.frames.hop_length))).to(device)
            for x in its
        ]
        for its in some_of_each(waveforms, speakers, SECONDS, TOGETHER)
    ]
    spectra = [[cepstra.frames.mel.power(x[None])[0] for x in its] for its in recordings]
    cepstra.warp.copy_(_warps(spectra, cepstra.frames.mel, seed))
    standard = []
    for speaker, powers in enumerate(spectra):
        warp = cepstra.warp[speaker : speaker + 1]
        mel = cepstra.frames.mel.of_power(torch.cat(powers)[None], warp)
        cepstra.level[speaker] = level_of_speech(mel[0])
        windows = above_floor(mel, cepstra.level[speaker])[0] @ cepstra.frames.dct.T  # (T, D)
        mean, scale = windows.mean(0), _spread(windows)
        cepstra.matrix[speaker] = torch.diag(1 / scale)
        standard.append((windows - mean) / scale)
    lengths = [[len(x) for x in powers] for powers in spectra]
    alike = []
    for speaker, matrix in enumerate(_maps(standard, lengths, cepstra.frames.mel.rate, seed)):
        cepstra.mean[speaker] = 0.0
        cepstra.matrix[speaker] @= matrix
        index = torch.tensor([speaker], device=device)
        frames = torch.cat([cepstra(x[None], index)[0] for x in recordings[speaker]])
        mean, scale = frames.mean(0), _spread(frames)
        cepstra.mean[speaker] = torch.linalg.solve(cepstra.matrix[speaker].T, mean)
        cepstra.matrix[speaker] /= scale
        alike.append((frames - mean) / scale)
    for buffer in cepstra.buffers():
        take_from_first(buffer)
    return alike


def fit_sounds(sounds: Sounds, alike: Sequence[Tensor], seed: int) -> None:
    """Find where each speaker has its sounds, from what `fit_speakers` gives, for all processes."""
    sounds.fit(alike, seed)
    for buffer in sounds.buffers():
        take_from_first(buffer)


def hear_speakers(cepstra: SpeakerCepstra, model: VQVAE, waveforms: Waveforms) -> None:
    """Find the voices of a model's speakers, for its codebook, in every process alike."""
    for s, its in enumerate(some_of_each(waveforms, model.speakers, ESTIMATION_SECONDS)):
        cepstra.put(s, estimate_transform(model, np.concatenate(its)))
    for buffer in cepstra.buffers():
        take_from_first(buffer)


@torch.no_grad()
def find_dialects(
    model: VQVAE, waveforms: Waveforms, voices: SpeakerCepstra | None = None
) -> Tensor:
    """Which codes each speaker uses: (S, K) bool, in every process alike.

    A code that nobody has used is everybody's, so that none is left out.
    """
    K, device = model.config.codebook_size, model.quantizer.codebook.device
    shares = []
    for s, its in enumerate(some_of_each(waveforms, model.speakers, SECONDS_FOR_DIALECT)):
        voice = voice_of(voices, torch.tensor([s], device=device))
        codes = [model.encode(torch.from_numpy(x)[None].to(device), voice).flatten() for x in its]
        uses = torch.bincount(torch.cat(codes), minlength=K).float()
        shares.append(uses / uses.sum())
    uses = torch.stack(shares)  # (S, K)
    own = uses >= OWN_SHARE * uses.mean(0)
    take_from_first(own)
    return own


def _warps(spectra: list[list[Tensor]], mel: LogMel, seed: int) -> Tensor:
    """The warp of each speaker, (S,), from power spectra (T, bins) of utterances.

    In each round every speaker takes the warp that suits what the others have so far; in the mean
    over speakers they are 1.
    """
    S, W = len(spectra), len(WARPS)
    chosen = [W // 2] * S
    if S > 1:
        random = np.random.default_rng(seed)
        at_warps = [_frames_at_warps(its, mel, random) for its in spectra]  # (W, T, F) each
        each = COMPARED // (S - 1) + 1
        for _ in range(ROUNDS):
            before = list(chosen)
            for s, frames in enumerate(at_warps):
                others = [at_warps[o][chosen[o], :each] for o in range(S) if o != s]
                compared = torch.cat(others)
                chosen[s] = min(range(W), key=lambda w: _distance(frames[w, :ASKED], compared))
            centre = round(sum(chosen) / S) - W // 2
            chosen = [min(max(w - centre, 0), W - 1) for w in chosen]
            if chosen == before:
                break
    return WARPS[chosen]


def _maps(cepstra: list[Tensor], lengths: list[list[int]], rate: float, seed: int) -> list[Tensor]:
    """Matrices (D, D) that take each speaker's standardised cepstra to where others have the like.

    `cepstra` are (T, D) of each speaker, `rate` a second, and `lengths` those of the utterances in
    it. Who says nothing changes nothing, and neither do speakers who are near enough as they are.
    """
    S, D = len(cepstra), cepstra[0].shape[1]
    random = np.random.default_rng(seed)
    unit = torch.eye(D, device=cepstra[0].device)
    maps = [unit] * S

    speaking = [s for s in range(S) if cepstra[s].std() > SPEAKING]
    for round_ in range(MAP_ROUNDS if len(speaking) > 1 else 0):
        mapped = [x @ matrix for x, matrix in zip(cepstra, maps, strict=True)]
        around = [
            _with_context(x[:, :CEPSTRA], its, rate) for x, its in zip(mapped, lengths, strict=True)
        ]
        if not round_ and _apart([around[s] for s in speaking], seed) < APART:
            break
        for s in speaking:
            asked = _some(cepstra[s], PAIRED, random)
            found = []
            others = [o for o in speaking if o != s]
            for o in random.permutation(others)[:OTHERS]:
                compared = _some(cepstra[o], COMPARED, random)
                nearest = _nearest(around[s][asked], around[o][compared])
                found.append(mapped[o][compared[nearest]])
            x, y = cepstra[s][asked], torch.stack(found).mean(0)
            x, y = x - x.mean(0), y - y.mean(0)
            ridge = RIDGE * len(x) * unit
            matrix = torch.linalg.solve(x.T @ x + ridge, x.T @ y + ridge)
            maps[s] = matrix / _spread(cepstra[s] @ matrix)
    return maps


def _apart(frames: list[Tensor], seed: int) -> float:
    """How far speakers' frames, (T, F) of each, are from the others'.

    Mean squared distance to the nearest, as a multiple of that from one half of a speaker's own to
    the other half.
    """
    random = np.random.default_rng(seed)
    most = min(COMPARED, *(len(x) // 2 for x in frames))
    found = []
    for s, x in enumerate(frames):
        one_half, other_half = x[: len(x) // 2], x[len(x) // 2 :]
        asked = one_half[_some(one_half, ASKED, random)]
        others = random.permutation([o for o in range(len(frames)) if o != s])[:OTHERS]
        theirs = np.mean(
            [_distance(asked, frames[o][_some(frames[o], most, random)]) for o in others]
        )
        own = _distance(asked, other_half[_some(other_half, most, random)])
        found.append(theirs / max(own, 1e-9))
    return float(np.mean(found))


def _some(frames: Tensor, most: int, random: np.random.Generator) -> Tensor:
    """Places in frames (T, F), drawn at random: at most so many."""
    return torch.from_numpy(random.permutation(len(frames))[:most]).to(frames.device)


def _spread(cepstra: Tensor) -> Tensor:
    """Standard deviation of (T, D); 1 of what does not vary."""
    found = cepstra.std(0, correction=0) + 1e-3
    return torch.where(found < 0.02, 1.0, found)


def _nearest(frames: Tensor, compared: Tensor) -> Tensor:
    """For each of (T, F) the place of the nearest of (T', F): (T,)."""
    return torch.cat([torch.cdist(some, compared).argmin(1) for some in frames.split(500)])


def _distance(frames: Tensor, compared: Tensor) -> float:
    """Mean squared distance of frames (T, F) to the nearest of others, (T', F)."""
    return torch.cdist(frames, compared).amin(1).square().mean().item()


def _frames_at_warps(spectra: list[Tensor], mel: LogMel, random: np.random.Generator) -> Tensor:
    """Frames of a speaker as they would be for each warp, with their context, in random order.

    (W, T, F), the same frames for every warp; standardised, so that the channel does not matter.
    """
    lengths = [len(x) for x in spectra]
    order = torch.from_numpy(random.permutation(sum(lengths))[: max(ASKED, COMPARED)])
    bands = len(mel.filters)
    power = torch.cat(spectra)
    to_cepstra = dct(bands, min(CEPSTRA, bands)).to(power)
    found = []
    for warp in WARPS.to(power):
        frames = mel.of_power(power[None], warp[None])  # (1, T, F)
        level = level_of_speech(frames[0])
        cepstra = above_floor(frames, level)[0] @ to_cepstra.T
        speech = cepstra[frames[0].mean(1) > level - LOUD]
        cepstra = (cepstra - speech.mean(0)) / (speech.std(0, correction=0) + 1e-3)
        found.append(_with_context(cepstra, lengths, mel.rate)[order])
    return torch.stack(found)


def _with_context(frames: Tensor, lengths: list[int], rate: float) -> Tensor:
    """Frames (T, F) with those around them in utterances of such lengths: (T, F · len(CONTEXT))."""
    offsets = [round(seconds * rate) for seconds in CONTEXT]
    widest = max(offsets)
    found = []
    for x in frames.split(lengths):
        padded = F.pad(x.T[None], (widest, widest), mode="replicate")[0].T
        found.append(torch.cat([padded[widest + o : widest + o + len(x)] for o in offsets], dim=1))
    return torch.cat(found)

"""Enrolling a speaker: a new vector of the speaker embedding, from about a minute of recordings.

Nothing else learns. The codes come from the frozen encoder, so they and the model's fingerprint
stay what they are, and so does what every other speaker says.

Shapes: T samples, C condition_channels.
"""

import copy
import dataclasses
import logging
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from speechvq import audio
from speechvq.config import PhaseConfig
from speechvq.data.manifest import Utterance
from speechvq.data.segments import SegmentBatches, Waveforms
from speechvq.data.trim import sound_seconds, speech_bounds
from speechvq.model_folder import add_speaker, check_new_speaker, load_model, read_config
from speechvq.models.cepstra import SpeakerCepstra
from speechvq.models.conditioner import Conditioner
from speechvq.models.vqvae import VQVAE
from speechvq.prior_folder import copy_prior
from speechvq.training.card import with_enrolled
from speechvq.training.loop import learning_rate
from speechvq.training.precision import use_bfloat16
from speechvq.training.processes import Processes
from speechvq.training.speakers import hear_speakers
from speechvq.training.validation import Validator
from speechvq.training.vqvae import MARGIN, FrozenCodesPhase

logger = logging.getLogger(__name__)

LEAST = 10.0
"""Seconds of speech below which nobody is enrolled."""
ENOUGH = 60
"""Seconds of speech that serve well."""
PHASE = PhaseConfig(steps=300, batch_size=4, learning_rate=0.1, warmup_steps=10)
"""How the vector learns. The rate is high for a network, and right for one vector whose elements
are about 1."""

_PIECE = 4.0  # s, at most, of the stretches that are held out
_HELD_OUT = 6  # one piece of so many
_MOST_HELD_OUT = 12  # pieces
_PROBES = 4  # batches that tell which voice is the nearest


@dataclass(frozen=True)
class Recordings:
    """What one speaker's recordings gave."""

    train: Waveforms
    held_out: Waveforms
    """Stretches that the new vector does not learn from."""
    speech: float
    """Seconds of sound in both."""
    used: int
    """Files."""
    unusable: dict[Path, str]
    """Files that cannot be used, and why."""


@dataclass(frozen=True)
class Fit:
    """Vectors fitted to recordings, and the likelihood of what was held out of them."""

    vectors: list[Tensor]
    """(C,): the decoder's, and the envelope's if the model has one."""
    nearest: str
    """The existing speaker in whose voice the recordings are likeliest."""
    bits_before: float
    """Bits per sample in that voice."""
    bits_after: float
    """Bits per sample with the new vector."""


@dataclass(frozen=True)
class Enrolment:
    """A speaker who has been added to a model folder."""

    folder: Path
    recordings: Recordings
    fit: Fit


def enroll(
    model: str | os.PathLike,
    name: str,
    wavs: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    out: str | os.PathLike | None = None,
    replace: bool = False,
    steps: int = PHASE.steps,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = False,
) -> Enrolment:
    """Add a speaker to a model folder.

    The folder stays exactly as it is until the end, and when anything fails before that.

    Parameters
    ----------
    model
        A model folder.
    name
        Of the new speaker.
    wavs
        Audio files, and folders of them. One that cannot be used is logged and left out.
    out
        Folder to write a copy of the model to, with the new speaker; None adds to `model` itself.
    replace
        Whether a speaker of this name may be replaced.
    steps
        Optimiser steps.
    seed
        Of the crops that are learned from.
    device
        "cpu", "cuda", "cuda:1".
    progress
        Show bars on stderr, where that is a terminal.

    Raises
    ------
    ValueError
        The name is taken, or not fit for files; less than `LEAST` seconds of speech; a damaged
        model; a number out of range.
    OSError
        Files are missing, or cannot be read or written.
    """
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, got {steps}")
    check_new_speaker(model, name, replace)
    paths = audio.find(wavs)
    vqvae = load_model(model, device)
    level = read_config(model).get("speech_level")
    recordings = hear(paths, name, vqvae.sample_rate, level, progress)
    others = [speaker for speaker in vqvae.speakers if speaker != name]
    fit = fit_speaker(vqvae, recordings, others or vqvae.speakers, steps, seed, progress)
    line = (
        f"{recordings.speech:.0f} s of speech, {steps} steps, seed {seed}; {fit.bits_after:.3f} "
        f"bits per sample on what was held out of it, where the nearest speaker, {fit.nearest}, "
        f"has {fit.bits_before:.3f}"
    )
    card = partial(with_enrolled, speaker=name, line=line)
    folder = add_speaker(model, name, fit.vectors, card, out, replace)
    if out is not None:
        copy_prior(model, out)
    return Enrolment(folder, recordings, fit)


def hear(
    paths: Sequence[Path],
    speaker: str,
    sample_rate: int,
    level: float | None = None,
    progress: bool = False,
) -> Recordings:
    """Read recordings, without the silence at their ends, and hold a part of them out.

    Each is made as loud as `level`, in dB, if it is given: that of the model's other speakers.

    Raises
    ------
    ValueError
        Less than `LEAST` seconds of speech in all that can be used.
    """
    pieces: list[tuple[Path, np.ndarray]] = []
    speech, unusable = 0.0, {}
    for path in _bar(paths, "reading recordings", " files", progress):
        try:
            waveform, _ = audio.read(path, sample_rate)
            audio.check_speech(waveform, sample_rate, path)
        except (audio.AudioError, OSError) as error:
            unusable[path] = str(error)
            logger.warning("%s; left out", error)
            continue
        if level is not None:
            waveform *= 10 ** ((level - audio.speech_level([waveform], sample_rate)) / 20)
        start, end = speech_bounds(waveform, sample_rate)
        waveform = waveform[round(start * sample_rate) : round(end * sample_rate)]
        speech += sound_seconds(waveform, sample_rate)
        count = math.ceil(len(waveform) / (_PIECE * sample_rate))
        pieces += [(path, piece) for piece in np.array_split(waveform, count)]
    used = len(paths) - len(unusable)
    if speech < LEAST:
        raise ValueError(
            f"{speech:.1f} s of speech in {used} usable recording{'s' * (used != 1)}; at least "
            f"{LEAST:g} s is needed, and {ENOUGH} s serve well"
        )
    count = min(max(1, round(len(pieces) / _HELD_OUT)), _MOST_HELD_OUT)
    places = set(np.linspace(0, len(pieces) - 1, count + 2)[1:-1].round().astype(int).tolist())
    held_out, train = [], []
    for place, (path, piece) in enumerate(pieces):
        if place in places:
            held_out.append((path, piece))
        elif train and place - 1 not in places and train[-1][0] == path:
            # Its neighbour goes on where it ends: in one piece, the codes at the seam are right
            train[-1] = path, np.concatenate([train[-1][1], piece])
        else:
            train.append((path, piece))
    return Recordings(
        _waveforms(train, speaker, sample_rate),
        _waveforms(held_out, speaker, sample_rate),
        speech,
        used,
        unusable,
    )


def fit_speaker(
    model: VQVAE,
    recordings: Recordings,
    others: Sequence[str],
    steps: int = PHASE.steps,
    seed: int = 0,
    progress: bool = False,
) -> Fit:
    """Find the speaker vectors with which the recordings are likeliest, and their envelope right.

    They start at the likeliest of the `others'` vectors and their mean.

    Parameters
    ----------
    model : VQVAE
        In eval mode; stays as it is.
    recordings : Recordings
        What `hear` made of the files.
    others : sequence of str
        Speakers of the model to compare with and to start from.
    steps : int
        Optimiser steps.
    seed : int
        Of the crops.
    progress : bool
        Show bars on stderr, where that is a terminal.
    """
    config = dataclasses.replace(PHASE, steps=steps)
    device = model.conditioner.speakers.weight.device
    speaker = recordings.train.utterances[0].speaker
    solo = _with_one_speaker(model, speaker)
    vectors = [table.weight for table in _tables(solo)]  # (1, C) each
    voices = _voices(solo, recordings.train)
    phase = FrozenCodesPhase(solo, voices=voices).eval()
    bfloat16 = use_bfloat16("auto", device)
    validator = Validator(solo, recordings.held_out, Processes(device), bfloat16, voices=voices)

    def batches(name: str, steps: int) -> SegmentBatches:
        return SegmentBatches(
            recordings.train,
            [speaker],
            seed=seed,
            phase=name,
            batch_size=config.batch_size,
            segment_length=config.segment_length,
            hop_length=model.hop_length,
            steps=steps,
            margin=MARGIN * model.hop_length,
        )

    def losses_of(batch: tuple[Tensor, Tensor]) -> list[Tensor]:
        """-log p, which the first vector decides, and the envelope's error, by the second."""
        waveform, index = (x.to(device) for x in batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            out = phase(waveform, index)
            if solo.envelope is None:
                return [out.loss]
            inside = waveform[:, MARGIN * model.hop_length : -MARGIN * model.hop_length]
            quantized = solo.quantizer.lookup(out.codes)
            return [out.loss, solo.envelope.error(inside, quantized, index).mean()]

    def put(values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for vector, value in zip(vectors, values, strict=True):
                vector.copy_(value)

    def held_out_bits(values: Sequence[Tensor]) -> float:
        put(values)
        return validator.likelihood().score

    tables = [table.weight.detach() for table in _tables(model)]
    known = {name: [table[model.speaker_index(name)] for table in tables] for name in others}
    places = [model.speaker_index(name) for name in others]
    candidates = [*known.values(), [table[places].mean(0) for table in tables]]
    probe = batches("probe", _PROBES)
    losses = []
    for candidate in _bar(candidates, "comparing voices", " voices", progress):
        put(candidate)
        with torch.no_grad():
            losses.append(sum(float(losses_of(probe[i])[0]) for i in range(_PROBES)))
    nearest = list(known)[int(np.argmin(losses[:-1]))]
    bits_before = held_out_bits(known[nearest])

    put(candidates[int(np.argmin(losses))])
    segments = batches("enroll", steps)
    optimizer = torch.optim.Adam(vectors)
    with _bar(range(steps), f"enrolling {speaker}", " steps", progress) as bar:
        for step in bar:
            loss = sum(losses_of(segments[step]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0]["lr"] = learning_rate(config, step)
            optimizer.step()
    learned = [vector.detach().clone()[0] for vector in vectors]
    bits_after = held_out_bits(learned)
    if not bits_after < bits_before:  # NaN too
        logger.warning(
            "nothing better was found than the voice of %s, which is taken; more recordings or "
            "more steps may help",
            nearest,
        )
        learned, bits_after = known[nearest], bits_before
    return Fit([vector.cpu().clone() for vector in learned], nearest, bits_before, bits_after)


def _with_one_speaker(model: VQVAE, speaker: str) -> VQVAE:
    """A copy of a model that knows one speaker alone, whose vectors are all that can learn."""
    solo = copy.deepcopy(model).requires_grad_(False)
    solo.speakers = [speaker]
    for conditioner in _conditioners(solo):
        table = conditioner.speakers.weight
        conditioner.speakers = nn.Embedding(1, table.shape[1]).to(table.device)
    return solo


def _conditioners(model: VQVAE) -> list[Conditioner]:
    """The decoder's, and the envelope's if there is one."""
    envelope = [] if model.envelope is None else [model.envelope.conditioner]
    return [model.conditioner, *envelope]


def _tables(model: VQVAE) -> list[nn.Embedding]:
    """The speaker embeddings, in the order that `add_speaker` wants their rows."""
    return [conditioner.speakers for conditioner in _conditioners(model)]


def _voices(solo: VQVAE, recordings: Waveforms) -> SpeakerCepstra | None:
    """The speaker's voice, for an encoder that listens to voices."""
    if not solo.hears_voices:
        return None
    voices = SpeakerCepstra(solo.encoder.frames, 1).to(solo.conditioner.speakers.weight.device)
    hear_speakers(voices, solo, recordings)
    return voices


def _waveforms(
    pieces: Sequence[tuple[Path, np.ndarray]], speaker: str, sample_rate: int
) -> Waveforms:
    utterances = [
        Utterance(f"{path.stem}_{i}", speaker, str(path), len(piece) / sample_rate)
        for i, (path, piece) in enumerate(pieces)
    ]
    return Waveforms(utterances, sample_rate, waveforms=[piece for _, piece in pieces])


def _bar(of: Iterable, title: str, unit: str, progress: bool) -> tqdm:
    shown = progress and sys.stderr.isatty()
    return tqdm(of, title, unit=unit, disable=not shown, leave=False, dynamic_ncols=True)

#!/usr/bin/env python3
r"""Train HMM acoustic units on a manifest and label every 10 ms frame of manifests with them.

    python recipes/vctk/units.py --train exp/more/train.jsonl \
        --label exp/more/train.jsonl exp/vctk/data/valid.jsonl --out exp/units/labels.txt

The labels are written as a file of codes (speechvq/codes.py): a header, then the units of one
utterance a line. The stage `labels` of speechvq-train learns to predict them, as HuBERT does. The
features are speaker-normalised cepstra with deltas; no transcript is used. Utterances by speakers
who are not in the training manifest are left out, because no speaker transform is known for them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import speechvq  # noqa: F401  before torch, whose threads then sleep while they wait

# isort: split
import numpy as np
import torch
from hmm_units import HMMTraining, HMMUnits, train_hmm_units
from torch import Tensor

from speechvq.cli.errors import command
from speechvq.codes import Codebook, write_codes
from speechvq.config import SpeakerNormalisationConfig
from speechvq.data.manifest import Utterance, read_known, read_manifest
from speechvq.data.segments import Waveforms
from speechvq.features.gmm_mapping import GMMSpeakerMapping
from speechvq.features.mfcc import MFCC, SpeakerTransforms
from speechvq.features.speaker_normalisation import fit_speaker_transforms
from speechvq.progress import track

FRAME_RATE = 100
"""Frames per second."""
CEPSTRA = 16
DELTA_WIDTH = 5
"""Frames over which deltas are fitted."""
DELTA_SCALE = 2.0
"""Factor that gives deltas a variance like that of the cepstra."""
HMM_HELP = {
    "units": "number of units",
    "states": "states of a unit, which is the shortest duration of a unit in frames",
    "iterations": "iterations of Viterbi training",
    "speaker_independent_iterations": "first iterations, in which all speakers share the means",
    "relevance_factor": "MAP relevance factor of a speaker's means, in frames",
    "likelihood_scale": "weight of a frame's log-likelihood",
    "insertion_penalty": "subtracted from the log-probability at each new unit",
    "minimum_occupancy": "share of the mean occupancy below which a unit is replaced",
    "change_frames": "frames over which spectral change is averaged, for the initial segments",
    "seed": "seed of the initial clusters",
}
BATCH = 64
"""Utterances that are labelled at a time."""


@dataclass(frozen=True)
class Settings:
    """Settings of a run, which its fingerprint covers.

    Attributes
    ----------
    sample_rate : int
        Hz.
    train_seconds : float
        Seconds of speech on which the units are trained, at most; all speech is labelled.
    hmm : HMMTraining
    normalisation : SpeakerNormalisationConfig
    """

    sample_rate: int = 16000
    train_seconds: float = 3600.0
    hmm: HMMTraining = field(default_factory=HMMTraining)
    normalisation: SpeakerNormalisationConfig = field(default_factory=SpeakerNormalisationConfig)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.sample_rate // FRAME_RATE


class Features:
    """Speaker-normalised cepstra with deltas, (T, 2 · CEPSTRA), of utterances.

    Parameters
    ----------
    train : Waveforms
        Speech from which the transforms of all speakers are estimated.
    settings : Settings
    progress : bool
        Show progress on stderr.
    """

    @torch.no_grad()
    def __init__(self, train: Waveforms, settings: Settings, progress: bool = False):
        normalisation, seed = settings.normalisation, settings.hmm.seed
        self.speakers = sorted({u.speaker for u in train.utterances})
        self.mfcc = MFCC(
            settings.sample_rate,
            settings.hop_length,
            normalisation.mel_bands,
            CEPSTRA,
            normalisation.dynamic_range,
        )
        self.transforms = SpeakerTransforms(CEPSTRA, len(self.speakers))
        self.mapping = GMMSpeakerMapping(CEPSTRA, len(self.speakers), normalisation)
        normalised = fit_speaker_transforms(
            self.transforms, self.mfcc, train, self.speakers, normalisation, seed, progress
        )
        self.mapping.fit(normalised, seed)

    def speaker_index(self, utterance: Utterance) -> int:
        """Return the index of the speaker of an utterance."""
        return self.speakers.index(utterance.speaker)

    @torch.no_grad()
    def __call__(self, waveforms: Waveforms, i: int) -> Tensor:
        """Compute the features of utterance i."""
        from librosa.feature import delta

        length = int(waveforms.lengths[i])
        waveform = np.pad(waveforms.crop(i, 0, length), (0, -length % self.mfcc.hop_length))
        speaker = torch.tensor([self.speaker_index(waveforms.utterances[i])])
        cepstra = self.mfcc(torch.from_numpy(waveform)[None], self.transforms(speaker))
        static = self.mapping(cepstra, speaker)[0].numpy()
        slopes = delta(static, width=DELTA_WIDTH, axis=0, mode="nearest")
        return torch.from_numpy(np.hstack([static, DELTA_SCALE * slopes]))


def train(
    waveforms: Waveforms, settings: Settings, progress: bool = False
) -> tuple[Features, HMMUnits]:
    """Estimate the speaker transforms and train the units."""
    features = Features(waveforms, settings, progress)
    speakers = [features.speaker_index(u) for u in waveforms.utterances]
    chosen = choose_utterances(
        speakers, waveforms.lengths / waveforms.sample_rate, settings.train_seconds
    )
    bar = track(chosen, "features", " utterances", shown=progress)
    x = [features(waveforms, i) for i in bar]
    return features, train_hmm_units(x, [speakers[i] for i in chosen], settings.hmm, progress)


def choose_utterances(speakers: Sequence[int], seconds: np.ndarray, most: float) -> list[int]:
    """Choose utterances of `most` seconds in all, from every speaker in turn, at least one each."""
    so_far: Counter[int] = Counter()
    turns = []
    for i, speaker in enumerate(speakers):
        turns.append((so_far[speaker], i))
        so_far[speaker] += 1
    order = [i for _, i in sorted(turns)]
    total = np.cumsum(seconds[order])
    count = max(len(so_far), int(np.searchsorted(total, most, side="right")))
    return sorted(order[:count])


def label(
    features: Features, units: HMMUnits, waveforms: Waveforms, progress: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """Give the id and the unit (T,) of every frame of each utterance."""
    with track(title="labels", unit=" utterances", total=len(waveforms), shown=progress) as bar:
        for first in range(0, len(waveforms), BATCH):
            batch = range(first, min(first + BATCH, len(waveforms)))
            utterances = [waveforms.utterances[i] for i in batch]
            x = [features(waveforms, i) for i in batch]
            labels = units.units(x, [features.speaker_index(u) for u in utterances])
            for utterance, frames in zip(utterances, labels, strict=True):
                yield utterance.id, frames.numpy()
            bar.update(len(batch))


def fingerprint(utterances: Sequence[Utterance], settings: Settings) -> str:
    """Return a hash of the settings and the training utterances: 12 hexadecimal digits."""
    listed = [(u.id, u.speaker, u.start, u.duration) for u in utterances]
    text = json.dumps([asdict(settings), listed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run(
    train_manifest: Path,
    label_manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    progress: bool = False,
) -> tuple[Codebook, dict[str, np.ndarray]]:
    """Train units on one manifest and write the frame labels of others.

    An utterance in several manifests is labelled once.

    Raises
    ------
    OSError
        A manifest or a recording is missing, or `out` cannot be written.
    ValueError
        A manifest or a recording cannot be used, or two utterances share an id.
    """
    utterances = read_manifest(train_manifest)
    speakers = sorted({u.speaker for u in utterances})
    listed: dict[str, Utterance] = {}
    for path in label_manifests:
        for utterance in read_known(path, speakers, "the training manifest"):
            if listed.setdefault(utterance.id, utterance) != utterance:
                raise ValueError(
                    f"{path}: utterance {utterance.id!r} differs from that of another manifest; "
                    "an id must name one utterance"
                )
    waveforms = Waveforms(utterances, settings.sample_rate, progress=progress)
    features, units = train(waveforms, settings, progress)
    others = Waveforms(list(listed.values()), settings.sample_rate, progress=progress)
    labels = dict(label(features, units, others, progress))
    codebook = Codebook(
        settings.hmm.units,
        settings.hop_length,
        settings.sample_rate,
        fingerprint(utterances, settings),
    )
    write_codes(out, codebook, labels)
    return codebook, labels


def parser() -> argparse.ArgumentParser:
    """Return the parser of the script; each field of `HMMTraining` is an option."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--train", type=Path, required=True, metavar="FILE", help="manifest to train units on")
    add("--label", type=Path, required=True, nargs="+", metavar="FILE", help="manifests to label")
    add("--out", type=Path, default=Path("exp/units/labels.txt"), metavar="FILE", help="labels")
    add("--sample-rate", type=int, default=Settings.sample_rate, help="Hz")
    add("--train-seconds", type=float, default=Settings.train_seconds,
        help="seconds of speech on which units are trained, at most")  # fmt: skip
    for option in fields(HMMTraining):
        name, kind = option.name.replace("_", "-"), type(option.default)
        add(f"--{name}", type=kind, default=option.default, help=HMM_HELP[option.name])
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Train units, label the manifests, and print a summary."""
    options = parser().parse_args(argv)
    hmm = HMMTraining(**{f.name: getattr(options, f.name) for f in fields(HMMTraining)})
    settings = Settings(options.sample_rate, options.train_seconds, hmm)
    codebook, labels = run(options.train, options.label, options.out, settings, progress=True)
    frames = sum(map(len, labels.values()))
    print(
        f"{options.out}: {len(labels)} utterances, {frames / FRAME_RATE / 60:.1f} minutes, "
        f"{codebook.codebook_size} units (fingerprint {codebook.model})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

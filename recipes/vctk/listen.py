#!/usr/bin/env python3
"""Reconstruct and convert some held-out utterances, to listen to.

    python listen.py --model DIR --manifest test.jsonl --out wavs

One utterance of each of up to four speakers gives UTTERANCE-original.wav, -reconstruction.wav (its
codes, decoded for its own speaker) and -to-SPEAKER.wav for each of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speechvq.cli.errors import command

SPEAKERS = 4
SECONDS = 4.0  # the utterance nearest to this duration is chosen


@command
def main(argv: list[str] | None = None) -> int:
    """Write the recordings and print their names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, metavar="DIR")
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)

    from speechvq import audio
    from speechvq.data.manifest import read_manifest
    from speechvq.model_folder import load
    from speechvq.progress import track
    from speechvq.sampling import SamplingOptions, sample_batch
    from speechvq.sampling.utterances import encode_utterances

    model = load(options.model)
    utterances = [u for u in read_manifest(options.manifest) if u.speaker in model.speakers]
    speakers = sorted({u.speaker for u in utterances})[:SPEAKERS]
    if not speakers:
        raise ValueError(f"{options.manifest}: no utterance of a speaker of the model")

    out = Path(options.out)
    for ending in ("original", "reconstruction", "to-*"):  # of an earlier run
        for old in out.glob(f"*-{ending}.wav"):
            old.unlink()
    codes, targets, names, lengths = [], [], [], []
    for place, speaker in enumerate(speakers):
        of_speaker = [u for u in utterances if u.speaker == speaker]
        chosen = min(of_speaker, key=lambda u: (abs(u.duration - SECONDS), u.id))
        (encoded,) = encode_utterances(model, [chosen])
        waveform = encoded.waveform
        audio.write(out / f"{chosen.id}-original.wav", waveform, model.sample_rate)
        others = speakers[place + 1 :] + speakers[:place]
        for target in [speaker, *others]:
            codes.append(encoded.codes)
            targets.append(target)
            ending = "reconstruction" if target == speaker else f"to-{target}"
            names.append(out / f"{chosen.id}-{ending}.wav")
            lengths.append(len(waveform))

    total = model.hop_length * sum(map(len, codes)) / model.sample_rate
    with track(total=round(total, 1), unit=" s of speech") as bar:
        waveforms = sample_batch(
            model,
            codes,
            targets,
            options=SamplingOptions(seed=options.seed),
            progress=lambda samples: bar.update(samples / model.sample_rate),
        )
    for name, waveform, length in zip(names, waveforms, lengths, strict=True):
        audio.write(name, waveform[:length], model.sample_rate)
        print(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

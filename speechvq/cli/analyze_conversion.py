"""speechvq-analyze conversion: whose voice, which words, how good, by judges not trained here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq.cli.analyzing import beside, manifest, progress
from speechvq.cli.errors import Parser
from speechvq.cli.speaking import (
    add_model_options,
    add_sampling_options,
    progress_bar,
    sampling,
    sampling_of_several,
)

if TYPE_CHECKING:
    import numpy as np

    from speechvq.analysis.judges.trials import Trial
    from speechvq.data.manifest import Utterance
    from speechvq.models.vqvae import VQVAE

logger = logging.getLogger(__name__)

NOTES = """\
Utterances of the test data are said again in their own speaker's voice (reconstruction) and in
another's (conversion), and judged beside the recordings:
  voice    similarity to the target's and the source's real voice, and whether the target's is the
           nearest of all (Resemblyzer)
  words    what share of them is heard wrong (whisper tiny.en)
  phones   the same without a language model of words (pocketsphinx)
  quality  DNSMOS, 1 to 5 (speechmos)
  pitch    its median, range and share (pyworld)
They come with: pip install "speechvq[judges]". One that is missing is left out. Intervals are of
95 %, by drawing utterances. English only, as words and phones are concerned.

Writes scores.json, with what was heard of each trial.
"""

JUDGED = {
    "voices": "voice",
    "words": "words",
    "phones": "phones",
    "quality": "quality",
    "pitch": "pitch",
}
"""What is judged, and for each the name of the judge."""


def parser() -> Parser:
    """The options of speechvq-analyze conversion."""
    parser = Parser("analyze conversion", "How well does a model convert voices?", NOTES)
    add_model_options(parser)
    add = parser.add_argument
    add("--manifest", metavar="FILE", help="utterances to convert (default: the test data)")
    add("--trials", type=int, default=24, metavar="N",
        help="conversions, spread evenly over sources and targets (default: 24)")  # fmt: skip
    add("--speaker", nargs="+", metavar="NAME", help="targets (default: all of the manifest's)")
    add("--recogniser", metavar="DIR",
        help="model folder of faster-whisper to hear words with (default: tiny.en)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: conversion beside the model)")
    add("--wavs", action="store_true", help="write what was judged, too, to DIR/wavs")
    add("--json", action="store_true", help="print the scores as JSON")
    add_sampling_options(parser)
    return parser


@dataclass
class Made:
    """The trials and the speech of them, at the judges' sample rate and level."""

    manifest: str
    trials: list[Trial]
    pools: dict[str, list[Utterance]]
    sources: dict[str, np.ndarray]
    """By the id of the utterance."""
    reconstructions: dict[str, np.ndarray]
    """The same, where the model knows the speaker."""
    conversions: list[np.ndarray]
    """One a trial."""

    @property
    def utterances(self) -> dict[str, Utterance]:
        """The different utterances of the trials by their id."""
        return {trial.utterance.id: trial.utterance for trial in self.trials}


def run(options: argparse.Namespace) -> int:
    """Convert, have it judged, write the scores and print them."""
    if options.trials < 1:
        raise ValueError(f"--trials must be 1 or more, got {options.trials}")
    started = time.monotonic()
    from speechvq import model_folder

    folder = model_folder.find_model(options.model)
    path = manifest(options.manifest, model_folder.read_config(folder), "test", "--manifest")
    model = model_folder.load_model(folder, options.device)
    trials, pools = _trials(path, model, options)
    judges = _judges(options)
    made = _made(path, model, trials, pools, options)
    bits = _bits(model, made, options)

    scores, heard = _judged(judges, made)
    result = {
        "model": str(folder),
        "manifest": path,
        "sampling": sampling(options),
        "seconds": round(time.monotonic() - started, 1),
        "judges": {what: judge.name for what, judge in judges.items()},
        "bits_per_sample": bits,
        **scores,
        "trials": [
            {
                "utterance": trial.utterance.id,
                "source": trial.utterance.speaker,
                "target": trial.target,
                "text": trial.utterance.text,
                **said,
            }
            for trial, said in zip(made.trials, heard, strict=True)
        ],
    }
    out = Path(options.out) if options.out else beside(folder, "conversion")
    result = _plain(result)
    _write(out, made, result, options.wavs)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        _report(folder, made, bits, judges, scores, options)
        print(f"\nwritten    {out}/: scores.json" + (", wavs" if options.wavs else ""))
    return 0


def _trials(path: str, model: VQVAE, options: argparse.Namespace) -> tuple[list, dict]:
    """The trials, and the real speech that stands for each speaker."""
    from speechvq.analysis.judges.trials import choose, pools
    from speechvq.cli.speaking import check_speakers
    from speechvq.data.manifest import CorpusError, read_manifest

    utterances = read_manifest(path)
    counts: dict[str, int] = {}
    for utterance in utterances:
        counts[utterance.speaker] = counts.get(utterance.speaker, 0) + 1
    speakers = [speaker for speaker, count in counts.items() if count > 1]
    if alone := sorted(set(counts) - set(speakers)):
        logger.warning(
            "%s: left out, one utterance alone and no other to compare it with: %s",
            path, ", ".join(alone),
        )  # fmt: skip
    if options.speaker:
        check_speakers(model, options.speaker)
        for speaker in options.speaker:
            if speaker not in speakers:
                raise CorpusError(
                    f"{path}:1: fewer than two utterances of {speaker}; the judges compare "
                    "conversions with real speech of the target"
                )
    targets = options.speaker or [speaker for speaker in speakers if speaker in model.speakers]
    if len(speakers) < 2 or not targets:
        raise CorpusError(
            f"{path}:1: expected two utterances or more of at least two speakers, one of them a "
            f"speaker of the model; got {', '.join(speakers) or 'none'}"
        )
    usable = [utterance for utterance in utterances if utterance.speaker in speakers]
    trials = choose(usable, sorted(set(targets)), options.trials, options.seed)
    if len(trials) < options.trials:
        logger.info("%s: %d trials, no more pairs to be had", path, len(trials))
    return trials, pools(usable, sorted(speakers), options.seed)


def _judges(options: argparse.Namespace) -> dict[str, object]:
    """Those that are installed, by what they judge; a line for each that is not."""
    from speechvq.analysis.judges.missing import MissingJudge

    judges = {}
    for what, called in JUDGED.items():
        try:
            judges[what] = _judge(what, options)
        except MissingJudge as missing:
            logger.warning("%s not judged: %s", called, missing)
    return judges


def _judge(what: str, options: argparse.Namespace):
    if what == "voices":
        from speechvq.analysis.judges.speakers import Speakers

        return Speakers()
    if what == "words":
        from speechvq.analysis.judges.words import Words

        return Words(options.recogniser)
    if what == "phones":
        from speechvq.analysis.judges.phones import Phones

        return Phones()
    if what == "quality":
        from speechvq.analysis.judges.quality import Quality

        return Quality()
    from speechvq.analysis.judges.pitch import Pitch

    return Pitch()


def _made(path: str, model: VQVAE, trials: list, pools: dict, options) -> Made:
    """Draw every reconstruction and conversion, all at once."""
    from speechvq import audio
    from speechvq.sampling import encode, sample_batch

    utterances = {trial.utterance.id: trial.utterance for trial in trials}
    waveforms = {
        u.id: audio.read(u.path, model.sample_rate, u.start, u.duration)[0]
        for u in utterances.values()
    }
    codes = {u: encode(model, waveform) for u, waveform in waveforms.items()}
    again = [u for u in utterances.values() if u.speaker in model.speakers]
    wanted = [(u.id, u.speaker) for u in again]
    wanted += [(trial.utterance.id, trial.target) for trial in trials]
    samples = sum(len(codes[u]) for u, _ in wanted) * model.hop_length
    seeds = [options.seed + i for i in range(len(wanted))]
    with progress_bar(samples / model.sample_rate, model.sample_rate) as drawn:
        drawings = sample_batch(
            model,
            [codes[u] for u, _ in wanted],
            [speaker for _, speaker in wanted],
            progress=drawn,
            **sampling_of_several(options) | {"seeds": seeds},
        )
    judged = [
        _to_judges(drawing[: len(waveforms[u])], model.sample_rate)
        for (u, _), drawing in zip(wanted, drawings, strict=True)
    ]
    return Made(
        path,
        trials,
        pools,
        {u.id: _real(u) for u in utterances.values()},
        dict(zip((u.id for u in again), judged, strict=False)),
        judged[len(again) :],
    )


def _real(utterance: Utterance) -> np.ndarray:
    """A recording as the judges hear it."""
    from speechvq import audio
    from speechvq.analysis.judges.level import SAMPLE_RATE, normalised

    return normalised(
        audio.read(utterance.path, SAMPLE_RATE, utterance.start, utterance.duration)[0]
    )


def _to_judges(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    from speechvq.analysis.judges.level import SAMPLE_RATE, normalised

    if sample_rate != SAMPLE_RATE:
        import soxr

        waveform = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
    return normalised(waveform)


def _bits(model: VQVAE, made: Made, options: argparse.Namespace):
    """Bits per sample of the recordings, given their codes; None where no speaker is known."""
    import torch

    from speechvq.analysis.bootstrap import ratio
    from speechvq.data.segments import Waveforms
    from speechvq.training.processes import Processes
    from speechvq.training.validation import Validator

    processes = Processes(torch.device(options.device))
    bits, samples = [], []
    for u in progress([made.utterances[u] for u in made.reconstructions], "bits per sample"):
        waveforms = Waveforms([u], model.sample_rate)
        validator = Validator(model, waveforms, processes, bfloat16=False)
        samples.append(int(waveforms.lengths[0]))
        bits.append(validator.likelihood().metrics["bits_per_sample"] * samples[-1])
    return ratio(bits, samples) if bits else None


def _judged(judges: dict, made: Made) -> tuple[dict, list[dict]]:
    """All scores by what was judged, and for each trial what was heard of it."""
    from speechvq.analysis.judges import scores as figures
    from speechvq.analysis.judges.phones import said

    scores: dict = {}
    heard: list[dict] = [{} for _ in made.trials]
    if judge := judges.get("voices"):
        real, converted = _of_voices(judge.embed, made, list(made.pools), "voices")
        scores["voices"] = figures.voices(made.trials, converted, real, made.pools)
    if judge := judges.get("words"):
        texts = {u.id: judge.words(u.text) for u in made.utterances.values() if u.text}
        if texts:
            scores["words"] = figures.error_rates(_misheard(judge, made, texts, "words", heard))
        else:
            logger.warning("words not judged: the utterances of %s have no text", made.manifest)
    if judge := judges.get("phones"):
        texts = {u.id: said(u.phones) for u in made.utterances.values() if u.phones}
        if texts:
            scores["phones"] = figures.error_rates(_misheard(judge, made, texts, "phones", heard))
        else:
            logger.warning(
                "phones not judged: the utterances have none; make them with: speechvq-align %s",
                made.manifest,
            )
    if judge := judges.get("quality"):
        scores["quality"] = figures.marks(_each(judge.rate, made, "quality"))
    if judge := judges.get("pitch"):
        targets = sorted({trial.target for trial in made.trials})
        real, converted = _of_voices(judge.measure, made, targets, "pitch")
        scores["pitch"], scores["pitch of targets"] = figures.pitches(
            made.trials, converted, real, made.pools
        )
    return scores, heard


def _of_voices(
    judge: Callable, made: Made, speakers: Sequence[str], what: str
) -> tuple[dict, list]:
    """What a judge says of the speakers' real speech and of the sources, and of the conversions."""
    pooled = {u.id: u for speaker in speakers for u in made.pools[speaker]}
    wanted = made.utterances | pooled
    real = {
        u.id: judge(made.sources[u.id] if u.id in made.sources else _real(u))
        for u in progress(list(wanted.values()), what)
    }
    return real, [judge(waveform) for waveform in progress(made.conversions, what)]


def _each(judge: Callable, made: Made, what: str) -> dict[str, list[tuple]]:
    """What a judge says of all speech of the trials: by its kind, (utterance id, said)."""
    from speechvq.analysis.judges.scores import CONVERSION, RECONSTRUCTION, SOURCE

    ids = [trial.utterance.id for trial in made.trials]
    kinds = {
        SOURCE: list(made.sources.items()),
        RECONSTRUCTION: list(made.reconstructions.items()),
        CONVERSION: list(zip(ids, made.conversions, strict=True)),
    }
    return {
        kind: [(u, judge(waveform)) for u, waveform in progress(sounds, f"{what}, {kind}")]
        for kind, sounds in kinds.items()
    }


def _misheard(judge, made: Made, texts: dict[str, list[str]], what: str, heard: list[dict]):
    """Errors by the kind of speech; what was heard of each trial is added to ``heard``."""
    from speechvq.analysis.judges.edits import edits
    from speechvq.analysis.judges.scores import CONVERSION, Misheard

    kinds = _each(judge.hear, made, what)
    for index, entry in enumerate(heard):
        u = made.trials[index].utterance.id
        entry[f"{what} heard"] = {
            kind: " ".join(said[index][1] if kind == CONVERSION else dict(said)[u])
            for kind, said in kinds.items()
            if kind == CONVERSION or u in dict(said)
        }
    return {
        kind: [
            Misheard(u, edits(texts[u], words), len(texts[u])) for u, words in said if u in texts
        ]
        for kind, said in kinds.items()
    }


def _plain(value):
    """For JSON: dataclasses as dictionaries, and null for what is no number."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(out: Path, made: Made, result: dict, wavs: bool) -> None:
    from speechvq import audio
    from speechvq.analysis.judges.level import SAMPLE_RATE

    audio.write_bytes(out / "scores.json", (json.dumps(result, indent=1) + "\n").encode())
    if not wavs:
        return
    sounds = {f"{u}-source": waveform for u, waveform in made.sources.items()}
    sounds |= {f"{u}-reconstruction": waveform for u, waveform in made.reconstructions.items()}
    for trial, waveform in zip(made.trials, made.conversions, strict=True):
        sounds[f"{trial.utterance.id}-{trial.target}"] = waveform
    for name, waveform in sounds.items():
        audio.write(out / "wavs" / f"{name.replace('/', '_')}.wav", waveform, SAMPLE_RATE)


def _report(folder: Path, made: Made, bits, judges: dict, scores: dict, options) -> None:
    from speechvq.analysis.judges.table import fixed, score_table, written

    sources = {trial.utterance.speaker for trial in made.trials}
    targets = {trial.target for trial in made.trials}
    print(f"model      {folder}")
    print(
        f"judged     {len(made.trials)} conversions of {len(made.utterances)} utterances of "
        f"{made.manifest}: {len(sources)} sources, {len(targets)} targets; "
        + ", ".join(f"{k} {v}" for k, v in sampling(options).items() if v is not None)
    )
    print(f"bits       {written(bits, fixed(3))} per sample of the recordings, given their codes")

    for what, called in JUDGED.items():
        if what in scores:
            print(f"\n{called}, by {judges[what].name}\n{score_table(what, scores[what])}")
    if "pitch of targets" in scores:
        rows = {
            f"{target}, {kind}": figures
            for target, kinds in scores["pitch of targets"].items()
            for kind, figures in kinds.items()
        }
        print(f"\n{score_table('pitch', rows)}")

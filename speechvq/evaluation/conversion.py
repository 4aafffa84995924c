"""How well a model converts voices: trials, synthesis of the trials, and what judges say of them.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.judges.judge import (
    CONVERSION,
    REAL_SOURCE,
    REAL_TARGET,
    RECONSTRUCTION,
    SOURCE,
    Judge,
    Recordings,
    Speech,
)
from speechvq.analysis.judges.level import SAMPLE_RATE, normalised
from speechvq.analysis.judges.missing import MissingJudge
from speechvq.analysis.judges.scores import Judged, judge_speech
from speechvq.analysis.judges.trials import Trial, choose, pools
from speechvq.data.manifest import CorpusError, Utterance, read_usable
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.model import Model
from speechvq.sampling import SamplingOptions, sample_batch
from speechvq.sampling.utterances import encode_utterances, read_waveform

logger = logging.getLogger(__name__)

Progress = Callable[[Iterable, str], Iterable]
"""Wraps an iterable and its name, to show a progress bar."""


@dataclass(frozen=True)
class Trials:
    """What is to be converted.

    Attributes
    ----------
    manifest : str
    trials : list of Trial
    pools : dict
        By speaker, the recordings that represent the speaker's voice.
    """

    manifest: str
    trials: list[Trial]
    pools: dict[str, list[Utterance]]

    @property
    def utterances(self) -> dict[str, Utterance]:
        """The different utterances of the trials, by id."""
        return {trial.utterance.id: trial.utterance for trial in self.trials}


@dataclass(frozen=True)
class Synthesised:
    """Speech (T,) of trials at the judges' sample rate and level.

    Attributes
    ----------
    sources, reconstructions : dict
        By the id of the utterance; reconstructions for speakers of the model only.
    conversions : list
        One for each trial.
    """

    sources: dict[str, np.ndarray]
    reconstructions: dict[str, np.ndarray]
    conversions: list[np.ndarray]

    def named(self, trials: Trials) -> dict[str, np.ndarray]:
        """All waveforms by names for files."""
        waveforms = {f"{u}-source": waveform for u, waveform in self.sources.items()}
        waveforms |= {f"{u}-reconstruction": x for u, x in self.reconstructions.items()}
        for trial, waveform in zip(trials.trials, self.conversions, strict=True):
            waveforms[f"{trial.utterance.id}-{trial.target}"] = waveform
        return waveforms


@dataclass(frozen=True)
class ConversionEvaluation:
    """Synthesised trials, what each judge says of them, and bits per sample of the recordings."""

    trials: Trials
    synthesised: Synthesised
    judges: list[Judge]
    judged: dict[str, Judged]
    """By the title of the judge."""
    transcripts: list[dict[str, dict[str, str]]]
    """Of each trial, by the title of the judge and the kind of speech."""
    bits_per_sample: Estimate | None

    def to_dict(self) -> dict:
        """For JSON; NaN becomes None."""
        scores = {}
        for title, judged in self.judged.items():
            scores[title] = judged.scores
            if judged.by_target:
                scores[f"{title} by target"] = judged.by_target
        trials = [
            {
                "utterance": trial.utterance.id,
                "source": trial.utterance.speaker,
                "target": trial.target,
                "text": trial.utterance.text,
                "transcripts": transcripts,
            }
            for trial, transcripts in zip(self.trials.trials, self.transcripts, strict=True)
        ]
        return _plain(
            {
                "manifest": self.trials.manifest,
                "judges": {judge.title: judge.name for judge in self.judges},
                "bits_per_sample": self.bits_per_sample,
                **scores,
                "trials": trials,
            }
        )


def evaluate_conversion(
    model: Model,
    trials: Trials,
    judges: Sequence[Judge],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    device: str = "cpu",
    progress: Progress = lambda items, _: items,
    drawn: Callable[[int], None] | None = None,
) -> ConversionEvaluation:
    """Reconstruct and convert the utterances of trials, and let judges score the speech.

    Parameters
    ----------
    model
        Draws the speech.
    trials
        See :func:`choose_trials`.
    judges
        See :func:`available_judges`; any :class:`~speechvq.analysis.judges.judge.Judge` will do.
    options
        Of sampling. The seed is that of the first waveform; each further waveform has the next.
    device
        Where the model is.
    progress, drawn
        Show progress; `drawn` gets numbers of samples.
    """
    synthesised = synthesise(model, trials, options, drawn)
    known = [trials.utterances[u] for u in synthesised.reconstructions]
    bits = bits_per_sample(model, progress(known, "bits per sample"), device)
    recordings = Recordings(
        trials.pools,
        lambda u: synthesised.sources[u.id] if u.id in synthesised.sources else real(u),
    )
    speech = speech_of_trials(trials, synthesised, recordings)
    judged: dict[str, Judged] = {}
    transcripts: list[dict] = [{} for _ in trials.trials]
    for judge in judges:
        if judge.needs and not any(getattr(u, judge.needs) for u in trials.utterances.values()):
            hint = f"; make them with: speechvq-align {trials.manifest}"
            logger.warning(
                "%s not judged: no utterance of %s has %s%s", judge.title, trials.manifest,
                judge.needs, hint if judge.needs == "phones" else "",
            )  # fmt: skip
            continue
        pieces = [piece for piece in speech if piece.kind in judge.kinds]
        judged[judge.title] = result = judge_speech(judge, progress(pieces, judge.title))
        _add_transcripts(transcripts, trials.trials, judge.title, pieces, result)
    return ConversionEvaluation(trials, synthesised, list(judges), judged, transcripts, bits)


def available_judges(makers: Mapping[str, Callable[[], Judge]]) -> list[Judge]:
    """Make judges; warn of each whose package is not installed, and leave it out."""
    judges = []
    for title, make in makers.items():
        try:
            judges.append(make())
        except MissingJudge as missing:
            logger.warning("%s not judged: %s", title, missing)
    return judges


def choose_trials(
    manifest: str, model: Model, targets: Sequence[str] | None, count: int, seed: int
) -> Trials:
    """Choose trials from a manifest, balanced over sources and targets.

    Parameters
    ----------
    manifest
        Path; speakers with one utterance only are left out.
    model
        Knows the targets.
    targets
        Speakers of the model; by default all that are in the manifest.
    count
        At most so many trials.
    seed
        Of the choice.

    Raises
    ------
    CorpusError
        The manifest has too few utterances of too few speakers.
    ValueError
        The model does not know a target.
    """
    utterances = read_usable(manifest)
    counts = Counter(utterance.speaker for utterance in utterances)
    speakers = [speaker for speaker, n in counts.items() if n > 1]
    if alone := sorted(set(counts) - set(speakers)):
        logger.warning(
            "%s: left out, as judges compare speech with other utterances of the speaker and there "
            "is only one: %s", manifest, ", ".join(alone),
        )  # fmt: skip
    for speaker in targets or ():
        model.speaker_index(speaker)
        if speaker not in speakers:
            raise CorpusError(
                f"{manifest}:1: fewer than two utterances of {speaker}; the judges compare "
                "conversions with recordings of the target"
            )
    targets = targets or [speaker for speaker in speakers if speaker in model.speakers]
    if len(speakers) < 2 or not targets:
        raise CorpusError(
            f"{manifest}:1: expected two utterances or more of at least two speakers, one of them "
            f"a speaker of the model; got {', '.join(speakers) or 'none'}"
        )
    usable = [utterance for utterance in utterances if utterance.speaker in speakers]
    trials = choose(usable, sorted(set(targets)), count, seed)
    if len(trials) < count:
        logger.info("%s: %d trials, as there are no more pairs", manifest, len(trials))
    return Trials(manifest, trials, pools(usable, sorted(speakers), seed))


def synthesise(
    model: Model,
    trials: Trials,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    drawn: Callable[[int], None] | None = None,
) -> Synthesised:
    """Draw all reconstructions and conversions of trials in one batch."""
    codes, lengths = {}, {}
    for e in encode_utterances(model, trials.utterances.values()):
        codes[e.utterance.id], lengths[e.utterance.id] = e.codes, len(e.waveform)
    known = [u for u in trials.utterances.values() if u.speaker in model.speakers]
    pairs = [(u.id, u.speaker) for u in known]
    pairs += [(trial.utterance.id, trial.target) for trial in trials.trials]
    waveforms = sample_batch(
        model,
        [codes[u] for u, _ in pairs],
        [speaker for _, speaker in pairs],
        options,
        seeds=[options.seed + i for i in range(len(pairs))],
        progress=drawn,
    )
    judged = [
        _for_judges(waveform[: lengths[u]], model.sample_rate)
        for (u, _), waveform in zip(pairs, waveforms, strict=True)
    ]
    return Synthesised(
        {u.id: real(u) for u in trials.utterances.values()},
        dict(zip((u.id for u in known), judged, strict=False)),
        judged[len(known) :],
    )


def seconds_to_draw(model: Model, trials: Trials) -> float:
    """Seconds of speech that :func:`synthesise` draws, for a progress bar."""
    known = [u for u in trials.utterances.values() if u.speaker in model.speakers]
    return sum(u.duration for u in [*known, *(trial.utterance for trial in trials.trials)])


def real(utterance: Utterance) -> np.ndarray:
    """A recording (T,) at the judges' sample rate and level."""
    return normalised(read_waveform(utterance, SAMPLE_RATE))


def speech_of_trials(
    trials: Trials, synthesised: Synthesised, recordings: Recordings
) -> list[Speech]:
    """All speech to judge: recordings of targets, then each kind of speech of the trials."""
    utterances = trials.utterances
    speech = [
        Speech(REAL_TARGET, utterance, recordings, target)
        for target in sorted({trial.target for trial in trials.trials})
        for utterance in trials.pools[target]
    ]
    speech += [Speech(SOURCE, u, recordings, source=u.speaker) for u in utterances.values()]
    speech += [
        Speech(RECONSTRUCTION, utterances[u], recordings, None, utterances[u].speaker, waveform)
        for u, waveform in synthesised.reconstructions.items()
    ]
    for trial, waveform in zip(trials.trials, synthesised.conversions, strict=True):
        utterance, target = trial.utterance, trial.target
        speech.append(
            Speech(CONVERSION, utterance, recordings, target, utterance.speaker, waveform)
        )
        speech.append(Speech(REAL_SOURCE, utterance, recordings, target, utterance.speaker))
    return speech


def _add_transcripts(
    transcripts: list[dict],
    trials: Sequence[Trial],
    title: str,
    speech: list[Speech],
    judged: Judged,
) -> None:
    found = [
        (piece, text)
        for piece, text in zip(speech, judged.transcripts, strict=True)
        if text is not None
    ]
    for of_trial, trial in zip(transcripts, trials, strict=True):
        texts = {
            piece.kind: text
            for piece, text in found
            if piece.utterance.id == trial.utterance.id and piece.target in (None, trial.target)
        }
        if texts:
            of_trial[title] = texts


def _for_judges(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    if sample_rate != SAMPLE_RATE:
        import soxr

        waveform = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
    return normalised(waveform)


def _plain(value):
    """For JSON: dataclasses as dictionaries, and null for NaN and infinities."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

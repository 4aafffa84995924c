"""How well a model converts voices: synthesis of trials, and what judges say of them.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    Score,
    Speech,
)
from speechvq.analysis.judges.level import SAMPLE_RATE, normalised
from speechvq.analysis.judges.missing import MissingJudge
from speechvq.analysis.judges.scores import Judged, judge_speech
from speechvq.data.manifest import Utterance
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.evaluation.trials import Trials
from speechvq.model import Model
from speechvq.progress import Progress
from speechvq.sampling import SamplingOptions, encode_source, sample_batch
from speechvq.sampling.pauses import at_source_level
from speechvq.sampling.utterances import read_waveform

logger = logging.getLogger(__name__)


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
    each: list[dict[str, dict[str, Score]]]
    """Of each trial, by the title of the judge and the kind of speech."""
    bits_per_sample: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        scores: dict[str, Any] = {}
        for title, judged in self.judged.items():
            scores[title] = judged.scores
            if judged.by_target:
                scores[f"{title} by target"] = judged.by_target
            if judged.by_group:
                scores[f"{title} by group"] = judged.by_group
        trials = [
            {
                "utterance": trial.utterance.id,
                "group": trial.group,
                "source": trial.utterance.speaker,
                "target": trial.target,
                "text": trial.utterance.text,
                "transcripts": _picked(each, lambda score: score.transcript),
                "scores": _picked(each, lambda score: dict(score.numbers)),
            }
            for trial, each in zip(self.trials.trials, self.each, strict=True)
        ]
        return {
            "manifests": {group or "": path for group, path in self.trials.manifests.items()},
            "judges": {judge.title: judge.name for judge in self.judges},
            "bits_per_sample": self.bits_per_sample,
            **scores,
            "trials": trials,
        }


def evaluate_conversion(
    model: Model,
    trials: Trials,
    judges: Sequence[Judge],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    progress: Progress = lambda items, _: items,
    drawn: Callable[[int], None] | None = None,
    draw: Callable[..., list[np.ndarray]] | None = None,
) -> ConversionEvaluation:
    """Reconstruct and convert the utterances of trials, and let judges score the speech.

    Parameters
    ----------
    model
        Draws the speech.
    trials
        See :func:`~speechvq.evaluation.trials.choose_trials`.
    judges
        See :func:`available_judges`; any :class:`~speechvq.analysis.judges.judge.Judge` will do.
    options
        Of sampling. The seed is that of the first waveform; each further waveform has the next.
    progress, drawn
        Show progress; `drawn` gets numbers of samples.
    draw
        Makes the speech in place of the decoder, whose bits per sample are then left out:
        :func:`~speechvq.sampling.griffin_lim.griffin_lim_batch`.
    """
    titles = [judge.title for judge in judges]
    if len(set(titles)) < len(titles):
        raise ValueError(f"judges: expected different titles, got {', '.join(titles)}")
    synthesised = synthesise(model, trials, options, drawn, draw)
    known = [trials.utterances[u] for u in synthesised.reconstructions]
    bits = None if draw else bits_per_sample(model, progress(known, "bits per sample"))
    read = {u.recording: synthesised.sources[u.id] for u in trials.utterances.values()}
    recordings = Recordings(
        trials.pools,
        trials.targets,
        lambda u: read[u.recording] if u.recording in read else real(u),
    )
    speech = speech_of_trials(trials, synthesised, recordings)
    judged: dict[str, Judged] = {}
    each: list[dict[str, dict[str, Score]]] = [{} for _ in trials.trials]
    for judge in judges:
        pieces = [piece for piece in speech if piece.kind in judge.kinds]
        judged[judge.title] = result = judge_speech(judge, progress(pieces, judge.title))
        found: dict[tuple[str, str | None], dict[str, Score]] = {}
        for piece, score in zip(pieces, result.each, strict=True):
            if piece.kind == REAL_TARGET:  # of no trial, though its id may be a source's, too
                continue
            found.setdefault((piece.utterance.id, piece.target), {})[piece.kind] = score
        for of_trial, trial in zip(each, trials.trials, strict=True):
            u = trial.utterance.id
            of_trial[judge.title] = found.get((u, None), {}) | found.get((u, trial.target), {})
    return ConversionEvaluation(trials, synthesised, list(judges), judged, each, bits)


def available_judges(makers: Mapping[str, Callable[[], Judge]]) -> list[Judge]:
    """Make judges; warn of each whose package is not installed, and leave it out."""
    judges = []
    for title, make in makers.items():
        try:
            judges.append(make())
        except MissingJudge as missing:
            logger.warning("%s not judged: %s", title, missing)
    return judges


def synthesise(
    model: Model,
    trials: Trials,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    drawn: Callable[[int], None] | None = None,
    draw: Callable[..., list[np.ndarray]] | None = None,
) -> Synthesised:
    """Draw all reconstructions and conversions of trials in one batch, as `convert` gives them."""
    sources = {
        u.id: encode_source(model, [read_waveform(u, model.sample_rate)])
        for u in trials.utterances.values()
    }
    known = [u for u in trials.utterances.values() if u.speaker in model.speakers]
    pairs = [(u.id, u.speaker) for u in known]
    pairs += [(trial.utterance.id, trial.target) for trial in trials.trials]
    waveforms = (draw or sample_batch)(
        model,
        [sources[u].codes for u, _ in pairs],
        [speaker for _, speaker in pairs],
        options,
        seeds=[options.seed + i for i in range(len(pairs))],
        progress=drawn,
    )
    judged = [
        normalised(at_source_level(model, sources[u], waveform), model.sample_rate)
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
    groups = {trial.utterance.id: trial.group for trial in trials.trials}
    speech = [
        Speech(REAL_TARGET, utterance, recordings, target)
        for target in trials.targets
        for utterance in trials.pools[target]
    ]

    def of_source(
        kind: str, u: Utterance, target: str | None, waveform: np.ndarray | None = None
    ) -> Speech:
        return Speech(kind, u, recordings, target, u.speaker, waveform, groups[u.id])

    speech += [of_source(SOURCE, u, None) for u in utterances.values()]
    speech += [
        of_source(RECONSTRUCTION, utterances[u], None, waveform)
        for u, waveform in synthesised.reconstructions.items()
    ]
    for trial, waveform in zip(trials.trials, synthesised.conversions, strict=True):
        speech.append(of_source(CONVERSION, trial.utterance, trial.target, waveform))
        speech.append(of_source(REAL_SOURCE, trial.utterance, trial.target))
    return speech


def _picked(each: Mapping[str, Mapping[str, Score]], of: Callable[[Score], Any]) -> dict[str, Any]:
    """Something of each score, by the title of the judge and the kind of speech."""
    found = {
        title: {kind: of(score) for kind, score in kinds.items() if of(score) is not None}
        for title, kinds in each.items()
    }
    return {title: kinds for title, kinds in found.items() if kinds}

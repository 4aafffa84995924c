"""Scores of judges, averaged over speech, with bootstrap intervals over utterances.

The unit of resampling is the utterance of a trial: all conversions of one utterance, to whatever
targets, are resampled together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate, bounded, estimate, ratio
from speechvq.analysis.judges.judge import (
    CONVERSION,
    REAL_TARGET,
    SOURCE,
    Errors,
    Judge,
    Score,
    Speech,
)

Scores = dict[str, dict[str, Estimate]]
"""Estimates by the kind of speech and the name of the number; undefined ones are absent."""

Entry = tuple[str, Score]
"""The id of an utterance, and a score of speech with that utterance."""


@dataclass(frozen=True)
class Judged:
    """What one judge says of speech.

    Attributes
    ----------
    scores : Scores
        By kind of speech.
    by_target : dict
        Scores of REAL_TARGET and CONVERSION for each target; empty unless the judge asks for it.
    by_group : dict
        Scores by kind of speech for each group of sources; empty where there are no groups.
    each : list of Score
        Of each piece of speech.
    """

    scores: Scores
    by_target: dict[str, Scores]
    by_group: dict[str, Scores]
    each: list[Score]


def judge_speech(judge: Judge, speech: Iterable[Speech]) -> Judged:
    """Let a judge score speech, and average the scores of each kind."""
    scored = [(piece, judge.score(piece)) for piece in speech]
    return Judged(
        summarise(_by_kind(scored, judge.kinds)),
        _each(scored, "target", (REAL_TARGET, CONVERSION)) if judge.by_target else {},
        _each(scored, "group", judge.kinds),
        [score for _, score in scored],
    )


def summarise(kinds: Mapping[str, Sequence[Entry]]) -> Scores:
    """Average scores of each kind of speech.

    Returns
    -------
    dict
        The mean of each number. A share that is 0 or 1 gets a Clopper-Pearson interval. An error
        rate, ``WER`` for example, is over all references together; ``WER / source`` is its ratio to
        the rate of the source on the utterances of both, each weighted by how often it occurs in
        the kind.
    """
    sources = _errors(kinds.get(SOURCE, ()))
    found = {}
    for kind, entries in kinds.items():
        numbers = _means(entries)
        for name, sums in _errors(entries).items():
            numbers[name] = ratio(*zip(*sums.values(), strict=True))
            source = sources.get(name, {})
            pairs = [_weighted(own, source[u]) for u, own in sums.items() if u in source]
            if kind != SOURCE and pairs:
                columns = zip(*pairs, strict=True)
                numbers[f"{name} / source"] = estimate(_ratio_of_ratios, *columns)
        if entries:
            found[kind] = numbers
    return found


def mean(utterances: Iterable[str], values: Iterable[float]) -> Estimate | None:
    """Estimate the mean of values, given the utterance of each; NaN is left out."""
    kept = [(u, v) for u, v in zip(utterances, values, strict=True) if not np.isnan(v)]
    if not kept:
        return None
    _, index = np.unique([u for u, _ in kept], return_inverse=True)
    return ratio(np.bincount(index, weights=[v for _, v in kept]), np.bincount(index))


def _each(
    scored: Sequence[tuple[Speech, Score]], attribute: str, kinds: Sequence[str]
) -> dict[str, Scores]:
    """Scores by kind of speech for each target, or for each group."""
    parts: dict[str, list[tuple[Speech, Score]]] = {}
    for entry in scored:
        if (part := getattr(entry[0], attribute)) is not None:
            parts.setdefault(part, []).append(entry)
    return {part: summarise(_by_kind(own, kinds)) for part, own in parts.items()}


def _by_kind(
    scored: Sequence[tuple[Speech, Score]], kinds: Sequence[str]
) -> dict[str, list[Entry]]:
    return {
        kind: [(piece.utterance.id, score) for piece, score in scored if piece.kind == kind]
        for kind in kinds
    }


def _means(entries: Sequence[Entry]) -> dict[str, Estimate]:
    values: dict[str, list[tuple[str, float | bool]]] = {}
    for utterance, score in entries:
        for name, number in score.numbers.items():
            if not isinstance(number, Errors):
                values.setdefault(name, []).append((utterance, number))
    found = {}
    for name, pairs in values.items():
        average = mean(*zip(*pairs, strict=True))
        if average is not None:
            share = all(isinstance(number, bool) for _, number in pairs)
            found[name] = bounded(average) if share else average
    return found


def _errors(entries: Iterable[Entry]) -> dict[str, dict[str, Errors]]:
    """Errors and lengths, by the name of the rate and the utterance, summed over its speech."""
    sums: dict[str, dict[str, Errors]] = {}
    for utterance, score in entries:
        for name, number in score.numbers.items():
            if isinstance(number, Errors):
                of_name = sums.setdefault(name, {})
                before = of_name.get(utterance, Errors(0, 0))
                of_name[utterance] = Errors(*map(sum, zip(before, number, strict=True)))
    return sums


def _weighted(own: Errors, source: Errors) -> tuple[float, ...]:
    """Errors and length, then those of the source, weighted to the same length."""
    weight = own.length / source.length if source.length else 0.0
    return (*own, source.errors * weight, source.length * weight)


def _ratio_of_ratios(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    return (a / b) / (c / d)

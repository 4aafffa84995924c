"""What the judges said of real and made speech, as figures with intervals over utterances.

A trial's own utterance is its unit: what one utterance was turned into, in whatever voices, is
drawn together.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from speechvq.analysis.bootstrap import Estimate, bounded, estimate, ratio
from speechvq.analysis.judges.pitch import PitchOf
from speechvq.analysis.judges.speakers import nearest, similarity, voice
from speechvq.analysis.judges.trials import Trial, others
from speechvq.data.manifest import Utterance

SOURCE, RECONSTRUCTION, CONVERSION = "source", "reconstruction", "conversion"
REAL_TARGET, REAL_SOURCE = "real target", "real source"

Scores = dict[str, dict[str, Estimate]]
"""Figures by the kind of speech, and by what was measured. What has no sense is absent."""


class Misheard(NamedTuple):
    """How many words or phones of an utterance were heard wrong, of how many that were said."""

    utterance: str
    errors: int
    length: int


def mean(utterances: Iterable[str], values: Iterable[float]) -> Estimate | None:
    """Estimate the mean of values, given of which utterance each is; NaNs do not count."""
    kept = [(u, v) for u, v in zip(utterances, values, strict=True) if not np.isnan(v)]
    if not kept:
        return None
    _, index = np.unique([u for u, _ in kept], return_inverse=True)
    return ratio(np.bincount(index, weights=[v for _, v in kept]), np.bincount(index))


def voices(
    trials: Sequence[Trial],
    converted: Sequence[np.ndarray],
    real: Mapping[str, np.ndarray],
    pools: Mapping[str, Sequence[Utterance]],
) -> Scores:
    """Compare the voice of conversions with real voices.

    A real voice is the mean of what stands for its speaker, without the utterance that is judged
    and without others that say the same.

    Parameters
    ----------
    trials
        What was converted.
    converted
        The embedding (D,) of each conversion.
    real
        Embeddings of real utterances by their id: of the trials' sources and of all pools.
    pools
        Real utterances of every speaker that can be named, two of each at least.

    Returns
    -------
    dict
        Of the real target (the ceiling), the conversion and the real source (the floor):
        similarity ``to target`` and ``to source``, and the share ``named target`` of those whose
        nearest voice is the target's.
    """

    def without(judged: Utterance) -> dict[str, np.ndarray]:
        return {
            speaker: voice([real[u.id] for u in others(pool, judged)])
            for speaker, pool in pools.items()
        }

    found: dict[str, list[tuple]] = {REAL_TARGET: [], CONVERSION: [], REAL_SOURCE: []}
    for target in sorted({trial.target for trial in trials}):
        for utterance in pools[target]:
            found[REAL_TARGET].append((utterance, target, None, real[utterance.id]))
    for trial, embedding in zip(trials, converted, strict=True):
        judged = trial.utterance
        found[CONVERSION].append((judged, trial.target, judged.speaker, embedding))
        found[REAL_SOURCE].append((judged, trial.target, judged.speaker, real[judged.id]))

    scores: Scores = {}
    for kind, entries in found.items():
        ids, to_target, to_source, named = [], [], [], []
        for judged, target, source, embedding in entries:
            known = without(judged)
            ids.append(judged.id)
            to_target.append(similarity(embedding, known[target]))
            to_source.append(np.nan if source is None else similarity(embedding, known[source]))
            named.append(float(nearest(embedding, known) == target))
        scores[kind] = _present(
            {
                "to target": mean(ids, to_target),
                "to source": mean(ids, to_source),
                "named target": bounded(mean(ids, named)),
            }
        )
    return scores


def error_rates(kinds: Mapping[str, Sequence[Misheard]]) -> Scores:
    """Compare how much of each kind of speech was misheard with how much of the source was.

    Returns
    -------
    dict
        The ``errors`` of each kind as a share of what was said, and their ``ratio`` to the
        source's, on the utterances that both have, each of which counts for both alike: as often
        as it was turned into something.
    """
    sums = {kind: _summed(entries) for kind, entries in kinds.items() if entries}
    scores: Scores = {}
    for kind, of_utterance in sums.items():
        scores[kind] = {"errors": ratio(*zip(*of_utterance.values(), strict=True))}
        shared = [u for u in of_utterance if u in sums.get(SOURCE, {})]
        if kind != SOURCE and shared:
            columns = zip(*(_beside(of_utterance[u], sums[SOURCE][u]) for u in shared), strict=True)
            scores[kind]["ratio"] = estimate(lambda a, b, c, d: (a / b) / (c / d), *columns)
    return scores


def marks(kinds: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]]) -> Scores:
    """Average the marks of each kind of speech, given as (utterance id, marks by name)."""
    return {
        kind: _present(
            {
                name: mean([u for u, _ in entries], [given[name] for _, given in entries])
                for name in entries[0][1]
            }
        )
        for kind, entries in kinds.items()
        if entries
    }


def pitches(
    trials: Sequence[Trial],
    converted: Sequence[PitchOf],
    real: Mapping[str, PitchOf],
    pools: Mapping[str, Sequence[Utterance]],
) -> tuple[Scores, dict[str, Scores]]:
    """Compare the pitch of conversions with that of the target's and the source's real speech.

    Parameters
    ----------
    trials, converted, real, pools
        As for :func:`voices`, with pitches in the place of embeddings.

    Returns
    -------
    scores : dict
        ``median`` in Hz, ``semitones`` of range and share ``voiced``, means over utterances; and
        ``off``: by how many semitones an utterance's median misses the target's usual one.
    speakers : dict
        The same for each target by itself, of its real speech and of what was turned into it.
    """

    def usual(speaker: str, judged: Utterance) -> float:
        medians = [real[u.id].median for u in others(pools[speaker], judged)]
        medians = [median for median in medians if not np.isnan(median)]
        return float(np.mean(medians)) if medians else np.nan

    entries = []  # (target, kind, utterance id, pitch, semitones off)
    targets = sorted({trial.target for trial in trials})
    for target in targets:
        for u in pools[target]:
            entries.append((target, REAL_TARGET, u.id, real[u.id], usual(target, u)))
    for trial, made in zip(trials, converted, strict=True):
        u, aim = trial.utterance, usual(trial.target, trial.utterance)
        entries.append((trial.target, CONVERSION, u.id, made, aim))
        entries.append((trial.target, REAL_SOURCE, u.id, real[u.id], aim))

    def of(wanted: list[tuple]) -> dict[str, Estimate]:
        ids = [u for _, _, u, _, _ in wanted]
        measured = [pitch for _, _, _, pitch, _ in wanted]
        off = [abs(12 * np.log2(pitch.median / aim)) for _, _, _, pitch, aim in wanted]
        return _present(
            {
                "median": mean(ids, [pitch.median for pitch in measured]),
                "semitones": mean(ids, [pitch.semitones for pitch in measured]),
                "voiced": mean(ids, [pitch.voiced for pitch in measured]),
                "off": mean(ids, off),
            }
        )

    kinds = (REAL_TARGET, CONVERSION, REAL_SOURCE)
    return (
        {kind: of([entry for entry in entries if entry[1] == kind]) for kind in kinds},
        {
            target: {
                kind: of([entry for entry in entries if entry[:2] == (target, kind)])
                for kind in (REAL_TARGET, CONVERSION)
            }
            for target in targets
        },
    )


def _summed(entries: Iterable[Misheard]) -> dict[str, tuple[int, int]]:
    """Errors and length of every utterance, over all that it was turned into."""
    sums: dict[str, tuple[int, int]] = {}
    for utterance, errors, length in entries:
        before = sums.get(utterance, (0, 0))
        sums[utterance] = (before[0] + errors, before[1] + length)
    return sums


def _beside(made: tuple[int, int], source: tuple[int, int]) -> tuple[float, ...]:
    """Errors and length of what was made of an utterance, and as much of the source."""
    (errors, length), (its_errors, its_length) = made, source
    times = length / its_length if its_length else 0.0
    return errors, length, its_errors * times, its_length * times


def _present(figures: Mapping[str, Estimate | None]) -> dict[str, Estimate]:
    return {name: figure for name, figure in figures.items() if figure is not None}

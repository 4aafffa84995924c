"""Which utterances are converted to whom, chosen from manifests."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechvq.analysis.judges.trials import Trial, choose, pools
from speechvq.data.manifest import CorpusError, Utterance, read_usable
from speechvq.data.subsets import decodable
from speechvq.model import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trials:
    """What is to be converted.

    Attributes
    ----------
    manifests : dict
        Paths by the group of sources; one without groups is that of None.
    trials : list of Trial
        With groups, the id of an utterance begins with its group.
    targets : list of str
        Speakers of the model, sorted, also where few trials leave some out.
    pools : dict
        By speaker, the recordings that represent the voice: of targets and sources.
    """

    manifests: dict[str | None, str]
    trials: list[Trial]
    targets: list[str]
    pools: dict[str, list[Utterance]]

    @property
    def utterances(self) -> dict[str, Utterance]:
        """The different utterances of the trials, by id."""
        return {trial.utterance.id: trial.utterance for trial in self.trials}


def choose_trials(
    manifests: str | os.PathLike[str] | Mapping[str | None, str],
    model: Model,
    targets: Sequence[str] | None,
    count: int | None,
    seed: int,
    recordings: str | None = None,
) -> Trials:
    """Choose trials from manifests, balanced over sources and targets.

    Parameters
    ----------
    manifests
        Path of the utterances to convert, or paths by the name of a group. The model need not know
        their speakers.
    model
        Knows the targets.
    targets
        Speakers of the model; by default all that have two recordings or more.
    count
        At most so many trials of each manifest; None for each utterance once.
    seed
        Of the choice.
    recordings
        Path of a manifest with recordings of the targets; by default the manifests themselves.

    Raises
    ------
    CorpusError
        There are too few recordings of the targets, or nobody else to convert.
    ValueError
        The model does not know a target.
    """
    if not isinstance(manifests, Mapping):
        manifests = {None: os.fspath(manifests)}
    groups = {group: _read_group(group, path) for group, path in manifests.items()}
    sources = [utterance for group in groups.values() for utterance in group]
    of_targets = read_usable(recordings) if recordings else sources
    where = recordings or ", ".join(manifests.values())
    targets = _known_targets(of_targets, model, targets, where)
    trials: list[Trial] = []
    for group, utterances in groups.items():
        convertible = {u.speaker for u in utterances if set(targets) - {u.speaker}}
        if not convertible:
            raise CorpusError(
                f"{manifests[group]}:1: expected another speaker than the target {targets[0]}"
            )
        chosen = choose(utterances, targets, count, seed, group)
        if left := convertible - {trial.utterance.speaker for trial in chosen}:
            logger.warning(
                "%s: %d trials are too few for each of %d speakers; left out: %s",
                manifests[group], len(chosen), len(convertible), ", ".join(sorted(left)),
            )  # fmt: skip
        trials += chosen
    voices = pools(sources, sorted({u.speaker for u in sources}), seed)
    voices |= pools(of_targets, targets, seed)
    return _decodable(Trials(dict(manifests), trials, targets, voices))


def _decodable(trials: Trials) -> Trials:
    """Trials without recordings that cannot be decoded, and without sources that have no others."""
    everything = [trial.utterance for trial in trials.trials]
    everything += itertools.chain.from_iterable(trials.pools.values())
    fine = {u.recording for u in decodable({u.recording: u for u in everything}.values())}
    voices = {s: [u for u in own if u.recording in fine] for s, own in trials.pools.items()}
    for target in trials.targets:
        if not voices[target]:
            raise CorpusError(
                f"{trials.pools[target][0].path}: cannot be decoded, as no recording of the target "
                f"{target} can; give others with --targets"
            )
    kept = [
        trial
        for trial in trials.trials
        if trial.utterance.recording in fine and voices[trial.utterance.speaker]
    ]
    if not kept:
        raise CorpusError(
            f"{', '.join(trials.manifests.values())}: no recording to convert can be decoded"
        )
    return dataclasses.replace(trials, trials=kept, pools=voices)


def _read_group(group: str | None, path: str) -> Sequence[Utterance]:
    utterances = read_usable(path)
    if group is None:
        return utterances
    return [dataclasses.replace(u, id=f"{group}/{u.id}") for u in utterances]


def _known_targets(
    recordings: Sequence[Utterance], model: Model, wanted: Sequence[str] | None, where: str
) -> list[str]:
    """Speakers of the model with recordings to compare with, sorted: the wanted ones, else all."""
    counts = Counter(utterance.speaker for utterance in recordings)
    for speaker in wanted or ():
        model.speaker_index(speaker)
        if counts[speaker] < 2:
            raise CorpusError(
                f"{where}:1: fewer than two utterances of {speaker}; the judges compare "
                "conversions with recordings of the target; give some with --targets"
            )
    found = wanted or [s for s, n in counts.items() if n > 1 and s in model.speakers]
    if not found:
        raise CorpusError(
            f"{where}:1: expected two utterances or more of a speaker of the model, to compare "
            f"conversions with; got {', '.join(sorted(counts)[:5])}; give some with --targets"
        )
    return sorted(set(found))

"""Trials of voice conversion, balanced over source and target speakers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.data.manifest import Utterance

REFERENCES = 10
"""Maximum number of recordings that represent a speaker."""


@dataclass(frozen=True)
class Trial:
    """One conversion: an utterance, the target speaker, and the group of the source, if any."""

    utterance: Utterance
    target: str
    group: str | None = None


def choose(
    utterances: Sequence[Utterance],
    targets: Sequence[str],
    count: int | None,
    seed: int = 0,
    group: str | None = None,
) -> list[Trial]:
    """Choose trials, all different and the same for the same seed.

    The sources take turns, each time with another utterance, and the targets rotate against them:
    as long as no source runs out of utterances, and sources and targets are the same speakers, each
    round has every speaker once as source and once as target.

    Parameters
    ----------
    utterances
        Of the sources. A speaker is never converted to itself.
    targets
        Names of speakers, among the sources or not.
    count
        At most so many trials; fewer when there are no more pairs. None for each utterance once.
    seed
        Of the order of the speakers and their utterances.
    group
        Of all trials.

    Raises
    ------
    ValueError
        There are no sources or no targets.
    """
    random = np.random.default_rng(seed)
    sources: dict[str, list[Utterance]] = {}
    for index in random.permutation(len(utterances)):
        sources.setdefault(utterances[index].speaker, []).append(utterances[index])
    ring = sorted(targets)
    lanes = []
    for place, speaker in enumerate(random.permutation(sorted(sources)).tolist()):
        start = ring.index(speaker) + 1 if speaker in ring else place
        others = [ring[(start + k) % len(ring)] for k in range(len(ring))] if ring else []
        if others := [target for target in others if target != speaker]:
            lanes.append((sources[speaker], others))
    if not lanes or (count is not None and count < 1):
        raise ValueError(
            f"no trials: {len(sources)} source speakers, {len(ring)} targets, {count} wanted"
        )
    trials: list[Trial] = []
    turns = [len(own) * (1 if count is None else len(others)) for own, others in lanes]
    for turn in range(max(turns)):
        for (own, others), last in zip(lanes, turns, strict=True):
            if turn < last:
                lap, place = divmod(turn, len(own))
                trials.append(Trial(own[place], others[(place + lap) % len(others)], group))
                if len(trials) == count:
                    return trials
    return trials


def pools(
    utterances: Sequence[Utterance], speakers: Sequence[str], seed: int = 0
) -> dict[str, list[Utterance]]:
    """Choose recordings that represent each speaker: at most :data:`REFERENCES` utterances.

    Returns
    -------
    dict
        The utterances of each of ``speakers``, in random order.
    """
    found: dict[str, list[Utterance]] = {speaker: [] for speaker in speakers}
    for index in np.random.default_rng([seed, 1]).permutation(len(utterances)):
        pool = found.get(utterances[index].speaker)
        if pool is not None and len(pool) < REFERENCES:
            pool.append(utterances[index])
    return found


def others(pool: Sequence[Utterance], judged: Utterance) -> list[Utterance]:
    """Leave the judged utterance out of a pool, and those of the same text, if any remain."""
    rest = [utterance for utterance in pool if utterance.recording != judged.recording]
    differing = [u for u in rest if u.text is None or u.text != judged.text]
    return differing or rest or list(pool)

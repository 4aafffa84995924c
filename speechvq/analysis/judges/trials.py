"""What is converted into what: a few trials, balanced over the speakers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.data.manifest import Utterance

REFERENCES = 10
"""At most so many utterances of a speaker stand for the voice."""


@dataclass(frozen=True)
class Trial:
    """One conversion: an utterance, and the speaker whose voice is to say it."""

    utterance: Utterance
    target: str


def choose(
    utterances: Sequence[Utterance], targets: Sequence[str], count: int, seed: int = 0
) -> list[Trial]:
    """Choose trials, all different and the same for the same seed.

    The speakers take turns as sources, each with another utterance every time, and the targets go
    round against them: as long as nobody runs out of utterances, and sources and targets are the
    same speakers, every turn has each of them once as either.

    Parameters
    ----------
    utterances
        Of the sources. A speaker is never converted to itself.
    targets
        Names of speakers, among the sources or not.
    count
        At most so many trials; fewer when there are no more pairs.
    seed
        Of the order of the speakers and their utterances.

    Raises
    ------
    ValueError
        There is nothing to convert, or nobody to convert it to.
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
    if not lanes or count < 1:
        raise ValueError(
            f"no trials: {len(sources)} source speakers, {len(ring)} targets, {count} wanted"
        )
    trials: list[Trial] = []
    for turn in range(max(len(own) * len(others) for own, others in lanes)):
        for own, others in lanes:
            if turn < len(own) * len(others):
                lap, place = divmod(turn, len(own))
                trials.append(Trial(own[place], others[(place + lap) % len(others)]))
                if len(trials) == count:
                    return trials
    return trials


def pools(
    utterances: Sequence[Utterance], speakers: Sequence[str], seed: int = 0
) -> dict[str, list[Utterance]]:
    """Choose the real speech that stands for each speaker: at most :data:`REFERENCES` utterances.

    Returns
    -------
    dict
        For every one of ``speakers`` its utterances, in a random order.
    """
    found: dict[str, list[Utterance]] = {speaker: [] for speaker in speakers}
    for index in np.random.default_rng([seed, 1]).permutation(len(utterances)):
        pool = found.get(utterances[index].speaker)
        if pool is not None and len(pool) < REFERENCES:
            pool.append(utterances[index])
    return found


def others(pool: Sequence[Utterance], judged: Utterance) -> list[Utterance]:
    """Leave the judged utterance out of a pool, and where any are left, what says the same."""
    rest = [utterance for utterance in pool if utterance.id != judged.id]
    differing = [u for u in rest if u.text is None or u.text != judged.text]
    return differing or rest

"""Splitting a corpus into training, validation and test data without common sentences."""

from __future__ import annotations

import logging
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from speechvq.data.manifest import Utterance

logger = logging.getLogger(__name__)

_APOSTROPHES = frozenset("'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u2018\u2019\u201b\u2032\uff07")
_VCTK_ID = re.compile(r"[ps]\d+_(\d{3})")
_VCTK_SHARED = range(1, 25)  # numbers of the sentences that all speakers of VCTK read


def normalize(text: str) -> str:
    """Normalise a text to lower-case letters, digits and single spaces, to compare sentences.

    Apostrophes of every shape are dropped. Composed and decomposed, full-width and plain forms of
    a letter are the same.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = (c for c in folded if c not in _APOSTROPHES and unicodedata.category(c) != "Cf")
    words = "".join(c if c.isalnum() or unicodedata.combining(c) else " " for c in kept).split()
    return " ".join(words)


def group_sentences(
    utterances: Iterable[Utterance], same: Iterable[Iterable[str]] = ()
) -> dict[str, list[Utterance]]:
    """Group utterances by sentence.

    Utterances with the same normalised text (`normalize`) are of one sentence. An utterance without
    text is a separate sentence. All speakers of VCTK read the same sentences under the numbers 001
    to 024; an utterance with a VCTK id (``p315_007``) and such a number belongs to that sentence
    even if the text is missing or has a typing error. `same` has the ids of utterances that are the
    same speech for another reason.
    """
    utterances = list(utterances)
    spoken, aliases = _shared_sentences(utterances)
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        key = normalize(utterance.text or "") or spoken.get(_shared_number(utterance) or 0)
        if key is None:
            key = f"({utterance.id})"  # a normalised text has no brackets
        groups[aliases.get(key, key)].append(utterance)
    return _joined(dict(groups), same)


def _joined(
    groups: dict[str, list[Utterance]], same: Iterable[Iterable[str]]
) -> dict[str, list[Utterance]]:
    """Join the groups that have ids of one of `same`, under the first of the keys."""
    above: dict[str, str] = {}  # of a key, one that precedes it in the same group

    def first(key: str) -> str:
        while key in above:
            key = above[key]
        return key

    key_of = {u.id: key for key, group in groups.items() for u in group}
    for ids in same:
        keys = sorted({first(key_of[id]) for id in ids if id in key_of})
        above.update(dict.fromkeys(keys[1:], keys[0] if keys else ""))
    joined: dict[str, list[Utterance]] = defaultdict(list)
    for key, group in groups.items():
        joined[first(key)] += group
    return dict(joined)


def split(
    utterances: Iterable[Utterance],
    valid: float = 0.05,
    test: float = 0.1,
    seed: int = 0,
    same: Iterable[Iterable[str]] = (),
) -> dict[str, list[Utterance]]:
    """Split utterances into train, valid and test, whole sentences at a time.

    The same utterances, fractions and seed give the same split, in any order of the utterances.
    Every speaker keeps utterances in train, and has about the same share of valid and test, as far
    as whole sentences allow.

    Parameters
    ----------
    utterances
        The corpus.
    valid, test
        Fractions of the total duration; 0 for none.
    seed
        Seed of the order in which sentences are drawn.
    same
        Groups of ids that are the same speech, beside those with the same text.

    Returns
    -------
    dict
        Utterances of "train", "valid" and "test", sorted by id.

    Raises
    ------
    ValueError
        The fractions leave nothing for train, or there are too few sentences for one in every split
        and one of every speaker in train.
    """
    check_fractions(valid, test)
    groups = group_sentences(sorted(utterances, key=lambda u: u.id), same)
    total = sum(u.duration for group in groups.values() for u in group)
    left_in_train = Counter(u.speaker for group in groups.values() for u in group)
    parts: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
    waiting = list(_spread(groups, seed))
    for name, fraction in (("test", test), ("valid", valid)):
        target, taken = fraction * total, 0.0
        if target == 0:
            continue
        passed_by = []
        for key in waiting:
            group = groups[key]
            duration = sum(u.duration for u in group)
            counts = Counter(u.speaker for u in group)
            if (
                # The split comes closer to the target, and no speaker loses the last utterance
                taken + duration / 2 <= target
                and all(left_in_train[speaker] > n for speaker, n in counts.items())
            ):
                taken += duration
                left_in_train -= counts
                parts[name] += group
            else:
                passed_by.append(key)
        if not parts[name]:
            smallest = _smallest(passed_by, groups, left_in_train)
            if smallest is None:
                raise ValueError(
                    f"{len(groups)} different sentences are too few to put one into {name} and "
                    f"leave every speaker one to train on; give more, or --{name} 0"
                )
            passed_by.remove(smallest)
            left_in_train -= Counter(u.speaker for u in groups[smallest])
            parts[name] += groups[smallest]
            taken = sum(u.duration for u in groups[smallest])
        if not 0.5 * target <= taken <= 2 * target:
            _warn_of_size(name, taken / total, fraction)
        waiting = passed_by
    parts["train"] = [u for key in waiting for u in groups[key]]
    return {name: sorted(part, key=lambda u: u.id) for name, part in parts.items()}


def _warn_of_size(name: str, taken: float, fraction: float) -> None:
    logger.warning(
        "%s is %.1f %% of the corpus, not %.1f %%: no sentence may be in two splits",
        name,
        100 * taken,
        100 * fraction,
    )


def check_fractions(valid: float, test: float) -> None:
    """Raise ValueError for fractions that leave nothing for train."""
    for name, fraction in (("valid", valid), ("test", test)):
        if not 0 <= fraction < 1:
            raise ValueError(f"{name} must be a fraction from 0 to below 1, not {fraction:g}")
    if valid + test >= 1:
        raise ValueError(f"valid {valid:g} and test {test:g} leave nothing to train on")


def _spread(groups: dict[str, list[Utterance]], seed: int) -> Iterator[str]:
    """Sentences in a random order in which every section has each speaker's share.

    Systematic sampling: the sentences of the same set of speakers get positions spread evenly from
    0 to 1 with a random offset; then all sentences are sorted by position.
    """
    rng = random.Random(seed)
    readers: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, group in sorted(groups.items()):
        readers[tuple(sorted({u.speaker for u in group}))].append(key)
    places = []
    for _, keys in sorted(readers.items()):
        rng.shuffle(keys)
        offset = rng.random()
        places += [((rank + offset) / len(keys), key) for rank, key in enumerate(keys)]
    return (key for _, key in sorted(places))


def _smallest(
    keys: list[str], groups: dict[str, list[Utterance]], left_in_train: Counter[str]
) -> str | None:
    """The shortest sentence whose removal from train leaves every speaker an utterance there."""
    possible = [
        key
        for key in keys
        if all(left_in_train[s] > n for s, n in Counter(u.speaker for u in groups[key]).items())
    ]
    return min(possible, key=lambda k: (sum(u.duration for u in groups[k]), k), default=None)


def _shared_number(utterance: Utterance) -> int | None:
    match = _VCTK_ID.fullmatch(utterance.id)
    number = int(match[1]) if match else 0
    return number if number in _VCTK_SHARED else None


def _shared_sentences(utterances: list[Utterance]) -> tuple[dict[int, str], dict[str, str]]:
    """Texts of the sentences that all speakers of VCTK read, and variants of these texts.

    Returns
    -------
    spoken
        The most frequent text of each shared number.
    aliases
        Maps a normalised text with a typing error to the text that most speakers have under the
        same number. An alias holds wherever the text occurs, and the most frequent text of a number
        is never an alias, so that equal texts stay in one group.
    """
    texts: dict[int, Counter[str]] = defaultdict(Counter)
    for utterance in utterances:
        number = _shared_number(utterance)
        if number is not None:
            texts[number][normalize(utterance.text or "")] += 1
    spoken, agreed = {}, {}
    for number, counts in sorted(texts.items()):
        read = sorted((-n, text) for text, n in counts.items() if text)
        spoken[number] = read[0][1] if read else f"(sentence {number:03d})"
        if read and -read[0][0] > max(1, -sum(n for n, _ in read) / 2):
            agreed[number] = spoken[number]
    aliases: dict[str, str] = {}
    for number, common in agreed.items():
        for text in sorted(texts[number]):
            if text and text not in agreed.values():
                aliases.setdefault(text, common)
    return spoken, aliases

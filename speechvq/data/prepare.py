"""Preparing a corpus: manifests of its training, validation and test data."""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora import READERS, CorpusReader, corpus_root, detect, read_corpus
from speechvq.data.manifest import Utterance, write_manifest
from speechvq.data.same_speech import find_copies
from speechvq.data.split import check_fractions, group_sentences, split

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitSummary:
    """Size of one split of a corpus.

    Attributes
    ----------
    split : str
        "train", "valid", "test", or "all" for their sum.
    utterances, sentences, speakers : int
    minutes : float
    with_text, with_phones : int
        Utterances whose text and whose phones are known.
    """

    split: str
    utterances: int
    sentences: int
    speakers: int
    minutes: float
    with_text: int
    with_phones: int


@dataclass(frozen=True)
class PreparedCorpus:
    """Result of `prepare`: the kind of corpus, the folder of the manifests, and their sizes."""

    kind: str
    out: Path
    splits: list[SplitSummary]


def prepare(
    root: str | os.PathLike[str],
    reader: CorpusReader | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    phones: str | os.PathLike[str] | None = None,
    tier: str | None = None,
    speakers: Iterable[str] | None = None,
    only: Iterable[str] | None = None,
    check: bool = False,
    trim_silence: bool = False,
    valid: float = 0.05,
    test: float = 0.1,
    seed: int = 0,
    progress: bool = False,
) -> PreparedCorpus:
    """Write train.jsonl, valid.jsonl, test.jsonl, speakers.json and roots.txt for a corpus.

    No sentence and no recording is in two splits, as far as texts, the numbers of the corpus and
    the audio show; what cannot be checked is logged. speakers.json has the facts about each speaker
    that the corpus states.

    Parameters
    ----------
    root : path
        The corpus.
    reader : CorpusReader, optional
        Finds the recordings; by default that of the package whose layout the corpus has.
    out : path, optional
        Folder of the manifests; by default ``exp/KIND/data``.
    phones, tier, speakers, only, check, trim_silence, progress
        As in `speechvq.data.corpora.read_corpus`.
    valid, test : float
        Fractions of the total duration for validation and for testing; 0 for none.
    seed : int
        Chooses among the possible splits.

    Raises
    ------
    OSError
        The corpus does not exist, or a manifest cannot be written.
    ValueError
        The corpus cannot be read, or is too small for the split.
    """
    check_fractions(valid, test)  # before minutes of reading
    if reader is None:
        reader = READERS[detect(root)]()
    out = Path("exp", reader.kind, "data") if out is None else Path(out)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out}: a file, where the folder for the manifests was expected")
    utterances = read_corpus(
        reader,
        root,
        phones=phones,
        tier=tier,
        speakers=speakers,
        only=only,
        check=check,
        trim_silence=trim_silence,
        progress=progress,
    )
    same = _same_speech(reader, utterances)
    parts = split(utterances, valid, test, seed, same)
    found = corpus_root(reader, root)
    facts = reader.speakers(found)
    paths = (audio.absolute(u.path) for u in utterances)
    elsewhere = {
        os.path.dirname(p) for p in paths if not p.startswith(f"{os.path.abspath(found)}/")
    }
    for name, part in parts.items():
        write_manifest(out / f"{name}.jsonl", part, [found, *sorted(elsewhere)])
    by_speaker = {name: facts.get(name, {}) for name in sorted({u.speaker for u in utterances})}
    text = json.dumps(by_speaker, indent=1, ensure_ascii=False) + "\n"
    audio.write_bytes(out / "speakers.json", text.encode())
    groups = group_sentences(utterances, same)
    sentences = {u.id: sentence for sentence, group in groups.items() for u in group}
    summaries = [
        _summary(name, part, sentences) for name, part in (parts | {"all": utterances}).items()
    ]
    return PreparedCorpus(reader.kind, out, summaries)


def _same_speech(reader: CorpusReader, utterances: Sequence[Utterance]) -> list[list[str]]:
    """Groups of ids that are the same speech, by the corpus's numbers and by the audio."""
    numbered: dict[str, list[str]] = defaultdict(list)
    for utterance in utterances:
        number = reader.sentence(utterance)
        if number is not None:
            numbered[number].append(utterance.id)
    here = [u for u in utterances if audio.as_url(u.path) is None]
    if len(here) < len(utterances):
        logger.warning(
            "%d recordings at URLs are not compared with each other: the same recording may be in "
            "two splits",
            len(utterances) - len(here),
        )
    copies = find_copies(here)
    if copies.groups:
        logger.warning(
            "recordings that are there more than once: %d, such as %s; all copies are on one side "
            "of the split",
            len(copies.groups),
            " and ".join(copies.groups[0][:2]),
        )
    unknown = sum(u.text is None for u in utterances)
    if unknown:
        logger.warning(
            "no text is known of %d of %d utterances: whether two of these are the same sentence "
            "is told by the names of the files alone, and could not be checked",
            unknown,
            len(utterances),
        )
    if copies.unread:
        logger.warning(
            "%d recordings could not be compared with others of the same length, such as %s",
            len(copies.unread),
            copies.unread[0],
        )
    return [*numbered.values(), *copies.groups]


def _summary(
    split: str, utterances: Sequence[Utterance], sentences: dict[str, str]
) -> SplitSummary:
    return SplitSummary(
        split,
        utterances=len(utterances),
        sentences=len({sentences[u.id] for u in utterances}),
        speakers=len({u.speaker for u in utterances}),
        minutes=round(sum(u.duration for u in utterances) / 60, 2),
        with_text=sum(u.text is not None for u in utterances),
        with_phones=sum(u.phones is not None for u in utterances),
    )

"""Preparing a corpus: manifests of its training, validation and test data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora import READERS, CorpusReader, corpus_root, detect, read_corpus
from speechvq.data.manifest import Utterance, write_manifest
from speechvq.data.split import check_fractions, group_sentences, split


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
    root: str | os.PathLike,
    reader: CorpusReader | None = None,
    out: str | os.PathLike | None = None,
    *,
    phones: str | os.PathLike | None = None,
    speakers: Iterable[str] | None = None,
    check: bool = False,
    trim_silence: bool = False,
    valid: float = 0.05,
    test: float = 0.1,
    seed: int = 0,
    progress: bool = False,
) -> PreparedCorpus:
    """Write train.jsonl, valid.jsonl, test.jsonl and speakers.json for a corpus.

    No sentence is in two splits. speakers.json has the facts about each speaker that the corpus
    states.

    Parameters
    ----------
    root : path
        The corpus.
    reader : CorpusReader, optional
        Finds the recordings; by default that of the package whose layout the corpus has.
    out : path, optional
        Folder of the manifests; by default ``exp/KIND/data``.
    phones, speakers, check, trim_silence, progress
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
        speakers=speakers,
        check=check,
        trim_silence=trim_silence,
        progress=progress,
    )
    parts = split(utterances, valid, test, seed)
    facts = reader.speakers(corpus_root(reader, root))
    for name, part in parts.items():
        write_manifest(out / f"{name}.jsonl", part)
    by_speaker = {name: facts.get(name, {}) for name in sorted({u.speaker for u in utterances})}
    text = json.dumps(by_speaker, indent=1, ensure_ascii=False) + "\n"
    audio.write_bytes(out / "speakers.json", text.encode())
    groups = group_sentences(utterances)
    sentences = {u.id: sentence for sentence, group in groups.items() for u in group}
    summaries = [
        _summary(name, part, sentences) for name, part in (parts | {"all": utterances}).items()
    ]
    return PreparedCorpus(reader.kind, out, summaries)


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

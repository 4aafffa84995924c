"""Codes for other programs: Praat, discrete-unit language models, NumPy.

Shapes: N codes, G codebooks, R runs, U utterances.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np

from speechvq.codes import Codebook, check_id, checked
from speechvq.data.manifest import Phone
from speechvq.data.textgrid import Tier

CODES, PHONES = "codes", "phones"
"""Names of tiers."""


def run_starts(codes: np.ndarray) -> np.ndarray:
    """Places (R,) at which the codes (N,) or (N, G) differ from those before, 0 among them."""
    frames = codes.reshape(len(codes), -1)
    return np.flatnonzero(np.r_[True, (frames[1:] != frames[:-1]).any(axis=1)])


def tiers(
    codes: np.ndarray,
    codebook: Codebook,
    duration: float,
    phones: Sequence[Phone] | None = None,
) -> list[Tier]:
    """Tiers of a TextGrid: runs of codes as intervals, and phones where they are known.

    Parameters
    ----------
    codes
        (N,), or (N, G) of a product code, which gets a tier for each codebook: ``codes 1``, ….
    codebook
        Says how long a code is.
    duration
        Seconds of speech; the last code may reach beyond it.
    phones
        Times in seconds; None for no tier of phones.
    """
    of_codebooks = codes.reshape(len(codes), -1).T
    found = []
    for number, own in enumerate(of_codebooks, 1):
        starts = run_starts(own)
        times = [*(starts * codebook.hop_length / codebook.sample_rate).tolist(), duration]
        labels = map(str, own[starts].tolist())
        name = CODES if len(of_codebooks) == 1 else f"{CODES} {number}"
        found.append(Tier(name, True, list(zip(times, times[1:], labels, strict=False))))
    if phones is not None:
        found.append(Tier(PHONES, True, [(p.start, p.end, p.label) for p in phones]))
    return found


def check_unit_id(id: str) -> str:
    """Return the id of an utterance; ValueError if it is not allowed in a file of units."""
    if "|" in check_id(id):
        raise ValueError(f"utterance id {id!r}: must not hold '|', which ends an id; rename it")
    return id


def units_line(id: str, codes: np.ndarray, codebook: Codebook, merge_runs: bool = False) -> str:
    """Return ``id|unit unit unit``, as GSLM's quantisation writes it, with line end.

    Parameters
    ----------
    id
        Of the utterance.
    codes
        (N,); or (N, G): the units of a frame follow each other, and that of codebook g, from 0, is
        ``g * K + code``.
    codebook
        Says K.
    merge_runs
        Whether equal frames that follow each other become one.
    """
    if merge_runs:
        codes = codes[run_starts(codes)]
    frames = codes.reshape(len(codes), -1)
    units = frames + codebook.codebook_size * np.arange(frames.shape[1])
    return f"{check_unit_id(id)}|{' '.join(map(str, units.ravel().tolist()))}\n"


def npz(codebook: Codebook, utterances: Iterable[tuple[str, np.ndarray]]) -> bytes:
    """The content of an ``.npz`` file; nothing in it is pickled.

    Its arrays: `ids` (U,), text; `lengths` (U,), the number N of codes of each; `codes`, int32, of
    all of them one after the other, (ΣN,) or (ΣN, G); `meta`, the header as JSON, a text.
    """
    ids, parts = [], []
    for id, codes in utterances:
        ids.append(id)
        parts.append(checked(id, codes, codebook).astype(np.int32))
    content = io.BytesIO()
    np.savez_compressed(
        content,
        ids=np.array(ids),
        lengths=np.array([len(part) for part in parts]),
        codes=np.concatenate(parts),
        meta=np.array(json.dumps(asdict(codebook), ensure_ascii=False)),
    )
    return content.getvalue()

"""Tokens of the ABX task: phones with context, speaker and frames; ZeroSpeech's .item file.

The task is that of ZeroSpeech 2021 (Nguyen et al., "The Zero Resource Speech Benchmark 2021",
2020); items and frames are those of ABXpy and fastabx.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone

TOUCHING = 0.01
"""Seconds between phones up to which they follow each other; in a longer gap there is silence."""

HEADINGS = "#file onset offset #phone prev-phone next-phone speaker"


@dataclass(frozen=True)
class Token:
    """A phone between its neighbours, and the frames ``first`` to ``end - 1`` that stand for it.

    `onset` and `offset` are in seconds from the beginning of the utterance: those of the three
    phones, or of the phone alone.
    """

    utterance: str
    speaker: str
    phone: str
    before: str
    after: str
    onset: Fraction
    offset: Fraction
    first: int
    end: int


def tokens_of(
    utterance: str,
    speaker: str,
    phones: Sequence[Phone],
    frame_rate: Fraction,
    n_frames: int,
    triphones: bool = True,
) -> tuple[list[Token], int]:
    """Find the tokens of an utterance.

    Frame i stands for the time (i + 1/2) / frame_rate; a token has the frames from its onset to its
    offset, both included.

    Parameters
    ----------
    utterance, speaker
        Names.
    phones
        In the order of time.
    frame_rate
        Frames per second.
    n_frames
        N, the frames that the utterance has.
    triphones
        Whether a token lasts from the beginning of the phone before to the end of the phone after,
        and has no silence in it; else it is the phone alone, beside silence too.

    Returns
    -------
    tokens : list of Token
    left_out : int
        Number of tokens that have no frame, or end after the last one.
    """
    edge = Phone(0, 0, SILENCE)
    heard = [edge, *phones, edge]
    tokens, left_out = [], 0
    for before, phone, after in zip(heard, heard[1:], heard[2:], strict=False):
        previous, following = (
            SILENCE if abs(gap) > TOUCHING else neighbour.label
            for neighbour, gap in (
                (before, phone.start - before.end),
                (after, after.start - phone.end),
            )
        )
        if phone.label == SILENCE or (triphones and SILENCE in (previous, following)):
            continue
        onset, offset = map(
            _microseconds, (before.start, after.end) if triphones else (phone.start, phone.end)
        )
        first = math.ceil(onset * frame_rate - Fraction(1, 2))
        end = math.floor(offset * frame_rate - Fraction(1, 2)) + 1
        if first < end <= n_frames:
            names = phone.label, previous, following
            tokens.append(Token(utterance, speaker, *names, onset, offset, first, end))
        else:
            left_out += 1
    return tokens, left_out


def thinned(tokens: Sequence[Token], max_group: int, by_context: bool, seed: int) -> list[Token]:
    """Draw at most `max_group` tokens of each phone of a speaker, in each context; 0 for all."""
    groups = defaultdict(list)
    for index, token in enumerate(tokens):
        groups[group_of(token, by_context)].append(index)
    generator = np.random.default_rng(seed)
    kept = []
    for _, group in sorted(groups.items()):
        if 0 < max_group < len(group):
            group = generator.choice(group, max_group, replace=False).tolist()
        kept += group
    return [tokens[index] for index in sorted(kept)]


def group_of(token: Token, by_context: bool) -> tuple[tuple[str, str], str, str]:
    """Context, speaker and phone of a token; of equal contexts, if they are not to count."""
    context = (token.before, token.after) if by_context else ("", "")
    return context, token.speaker, token.phone


def item_file(tokens: Iterable[Token]) -> str:
    """The text of an .item file, as ZeroSpeech's tools read it.

    Raises
    ------
    ValueError
        A name has white space, which separates the columns.
    """
    lines = [HEADINGS]
    for token in tokens:
        names = (token.utterance, token.phone, token.before, token.after, token.speaker)
        if bad := [name for name in names if len(name.split()) != 1]:
            raise ValueError(
                f"{bad[0]!r} of utterance {token.utterance!r} has white space, which separates the "
                "columns of an .item file; rename it in the manifest"
            )
        times = f"{float(token.onset):.6f} {float(token.offset):.6f}"
        lines.append(" ".join([names[0], times, *names[1:]]))
    return "\n".join(lines) + "\n"


def _microseconds(seconds: float) -> Fraction:
    """Exact, as an .item file has it: a frame on the border is in or out for everyone."""
    return Fraction(round(seconds * 1_000_000), 1_000_000)

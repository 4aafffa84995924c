"""New codes, drawn one after the other from a prior: speech that nobody has said.

Shapes: B utterances, N codes, G condition_channels, K codebook_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from speechvq.models.prior import Prior
from speechvq.sampling.choice import Choice

CHUNK = 256
"""Codes between two looks at interrupts."""
TOGETHER = 16
"""Utterances that are drawn in lock-step."""


def sample_codes(
    prior: Prior,
    length: int,
    speakers: Sequence[str],
    *,
    prompt: np.ndarray | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Draw codes from a prior, by the compiled engine.

    Parameters
    ----------
    prior : Prior
        In eval mode, on the CPU.
    length : int
        Codes to draw, 1 or more.
    speakers : sequence of str
        One an utterance. A speaker whom the prior does not know is spoken of as the mean of those
        that it knows.
    prompt : ndarray, optional
        Codes (n,) that each utterance goes on from.
    temperature, top_k, top_p
        Another distribution than the prior's own: see `Choice`.
    seeds : sequence of int, optional
        One an utterance; 0, 1, … by default. An utterance does not depend on what is drawn beside
        it.

    Returns
    -------
    list of ndarray
        The new codes (length,) int64 of each utterance, without the prompt.

    Raises
    ------
    ValueError
        A length, seed or temperature that cannot be; a prompt with other codes than 0 … K-1.
    """
    from speechvq.sampling.engine import Engine  # numba takes its time

    seeds = list(range(len(speakers))) if seeds is None else list(seeds)
    if length < 1:
        raise ValueError(f"length: must be at least 1 code, got {length}")
    if len(seeds) != len(speakers):
        raise ValueError(f"{len(speakers)} speakers and {len(seeds)} seeds; expected one of each")
    if seeds and min(seeds) < 0:
        raise ValueError(f"seed: must be 0 or more, got {min(seeds)}")
    choice = Choice(temperature, top_k, top_p)
    before = np.zeros(0, np.int64) if prompt is None else np.asarray(prompt)
    if len(before) and not 0 <= before.min() <= before.max() < prior.codebook_size:
        raise ValueError(f"prompt: codes must be 0 … {prior.codebook_size - 1}")
    engine = Engine(prior.wavenet)
    found: list[np.ndarray] = []
    for first in range(0, len(speakers), TOGETHER):
        rows = slice(first, first + TOGETHER)
        with torch.inference_mode():
            condition = prior.condition(prior.speaker(speakers[rows]))  # (B, 1, G)
        found += _draw(engine, condition.numpy(), before, length, seeds[rows], choice)
    return found


def _draw(engine, condition, before, length, seeds, choice) -> list[np.ndarray]:
    """Codes of utterances in lock-step, a chunk at a time."""
    B = len(condition)
    slots = list(range(B))
    streams = engine.streams(B)
    for start in range(0, len(before), CHUNK):
        given = np.tile(before[start : start + CHUNK], (B, 1))[:, :, None]
        streams.score(slots, condition, given.shape[1], given)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    chunks = []
    for start in range(0, length, CHUNK):
        count = min(CHUNK, length - start)
        uniforms = np.stack([random.random((count, 1)) for random in generators])
        chunks.append(streams.draw(slots, condition, count, uniforms, choice)[:, :, 0])
    return list(np.concatenate(chunks, axis=1).astype(np.int64))


def longest_run(codes: np.ndarray) -> int:
    """How many times the same code comes in a row, at most, in codes (N,)."""
    changes = np.flatnonzero(np.diff(codes)) + 1
    edges = np.concatenate([[0], changes, [len(codes)]])
    return int(np.diff(edges).max(initial=0))

"""Unconditional generation: codes drawn from the autoregressive prior by ancestral sampling.

Shapes: B utterances, N codes, G condition_channels, K codebook_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from speechvq.models.prior import Prior
from speechvq.sampling.options import SamplingOptions, check_seed

CHUNK_CODES = 256
"""Codes that are drawn between two checks for interrupts."""
PRIOR_BATCH = 16
"""Utterances in lock-step, at most."""


def sample_codes(
    prior: Prior,
    length: int,
    speakers: Sequence[str],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    prompt: np.ndarray | None = None,
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
        One for each utterance. For a speaker whom the prior does not know, the mean of the known
        speaker vectors is used.
    options : SamplingOptions
        Distribution, seed and precision. The post-filter does not concern codes.
    prompt : ndarray, optional
        Codes (n,) that each utterance continues.
    seeds : sequence of int, optional
        One for each utterance; `options.seed`, `options.seed + 1`, … by default. An utterance does
        not depend on the rest of the batch.

    Returns
    -------
    list of ndarray
        The new codes (length,) int64 of each utterance, without the prompt.

    Raises
    ------
    ValueError
        A length or seed out of range; a prompt with other codes than 0 … K-1.
    """
    from speechvq.sampling.engine import Engine  # importing numba is slow

    if seeds is None:
        seeds = [options.seed + i for i in range(len(speakers))]
    seeds = list(seeds)
    if length < 1:
        raise ValueError(f"length: must be at least 1 code, got {length}")
    if len(seeds) != len(speakers):
        raise ValueError(f"{len(speakers)} speakers and {len(seeds)} seeds; expected one of each")
    check_seed(min(seeds, default=0))
    before = np.zeros(0, np.int64) if prompt is None else np.asarray(prompt)
    if len(before) and not 0 <= before.min() <= before.max() < prior.codebook_size:
        raise ValueError(f"prompt: codes must be 0 … {prior.codebook_size - 1}")
    engine = Engine(prior.wavenet, options.precision)
    found: list[np.ndarray] = []
    for first in range(0, len(speakers), PRIOR_BATCH):
        rows = slice(first, first + PRIOR_BATCH)
        with torch.inference_mode():
            condition = prior.condition(prior.speaker(speakers[rows]))  # (B, 1, G)
        found += _draw(engine, condition.numpy(), before, length, seeds[rows], options)
    return found


def _draw(engine, condition, before, length, seeds, options) -> list[np.ndarray]:
    """Draw utterances in lock-step, a chunk at a time."""
    B = len(condition)
    slots = list(range(B))
    streams = engine.streams(B)
    for start in range(0, len(before), CHUNK_CODES):
        given = np.tile(before[start : start + CHUNK_CODES], (B, 1))[:, :, None]
        streams.score(slots, condition, given.shape[1], given)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    chunks = []
    for start in range(0, length, CHUNK_CODES):
        count = min(CHUNK_CODES, length - start)
        uniforms = np.stack([random.random((count, 1)) for random in generators])
        chunks.append(streams.draw(slots, condition, count, uniforms, options)[:, :, 0])
    return list(np.concatenate(chunks, axis=1).astype(np.int64))


def longest_run(codes: np.ndarray) -> int:
    """Length of the longest run of one code in codes (N,)."""
    changes = np.flatnonzero(np.diff(codes)) + 1
    edges = np.concatenate([[0], changes, [len(codes)]])
    return int(np.diff(edges).max(initial=0))

"""Unconditional generation: codes drawn from the autoregressive prior by ancestral sampling.

Shapes: B utterances, N codes, G codebooks, C condition_channels, K codebook_size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from speechvq.data.interchange import run_starts
from speechvq.models.prior import Prior, delayed, undelayed
from speechvq.sampling.options import SamplingOptions, check_names, check_seed

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
        Codes (n,), of a product code (n, G), that each utterance continues.
    seeds : sequence of int, optional
        One for each utterance; `options.seed`, `options.seed + 1`, … by default. An utterance does
        not depend on the rest of the batch.

    Returns
    -------
    list of ndarray
        The new codes (length,) int64 of each utterance, of a product code (length, G), without the
        prompt.

    Raises
    ------
    ValueError
        A length or seed out of range; a prompt of another shape, or with other codes than 0 … K-1.
    """
    from speechvq.sampling.engine import Engine  # importing numba is slow

    check_names(speakers)
    if seeds is None:
        seeds = [options.seed + i for i in range(len(speakers))]
    seeds = list(seeds)
    if length < 1:
        raise ValueError(f"length: must be at least 1 code, got {length}")
    if len(seeds) != len(speakers):
        raise ValueError(f"{len(speakers)} speakers and {len(seeds)} seeds; expected one of each")
    check_seed(min(seeds, default=0))
    of_code = () if prior.codebooks == 1 else (prior.codebooks,)
    before = np.zeros((0, *of_code), np.int64) if prompt is None else np.asarray(prompt)
    if before.shape == (0,):
        before = np.zeros((0, *of_code), np.int64)
    if not np.issubdtype(before.dtype, np.integer):
        raise ValueError(f"prompt: expected integers, got {before.dtype}")
    if not before.ndim or before.shape[1:] != of_code:
        expected = "(n,)" if prior.codebooks == 1 else f"(n, {prior.codebooks})"
        raise ValueError(f"prompt: expected codes of shape {expected}, got {before.shape}")
    if len(before) and not 0 <= before.min() <= before.max() < prior.codebook_size:
        raise ValueError(f"prompt: codes must be 0 … {prior.codebook_size - 1}")
    G = prior.codebooks
    given = torch.from_numpy(before.astype(np.int64)).view(1, -1, G)
    known = delayed(given, start=prior.codebook_size)[0].numpy()
    engine = Engine(prior.wavenet, options.precision)
    found: list[np.ndarray] = []
    for first in range(0, len(speakers), PRIOR_BATCH):
        rows = slice(first, first + PRIOR_BATCH)
        with torch.inference_mode():
            condition = prior.condition(prior.speaker(speakers[rows]))  # (B, 1, C)
        drawn = _draw(engine, condition.numpy(), known, length, seeds[rows], options)
        found += list(drawn.reshape(len(drawn), length, *of_code))
    return found


def _draw(
    engine: Any,
    condition: np.ndarray,
    known: np.ndarray,
    length: int,
    seeds: Sequence[int],
    options: SamplingOptions,
) -> np.ndarray:
    """Draw utterances in lock-step, a chunk at a time: codes (B, length, G).

    The steps `known`, (n + G - 1, G), are those of a prompt of n codes. In step n + i, the prompt's
    last codes of the codebooks g > i stand beside new ones of the others.
    """
    B, G = len(condition), known.shape[1]
    slots = list(range(B))
    streams = engine.streams(B)
    n = len(known) - (G - 1)
    for start in range(0, n, CHUNK_CODES):
        given = np.tile(known[start : min(n, start + CHUNK_CODES)], (B, 1, 1))
        streams.score(slots, condition, given.shape[1], given)
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    chunks, done = [], 0
    while done < length + G - 1:
        partly = done < G - 1
        count = 1 if partly else min(CHUNK_CODES, length + G - 1 - done)
        uniforms = np.stack([random.random((count, G)) for random in generators])
        chunks.append(streams.draw(slots, condition, count, uniforms, options))
        if partly:
            chunks[-1][:, 0, done + 1 :] = known[n + done, done + 1 :]
            streams.replace(slots, chunks[-1][:, 0])
        done += count
    steps = torch.from_numpy(np.concatenate(chunks, axis=1).astype(np.int64))
    return undelayed(steps).numpy()


def longest_run(codes: np.ndarray) -> int:
    """Length of the longest run of one code in codes (N,), or of one product code in (N, G)."""
    return int(np.diff(run_starts(codes), append=len(codes)).max(initial=0)) if len(codes) else 0

"""From codes and a speaker to a waveform.

Shapes: T samples, N codes, M condition vectors, G condition_channels.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from speechvq import mu_law
from speechvq.models.vqvae import VQVAE
from speechvq.sampling.encoding import encode
from speechvq.sampling.step import Step

CHUNK = 0.25
"""Seconds of audio between two looks at interrupts and progress."""

Progress = Callable[[int], None]
"""Told, again and again, how many more samples are drawn."""


def sample(
    model: VQVAE,
    codes: np.ndarray,
    speaker: str,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw speech from the decoder, sample by sample, given codes and a speaker.

    Each sample comes from the model's own distribution; `argmax`, the likeliest level every time,
    would not be sampling, and is not offered. The same seed gives the same waveform, whatever
    else is drawn beside it.

    Parameters
    ----------
    model : VQVAE
        In eval mode, as `speechvq.load` gives it.
    codes : ndarray
        (N,) integers in 0 … K-1.
    speaker : str
        A name among `model.speakers`.
    temperature : float
        Divides the logits, above 0: below 1 calmer, above 1 wilder than the model's distribution.
    seed : int
        Of the random numbers, 0 or more.
    progress : callable, optional
        Called with the number of samples drawn since the last call.

    Returns
    -------
    ndarray
        (N · hop_length,) float32 in [-1, 1] at `model.sample_rate` Hz.

    Raises
    ------
    ValueError
        Unknown speaker, codes out of range, or a temperature or seed that cannot be.
    """
    return sample_batch(
        model,
        [codes],
        [speaker],
        temperature=temperature,
        seeds=[seed],
        threads=1,
        progress=progress,
    )[0]


def sample_batch(
    model: VQVAE,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    *,
    temperature: float = 1.0,
    seeds: int | Sequence[int] = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Draw several utterances at once, each equal to its own `sample`.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    codes : sequence of ndarray
        One (N,) an utterance, of any lengths.
    speakers : sequence of str
        One an utterance.
    temperature : float
        As in `sample`.
    seeds : int or sequence of int
        One for all, or one an utterance.
    threads : int, optional
        Utterances drawn at a time; by default as many as this process has cores.
    progress : callable, optional
        Called with the number of samples drawn since the last call.

    Returns
    -------
    list of ndarray
        One (N · hop_length,) float32 an utterance.
    """
    if isinstance(speakers, str):
        raise ValueError(f"speakers: one name an utterance expected, got the text {speakers!r}")
    seeds = [seeds] * len(codes) if isinstance(seeds, int) else list(seeds)
    if not len(codes) == len(speakers) == len(seeds):
        raise ValueError(
            f"{len(codes)} utterances, {len(speakers)} speakers and {len(seeds)} seeds; "
            "expected one of each an utterance"
        )
    _check_numbers(temperature, seeds)
    conditions = [_condition(model, c, s) for c, s in zip(codes, speakers, strict=True)]
    sampler = _sampler(model)
    stop, lock = threading.Event(), threading.Lock()

    def told(drawn: int) -> None:
        if progress is not None:
            with lock:
                progress(drawn)

    def draw(condition: np.ndarray, n_codes: int, seed: int) -> np.ndarray:
        period = n_codes * model.hop_length // len(condition)  # samples per condition vector
        random = np.random.Generator(np.random.PCG64(seed))
        stream = sampler.stream()
        levels = np.empty(n_codes * model.hop_length, dtype=np.uint8)
        at_once = max(1, round(CHUNK * model.sample_rate / period))
        for m in range(0, len(condition), at_once):
            if stop.is_set():
                break
            chunk = condition[m : m + at_once]
            uniforms = random.random(len(chunk) * period)
            drawn = stream.draw(chunk, period, uniforms, temperature)
            levels[m * period : m * period + len(drawn)] = drawn
            told(len(drawn))
        return _AMPLITUDES[levels]

    jobs = list(zip(conditions, map(len, codes), seeds, strict=True))
    threads = min(len(jobs), threads or cores())
    if threads <= 1:
        return [draw(*job) for job in jobs]
    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(lambda job: draw(*job), jobs))
        except BaseException:  # Ctrl-C among them: the threads end after the chunk they are in
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def convert(
    model: VQVAE,
    waveform: np.ndarray,
    speaker: str,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Say a recording again in the voice of `speaker`.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.
    speaker, temperature, seed, progress
        As in `sample`.

    Returns
    -------
    ndarray
        (T,) float32 in [-1, 1].
    """
    codes = encode(model, waveform)
    converted = sample(model, codes, speaker, temperature=temperature, seed=seed, progress=progress)
    return converted[: len(waveform)]


_AMPLITUDES = mu_law.decode(torch.arange(mu_law.LEVELS)).numpy()


def _sampler(model: VQVAE):
    """The compiled engine for a model on the CPU, the plain step for one elsewhere."""
    if model.decoder.embed.weight.device.type != "cpu":
        return Step(model.decoder)
    from speechvq.sampling.engine import Engine  # compiles when it is first imported

    return Engine(model.decoder)


@torch.inference_mode()
def _condition(model: VQVAE, codes: np.ndarray, speaker: str) -> np.ndarray:
    """Condition vectors (M, G) for codes (N,)."""
    device, K = model.decoder.embed.weight.device, model.config.codebook_size
    index = torch.tensor([model.speaker_index(speaker)], device=device)
    codes = torch.as_tensor(codes)
    if codes.ndim != 1 or not len(codes) or codes.is_floating_point() or codes.is_complex():
        raise ValueError(
            "codes: expected integers of shape (N,), N at least 1; "
            f"got {codes.dtype} of shape {tuple(codes.shape)}"
        )
    codes = codes.to(device, torch.int64)
    lowest, highest = int(codes.min()), int(codes.max())
    if lowest < 0 or highest >= K:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"codes: {wrong} is out of range; this model's codes are 0 … {K - 1}")
    return model.condition(codes.unsqueeze(0), index)[0].float().cpu().numpy()


def _check_numbers(temperature: float, seeds: Sequence[int]) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(
            f"temperature: must be above 0, got {temperature}; 1 is the model's own distribution "
            "(0 would be argmax, which is not sampling)"
        )
    for seed in seeds:
        if seed < 0:
            raise ValueError(f"seed: must be 0 or more, got {seed}")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""From codes and a speaker to a waveform, by ancestral sampling from the decoder.

Shapes: T samples, N codes, M condition vectors, G condition_channels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from speechvq.model import Model
from speechvq.sampling.batched_sampler import (
    BatchedSampler,
    MemorySink,
    Output,
    Progress,
    Sink,
    Utterance,
)
from speechvq.sampling.beside import Beside
from speechvq.sampling.conditions import check_batch, conditions_of
from speechvq.sampling.decoder import sample_decoder, samples_itself, wavenet_parts
from speechvq.sampling.encode import encode_source
from speechvq.sampling.options import SamplingOptions
from speechvq.sampling.pauses import SourceLevel, at_source_level

CONDITIONED_CODES = 100
"""Codes whose condition vectors are computed at a time."""


def sample(
    model: Model,
    codes: np.ndarray,
    speaker: str,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw speech from the decoder, sample by sample, given codes and a speaker.

    Each sample is drawn from the decoder's distribution, or from the nucleus of it that the model's
    configuration sets (`decoder.top_p`). There is no `argmax`: the likeliest level at every step is
    not a sample. The same seed gives the same waveform, alone or in a batch.

    Parameters
    ----------
    model : Model
        In eval mode, as `speechvq.load` gives it.
    codes : ndarray
        (N,) integers in 0 … K-1; of a product code (N, G).
    speaker : str
        A name among `model.speakers`.
    options : SamplingOptions
        Distribution, seed, precision and post-filter.
    progress : callable, optional
        Called with the number of samples drawn since the last call.

    Returns
    -------
    ndarray
        (N · hop_length,) float32 in [-1, 1] at `model.sample_rate` Hz.

    Raises
    ------
    ValueError
        Unknown speaker, or codes out of range.

    Examples
    --------
    >>> options = SamplingOptions(temperature=0.9, seed=3)
    >>> waveform = speechvq.sample(model, codes, "p225", options)  # doctest: +SKIP
    """
    return sample_batch(model, [codes], [speaker], options, progress=progress)[0]


def sample_batch(
    model: Model,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    seeds: Sequence[int] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Draw several utterances at once, each equal to its own `sample`.

    Parameters
    ----------
    model : Model
        In eval mode.
    codes : sequence of ndarray
        One array (N,), of a product code (N, G), for each utterance, of any lengths.
    speakers : sequence of str
        One for each utterance.
    options : SamplingOptions
        As in `sample`.
    seeds : sequence of int, optional
        One for each utterance; `options.seed` for all by default.
    threads : int, optional
        Cores to use; by default all that this process has. The samples do not depend on it.
    progress : callable, optional
        As in `sample`.

    Returns
    -------
    list of ndarray
        One array (N · hop_length,) float32 for each utterance.
    """
    sinks = [MemorySink() for _ in codes]
    sample_into(
        sinks, model, codes, speakers, options, seeds=seeds, threads=threads, progress=progress
    )
    return [np.concatenate(sink.chunks) for sink in sinks]


def sample_into(
    sinks: Sequence[Sink],
    model: Model,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    seeds: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    levels: Sequence[SourceLevel | None] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Draw several utterances at once, chunk by chunk, each into its own sink.

    The longest utterances are begun first. A sink is closed as soon as its utterance is complete.
    After an error or an interrupt (Ctrl-C), the sinks of unfinished utterances stay open.

    Parameters
    ----------
    sinks : sequence of Sink
        One for each utterance; several threads may write, one thread to a sink.
    model, codes, speakers, options, seeds, threads, progress
        As in `sample_batch`.
    lengths : sequence of int, optional
        Samples to keep of each utterance, at most N · hop_length; all by default.
    levels : sequence of SourceLevel, optional
        Of conversions, one for each utterance; the level as it is drawn by default.
    """
    codes, seeds = check_batch(model, codes, speakers, seeds, options)
    count = len(codes)
    if threads is not None and threads < 1:
        raise ValueError(f"threads: must be 1 or more, got {threads}")
    if not count:
        return
    if lengths is None:
        lengths = [len(one) * model.hop_length for one in codes]
    levels = [None] * count if levels is None else levels
    outputs = [Output(*parts) for parts in zip(sinks, lengths, levels, strict=True)]
    if samples_itself(model):
        for output, one, speaker, seed in zip(outputs, codes, speakers, seeds, strict=True):
            waveform = sample_decoder(model, one, speaker, replace(options, seed=seed))
            output.write(waveform)
            output.close()
            if progress is not None:
                progress(len(waveform))
        return
    _sample_wavenet(outputs, model, codes, speakers, options, seeds, threads, progress)


def _sample_wavenet(
    outputs: Sequence[Output],
    model: Model,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    options: SamplingOptions,
    seeds: Sequence[int],
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Draw utterances in threads, by a WaveNet; arguments as those of `sample_into`."""
    conditions = conditions_of(model, options)
    on_cpu = wavenet_parts(model).on_cpu
    available = threads or cores()
    threads = min(len(codes), available) if on_cpu else 1
    with contextlib.ExitStack() as stack:
        utterances = []
        for output, one, speaker, seed in zip(outputs, codes, speakers, seeds, strict=True):
            vectors = conditions.vectors(cut([one], CONDITIONED_CODES), speaker)
            beside = None
            if on_cpu and available > len(codes):  # else every core has an utterance to draw
                beside = stack.enter_context(Beside())
            utterances.append(Utterance(model, vectors, seed, output, options.post_filter, beside))
        sampler = BatchedSampler(model, utterances, threads, options, progress)
        _work(sampler, threads)


def _work(sampler: BatchedSampler, threads: int) -> None:
    """Draw in so many threads, or in this one."""
    if threads <= 1:
        sampler.work()
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for worker in [pool.submit(sampler.work) for _ in range(threads)]:
                worker.result()
        except BaseException:  # Ctrl-C included: the threads end after their current chunk
            sampler.stop.set()
            raise


def convert(
    model: Model,
    waveform: np.ndarray,
    speaker: str,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Convert a recording to another speaker's voice.

    The conversion has the level of the recording, at most `level.MAX_LEVEL`, and its pauses are no
    louder than those of the recording.

    Parameters
    ----------
    model : Model
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.
    speaker, options, progress
        As in `sample`.

    Returns
    -------
    ndarray
        (T,) float32 in [-1, 1].
    """
    source = encode_source(model, [waveform])
    converted = sample(model, source.codes, speaker, options, progress=progress)
    return at_source_level(model, source, converted)


def cut(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the elements of `pieces` in order, in pieces of at most `size`."""
    for piece in pieces:
        for first in range(0, len(piece), size):
            yield piece[first : first + size]


def cores() -> int:
    """Cores that this process may use: its share where torchrun started several on the machine."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, count // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))

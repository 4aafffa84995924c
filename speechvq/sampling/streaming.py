"""Streaming: speech is drawn while its codes, or the recording to convert, still arrive.

Shapes: T samples, N codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from speechvq.model import Model
from speechvq.sampling.batched_sampler import (
    CHUNK_SECONDS,
    BatchedSampler,
    MemorySink,
    Output,
    Utterance,
)
from speechvq.sampling.conditions import check_codes, conditions_of
from speechvq.sampling.decoder import sample_decoder, samples_itself
from speechvq.sampling.draw import cut
from speechvq.sampling.encode import BlockEncoder, EncodedSource
from speechvq.sampling.options import SamplingOptions
from speechvq.sampling.pauses import SourceLevel

LIVE_CODES = 4
"""Codes whose condition vectors are computed at a time, at most: one by one costs far more."""


def stream(
    model: Model,
    pieces: Iterable[np.ndarray],
    speaker: str,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
) -> Iterator[np.ndarray]:
    """Draw speech while its codes arrive: the samples of `sample`, chunk by chunk.

    A chunk is given as soon as the codes that it depends on have come. The lookahead of the
    decoder is `conditions.Conditions(model).lookahead` codes, 50 ms in the model in the package,
    whose post-filters hold a sample for some 41 ms more. A decoder with a method `sample` of its
    own waits for all codes.

    Parameters
    ----------
    model : Model
        In eval mode.
    pieces : iterable of ndarray
        Codes (n,), of a product code (n, G), in temporal order, one or several at once.
    speaker, options
        As in `sample`.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1] at `model.sample_rate` Hz, at most `CHUNK_SECONDS` of it.

    Raises
    ------
    ValueError
        As `sample`; for codes out of range when they arrive.
    """
    model.speaker_index(speaker)
    if samples_itself(model):
        return _sampled_at_once(model, pieces, speaker, options)
    sink = MemorySink()
    conditions = conditions_of(model, options)
    vectors = conditions.vectors(cut(pieces, LIVE_CODES), speaker)
    utterance = Utterance(model, vectors, options.seed, Output(sink), options.post_filter)
    sampler = BatchedSampler(model, [utterance], 1, options)

    def chunks() -> Iterator[np.ndarray]:
        for _ in sampler.rounds():
            yield from sink.chunks
            sink.chunks.clear()
        yield from sink.chunks  # what came when the utterance was closed

    return chunks()  # not a generator itself: arguments are checked at once


def _sampled_at_once(
    model: Model, pieces: Iterable[np.ndarray], speaker: str, options: SamplingOptions
) -> Iterator[np.ndarray]:
    """Wait for all codes, sample them, and yield the waveform in chunks."""
    codes = [check_codes(piece, model) for piece in pieces]
    if sum(map(len, codes)):
        waveform = sample_decoder(model, np.concatenate(codes), speaker, options)
        yield from cut([waveform], max(1, round(CHUNK_SECONDS * model.sample_rate)))


def convert_blocks(
    model: Model,
    blocks: Iterable[np.ndarray],
    speaker: str,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
) -> Iterator[np.ndarray]:
    """Convert a recording while it is read: the samples of `convert`, chunk by chunk.

    With a streaming encoder, blocks of an iterator are converted as they come. The level of such a
    recording is never known, so the conversion has the level that the decoder draws.

    Parameters
    ----------
    model : Model
        In eval mode.
    blocks : iterable of ndarray
        Pieces (t,) of a waveform, as `audio.blocks` gives them.
    speaker, options
        As in `sample`.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1]; together as many samples as `blocks`.
    """
    encoder = BlockEncoder(model, blocks)
    drawn, level = 0, None
    for chunk in stream(model, encoder, speaker, options):
        chunk = chunk[: encoder.samples - drawn]  # the last code may outlast the recording
        drawn += len(chunk)
        if level is None and encoder.powers:  # the encoder knows the gain with the first codes
            level = SourceLevel(model, encoder.powers, encoder.gains.to_source)
        if len(ready := chunk if level is None else level.add(chunk)):
            yield ready
    if level is not None and len(rest := level.end()):
        yield rest


def convert_source(
    model: Model,
    source: EncodedSource,
    speaker: str,
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
) -> Iterator[np.ndarray]:
    """Convert a recording that is encoded already: the samples of `convert`, chunk by chunk.

    So a recording is encoded once for several speakers.

    Parameters
    ----------
    model : Model
        In eval mode.
    source : EncodedSource
        As `encode.encode_source` gives it.
    speaker, options
        As in `sample`.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1]; `source.samples` together.
    """
    level = SourceLevel(model, source.powers, source.gain) if len(source.powers) else None
    left = source.samples
    for chunk in stream(model, [source.codes], speaker, options):
        chunk = chunk[:left]  # the last code may outlast the recording
        left -= len(chunk)
        if len(ready := chunk if level is None else level.add(chunk)):
            yield ready
    if level is not None and len(rest := level.end()):
        yield rest

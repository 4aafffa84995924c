"""Ancestral sampling from a trained model: codes and a speaker to a waveform; waveforms to codes.

`sample` and its relatives draw from the decoder's distribution, or from the nucleus of it that the
model's configuration sets (`decoder.top_p`): on the CPU by the compiled loop of `engine`, elsewhere
by `reference_step`.
"""

from speechvq.sampling.draw import convert, cores, sample, sample_batch, sample_into
from speechvq.sampling.encode import (
    BlockEncoder,
    encode,
    encode_blocks,
    encode_source,
    latents,
)
from speechvq.sampling.options import SamplingOptions
from speechvq.sampling.streaming import convert_blocks, convert_source, stream

__all__ = [
    "BlockEncoder",
    "SamplingOptions",
    "convert",
    "convert_blocks",
    "convert_source",
    "cores",
    "encode",
    "encode_blocks",
    "encode_source",
    "latents",
    "sample",
    "sample_batch",
    "sample_into",
    "stream",
]

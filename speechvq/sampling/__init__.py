"""Drawing speech from a trained model: from codes and a speaker to a waveform, and back to codes.

`sample` and its kin draw exactly the decoder's distribution, on the CPU through the compiled loop
of `engine`, elsewhere through the plain step of `step`.
"""

from speechvq.sampling.draw import (
    convert,
    convert_blocks,
    cores,
    sample,
    sample_batch,
    sample_into,
    stream,
)
from speechvq.sampling.encoding import encode, encode_blocks

__all__ = [
    "convert",
    "convert_blocks",
    "cores",
    "encode",
    "encode_blocks",
    "sample",
    "sample_batch",
    "sample_into",
    "stream",
]

"""Drawing speech from a trained model: from codes and a speaker to a waveform, and back to codes.

`sample` and `sample_batch` draw exactly the decoder's distribution, on the CPU through the
compiled loop of `engine`, elsewhere through the plain step of `step`.
"""

from speechvq.sampling.draw import convert, cores, sample, sample_batch
from speechvq.sampling.encoding import encode

__all__ = ["convert", "cores", "encode", "sample", "sample_batch"]

"""Reading what libsndfile cannot read, such as AAC in .m4a, with PyAV if it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


class FFmpegFile:
    """An audio file that PyAV decodes, from beginning to end, with the methods of `SoundFile`.

    Parameters
    ----------
    path
        The file, or its bytes. ValueError if PyAV finds no audio in it, ImportError without PyAV.
    """

    format = "FFMPEG"
    can_seek = False

    def __init__(self, path: Path | BinaryIO):
        import av

        self.closed = False
        self._error = av.FFmpegError
        # Tags may hold any bytes; from PyAV 19 on that is the rule
        old = int(av.__version__.split(".")[0]) < 19
        tags: dict[str, Any] = {"metadata_errors": "replace"} if old else {}
        with contextlib.ExitStack() as opened:  # closed unless there is audio in it
            try:
                source = str(path) if isinstance(path, Path) else path
                self._container = opened.enter_context(av.open(source, "r", **tags))
                self._stream = self._container.streams.audio[0]
                context = self._stream.codec_context  # None for a codec that is not known
                self.samplerate, self.channels = context.sample_rate, context.channels
                self.frames = self._length()
            except (av.FFmpegError, LookupError, AttributeError, ArithmeticError) as error:
                raise ValueError("no audio in it") from error
            if not self.channels:
                raise ValueError("no channels in it")
            opened.pop_all()
        self._decoded = self._decode()
        self._rest = np.zeros((0, self.channels), np.float32)

    def _length(self) -> int:
        """Samples, by the container, or by its packets where it states no length."""
        stream = self._stream
        time_base = stream.time_base or Fraction(0)
        if stream.duration:
            seconds = stream.duration * time_base
        elif self._container.duration:
            seconds = Fraction(self._container.duration, 1_000_000)
        else:
            packets = self._container.demux(stream)
            seconds = sum(p.duration or 0 for p in packets) * time_base
            self._container.seek(0)
        return round(float(seconds) * self.samplerate)

    def _decode(self) -> Iterator[np.ndarray]:
        import av

        resampler = av.AudioResampler("fltp", self._stream.layout, self.samplerate)
        for frame in self._container.decode(self._stream):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().T

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """Decode up to so many samples, (T, channels); none at the end.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        pieces, held = [self._rest], len(self._rest)
        try:
            while held < frames and (piece := next(self._decoded, None)) is not None:
                pieces.append(piece)
                held += len(piece)
        except self._error as error:
            raise ValueError("damaged") from error
        samples = np.concatenate(pieces)
        self._rest = samples[frames:]
        return samples[:frames]

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._container.close()

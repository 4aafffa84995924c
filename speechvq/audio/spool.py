"""Audio kept in a file while a command works with it, so that memory does not grow with it."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from speechvq.audio.writing import to_pcm


class Spool:
    """Samples in a temporary file without a name, which is gone when nothing refers to it.

    They are kept as 16-bit integers, as `audio.write` writes them.
    """

    def __init__(self) -> None:
        self._file, self._samples = tempfile.TemporaryFile(), 0  # noqa: SIM115

    def __len__(self) -> int:
        return self._samples

    def add(self, waveform: np.ndarray) -> None:
        """Append samples (T,), clipped to [-1, 1].

        Raises
        ------
        OSError
            The disk is full.
        """
        try:
            self._file.write(to_pcm(waveform).tobytes())
            self._file.flush()
        except OSError as error:
            reason = f"cannot keep audio there: {error.strerror}; name another folder by TMPDIR"
            raise OSError(error.errno, reason, tempfile.gettempdir()) from error
        self._samples += len(waveform)

    def part(self, first: int, last: int) -> SpooledPart:
        """Samples `first` to `last`, which are read when they are asked for."""
        return SpooledPart(self, first, last)

    def read(self, first: int, last: int) -> np.ndarray:
        """Read samples `first` to `last`: int16 (last - first,)."""
        content = os.pread(self._file.fileno(), 2 * (last - first), 2 * first)
        return np.frombuffer(content, "<i2")


class SpooledPart:
    """A part of a spool, of which slices can be taken as of an array (T,) of 16-bit integers."""

    dtype = np.dtype(np.int16)

    def __init__(self, spool: Spool, first: int, last: int):
        self._spool, self._first, self._last = spool, first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, where: slice) -> np.ndarray:
        start, stop, _ = where.indices(len(self))
        return self._spool.read(self._first + start, self._first + max(start, stop))

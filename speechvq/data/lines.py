"""Lines of a text file by their place, of which memory holds the places alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 20  # bytes that are read at once where all lines are wanted


class Lines:
    """Lines of a file, each read when it is asked for.

    The file stays open, so that a new file under the same name changes nothing. Threads and forked
    processes may share it, since no read moves a position; a copy by pickle opens it again.

    Parameters
    ----------
    file : BinaryIO
        Open for reading.
    offsets, sizes : ndarray
        Place and length in bytes of each line, (lines,) int64.
    """

    def __init__(
        self, file: BinaryIO, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
    ):
        self._file, self._offsets, self._sizes = file, offsets, sizes
        self.path = Path(os.path.abspath(file.name))

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> bytes:
        return os.pread(self._file.fileno(), int(self._sizes[index]), int(self._offsets[index]))

    def __iter__(self) -> Iterator[bytes]:
        begin, block = 0, b""
        for i in range(len(self)):
            offset, size = int(self._offsets[i]), int(self._sizes[i])
            if not begin <= offset <= offset + size <= begin + len(block):
                begin = offset
                block = os.pread(self._file.fileno(), max(size, _BLOCK), begin)
            yield block[offset - begin : offset - begin + size]

    def select(self, chosen: npt.NDArray[np.generic] | slice) -> Lines:
        """Some of the lines, by a mask, by places, or by a slice."""
        return Lines(self._file, self._offsets[chosen], self._sizes[chosen])

    def number(self, index: int) -> int:
        """Number of a line in its file, from 1."""
        descriptor, end, found = self._file.fileno(), int(self._offsets[index]), 1
        for begin in range(0, end, _BLOCK):
            found += os.pread(descriptor, min(_BLOCK, end - begin), begin).count(b"\n")
        return found

    def __reduce__(self) -> tuple[object, ...]:
        return _opened, (self.path, self._offsets, self._sizes)


def _opened(path: Path, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Lines:
    return Lines(open(path, "rb"), offsets, sizes)

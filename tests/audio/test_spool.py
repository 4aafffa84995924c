"""Audio that is kept on the disk for a while."""

import errno

import numpy as np
import pytest

from speechvq import audio


def test_parts_are_what_was_added():
    waveform = np.random.default_rng(0).uniform(-1.1, 1.1, 5000).astype(np.float32)
    spool = audio.Spool()
    for block in np.split(waveform, [1, 1000, 1000, 3333]):
        spool.add(block)
    assert len(spool) == 5000
    levels = audio.to_pcm(waveform)
    part = spool.part(900, 4000)
    assert (len(part), part.dtype) == (3100, np.int16)
    for where in (slice(None), slice(10, 20), slice(3000, 9000), slice(20, 10), slice(4000, 5000)):
        np.testing.assert_array_equal(part[where], levels[900:4000][where])


def test_a_full_disk_is_named(monkeypatch):
    spool = audio.Spool()

    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(OSError, match=r"cannot keep audio there: No space .*TMPDIR") as caught:
        spool.add(np.zeros(10))
    assert caught.value.filename

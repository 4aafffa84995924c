"""A sampler that draws many utterances in lock-step, chunk by chunk, in several threads.

Shapes: M condition vectors, G condition_channels, F mel bands, J sub-bands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from speechvq import numba_cache
from speechvq.model import Model
from speechvq.models.pqmf import PQMFSynthesis
from speechvq.postfilter.filter import MelPostFilter
from speechvq.postfilter.long_term import LongTermPostFilter
from speechvq.sampling.beside import Beside
from speechvq.sampling.conditions import vectors_per_frame
from speechvq.sampling.decoder import WaveNetParts, wavenet_parts
from speechvq.sampling.options import SamplingOptions, check_seed
from speechvq.sampling.pauses import SourceLevel
from speechvq.sampling.reference_step import ReferenceSampler

CHUNK_SECONDS = 0.25
"""Seconds of audio that are drawn between two checks for interrupts, at most."""
CPU_BATCH = 16
"""Utterances in lock-step in a thread on the CPU, at most."""
GPU_BATCH = 256
"""Utterances in lock-step on a GPU, at most; one thread keeps all of it busy."""

Progress = Callable[[int], None]
"""Called with the number of samples that were drawn since the last call."""


class Sink(Protocol):
    """Destination of an utterance's audio, such as an `audio.Writer`."""

    def write(self, waveform: np.ndarray) -> None:
        """Take the next samples (n,), float32 in [-1, 1]."""

    def close(self) -> None:
        """Learn that there are no more samples."""


class MemorySink:
    """A sink that keeps its chunks."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []

    def write(self, waveform: np.ndarray) -> None:
        """Keep samples (n,)."""
        self.chunks.append(waveform)

    def close(self) -> None:
        """Do nothing."""


class Output:
    """The end of an utterance's audio: cut to a length, at its source's level, passed on to a sink.

    Parameters
    ----------
    sink : Sink
    length : int, optional
        Samples to keep; all by default.
    level : SourceLevel, optional
        By default the level stays as it is drawn.
    """

    def __init__(self, sink: Sink, length: int | None = None, level: SourceLevel | None = None):
        self.sink, self.length, self.level = sink, length, level

    def write(self, waveform: np.ndarray) -> None:
        """Pass on samples (n,), as far as the length allows."""
        if self.length is not None:
            waveform = waveform[: self.length]
            self.length -= len(waveform)
        if self.level is not None:
            waveform = self.level.add(waveform)
        if len(waveform):
            self.sink.write(waveform)

    def close(self) -> None:
        """Pass on what is left, and close the sink."""
        if self.level is not None and len(rest := self.level.end()):
            self.sink.write(rest)
        self.sink.close()


class Utterance:
    """An utterance in progress: condition vectors in, drawn levels to audio out.

    Parameters
    ----------
    model : Model
    vectors : iterator of ndarray
        Condition vectors (m, G), or (m, G + F) with the log-mel frames of the post-filter, as
        `conditions.Conditions` gives them.
    seed : int
        Seed of the utterance's random numbers.
    output : Output
    post_filter : bool
        Apply the post-filters that the model has.
    beside : Beside, optional
        A thread that makes the vectors and the audio while levels are drawn; by default there is
        none.
    """

    def __init__(
        self,
        model: Model,
        vectors: Iterator[np.ndarray],
        seed: int,
        output: Output,
        post_filter: bool,
        beside: Beside | None = None,
    ):
        check_seed(seed)
        parts = wavenet_parts(model)
        self._output, self._each, self._beside = output, 1, beside
        self._mel, self._comb = None, None
        if post_filter and model.mel_predictor is not None:
            self._mel = MelPostFilter(model.mel_predictor.mel)
            self._each = vectors_per_frame(model)
        if post_filter and (predictor := parts.wavenet.long_term) is not None:
            self._comb = LongTermPostFilter(
                predictor, parts.period, parts.wavenet.bands, model.sample_rate
            )
        self._synthesis = PQMFSynthesis(parts.pqmf)
        self._filters = [one for one in (self._mel, self._comb) if one is not None]
        self._taken = 0  # vectors
        self._channels, self._bands = parts.channels, parts.wavenet.bands
        self._vectors = vectors if beside is None else beside.ahead(vectors)
        self._ready: np.ndarray | None = None
        self._frames: np.ndarray | None = None  # the mel filter's targets of what was taken
        self._random = np.random.Generator(np.random.PCG64(seed))

    @property
    def length(self) -> int | None:
        """Samples that are still to be passed on, if the number is known."""
        return self._output.length

    def ready(self) -> int:
        """Number of condition vectors that can be drawn from now; 0 at the end."""
        if self._ready is None or not len(self._ready):
            self._ready = next(self._vectors, None)
        return 0 if self._ready is None else len(self._ready)

    def take(self, vectors: int, period: int) -> tuple[np.ndarray, np.ndarray]:
        """The next condition vectors, and a random number for each level of their steps."""
        assert self._ready is not None
        taken, self._ready = self._ready[:vectors], self._ready[vectors:]
        if self._mel is not None:
            # Vectors of one frame have it in common: it comes with the first of them
            self._frames = taken[-self._taken % self._each :: self._each, self._channels :]
            self._taken += len(taken)
            taken = taken[:, : self._channels]
        return taken, self._random.random((vectors * period, self._bands))

    def write(self, levels: np.ndarray) -> None:
        """Pass on the audio of drawn levels (t, J): those of the vectors that were taken last."""
        if self._beside is None:
            self._write(levels, self._frames)
        else:
            self._beside.do(self._write, levels, self._frames)

    def _write(self, levels: np.ndarray, frames: np.ndarray | None) -> None:
        if self._mel is not None and frames is not None:
            self._mel.add_targets(frames)
        bands = self._synthesis.decode(levels)
        if self._comb is not None:
            bands[:, 0] = self._comb.first_band(levels[:, 0], bands[:, 0])
        samples = self._synthesis.add(bands)
        for one in self._filters:
            samples = one.add(samples)
        self._output.write(samples)

    def close(self) -> None:
        """Pass on the remaining audio, and close the output."""
        if self._beside is not None:
            self._beside.wait()
        samples = self._synthesis.end()
        for one in self._filters:
            samples = np.concatenate([one.add(samples), one.end()])
        self._output.write(samples)
        self._output.close()


class BatchedSampler:
    """Draws utterances, the longest first, several of them in lock-step in each thread.

    Parameters
    ----------
    model : Model
    utterances : sequence of Utterance
    threads : int
        Number of threads that will call `work`.
    options : SamplingOptions
        Of which the distribution and the precision are used.
    progress : callable, optional
    """

    def __init__(
        self,
        model: Model,
        utterances: Sequence[Utterance],
        threads: int,
        options: SamplingOptions,
        progress: Progress | None = None,
    ):
        parts = wavenet_parts(model)
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting = sorted(utterances, key=lambda u: u.length or 0)  # taken from the end
        most = CPU_BATCH if parts.on_cpu else GPU_BATCH
        self._batch_size = min(most, -(-len(utterances) // threads))
        self._engine = build_engine(parts, options.precision)
        self._options = options.of(model)
        self._period = parts.period
        samples = parts.period * parts.wavenet.bands  # of a condition vector
        self._vectors_at_once = max(1, round(CHUNK_SECONDS * model.sample_rate / samples))
        self._progress = progress

    def work(self) -> None:
        """Draw until no utterance is left to begin."""
        try:
            for _ in self.rounds():
                if self.stop.is_set():
                    return
        except BaseException:
            self.stop.set()
            raise

    def rounds(self) -> Iterator[None]:
        """Draw a chunk of every utterance in progress, again and again."""
        streams = self._engine.streams(self._batch_size)
        free, active = list(range(self._batch_size)), {}
        at_once = 1  # the first chunk is short, for a low latency
        while True:
            while free and (utterance := self._next()) is not None:
                streams.restart(free[-1])
                active[free.pop()] = utterance
            ready = {slot: utterance.ready() for slot, utterance in active.items()}
            for slot in [slot for slot, vectors in ready.items() if not vectors]:
                active.pop(slot).close()
                free.append(slot)
            if len(active) < len(ready):
                continue  # to begin other utterances in the slots that became free
            if not active:
                return
            vectors = min(at_once, *ready.values())
            at_once = min(2 * at_once, self._vectors_at_once)
            taken = [utterance.take(vectors, self._period) for utterance in active.values()]
            condition, uniforms = (np.stack(parts) for parts in zip(*taken, strict=True))
            levels = streams.draw(list(active), condition, self._period, uniforms, self._options)
            for utterance, row in zip(active.values(), levels, strict=True):
                utterance.write(row)
            if self._progress is not None:
                with self._lock:
                    self._progress(levels.size)
            yield

    def _next(self) -> Utterance | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None


def build_engine(parts: WaveNetParts, precision: str) -> Any:
    """The compiled engine for a decoder on the CPU, the reference step for one elsewhere."""
    if parts.on_cpu:
        numba_cache.provide()
        from speechvq.sampling.engine import Engine  # importing numba is slow

        return Engine(parts.wavenet, precision)
    if precision != "float32":
        raise ValueError(f"precision: {precision} is of the CPU's sampler; use --device cpu")
    return ReferenceSampler(parts.wavenet)

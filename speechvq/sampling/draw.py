"""From codes and a speaker to a waveform: one utterance, several, or one chunk after another.

Shapes: T samples, N codes, M condition vectors, G condition_channels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from speechvq.models.subbands import Joiner
from speechvq.models.vqvae import VQVAE
from speechvq.sampling.choice import Choice
from speechvq.sampling.conditions import Conditions
from speechvq.sampling.encoding import encode, encode_blocks
from speechvq.sampling.shaping import Shaper
from speechvq.sampling.step import Step

CHUNK = 0.1
"""Seconds of audio at most between two looks at interrupts and progress."""
TOGETHER = 16
"""Utterances that a thread draws in lock-step at most."""
TOGETHER_ON_GPU = 256
"""The same where one thread keeps a whole GPU busy."""
PIECE = 25
"""Codes whose condition vectors are made at a time."""

Progress = Callable[[int], None]
"""Told, again and again, how many more samples are drawn."""


class Sink(Protocol):
    """Where the audio of an utterance goes, such as an `audio.Writer`."""

    def write(self, waveform: np.ndarray) -> None:
        """Take the next samples (n,), float32 in [-1, 1]."""

    def close(self) -> None:
        """Know that these were all."""


def sample(
    model: VQVAE,
    codes: np.ndarray,
    speaker: str,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    precision: str = "float32",
    envelope: bool = True,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draw speech from the decoder, sample by sample, given codes and a speaker.

    Each sample comes from the model's own distribution; `argmax`, the likeliest level every time,
    would not be sampling, and is not offered. The same seed gives the same waveform, whatever
    else is drawn beside it.

    Parameters
    ----------
    model : VQVAE
        In eval mode, as `speechvq.load` gives it.
    codes : ndarray
        (N,) integers in 0 … K-1.
    speaker : str
        A name among `model.speakers`.
    temperature, top_k, top_p
        Another distribution than the model's own: see `Choice`.
    seed : int
        Of the random numbers, 0 or more.
    precision : str
        `float32`, or `bfloat16` for weights of half the size on a CPU: see `engine.Engine`.
    envelope : bool
        Filter what is drawn to the envelope that the model expects, if it expects one: see
        `shaping`. Without, the samples are those drawn.
    progress : callable, optional
        Called with the number of samples drawn since the last call.

    Returns
    -------
    ndarray
        (N · hop_length,) float32 in [-1, 1] at `model.sample_rate` Hz.

    Raises
    ------
    ValueError
        Unknown speaker, codes out of range, or a temperature or seed that cannot be.
    """
    return sample_batch(
        model,
        [codes],
        [speaker],
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seeds=[seed],
        precision=precision,
        envelope=envelope,
        progress=progress,
    )[0]


def sample_batch(
    model: VQVAE,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: int | Sequence[int] = 0,
    precision: str = "float32",
    envelope: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Draw several utterances at once, each equal to its own `sample`.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    codes : sequence of ndarray
        One (N,) an utterance, of any lengths.
    speakers : sequence of str
        One an utterance.
    seeds : int or sequence of int
        One for all, or one an utterance.
    threads : int, optional
        Cores to use; by default all that this process has. The samples do not depend on it.
    temperature, top_k, top_p, precision, envelope, progress
        As in `sample`.

    Returns
    -------
    list of ndarray
        One (N · hop_length,) float32 an utterance.
    """
    waveforms = [_Memory() for _ in codes]
    sample_into(
        waveforms,
        model,
        codes,
        speakers,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seeds=seeds,
        precision=precision,
        envelope=envelope,
        threads=threads,
        progress=progress,
    )
    return [np.concatenate(waveform.chunks) for waveform in waveforms]


def sample_into(
    sinks: Sequence[Sink],
    model: VQVAE,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: int | Sequence[int] = 0,
    precision: str = "float32",
    envelope: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    lengths: Sequence[int] | None = None,
) -> None:
    """Draw several utterances at once, chunk by chunk, each into its own sink.

    The longest are begun first. A sink is closed as soon as its utterance is complete; when
    anything is raised, Ctrl-C among it, those of the others are left open.

    Parameters
    ----------
    sinks : sequence of Sink
        One an utterance; they may be written to from several threads, one thread each.
    lengths : sequence of int, optional
        Samples to keep of each utterance, at most N · hop_length; all by default.
    model, codes, speakers, temperature, top_k, top_p, seeds, precision, envelope, threads, progress
        As in `sample_batch`.
    """
    if isinstance(speakers, str):
        raise ValueError(f"speakers: one name an utterance expected, got the text {speakers!r}")
    seeds = [seeds] * len(codes) if isinstance(seeds, int) else list(seeds)
    if not len(codes) == len(speakers) == len(seeds):
        raise ValueError(
            f"{len(codes)} utterances, {len(speakers)} speakers and {len(seeds)} seeds; "
            "expected one of each an utterance"
        )
    if threads is not None and threads < 1:
        raise ValueError(f"threads: must be 1 or more, got {threads}")
    if not len(codes):
        return
    envelope = envelope and model.envelope is not None
    conditions, choice = Conditions(model, envelope), Choice(temperature, top_k, top_p)
    utterances = []
    for i, (its_codes, speaker, seed) in enumerate(zip(codes, speakers, seeds, strict=True)):
        its_codes = conditions.check(its_codes)
        if not len(its_codes):
            raise ValueError("codes: expected integers of shape (N,), N at least 1; got none")
        length = len(its_codes) * model.hop_length if lengths is None else lengths[i]
        vectors = conditions.vectors(_cut([its_codes], PIECE), speaker)
        utterances.append(_Utterance(model, vectors, seed, sinks[i], length, envelope))
    threads = min(len(utterances), threads or cores()) if _on_cpu(model) else 1
    crew = _Crew(model, utterances, threads, choice, precision, progress)
    if threads <= 1:
        crew.work()
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for worker in [pool.submit(crew.work) for _ in range(threads)]:
                worker.result()
        except BaseException:  # Ctrl-C among them: the threads end after the chunk they are in
            crew.stop.set()
            raise


def stream(
    model: VQVAE,
    pieces: Iterable[np.ndarray],
    speaker: str,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    precision: str = "float32",
    envelope: bool = True,
) -> Iterator[np.ndarray]:
    """Draw speech while its codes arrive: the samples of `sample`, chunk by chunk.

    A chunk is given as soon as the codes that it depends on have come. How many the decoder looks
    ahead is `conditions.Conditions(model).lookahead`; 80 ms in the default model. The filter to the
    envelope hears another 15 ms ahead.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    pieces : iterable of ndarray
        Codes (n,) in the order of time, one or several at once.
    speaker, temperature, top_k, top_p, seed, precision, envelope
        As in `sample`.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1] at `model.sample_rate` Hz, at most `CHUNK` seconds of it.

    Raises
    ------
    ValueError
        As `sample`; codes out of range when they are met.
    """
    model.speaker_index(speaker)
    sink = _Memory()
    envelope = envelope and model.envelope is not None
    vectors = Conditions(model, envelope).vectors(_cut(pieces, 1), speaker)
    utterance = _Utterance(model, vectors, seed, sink, None, envelope)
    crew = _Crew(model, [utterance], 1, Choice(temperature, top_k, top_p), precision, None)

    def chunks() -> Iterator[np.ndarray]:
        for _ in crew.rounds():
            yield from sink.chunks
            sink.chunks.clear()
        yield from sink.chunks  # what came when the utterance was closed

    return chunks()  # so that what was asked for is checked at once, not with the first chunk


def convert(
    model: VQVAE,
    waveform: np.ndarray,
    speaker: str,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    precision: str = "float32",
    envelope: bool = True,
    progress: Progress | None = None,
) -> np.ndarray:
    """Say a recording again in the voice of `speaker`.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.
    speaker, temperature, top_k, top_p, seed, precision, envelope, progress
        As in `sample`.

    Returns
    -------
    ndarray
        (T,) float32 in [-1, 1].
    """
    converted = sample(
        model,
        encode(model, waveform),
        speaker,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        precision=precision,
        envelope=envelope,
        progress=progress,
    )
    return converted[: len(waveform)]


def convert_blocks(
    model: VQVAE,
    blocks: Iterable[np.ndarray],
    speaker: str,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    precision: str = "float32",
    envelope: bool = True,
) -> Iterator[np.ndarray]:
    """Say a recording again while it is read: the samples of `convert`, chunk by chunk.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    blocks : iterable of ndarray
        Pieces (t,) of a waveform, as `audio.blocks` gives them.
    speaker, temperature, top_k, top_p, seed, precision, envelope
        As in `sample`.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1]; together as many samples as `blocks`.
    """
    heard = said = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal heard
        for block in blocks:
            heard += len(block)
            yield block

    codes = encode_blocks(model, counted())
    for chunk in stream(
        model,
        codes,
        speaker,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        precision=precision,
        envelope=envelope,
    ):
        chunk = chunk[: heard - said]  # the last code may last longer than the recording
        said += len(chunk)
        if len(chunk):
            yield chunk


def _cut(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same codes in pieces of at most `size`."""
    for piece in pieces:
        for first in range(0, len(piece), size):
            yield piece[first : first + size]


class _Memory:
    """A sink that keeps its chunks."""

    def __init__(self):
        self.chunks: list[np.ndarray] = []

    def write(self, waveform: np.ndarray) -> None:
        self.chunks.append(waveform)

    def close(self) -> None:
        pass


class _Utterance:
    """What is still to be drawn of an utterance, and where it goes."""

    def __init__(
        self,
        model: VQVAE,
        vectors: Iterator[np.ndarray],
        seed: int,
        sink: Sink,
        length: int | None,
        envelope: bool,
    ):
        _check_seed(seed)
        self.length = length
        self._sink, self._joiner = sink, Joiner(model.subbands)
        self._shaper = Shaper(model.envelope.mel) if envelope else None
        self._channels = model.config.condition_channels
        self._vectors = vectors
        self._ready: np.ndarray | None = None
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._bands = model.subbands.bands

    def ready(self) -> int:
        """How many condition vectors are there to draw by; 0 at the end."""
        if self._ready is None or not len(self._ready):
            self._ready = next(self._vectors, None)
        return 0 if self._ready is None else len(self._ready)

    def take(self, vectors: int, period: int) -> tuple[np.ndarray, np.ndarray]:
        """The next condition vectors, and a random number for each level of their steps."""
        taken, self._ready = self._ready[:vectors], self._ready[vectors:]
        if self._shaper is not None:
            self._shaper.expect(taken[:, self._channels :])
            taken = taken[:, : self._channels]
        return taken, self._random.random((vectors * period, self._bands))

    def write(self, levels: np.ndarray) -> None:
        """Pass the audio of drawn levels (t, J) on, up to the length."""
        samples = self._joiner.add(levels)
        self._pass_on(samples if self._shaper is None else self._shaper.add(samples))

    def close(self) -> None:
        """Pass on what is left, and close the sink."""
        samples = self._joiner.end()
        if self._shaper is not None:
            samples = np.concatenate([self._shaper.add(samples), self._shaper.end()])
        self._pass_on(samples)
        self._sink.close()

    def _pass_on(self, waveform: np.ndarray) -> None:
        if self.length is not None:
            waveform = waveform[: self.length]
            self.length -= len(waveform)
        if len(waveform):
            self._sink.write(waveform)


class _Crew:
    """Threads that draw utterances, the longest first, each several of them in lock-step."""

    def __init__(self, model, utterances, threads, choice, precision, progress):
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting = sorted(utterances, key=lambda u: u.length or 0)  # taken from the end
        most = TOGETHER if _on_cpu(model) else TOGETHER_ON_GPU
        self._together = min(most, -(-len(utterances) // threads))
        self._sampler, self._choice = _sampler(model, precision), choice
        samples = model.hop_length // model.config.condition_upsample
        self._period = samples // model.config.subbands  # steps of a condition vector
        self._at_once = max(1, round(CHUNK * model.sample_rate / samples))
        self._progress = progress

    def work(self) -> None:
        """Draw until nothing is left to begin."""
        try:
            for _ in self.rounds():
                if self.stop.is_set():
                    return
        except BaseException:
            self.stop.set()
            raise

    def rounds(self) -> Iterator[None]:
        """Draw a chunk of every utterance in hand, again and again."""
        streams = self._sampler.streams(self._together)
        free, active = list(range(self._together)), {}
        at_once = 1  # the first chunk is short, so that something is heard at once
        while True:
            while free and (utterance := self._next()) is not None:
                streams.restart(free[-1])
                active[free.pop()] = utterance
            ready = {slot: utterance.ready() for slot, utterance in active.items()}
            for slot in [slot for slot, vectors in ready.items() if not vectors]:
                active.pop(slot).close()
                free.append(slot)
            if len(active) < len(ready):
                continue  # to begin others in the places that became free
            if not active:
                return
            vectors = min(at_once, *ready.values())
            at_once = min(2 * at_once, self._at_once)
            taken = [utterance.take(vectors, self._period) for utterance in active.values()]
            condition, uniforms = (np.stack(parts) for parts in zip(*taken, strict=True))
            levels = streams.draw(list(active), condition, self._period, uniforms, self._choice)
            for utterance, row in zip(active.values(), levels, strict=True):
                utterance.write(row)
            if self._progress is not None:
                with self._lock:
                    self._progress(levels.size)
            yield

    def _next(self) -> _Utterance | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None


def _sampler(model: VQVAE, precision: str):
    """The compiled engine for a model on the CPU, the plain step for one elsewhere."""
    if _on_cpu(model):
        from speechvq.sampling.engine import Engine  # numba takes its time

        return Engine(model.decoder, precision)
    if precision != "float32":
        raise ValueError(f"precision: {precision} is of the CPU's sampler; use --device cpu")
    return Step(model.decoder)


def _on_cpu(model: VQVAE) -> bool:
    return model.decoder.embed.weight.device.type == "cpu"


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"seed: must be 0 or more, got {seed}")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

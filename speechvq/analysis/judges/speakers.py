"""Who is speaking, by Resemblyzer: a speaker encoder trained on thousands of voices."""

from collections.abc import Mapping, Sequence

import numpy as np

from speechvq.analysis.judges.missing import importing, named


class Speakers:
    """Turns speech into an embedding of its voice.

    Raises
    ------
    MissingJudge
        Resemblyzer is not installed.
    """

    def __init__(self) -> None:
        with importing("resemblyzer"):
            from resemblyzer import VoiceEncoder, preprocess_wav
        self.name = named("resemblyzer")
        self._prepare = preprocess_wav
        self._encoder = VoiceEncoder("cpu", verbose=False)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Embed the voice of a waveform (T,) at 16 kHz: (256,) of length 1, or 0 for silence."""
        waveform = np.asarray(waveform, dtype=np.float32)
        if not waveform.any():
            return np.zeros(256, dtype=np.float32)
        speech = self._prepare(waveform)  # without long pauses
        return self._encoder.embed_utterance(speech if len(speech) else waveform)


def voice(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """The voice (D,) that several embeddings (D,) have in common: their mean, of length 1."""
    mean = np.mean(embeddings, axis=0)
    return mean / max(np.linalg.norm(mean), 1e-12)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine of two embeddings of length 1: 1 for the same voice."""
    return float(np.dot(one, other))


def nearest(embedding: np.ndarray, voices: Mapping[str, np.ndarray]) -> str:
    """Name the speaker whose voice is the most like an embedding."""
    return max(voices, key=lambda speaker: similarity(embedding, voices[speaker]))

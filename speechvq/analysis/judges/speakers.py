"""Speaker similarity and speaker identification, by the speaker embeddings of Resemblyzer."""

from collections.abc import Mapping, Sequence

import numpy as np

from speechvq.analysis.judges.judge import (
    CONVERSION,
    REAL_SOURCE,
    REAL_TARGET,
    Judge,
    Score,
    Speech,
)
from speechvq.analysis.judges.missing import importing, named
from speechvq.analysis.judges.trials import others


class SpeakerSimilarity(Judge):
    """Cosine similarity to the target and the source, and accuracy of naming the target.

    A voice is named among all targets and the source. A speaker's embedding is the mean over
    recordings, without the utterance that is judged and without recordings of the same text, as
    far as there are others.

    Raises
    ------
    MissingJudge
        Resemblyzer is not installed.
    """

    title = "speaker"
    kinds = (REAL_TARGET, CONVERSION, REAL_SOURCE)
    formats = {
        "similarity to target": ".2f",
        "similarity to source": ".2f",
        "identification accuracy": ".0%",
    }

    def __init__(self) -> None:
        with importing("resemblyzer"):
            from resemblyzer import VoiceEncoder, preprocess_wav
        self.name = named("resemblyzer")
        self._prepare = preprocess_wav
        self._encoder = VoiceEncoder("cpu", verbose=False)

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Speaker embedding (256,) of a waveform (T,) at 16 kHz: of length 1, or 0 for silence."""
        waveform = np.asarray(waveform, dtype=np.float32)
        if not waveform.any():
            return np.zeros(256, dtype=np.float32)
        speech = self._prepare(waveform)  # without long pauses
        return self._encoder.embed_utterance(speech if len(speech) else waveform)

    def score(self, speech: Speech) -> Score:
        """Compare the voice of speech with those of its source and of all targets."""
        recordings, utterance = speech.recordings, speech.utterance
        assert speech.target is not None
        pools = {
            speaker: others(recordings.pools[speaker], utterance)
            for speaker in sorted({*recordings.targets, *filter(None, [speech.source])})
        }
        voices = {
            speaker: voice([recordings.measured(self.embed, u) for u in pool])
            for speaker, pool in pools.items()
        }
        embedding = speech.measured(self.embed)
        numbers = {"similarity to target": similarity(embedding, voices[speech.target])}
        itself = speech.synthesised is None and utterance in pools.get(speech.source or "", ())
        if speech.source is not None and not itself:
            numbers["similarity to source"] = similarity(embedding, voices[speech.source])
        named_target = nearest(embedding, voices) == speech.target
        return Score(numbers | {"identification accuracy": named_target})


def voice(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of speaker embeddings (D,), scaled to length 1."""
    mean = np.mean(embeddings, axis=0)
    return mean / max(np.linalg.norm(mean), 1e-12)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine similarity of two embeddings of length 1."""
    return float(np.dot(one, other))


def nearest(embedding: np.ndarray, voices: Mapping[str, np.ndarray]) -> str:
    """Identify the speaker with the most similar embedding."""
    return max(voices, key=lambda speaker: similarity(embedding, voices[speaker]))

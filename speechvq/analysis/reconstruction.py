"""How far reconstructed speech is from its recording: spectra, cepstra and pitch.

Waveforms are aligned: sample n of a reconstruction is that of the recording, so that frames are
compared one with one. Frames where the recording is `RANGE` below its loudest are left out of the
spectral distances: what is drawn in a pause is not heard, and decibels would make much of it.

Shapes: T samples, M frames, F bins or mel bands.
"""

import numpy as np

from speechvq import numba_cache

STEP = 0.005
"""Seconds between frames of spectra."""
WINDOW = 0.025
"""Seconds of a Hann window."""
RANGE = 40.0
"""dB below the loudest frame of the recording that still counts as speech."""
FLOOR = 80.0
"""dB below the loudest bin of the recording that any spectrum is raised to."""
MEL_BANDS = 80
CEPSTRA = 24
"""c_1 to c_24 are compared; c_0, the level, is not."""
GROSS = 0.2
"""Relative error of the pitch that is a gross one."""


def power_spectra(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power spectra (M, F) of the windows inside of a waveform (T,); silence around a short one."""
    window, step = round(WINDOW * sample_rate), round(STEP * sample_rate)
    padded = np.pad(np.asarray(waveform, np.float64), (0, max(0, window - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::step]
    return np.abs(np.fft.rfft(frames * np.hanning(window), 1 << (window - 1).bit_length())) ** 2


def spectral_distances(
    recording: np.ndarray, reconstruction: np.ndarray, sample_rate: int
) -> tuple[float, float]:
    """Log-spectral distance and mel-cepstral distortion, means over the frames of speech, in dB.

    With powers P in dB, LSD = sqrt(mean over bins of (P - P')²). With mel-cepstra c_d of the log
    amplitude, log A = c_0 + Σ c_d cos, MCD = 10 / ln 10 · sqrt(2 Σ_{d=1}^{24} (c_d - c'_d)²): the
    same root of squares, on the mel axis and but for the level and for fine structure. Sources:
    Gray and Markel, "Distance measures for speech processing", 1976; Kubichek, "Mel-cepstral
    distance measure for objective speech quality assessment", 1993.

    Parameters
    ----------
    recording, reconstruction
        (T,) at the same level; of unequal lengths the end of the longer one is not compared.
    sample_rate
        Hz.

    Returns
    -------
    lsd, mcd : float
        NaN for a silent recording.
    """
    spectra = [power_spectra(x, sample_rate) for x in (recording, reconstruction)]
    loudness = spectra[0].sum(1)
    if not loudness.any():
        return np.nan, np.nan
    speech = loudness >= loudness.max() * 10 ** (-RANGE / 10)
    floor = spectra[0].max() * 10 ** (-FLOOR / 10)
    spectra = [x[speech] + floor for x in spectra]
    one, other = (10 * np.log10(x) for x in spectra)
    lsd = np.sqrt(((one - other) ** 2).mean(1)).mean()
    numba_cache.provide()
    import librosa

    n_fft = 2 * spectra[0].shape[1] - 2
    filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=MEL_BANDS)
    mcd = mel_cepstral_distortion(*(x @ filters.T for x in spectra))
    return float(lsd), mcd


def mel_cepstral_distortion(recording: np.ndarray, reconstruction: np.ndarray) -> float:
    """Mean MCD in dB of frames of mel powers (M, F); see :func:`spectral_distances`."""
    from scipy.fft import dct

    one, other = (dct(np.log(x) / 2, axis=1) / x.shape[1] for x in (recording, reconstruction))
    differences = (one - other)[:, 1 : CEPSTRA + 1]
    return float(10 / np.log(10) * np.sqrt(2 * (differences**2).sum(1)).mean())


def pitch_errors(recording: np.ndarray, reconstruction: np.ndarray) -> dict[str, tuple[int, int]]:
    """Gross pitch errors and voicing decision errors, each with what it is a share of.

    Parameters
    ----------
    recording, reconstruction
        (N,) Hz of each frame, 0 where it is not voiced.

    Returns
    -------
    dict
        ``gross``: frames voiced in both whose pitch is wrong by more than 20 %, of those voiced
        in both; ``voicing``: frames voiced in one of them only, of all.
    """
    both = (recording > 0) & (reconstruction > 0)
    gross = np.abs(reconstruction[both] / recording[both] - 1) > GROSS
    voicing = (recording > 0) != (reconstruction > 0)
    return {
        "gross": (int(gross.sum()), int(both.sum())),
        "voicing": (int(voicing.sum()), len(recording)),
    }


def pitch_rmse(recording: np.ndarray, reconstruction: np.ndarray) -> float:
    """Root of the mean squared pitch error, in cents, where both are voiced and it is not gross.

    NaN where there is no such frame.
    """
    both = (recording > 0) & (reconstruction > 0)
    one, other = recording[both], reconstruction[both]
    fine = np.abs(other / one - 1) <= GROSS
    if not fine.any():
        return np.nan
    return float(np.sqrt(np.mean((1200 * np.log2(other[fine] / one[fine])) ** 2)))

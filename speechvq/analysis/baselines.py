"""Baselines for learned codes: k-means on MFCCs, or on any other features of the same frames.

Of the MFCC variants tried on the stand-in corpus, standardised coefficients averaged over the frame
map to phones best: better than the coefficients of one window at the frame's centre, than without
standardisation, and much better than with deltas.
"""

from collections.abc import Sequence

import numpy as np

from speechvq import numba_cache

WINDOW = 0.025
"""Seconds of speech in an MFCC window."""

STEP = 0.01
"""Seconds between MFCC windows, about: a frame is cut into whole steps near to this."""

COEFFICIENTS = 13
MEL_BANDS = 40
FITTED_FRAMES = 60_000
"""k-means is fitted on at most this many frames, drawn at random."""


def mfcc(waveform: np.ndarray, sample_rate: int, hop_length: int, n_frames: int) -> np.ndarray:
    """Compute MFCCs at the frame rate of codes: means over the 25 ms windows in each frame.

    Frame i covers samples ``i * hop_length`` to ``(i + 1) * hop_length``. Windows are about
    10 ms apart, so at 100 codes per second and more a frame has one window, at the centre.

    Parameters
    ----------
    waveform
        Floats (T,) in [-1, 1].
    sample_rate
        Hz.
    hop_length
        Samples per code.
    n_frames
        N, the number of codes of the utterance.

    Returns
    -------
    ndarray of float32, shape (N, 13)
    """
    numba_cache.provide()
    import librosa

    if n_frames == 0:
        return np.zeros((0, COEFFICIENTS), dtype=np.float32)
    window = round(WINDOW * sample_rate)
    n_fft = 1 << (window - 1).bit_length()
    steps = _steps_per_frame(hop_length, sample_rate)
    step = hop_length // steps
    # librosa's window j starts at sample j * step with center=False, and lies in the middle of its
    # n_fft samples; the first is to be centred half a step into the first frame.
    first = step // 2 - n_fft // 2
    padded = np.zeros((n_frames * steps - 1) * step + n_fft, dtype=np.float32)
    begin, end = max(first, 0), min(first + len(padded), len(waveform))
    padded[begin - first : end - first] = waveform[begin:end]
    coefficients = librosa.feature.mfcc(
        y=padded,
        sr=sample_rate,
        n_mfcc=COEFFICIENTS,
        n_mels=MEL_BANDS,
        n_fft=n_fft,
        win_length=window,
        hop_length=step,
        center=False,
    )
    by_frame = coefficients.reshape(COEFFICIENTS, n_frames, steps)
    return by_frame.mean(axis=2).T.astype(np.float32)


def kmeans_codes(
    map_features: Sequence[np.ndarray],
    score_features: Sequence[np.ndarray],
    codebook_size: int,
    seed: int = 0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Cluster vectors by k-means, each dimension standardised; a code is the index of a cluster.

    Parameters
    ----------
    map_features
        One array (N, D) an utterance; k-means is fitted on these.
    score_features
        The same for other utterances.
    codebook_size
        K, the number of clusters.
    seed
        Of the random start.

    Returns
    -------
    map_codes, score_codes
        One array of integers (N,) an utterance.
    """
    from sklearn.cluster import KMeans

    vectors = np.concatenate(list(map_features)).astype(np.float32)
    if len(vectors) < codebook_size:
        raise ValueError(
            f"{len(vectors)} frames are too few for {codebook_size} clusters; map on more speech"
        )
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-8
    if len(vectors) > FITTED_FRAMES:
        generator = np.random.default_rng(seed)
        vectors = vectors[generator.choice(len(vectors), FITTED_FRAMES, replace=False)]
    kmeans = KMeans(codebook_size, n_init=2, max_iter=60, random_state=seed)
    kmeans.fit((vectors - mean) / spread)

    def codes(features: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            kmeans.predict(((part - mean) / spread).astype(np.float32)).astype(np.int64)
            if len(part)
            else np.zeros(0, dtype=np.int64)
            for part in features
        ]

    return codes(map_features), codes(score_features)


def _steps_per_frame(hop_length: int, sample_rate: int) -> int:
    """Divide a frame into whole steps as near to 10 ms as its length in samples allows."""
    divisors = [steps for steps in range(1, hop_length + 1) if hop_length % steps == 0]
    wanted = hop_length / (STEP * sample_rate)
    return min(divisors, key=lambda steps: abs(np.log(steps / wanted)))

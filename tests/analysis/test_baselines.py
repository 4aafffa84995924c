import numpy as np
import pytest

from speechvq.analysis.baselines import kmeans_codes, mfcc

SAMPLE_RATE = 16000


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


@pytest.mark.parametrize("hop_length", [64, 128, 160, 320, 640, 637])
@pytest.mark.parametrize("n_samples", [1, 640, 6401])
def test_any_length_gives_as_many_frames_as_asked(hop_length, n_samples):
    n_frames = -(-n_samples // hop_length)
    features = mfcc(noise(n_samples), SAMPLE_RATE, hop_length, n_frames)
    assert features.shape == (n_frames, 13)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_silence_and_no_frames():
    assert np.isfinite(mfcc(np.zeros(6400, np.float32), SAMPLE_RATE, 640, 10)).all()
    assert mfcc(noise(10), SAMPLE_RATE, 640, 0).shape == (0, 13)


def test_windows_lie_on_the_centres_of_frames():
    import librosa

    waveform = noise(32000)
    ours = mfcc(waveform, SAMPLE_RATE, 160, 200)
    # Dropping half a frame moves the frames' centres onto librosa's own grid.
    theirs = librosa.feature.mfcc(
        y=waveform[80:], sr=SAMPLE_RATE, n_mfcc=13, n_mels=40, n_fft=512, win_length=400,
        hop_length=160,
    ).T  # fmt: skip
    inside = slice(3, 195)
    assert ours[inside] == pytest.approx(theirs[inside], abs=0.05)


def test_slow_frames_are_means_of_fast_ones():
    waveform = noise(6400)
    fast = mfcc(waveform, SAMPLE_RATE, 160, 40)
    slow = mfcc(waveform, SAMPLE_RATE, 640, 10)
    assert slow == pytest.approx(fast.reshape(10, 4, 13).mean(axis=1), abs=1e-3)


def test_a_burst_falls_into_its_own_frame():
    quiet = noise(12800) * 0.01
    burst = quiet.copy()
    burst[7 * 640 + 280 : 7 * 640 + 360] += noise(80, seed=1)
    change = np.abs(mfcc(burst, SAMPLE_RATE, 640, 20) - mfcc(quiet, SAMPLE_RATE, 640, 20)).max(1)
    assert np.flatnonzero(change > 1).tolist() == [7]


def blobs(seed):
    generator = np.random.default_rng(seed)
    names = generator.integers(0, 3, 60)
    corners = np.array([[0, 0], [0, 1000], [1, 0]])  # the dimensions have unlike units
    vectors = corners[names] + generator.normal(0, [0.01, 10], (60, 2))
    return names, [vectors[:20].astype(np.float32), vectors[20:].astype(np.float32)]


def test_kmeans_finds_clusters_and_names_other_vectors_alike():
    map_names, map_vectors = blobs(0)
    score_names, score_vectors = blobs(1)
    map_codes, score_codes = kmeans_codes(map_vectors, score_vectors, 3, seed=0)
    assert [len(codes) for codes in map_codes] == [20, 40]
    pairs = set(zip(map_names, np.concatenate(map_codes), strict=True))
    pairs |= set(zip(score_names, np.concatenate(score_codes), strict=True))
    assert len(pairs) == 3
    again = kmeans_codes(map_vectors, score_vectors, 3, seed=0)
    for one, other in zip(map_codes + score_codes, again[0] + again[1], strict=True):
        assert np.array_equal(one, other)


def test_kmeans_wants_as_many_frames_as_clusters():
    with pytest.raises(ValueError, match="20 frames are too few for 21 clusters"):
        kmeans_codes([np.zeros((20, 2))], [], 21)


def test_kmeans_of_mfccs_tells_two_sounds_apart():
    time = np.arange(6400) / SAMPLE_RATE
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 3000 * time)
    sounds = [(0.3 * sound + noise(6400)).astype(np.float32) for sound in (low, high)]
    map_codes, score_codes = kmeans_codes(
        [mfcc(sounds[0], SAMPLE_RATE, 640, 10), mfcc(sounds[1], SAMPLE_RATE, 640, 10)],
        [mfcc(sounds[1], SAMPLE_RATE, 640, 10), mfcc(sounds[0], SAMPLE_RATE, 640, 9)],
        2,
    )
    assert [len(codes) for codes in score_codes] == [10, 9]
    assert len(set(map_codes[0])) == len(set(map_codes[1])) == 1
    assert map_codes[0][0] != map_codes[1][0]
    assert score_codes[0][0] == map_codes[1][0]

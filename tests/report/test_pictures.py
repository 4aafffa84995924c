import io

import numpy as np
import pytest
from PIL import Image

from speechvq.report.pictures import DECIBELS, FRAMES, curves_figure, spectrogram, spectrogram_png

RATE = 16000


def tone(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frequency", [300, 2500, 6000])
def test_a_tone_stands_at_its_frequency(frequency):
    levels, seconds, highest = spectrogram(tone(frequency), RATE)
    assert seconds == 0.5 and highest == 8000
    loudest = levels.mean(axis=1).argmax() / (len(levels) - 1) * highest
    assert loudest == pytest.approx(frequency, abs=20)
    assert levels.max() == 0 and levels.min() >= -DECIBELS


def test_time_runs_from_left_to_right():
    waveform = np.concatenate([np.zeros(8000), tone(1000)])
    loudness = spectrogram(waveform, RATE)[0].max(axis=0)
    middle = len(loudness) // 2
    assert (loudness[: middle - 5] == -DECIBELS).all()
    assert (loudness[middle + 5 : -5] > -10).all()


def test_a_long_sound_has_no_more_frames():
    assert spectrogram(np.zeros(60 * RATE), RATE)[0].shape[1] == pytest.approx(FRAMES, abs=2)


@pytest.mark.parametrize("waveform", [np.zeros(1600), np.zeros(1), tone(440, 0.01)])
def test_silent_and_short_sounds_can_be_drawn(waveform):
    picture = Image.open(io.BytesIO(spectrogram_png(waveform, RATE)))
    assert picture.height == 257 and picture.width >= 1


def test_the_picture_has_low_frequencies_below_and_bright_where_it_is_loud():
    picture = Image.open(io.BytesIO(spectrogram_png(tone(1000), RATE))).convert("L")
    brightness = np.asarray(picture, float).mean(axis=1)
    assert brightness.argmax() == pytest.approx(256 - 1000 / 8000 * 256, abs=1)


def test_curves():
    records = [
        {"kind": "train", "stage": "mel", "global_step": 1, "loss": 0.9},
        {"kind": "valid", "stage": "mel", "global_step": 1, "mel_loss": 0.8},
        {"kind": "train", "stage": "cepstra", "global_step": 2, "loss": 0.7},
        {"kind": "valid", "stage": "cepstra", "global_step": 2, "cepstra_loss": 0.7},
        {"kind": "epoch", "stage": "cepstra", "global_step": 2, "perplexity": 3.0},
        {"kind": "train", "stage": "decoder", "global_step": 3, "loss": 4, "bits_per_sample": 5},
    ]
    titles = [axes.get_title() for axes in curves_figure(records, 16).axes]
    assert titles == ["loss, mel", "loss, cepstra", "bits per sample", "perplexity of the codes"]
    assert [len(curves_figure(records[:n], 16).axes) for n in range(1, 7)] == [1, 1, 2, 2, 3, 4]
    assert curves_figure([]) is None
    assert curves_figure([{"kind": "train", "loss": 1.0}]) is None

import io

import matplotlib.image
import numpy as np
import pytest

from speechvq.report.page import Section, Sound, SoundGroup, Table, data_uri, page
from speechvq.report.pictures import DECIBELS, curves_png, spectrogram, spectrogram_png

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


@pytest.mark.parametrize("waveform", [np.zeros(1600), np.zeros(1), tone(440, 0.01)])
def test_silent_and_short_sounds_can_be_drawn(waveform):
    picture = matplotlib.image.imread(io.BytesIO(spectrogram_png(waveform, RATE)))
    assert picture.shape[0] > 100 and picture.shape[1] > 300


def test_curves():
    records = [
        {"kind": "train", "stage": "mel", "global_step": 1, "loss": 0.9},
        {"kind": "valid", "stage": "mel", "global_step": 1, "mel_loss": 0.8},
        {"kind": "train", "stage": "cepstra", "global_step": 2, "loss": 0.7},
        {"kind": "valid", "stage": "cepstra", "global_step": 2, "cepstra_loss": 0.7},
        {"kind": "epoch", "stage": "cepstra", "global_step": 2, "perplexity": 3.0},
        {"kind": "train", "stage": "decoder", "global_step": 3, "loss": 4, "bits_per_sample": 5},
    ]
    widths = [
        matplotlib.image.imread(io.BytesIO(curves_png(records[:n], 16))).shape[1]
        for n in range(1, 7)
    ]
    assert [round(width / widths[0]) for width in widths] == [1, 1, 2, 2, 3, 4]
    assert curves_png([]) is None
    assert curves_png([{"kind": "train", "loss": 1.0}]) is None


def test_page_holds_everything_and_escapes_it():
    sounds = [Sound("original", "a%20b.wav", tone(440), RATE)]
    text = page(
        "model <a>",
        "25 & more",
        [
            Section("Speech", groups=[SoundGroup("p225_001", 'He said "no" <loudly>', sounds)]),
            Section("Scores", table=Table(("", "accuracy"), [("codes", "0.5")]), notes=["K < 4"]),
            Section("Gone", missing=["no sounds in exp/wavs"], folded=[("Card", "# <b>")]),
        ],
    )
    assert "<title>model &lt;a&gt;</title>" in text
    assert "<loudly>" not in text and "&lt;loudly&gt;" in text
    assert '<audio controls preload="metadata" src="a%20b.wav">' in text
    assert '<th scope="row">codes</th><td>0.5</td>' in text
    assert 'class="missing">no sounds in exp/wavs' in text
    assert "# &lt;b&gt;" in text
    assert "http" not in text  # nothing is fetched


def test_data_uri():
    assert data_uri(b"abc", "audio/wav") == "data:audio/wav;base64,YWJj"

import numpy as np
import pytest

from speechvq import audio
from speechvq.training.metrics import FILE, Metrics


def test_one_line_a_record(tmp_path, read_lines):
    metrics = Metrics(tmp_path / "new", tensorboard=False)
    metrics.write("train", "mel", 3, 13, {"loss": 0.5})
    metrics.close()
    assert read_lines(tmp_path / "new" / FILE) == [
        {"kind": "train", "stage": "mel", "step": 3, "global_step": 13, "loss": 0.5}
    ]


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path, read_lines):
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics.write("train", "a", 1, 1, {})
    size = metrics.size()
    metrics.write("train", "a", 2, 2, {"lost": 1})
    metrics.close()
    metrics = Metrics(tmp_path, tensorboard=False, size=size, global_step=1)
    metrics.write("train", "a", 2, 2, {})
    metrics.close()
    assert [(r["step"], "lost" in r) for r in read_lines(tmp_path / FILE)] == [
        (1, False),
        (2, False),
    ]


def test_sounds_are_files(tmp_path):
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics.sound("decoder", "p225_001", np.full(80, 0.25, np.float32), 8000, 12)
    metrics.close()
    waveform, rate = audio.read(tmp_path / "samples" / "decoder-0000012-p225_001.wav")
    assert rate == 8000
    assert waveform == pytest.approx(np.full(80, 0.25))


def test_tensorboard_gets_the_same(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(tmp_path)
    metrics.write("train", "mel", 3, 13, {"loss": 0.5})
    metrics.sound("decoder", "p225_001", np.zeros(80, np.float32), 8000, 14)
    metrics.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(13, 0.5)]
    assert events.Tags()["audio"] == ["decoder/p225_001"]

"""A demo of a tiny model, served, for clients and browsers."""

import logging
import os
import shutil
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import speechvq
from speechvq import audio, model_folder
from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.prior_folder import save_prior
from speechvq.training import enroll as enrolling

RATE = 8000


@pytest.fixture(scope="session")
def folder(tiny_streaming_config, tmp_path_factory):
    """A model folder with a prior."""
    folder = tmp_path_factory.mktemp("demo") / "vqvae"
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    waveform = 0.1 * torch.randn(1, RATE)
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(waveform)[0])
    model.mel_predictor.fit(waveform)
    model.level.fill_(-25.0)
    model_folder.save_model(folder, model, {}, "# A card\n")
    config = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(1, 1, 2, 4, 4, 4))
    prior = Prior(config, 8, ["p225", "p226"], 2)
    save_prior(folder / "prior", prior, model_folder.codebook_of(model), {}, "card")
    return folder


@pytest.fixture(scope="session")
def model(folder):
    return speechvq.load(folder)


@pytest.fixture
def record(tmp_path):
    """Writes a recording of some seconds; its path."""

    def write(name: str, seconds: float, seed: int = 0, loudness: float = 0.2) -> str:
        rng = np.random.default_rng(seed)
        syllables = np.repeat(rng.random(int(seconds * 10) + 1), RATE // 10)
        waveform = loudness * syllables * rng.standard_normal(len(syllables))
        path = tmp_path / name
        audio.write(path, waveform[: round(seconds * RATE)].astype(np.float32), RATE)
        return str(path)

    return write


@pytest.fixture
def quick_steps(monkeypatch):
    """Enrolment of a few short steps."""
    stage = replace(enrolling.STAGE, segment_length=800, steps=3)
    monkeypatch.setattr(enrolling, "STAGE", stage)
    monkeypatch.setitem(enrolling.enroll.__kwdefaults__, "steps", 3)


@pytest.fixture
def demo(folder, tmp_path_factory, monkeypatch):
    """A served demo: `url`, `root` (its temporary folder), `drawn` and `ended`.

    `drawn` counts the chunks that conversions drew, and `ended` is set when one of them has ended,
    whether to its end or before.
    """
    pytest.importorskip("gradio", reason="the demo is not tested: Gradio is missing")
    if shutil.which("ffmpeg") is None:
        pytest.importorskip("imageio_ffmpeg", reason="the demo is not tested: FFmpeg is missing")
    from speechvq.demo import page
    from speechvq.demo.serving import served

    before = dict(os.environ)
    monkeypatch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.2")
    # Tests that run at the same time do not look for a free port among the same ones
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    monkeypatch.setattr("gradio.http_server.INITIAL_PORT_VALUE", 7860 + 100 * worker)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
    seen = SimpleNamespace(drawn=0, ended=threading.Event())
    convert = page.convert_source

    def counted(*arguments):
        try:
            for chunk in convert(*arguments):
                seen.drawn += 1
                time.sleep(0.02)  # no faster than a large model
                yield chunk
        finally:
            seen.ended.set()

    monkeypatch.setattr(page, "convert_source", counted)
    with served(folder, most_minutes=0.5) as seen.url:
        (seen.root,) = page.Path(os.environ["GRADIO_TEMP_DIR"]).parents[:1]
        yield seen
    assert not seen.root.exists()
    os.environ.clear()
    os.environ.update(before)
    logging.getLogger("httpx").setLevel(logging.NOTSET)


@pytest.fixture
def browser():
    """Headless Chromium, with a microphone that beeps."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("the demo is not tested in a browser: Chromium is missing")
    reason = "the demo is not tested in a browser: Playwright is missing"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    switches = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    ]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=switches)
        yield browser
        browser.close()

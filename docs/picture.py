"""The picture of README.md: a recording, its codes, and the conversion drawn from them.

python docs/picture.py
"""

import io
from pathlib import Path

import numpy as np

import speechvq
from speechvq.model_folder import PRETRAINED

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "recipes/vctk/standin/wav48_silence_trimmed/p225/p225_037_mic1.flac"
TARGET = "p226"
START, SECONDS = 0.15, 1.6
TOP, FLOOR = 5000.0, -60.0  # Hz; dB below the loudest point


def main() -> None:
    """Encode and convert the beginning of a recording, and draw docs/picture.png."""
    import matplotlib
    import PIL.Image

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model = speechvq.load(PRETRAINED)
    waveform, rate = speechvq.audio.read(RECORDING, model.sample_rate)
    waveform = waveform[round(START * rate) :][: round(SECONDS * rate)]
    codes = speechvq.encode(model, waveform)
    conversion = speechvq.convert(model, waveform, TARGET)

    figure, axes = plt.subplots(
        3, 1, figsize=(9, 5.6), sharex=True, height_ratios=[4, 2, 4], layout="constrained"
    )
    spectrogram(axes[0], waveform, rate, f"recording, speaker {RECORDING.parent.name}")
    of_codebooks = codes.reshape(len(codes), -1)  # (N, G)
    extent = (0, len(codes) / model.frame_rate, model.codebooks + 0.5, 0.5)
    axes[1].imshow(
        of_codebooks.T, aspect="auto", extent=extent, cmap="viridis", interpolation="none"
    )
    axes[1].set_yticks(range(1, model.codebooks + 1))
    axes[1].set_ylabel("codebook")
    words = " ".join(":".join(map(str, code)) for code in of_codebooks[:3].tolist())
    axes[1].set_title(
        f"codes: {model.frame_rate:g} a second of {model.codebooks} times K = "
        f"{model.codebook_size:,}, a colour each; the first are {words} …",
        loc="left",
        fontsize=10,
    )
    spectrogram(axes[2], conversion, rate, f"the same codes drawn as speaker {TARGET}")
    axes[2].set_xlabel("s")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    PIL.Image.open(drawn).convert("RGB").quantize(64).save(ROOT / "docs/picture.png", optimize=True)


def spectrogram(axis, waveform: np.ndarray, rate: int, title: str) -> None:
    """Draw a spectrogram in dB."""
    size, hop = 512, 64
    padded = np.pad(waveform, size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hanning(size)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-6)
    bands = round(TOP / rate * size)
    extent = (0, len(waveform) / rate, 0, TOP / 1000)
    axis.imshow(
        level[:bands], origin="lower", aspect="auto", extent=extent, cmap="magma",
        vmin=level.max() + FLOOR, vmax=level.max(),
    )  # fmt: skip
    axis.set_ylabel("kHz")
    axis.set_title(title, loc="left", fontsize=10)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Convert the voice prompts of Asterisk to a folder of recordings for each speaker.

    python prompts.py SOUNDS --out exp/asterisk/recordings

SOUNDS is a folder with the unpacked Debian packages asterisk-core-sounds-*-g722, or / if they are
installed. The licences of the recordings are CC-BY-SA 3.0 and CC-BY 3.0; a file ATTRIBUTION in the
output folder names the speakers. Needs PyAV: pip install av.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
from pathlib import Path

import numpy as np

from speechvq import audio

VOICES = {  # folder of the prompts: speaker, language, credit
    "en_US_f_Allison": ("allison", "en", "Allison Smith, CC-BY-SA 3.0"),
    "es_MX_f_Allison": ("allison", "es", "Allison Smith, CC-BY-SA 3.0"),
    "fr_CA_f_June": ("june", "fr", "June Wallack, CC-BY-SA 3.0"),
    "it_IT_m_Carlo": ("carlo", "it", "Carlo Flora, CC-BY-SA 3.0"),
    "ru_RU_f_IvrvoiceRU": ("ivrvoice", "ru", "Maxim Topal and ivrvoice.ru, CC-BY 3.0"),
}
SAMPLE_RATE = 16000
SHORTEST = 0.8
"""Shortest prompt in seconds; shorter ones are letters and digits."""
DIGITS = dict(
    zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True)
)


def decode(path: Path) -> np.ndarray:
    """Decode a G.722 recording to float32 (T,); T is 0 for an empty file."""
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    return np.concatenate([np.zeros(0, np.int16), *frames]).astype(np.float32) / 32768


def texts(folder: Path) -> dict[str, str]:
    """Read the transcripts of English prompts, without those that are not verbatim."""
    (path,) = folder.rglob("core-sounds-en.txt.gz")
    found = {}
    for line in gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines():
        name, colon, text = line.partition(": ")
        text = re.sub(r"\d", lambda digit: f" {DIGITS[digit[0]]} ", text)
        if colon and not line.startswith(";") and not re.search(r"[\[(<]", text):
            found[name] = " ".join(text.split())
    return found


def main(argv: list[str] | None = None) -> int:
    """Write OUT/SPEAKER/LANGUAGE-PROMPT.flac, and the text of English prompts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sounds", type=Path, metavar="SOUNDS")
    parser.add_argument("--out", type=Path, default=Path("exp/asterisk/recordings"), metavar="DIR")
    options = parser.parse_args(argv)
    sounds = options.sounds / "usr/share/asterisk/sounds"
    missing = [name for name in VOICES if not (sounds / name).is_dir()]
    if missing:
        parser.error(f"{sounds} has no {', '.join(missing)}; README.md says how to get them")
    try:
        import av  # noqa: F401
    except ImportError:
        parser.error("reading G.722 needs PyAV; install it with: pip install av")
    try:
        transcripts = texts(options.sounds / "usr/share/doc")
    except ValueError:
        parser.error("core-sounds-en.txt.gz is missing; it is in asterisk-core-sounds-en")
    for name, (speaker, language, _) in VOICES.items():
        count, seconds = 0, 0.0
        for path in sorted((sounds / name).rglob("*.g722")):
            waveform = decode(path)
            prompt = path.relative_to(sounds / name).with_suffix("").as_posix()
            short = len(waveform) < SHORTEST * SAMPLE_RATE
            if short or prompt.startswith("silence/"):
                continue
            target = options.out / speaker / f"{language}-{prompt.replace('/', '-')}.flac"
            audio.write(target, waveform, SAMPLE_RATE)
            if language == "en" and prompt in transcripts:
                audio.write_bytes(target.with_suffix(".txt"), (transcripts[prompt] + "\n").encode())
            count, seconds = count + 1, seconds + len(waveform) / SAMPLE_RATE
        print(f"{speaker}, {language}: {count} prompts, {seconds / 60:.1f} minutes")
    credits = "\n".join(dict.fromkeys(f"{s}: {credit}" for s, _, credit in VOICES.values()))
    audio.write_bytes(options.out / "ATTRIBUTION", (credits + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

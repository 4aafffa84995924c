#!/usr/bin/env python3
"""Lay the voice prompts of Asterisk out as folders of recordings, one a speaker.

    python prompts.py SOUNDS --out exp/asterisk/recordings

SOUNDS is a folder with Debian's packages asterisk-core-sounds-*-g722 unpacked in it, or / where
they are installed. The recordings stay CC-BY-SA 3.0 and CC-BY 3.0, by those who spoke them; a file
ATTRIBUTION in the result names them. Needs PyAV: pip install av.
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
"""Seconds; what is shorter is a letter or a digit."""
DIGITS = dict(
    zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True)
)


def decode(path: Path) -> np.ndarray:
    """A G.722 recording, (T,) float32; an empty file has no samples."""
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    return np.concatenate([np.zeros(0, np.int16), *frames]).astype(np.float32) / 32768


def texts(folder: Path) -> dict[str, str]:
    """What the English prompts say, without those that say what nobody would read so."""
    (path,) = folder.rglob("core-sounds-en.txt.gz")
    found = {}
    for line in gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines():
        name, colon, text = line.partition(": ")
        text = re.sub(r"\d", lambda digit: f" {DIGITS[digit[0]]} ", text)
        if colon and not line.startswith(";") and not re.search(r"[\[(<]", text):
            found[name] = " ".join(text.split())
    return found


def main(argv: list[str] | None = None) -> int:
    """Write OUT/SPEAKER/LANGUAGE-PROMPT.flac, the English ones with their text."""
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
        parser.error("G.722 is read by PyAV; install it with: pip install av")
    try:
        said = texts(options.sounds / "usr/share/doc")
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
            if language == "en" and prompt in said:
                audio.write_bytes(target.with_suffix(".txt"), (said[prompt] + "\n").encode())
            count, seconds = count + 1, seconds + len(waveform) / SAMPLE_RATE
        print(f"{speaker}, {language}: {count} prompts, {seconds / 60:.1f} minutes")
    credits = "\n".join(dict.fromkeys(f"{s}: {credit}" for s, _, credit in VOICES.values()))
    audio.write_bytes(options.out / "ATTRIBUTION", (credits + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

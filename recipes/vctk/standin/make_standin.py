#!/usr/bin/env python3
"""Make the stand-in corpus: four flite voices in the layout of VCTK 0.92, with phone labels.

    python make_standin.py [--out DIR] [--sentences FILE] [--first N]

FILE holds one sentence a line. Every speaker reads the first 24 (utterances 001 to 024, as in
VCTK); the others are dealt out in turn, so that each is read by one speaker. The same sentences
give the same files again. A longer FILE gives more data of the same voices.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
SHARED = 24  # sentences that every speaker reads
SPEAKERS = {  # id: (flite voice, gender, accent); the gender is that of VCTK's own speaker
    "p225": ("slt", "F", "American"),
    "p226": ("rms", "M", "American"),
    "p227": ("awb", "M", "Scottish"),
    "p232": ("kal16", "M", "American"),
}
SAMPLE_RATE = 16000  # Hz, of all four voices
LEVEL = 0.025  # root mean square of the speech, pauses left out
PEAK = 0.5  # no sample is louder than this
EDGE = 0.2  # seconds of pause kept, at most, before and after the speech

Label = tuple[int, int, str]  # first sample, end sample, phone


def speak(text: str, voice: str, wav: Path) -> tuple[np.ndarray, list[Label]]:
    """Have flite read `text`; return its waveform, float (T,), and labels that cover it."""
    command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    waveform, sample_rate = soundfile.read(wav, dtype="float64")
    if sample_rate != SAMPLE_RATE:
        raise ValueError(f"flite voice {voice!r} speaks at {sample_rate} Hz, not {SAMPLE_RATE}")
    labels: list[Label] = []
    start = 0
    for phone, seconds in (item.split(":") for item in done.stdout.split()):
        end = min(round(float(seconds) * SAMPLE_RATE), len(waveform))
        if end > start:
            labels.append((start, end, phone))
            start = end
    if not labels:
        raise ValueError(f"flite voice {voice!r} printed no phones for {text!r}")
    labels[-1] = (labels[-1][0], len(waveform), labels[-1][2])
    return waveform, labels


def trim(waveform: np.ndarray, labels: list[Label]) -> tuple[np.ndarray, list[Label]]:
    """Shorten the pauses at both ends to `EDGE` seconds."""
    spoken = [label for label in labels if label[2] != "pau"]
    edge = round(EDGE * SAMPLE_RATE)
    first = max(0, spoken[0][0] - edge)
    last = min(len(waveform), spoken[-1][1] + edge)
    cut = [(max(a, first) - first, min(b, last) - first, phone) for a, b, phone in labels]
    return waveform[first:last], [label for label in cut if label[1] > label[0]]


def normalise(waveform: np.ndarray, labels: list[Label]) -> np.ndarray:
    """Scale to `LEVEL`, or to `PEAK` where that is quieter."""
    speech = np.concatenate([waveform[a:b] for a, b, phone in labels if phone != "pau"])
    gain = LEVEL / np.sqrt(np.mean(speech**2))
    return waveform * min(gain, PEAK / np.abs(waveform).max())


def write_utterance(out: Path, speaker: str, number: int, text: str, scratch: Path) -> float:
    """Write audio, text and labels of one utterance; return its duration in seconds."""
    waveform, labels = trim(*speak(text, SPEAKERS[speaker][0], scratch))
    name = f"{speaker}_{number:03d}"
    audio, txt, lab = (
        out / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac",
        out / "txt" / speaker / f"{name}.txt",
        out / "phones" / speaker / f"{name}.lab",
    )
    for path in (audio, txt, lab):
        path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.round(normalise(waveform, labels) * 32768).astype(np.int16)
    soundfile.write(audio, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
    txt.write_text(text + "\n", encoding="utf-8")
    lines = (f"{a / SAMPLE_RATE:.4f} {b / SAMPLE_RATE:.4f} {phone}\n" for a, b, phone in labels)
    lab.write_text("".join(lines), encoding="utf-8")
    return len(pcm) / SAMPLE_RATE


def read_sentences(path: Path) -> list[str]:
    """Read one sentence a line; refuse one that stands there twice."""
    lines = path.read_text(encoding="utf-8").splitlines()
    sentences = [" ".join(line.split()) for line in lines if line.strip()]
    seen: dict[str, str] = {}
    for sentence in sentences:
        key = " ".join(re.findall(r"[a-z]+", sentence.lower()))
        if not key:
            raise ValueError(f"{path}: not a sentence: {sentence!r}")
        if key in seen:
            raise ValueError(f"{path}: the same sentence twice: {sentence!r}; remove one")
        seen[key] = sentence
    if not sentences:
        raise ValueError(f"{path}: no sentences; write one a line")
    return sentences


def check_flite() -> None:
    """Refuse to start without flite and its four voices."""
    if shutil.which("flite") is None:
        raise ValueError("flite is not on the PATH; install it: apt-get install flite")
    known = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=True).stdout
    missing = [voice for voice, *_ in SPEAKERS.values() if voice not in known.split()]
    if missing:
        raise ValueError(
            f"this flite lacks the voices {', '.join(missing)}; Debian's has them: "
            "apt-get install flite"
        )


def clear(out: Path) -> None:
    """Remove an older stand-in from `out`; refuse if anything else, such as VCTK, is there."""
    folders = [
        out / folder / speaker
        for folder in ("wav48_silence_trimmed", "txt", "phones")
        for speaker in SPEAKERS
    ]
    info = out / "speaker-info.txt"
    ours = info.is_file() and "synthetic stand-in" in info.read_text(encoding="utf-8")
    if not ours and (info.exists() or any(folder.exists() for folder in folders)):
        raise ValueError(f"{out} holds another corpus; choose an empty folder with --out")
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def write_speaker_info(path: Path) -> None:
    """Write the speakers in the columns of VCTK 0.92."""
    lines = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS"]
    for speaker, (voice, gender, accent) in SPEAKERS.items():
        comment = f"(synthetic stand-in: flite voice {voice}; age and region unknown)"
        lines.append(f"{speaker}  0  {gender}    {accent}    Unknown  {comment}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Make the corpus and print how long each speaker speaks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=HERE, metavar="DIR", help="where to write (default: beside me)"
    )
    parser.add_argument(
        "--sentences",
        type=Path,
        default=HERE / "sentences.txt",
        metavar="FILE",
        help=f"one sentence a line; everyone reads the first {SHARED} (default: sentences.txt)",
    )
    parser.add_argument(
        "--first", type=int, default=1, metavar="N", help="number of the first utterance (1)"
    )
    options = parser.parse_args(argv)
    try:
        check_flite()
        sentences = read_sentences(options.sentences)
        clear(options.out)
    except (OSError, ValueError) as error:
        print(f"make_standin.py: error: {error}", file=sys.stderr)
        return 2

    write_speaker_info(options.out / "speaker-info.txt")
    shared, rest = sentences[:SHARED], sentences[SHARED:]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "a.wav"
        for i, speaker in enumerate(SPEAKERS):
            seconds = [
                write_utterance(options.out, speaker, number, text, scratch)
                for number, text in enumerate(shared + rest[i :: len(SPEAKERS)], options.first)
            ]
            print(f"{speaker}: {len(seconds)} utterances, {sum(seconds) / 60:.2f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

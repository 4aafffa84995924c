"""Corpora: a directory tree becomes a list of utterances.

Each kind of corpus is a module with `LAYOUT`, `is_root`, `recordings` and `speakers`; what is the
same for all of them, looking at the audio, the texts and the labels, is here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora import folder, label_files, librispeech, vctk
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.label_files import LabelFiles
from speechvq.data.corpora.recording import Recording
from speechvq.data.labels import read_phones
from speechvq.data.manifest import CorpusError, Phone, Utterance
from speechvq.data.trim import clip_phones, speech_bounds, trim

__all__ = ["KINDS", "detect", "read_corpus", "read_speakers"]

KINDS = ("vctk", "librispeech", "folder")
"""The kinds of corpora, in the order in which `detect` tries them."""

_MODULES = {"vctk": vctk, "librispeech": librispeech, "folder": folder}
_OVERHANG = 0.5  # seconds by which labels may run past the audio before it is worth a warning


def detect(root: str | os.PathLike) -> str:
    """The kind of a corpus, from its directory tree.

    Raises
    ------
    FileNotFoundError, CorpusError
        There is no such folder, or it is none of `KINDS`.
    """
    root = _existing(root)
    for kind in KINDS:
        if _find_root(kind, root) is not None:
            return kind
    if any(path.is_file() and path.suffix.lower() in audio.SUFFIXES for path in root.iterdir()):
        return "folder"  # whose reader says what is wrong
    raise CorpusError(
        f"{root}: no corpus in it; expected VCTK, {vctk.LAYOUT}; "
        f"LibriSpeech, {librispeech.LAYOUT}; or {folder.LAYOUT}"
    )


def read_corpus(
    kind: str,
    root: str | os.PathLike,
    *,
    mic: int = 1,
    phones: str | os.PathLike | None = None,
    speakers: Iterable[str] | None = None,
    check: bool = False,
    trim_silence: bool = False,
    progress: bool = False,
) -> list[Utterance]:
    """All usable utterances of a corpus, sorted by id.

    What cannot be used is skipped, and each kind of fault is one logged warning with a count and
    the first case. Durations come from the files' headers; damage and silence that only reading
    the audio can show are looked for with `check` or `trim_silence`.

    Parameters
    ----------
    kind
        One of `KINDS`.
    root
        The corpus, or a folder whose only corpus of that kind is one level down.
    mic
        Which microphone of VCTK 0.92, 1 or 2.
    phones
        A folder of phone labels (``SPEAKER/UTTERANCE.TextGrid``, ``.phn``, ``.lab``) or a CTM
        file; by default ``phones`` or ``phones.ctm`` in the root, and labels beside the audio.
    speakers
        Names of those to keep; None keeps all.
    check
        Read every file to its end.
    trim_silence
        Cut the silence at both ends, by energy (`speechvq.data.trim`).
    progress
        Show a progress bar on stderr.

    Raises
    ------
    FileNotFoundError
        The root or the labels do not exist.
    CorpusError
        The tree is not of this kind, a speaker is unknown, no label fits, or nothing is usable.
    """
    if kind not in KINDS:
        raise CorpusError(f"unknown kind of corpus {kind!r}; expected {', '.join(KINDS)}")
    if mic not in (1, 2):
        raise CorpusError(f"there is no microphone {mic}; VCTK 0.92 has 1 and 2")
    given, root = _existing(root), _find_root(kind, _existing(root))
    if root is None:
        # A folder with audio at its top is told what is wrong by its reader.
        root = given
        if kind != "folder":
            raise CorpusError(f"{given}: not {kind}; expected {_MODULES[kind].LAYOUT}")
    faults = Faults()
    if kind == "vctk":
        recordings = vctk.recordings(root, faults, mic)
    else:
        recordings = _MODULES[kind].recordings(root, faults)
    if speakers is not None:
        recordings = _of_speakers(recordings, list(speakers), root)
        faults = _about({r.speaker for r in recordings}, faults)
    labels = _label_files(root, phones)
    utterances = []
    for utterance, met in _in_order(recordings, labels, check, trim_silence, progress):
        for fault in met:
            faults.add(fault)
        if utterance is not None:
            utterances.append(utterance)
    if kind == "folder" and all(u.text is None for u in utterances):
        faults.met.pop(("utterance", _NO_TEXT), None)  # no text at all is no fault: none was due
    faults.warn()
    if not utterances:
        raise CorpusError(f"{root}: no usable audio; expected {_MODULES[kind].LAYOUT}")
    if phones is not None and all(u.phones is None for u in utterances):
        raise CorpusError(
            f"{phones}: no labels for this corpus; looked for "
            f"{' or '.join(recordings[0].label_names)} (.TextGrid, .lab, .phn), for one"
        )
    return sorted(utterances, key=lambda u: u.id)


def read_speakers(kind: str, root: str | os.PathLike) -> dict[str, dict[str, str]]:
    """What a corpus says of its speakers: gender, age, accent, …, where it says anything."""
    found = _find_root(kind, _existing(root))
    return {} if found is None else _MODULES[kind].speakers(found)


def _existing(root: str | os.PathLike) -> Path:
    path = Path(os.path.abspath(root))
    if not path.exists():
        raise FileNotFoundError(f"{root}: no such folder; expected the root of a corpus")
    if not path.is_dir():
        raise CorpusError(f"{root}: a file, where the root folder of a corpus was expected")
    return path


def _find_root(kind: str, given: Path) -> Path | None:
    """The given folder, or the only folder in it that is a corpus of this kind (archives nest)."""
    is_root = _MODULES[kind].is_root
    if is_root(given):
        return given
    inside = [path for path in sorted(given.iterdir()) if path.is_dir() and is_root(path)]
    return inside[0] if kind != "folder" and len(inside) == 1 else None


def _of_speakers(recordings: list[Recording], wanted: list[str], root: Path) -> list[Recording]:
    known = sorted({recording.speaker for recording in recordings})
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            raise CorpusError(
                f"{root}: unknown speaker {name!r}; this corpus has {shown}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    return [recording for recording in recordings if recording.speaker in wanted]


def _about(speakers: set[str], faults: Faults) -> Faults:
    """The faults of these speakers, and those that are nobody's."""
    kept = Faults()
    for met in faults.met.values():
        for fault in met:
            if fault.speaker is None or fault.speaker in speakers:
                kept.add(fault)
    return kept


def _label_files(root: Path, given: str | os.PathLike | None) -> LabelFiles | None:
    if given is not None:
        found = LabelFiles(Path(given))
        if not found:
            raise CorpusError(f"{given}: no label files in it; {label_files.EXPECTED}")
        return found
    for own in (root / "phones", root / "phones.ctm"):
        if own.exists():
            found = LabelFiles(own)
            return found if found else None
    return None


def _in_order(
    recordings: list[Recording],
    labels: LabelFiles | None,
    check: bool,
    trim_silence: bool,
    progress: bool,
) -> Iterator[tuple[Utterance | None, list[Fault]]]:
    """Look at all recordings, several at a time (the disk is what one waits for)."""
    from tqdm import tqdm

    def look(recording: Recording) -> tuple[Utterance | None, list[Fault]]:
        return _look(recording, labels, check, trim_silence)

    executor = ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2))
    try:
        yield from tqdm(
            executor.map(look, recordings),
            desc="reading audio" if check or trim_silence else "reading headers",
            total=len(recordings),
            unit="file",
            disable=not progress,
            delay=1,  # seconds: a small corpus needs no bar
        )
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


_NO_TEXT = "without text, kept"


def _look(
    recording: Recording, labels: LabelFiles | None, check: bool, trim_silence: bool
) -> tuple[Utterance | None, list[Fault]]:
    """The utterance that a recording is, None if it is not usable, and what is wrong with it."""
    faults: list[Fault] = []

    def fault(what: str, example: str, noun: str = "utterance") -> None:
        faults.append(Fault(noun, what, example, recording.speaker))

    bounds = None
    try:
        duration, sample_rate = audio.info(recording.path)
        if duration < audio.SHORTEST:
            fault(f"shorter than {audio.SHORTEST:g} s, skipped", str(recording.path), "file")
            return None, faults
        if check or trim_silence:
            waveform, _ = audio.read(recording.path)
            if abs(waveform).max() < audio.SILENT_PEAK:
                fault("silent throughout, skipped", str(recording.path), "file")
                return None, faults
            duration = len(waveform) / sample_rate
            bounds = speech_bounds(waveform, sample_rate) if trim_silence else None
    except (audio.AudioError, OSError) as error:
        fault("not usable as audio, skipped", str(error), "file")
        return None, faults

    text = recording.text if recording.text_path is None else _read_text(recording)
    if not text:
        text = None
        fault(_NO_TEXT, recording.id)
    utterance = Utterance(
        recording.id,
        recording.speaker,
        str(recording.path),
        duration,
        text=text,
        phones=_phones(recording, labels, duration, sample_rate, fault),
    )
    return trim(utterance, *bounds) if bounds else utterance, faults


def _read_text(recording: Recording) -> str:
    assert recording.text_path is not None
    content = recording.text_path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if recording.label_path is not None and recording.label_path.suffix.lower() == ".phn":
        text = re.sub(r"^\s*\d+\s+\d+\s+", "", text)  # TIMIT's texts begin with two sample counts
    return " ".join(text.split())


def _phones(
    recording: Recording, labels: LabelFiles | None, duration: float, sample_rate: int, fault
) -> tuple[Phone, ...] | None:
    """The phones of a recording, cut to its duration; None where there are none to be read."""
    try:
        phones = labels.find(recording.label_names, sample_rate) if labels else None
        if phones is None and recording.label_path is not None:
            phones = read_phones(recording.label_path, sample_rate)
    except (CorpusError, OSError) as error:
        fault("with phone labels that cannot be read, kept without them", str(error))
        return None
    if not phones:
        return None
    if phones[-1].end > duration + _OVERHANG:
        what = "with phone labels that run past the audio, cut to it"
        example = f"{recording.id}: {phones[-1].end:.2f} s of labels, {duration:.2f} s of audio"
        fault(what, example)
    return clip_phones(phones, 0.0, duration) or None

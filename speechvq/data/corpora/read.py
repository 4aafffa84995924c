"""Reading a corpus: from recordings to utterances with audio, text and phone labels."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from speechvq import audio
from speechvq.codes import check_id, check_speaker
from speechvq.data.corpora import label_files
from speechvq.data.corpora.faults import Fault, Faults, reason
from speechvq.data.corpora.label_files import LabelFiles
from speechvq.data.corpora.lines import GUESSED, read_file
from speechvq.data.corpora.reader import CorpusReader, folders_in
from speechvq.data.corpora.recording import Recording
from speechvq.data.label_names import doubt_classes
from speechvq.data.labels import units_that_fit
from speechvq.data.manifest import CorpusError, Phone, Utterance
from speechvq.data.trim import clip_phones, find_sound, trim
from speechvq.progress import track
from speechvq.text import EncodingError

logger = logging.getLogger(__name__)

OVERHANG = 0.5
"""Seconds by which phone labels may run past the end of the audio without a warning."""
EARLIEST_END, LATEST_END = 0.5, 1.15
"""Parts of the duration outside of which the end of the labels makes their unit doubtful."""
LONGEST_NAME = 200
"""Bytes of an id; file systems allow 255 with the target speaker, suffix and a temporary name."""
NO_TEXT = "without text, kept"
NOT_THERE = "of the list that the corpus does not have, left out"


def read_corpus(
    reader: CorpusReader,
    root: str | os.PathLike[str],
    *,
    phones: str | os.PathLike[str] | None = None,
    tier: str | None = None,
    speakers: Iterable[str] | None = None,
    only: Iterable[str] | None = None,
    check: bool = False,
    trim_silence: bool = False,
    progress: bool = False,
) -> list[Utterance]:
    """Read all usable utterances of a corpus, sorted by id.

    Unusable files are skipped; each kind of fault is logged as one warning with a count and the
    first case. Durations come from the headers of the files. Damage and silence that only decoding
    shows are found with `check` or `trim_silence`.

    Parameters
    ----------
    reader : CorpusReader
        Finds the recordings in the directory tree.
    root : path
        Root of the corpus, or a folder that holds one corpus of this kind one level down.
    phones : path, optional
        A folder of phone labels (``SPEAKER/UTTERANCE.TextGrid``, ``.phn``, ``.lab``) or a CTM
        file; by default ``phones`` or ``phones.ctm`` in the root, and labels beside the audio.
    tier : str, optional
        Name of the tier of TextGrids that holds the phones; by default one of `labels.TIERS`.
    speakers : iterable of str, optional
        Names of the speakers to keep; None keeps all.
    only : iterable of str, optional
        Ids of the utterances to keep; None keeps all. Those that are not in the corpus are logged.
    check : bool
        Decode every file to its end.
    trim_silence : bool
        Cut the silence at both ends, by energy (`speechvq.data.trim`).
    progress : bool
        Show progress on stderr.

    Raises
    ------
    FileNotFoundError
        The root or the labels do not exist.
    CorpusError
        The directory tree is not of this kind, a speaker is unknown, no label file matches an
        utterance, or no utterance is usable.
    """
    given, root, faults = existing_folder(root), corpus_root(reader, root), Faults()
    if given in root.parents:
        _doubt_siblings(root, faults)
    recordings, missing = reader.recordings(root, faults), list[str]()
    if speakers is not None:
        recordings = _of_speakers(recordings, list(speakers), root)
    if only is not None:
        recordings, missing = _of_ids(recordings, set(only), root)
    if speakers is not None or only is not None:
        faults = _faults_of({r.speaker for r in recordings}, faults)
    for id in missing:
        faults.add(Fault("utterance", NOT_THERE, id, unusable=True))
    recordings = _with_usable_names(recordings, faults)
    labels = _label_files(root, phones, tier, faults)
    utterances = []
    for utterance, found in _read_recordings(recordings, labels, check, trim_silence, progress):
        faults.add(*found)
        if utterance is not None:
            utterances.append(utterance)
    if not reader.expects_text and all(u.text is None for u in utterances):
        faults.by_kind.pop(("utterance", NO_TEXT), None)
    faults.warn()
    if doubt := doubt_classes(phone.label for u in utterances for phone in u.phones or ()):
        logger.warning("%s", doubt)
    if not utterances:
        raise CorpusError(f"{root}: no usable audio; expected {reader.layout}")
    if phones is not None and all(u.phones is None for u in utterances):
        raise CorpusError(
            f"{phones}: no labels for this corpus; looked for "
            f"{' or '.join(recordings[0].label_names)} (.TextGrid, .lab, .phn), for one"
        )
    return sorted(utterances, key=lambda u: u.id)


def existing_folder(root: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a corpus; FileNotFoundError or CorpusError without a folder."""
    path = Path(os.path.abspath(root))
    if not path.exists():
        raise FileNotFoundError(f"{root}: no such folder; expected the root of a corpus")
    if not path.is_dir():
        raise CorpusError(f"{root}: a file, where the root folder of a corpus was expected")
    return path


def corpus_root(reader: CorpusReader, root: str | os.PathLike[str]) -> Path:
    """Return the root of the reader's corpus in a folder; CorpusError where there is none."""
    folder = existing_folder(root)
    found = reader.find_root(folder)
    if found is None:
        raise CorpusError(f"{folder}: not {reader.kind}; expected {reader.layout}")
    return found


def _doubt_siblings(root: Path, faults: Faults) -> None:
    """Report other folders with audio beside the only corpus in a folder."""
    for path in folders_in(root.parent):
        if path != root and next(audio.walk(path), None) is not None:
            what = f"beside {root.name} with audio, not read; prepare it by itself"
            faults.add(Fault("folder", what, str(path)))


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


def _of_ids(
    recordings: list[Recording], wanted: set[str], root: Path
) -> tuple[list[Recording], list[str]]:
    """Return the recordings with these ids, and the ids that no recording has."""
    found = [recording for recording in recordings if recording.id in wanted]
    if not found:
        known = f"such as {recordings[0].id}" if recordings else "none"
        raise CorpusError(
            f"{root}: no utterance of the list of {len(wanted)}; this corpus has {known}"
        )
    return found, sorted(wanted - {recording.id for recording in found})


def _faults_of(speakers: set[str], faults: Faults) -> Faults:
    """Faults of these speakers, and faults that concern no speaker."""
    kept = Faults()
    for same_kind in faults.by_kind.values():
        for fault in same_kind:
            if fault.speaker is None or fault.speaker in speakers:
                kept.add(fault)
    return kept


def _with_usable_names(recordings: list[Recording], faults: Faults) -> list[Recording]:
    """Leave out recordings whose names a manifest, a file of codes or a folder would refuse."""
    kept = []
    for recording in recordings:
        wrong = None
        if not audio.is_text(f"{recording.path}{recording.id}{recording.speaker}"):
            wrong = "not UTF-8; rename it"
        elif not audio.is_text(recording.text or ""):
            wrong = "its text is not Unicode; correct it"
        elif len(recording.id.encode()) > LONGEST_NAME:
            wrong = f"the id {recording.id[:20]!r}… is too long for the name of a file; rename it"
        else:
            try:
                check_id(recording.id)
                check_id(recording.speaker)
                check_speaker(recording.speaker)
            except ValueError as error:
                wrong = str(error)
        if wrong is None:
            kept.append(recording)
        else:
            what = "with a name that cannot be used, skipped"
            example = f"{str(recording.path)!r}: {wrong}"
            faults.add(Fault("file", what, example, unusable=True))
    return kept


def _label_files(
    root: Path, given: str | os.PathLike[str] | None, tier: str | None, faults: Faults
) -> LabelFiles:
    if given is not None:
        found = LabelFiles(Path(given), faults, tier)
        if not found:
            raise CorpusError(f"{given}: no label files in it; {label_files.EXPECTED}")
        return found
    for default in (root / "phones", root / "phones.ctm"):
        if default.exists():
            return LabelFiles(default, faults, tier)
    return LabelFiles(None, faults, tier)


def _read_recordings(
    recordings: list[Recording],
    labels: LabelFiles,
    check: bool,
    trim_silence: bool,
    progress: bool,
) -> Iterator[tuple[Utterance | None, list[Fault]]]:
    """Read all recordings in order, in several threads, because the disk is the bottleneck."""

    def read(recording: Recording) -> tuple[Utterance | None, list[Fault]]:
        return _read_recording(recording, labels, check, trim_silence)

    executor = ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2))
    try:
        yield from track(
            executor.map(read, recordings),
            "reading audio" if check or trim_silence else "reading headers",
            " files",
            shown=progress,
            total=len(recordings),
        )
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _read_recording(
    recording: Recording, labels: LabelFiles, check: bool, trim_silence: bool
) -> tuple[Utterance | None, list[Fault]]:
    """Return the utterance of a recording, None if the recording is unusable, and the faults."""
    faults: list[Fault] = []

    def fault(what: str, example: str, noun: str = "utterance", unusable: bool = False) -> None:
        faults.append(Fault(noun, what, example, recording.speaker, unusable))

    bounds = None
    try:
        duration, sample_rate = recording.header or audio.info(recording.path)
        if duration < audio.SHORTEST:
            fault(f"shorter than {audio.SHORTEST:g} s, skipped", str(recording.path), "file")
            return None, faults
        if check or trim_silence:
            sound = find_sound(audio.blocks(recording.path), sample_rate)
            if sound.peak < audio.SILENT_PEAK:
                fault("silent throughout, skipped", str(recording.path), "file")
                return None, faults
            duration = sound.duration
            bounds = (sound.start, sound.end) if trim_silence else None
    except (audio.AudioError, OSError) as error:
        fault("not usable as audio, skipped", reason(error), "file", unusable=True)
        return None, faults
    try:
        text = _read_text(recording, fault)
        if not text:
            fault(NO_TEXT, recording.id)
    except (OSError, EncodingError) as error:
        text = None
        fault("with a text that cannot be read, kept without it", reason(error), unusable=True)
    utterance = Utterance(
        recording.id,
        recording.speaker,
        str(recording.path),
        duration,
        text=text or None,
        phones=_phones(recording, labels, duration, sample_rate, fault),
    )
    return trim(utterance, *bounds) if bounds else utterance, faults


def _read_text(recording: Recording, fault: Callable[..., None]) -> str | None:
    if recording.text_path is None:
        return recording.text
    text = read_file(recording.text_path)
    if text.guessed:
        fault(GUESSED, str(recording.text_path), "text")
    content = text.content
    if recording.times_in_text:
        content = re.sub(r"^\s*\d+\s+\d+\s+", "", content)
    return " ".join(content.split())


def _phones(
    recording: Recording,
    labels: LabelFiles,
    duration: float,
    sample_rate: int,
    fault: Callable[..., None],
) -> tuple[Phone, ...] | None:
    """Read the phones of a recording, cut to the duration; None without readable labels."""
    try:
        found = labels.find(recording.label_names, recording.label_path, sample_rate)
    except (CorpusError, OSError) as error:
        what = "with phone labels that cannot be read, kept without them"
        fault(what, reason(error), unusable=True)
        return None
    if found is None or not found.phones:
        return None
    end = found.phones[-1].end
    example = f"{recording.id}: {end:.4g} s of labels, {duration:.2f} s of audio"
    if not EARLIEST_END * duration <= end <= LATEST_END * duration:
        units = units_that_fit(found, duration)
        if units:
            what = "with phone labels in another unit of time, kept without them; convert them"
            fault(what, f"{example}; {' or '.join(units)} would fit")
            return None
        if end < EARLIEST_END * duration:
            fault("with phone labels that end before half of the audio, kept; check them", example)
    if end > duration + OVERHANG:
        example = f"{recording.id}: {end:.2f} s of labels, {duration:.2f} s of audio"
        fault("with phone labels that run past the audio, cut to it", example)
    return clip_phones(found.phones, 0.0, duration) or None

"""Corpora of every layout, with the faults that the real ones have."""

import logging
import os

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.data.corpora import (
    ESD,
    TIMIT,
    VCTK,
    Arctic,
    CorpusReader,
    Fault,
    Folder,
    LibriSpeech,
    LibriTTS,
    Recording,
    SpeechOcean762,
    corpus_root,
    detect,
    read_corpus,
)
from speechvq.data.manifest import CorpusError, Phone

RATE = 16000


def put_audio(path, seconds=0.3, rate=RATE, level=0.3):
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = level * np.sin(np.arange(round(seconds * rate)) * 0.3)
    soundfile.write(path, waveform, rate)
    return path


def put_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def speaker_facts(reader, root):
    return reader.speakers(corpus_root(reader, root))


@pytest.fixture
def warned(caplog):
    """The warnings so far, without the folder's name."""
    caplog.set_level(logging.WARNING)

    def lines(root):
        return [record.getMessage().replace(f"{root}/", "") for record in caplog.records]

    return lines


# ---- VCTK


@pytest.fixture
def vctk92(tmp_path):
    root = tmp_path / "VCTK"
    for speaker in ("p225", "p226", "s5"):
        for number in (1, 2):
            id = f"{speaker}_{number:03d}"
            for mic in (1, 2):
                put_audio(
                    root / f"wav48_silence_trimmed/{speaker}/{id}_mic{mic}.flac", 0.1 + mic / 10
                )
            put_text(root / f"txt/{speaker}/{id}.txt", f"Sentence  {number}.\n")
    put_text(
        root / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p226  22  M    English    Surrey  (mic2 files unavailable)\n"
        "s5  20  F    British\n",
    )
    return root


@pytest.fixture
def vctk80(tmp_path):
    root = tmp_path / "VCTK-Corpus"
    for speaker in ("p225", "p226"):
        for number in (1, 2):
            id = f"{speaker}_{number:03d}"
            put_audio(root / f"wav48/{speaker}/{id}.wav")
            put_text(root / f"txt/{speaker}/{id}.txt", f"Sentence {number}.")
    put_text(
        root / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION \n"
        "225  23  F    English    Southern  England\n"
        "226  22  M    NorthernIrish    Belfast\n",
    )
    return root


def test_vctk_092(vctk92, warned):
    assert detect(vctk92) == "vctk"
    corpus = read_corpus(VCTK(), vctk92)
    ids = ["p225_001", "p225_002", "p226_001", "p226_002", "s5_001", "s5_002"]
    assert [u.id for u in corpus] == ids
    first = corpus[0]
    assert (first.speaker, first.text, first.start, first.phones) == (
        "p225",
        "Sentence 1.",
        0,
        None,
    )
    assert first.path == str(vctk92 / "wav48_silence_trimmed/p225/p225_001_mic1.flac")
    assert first.duration == pytest.approx(0.2)
    assert {u.speaker for u in corpus} == {"p225", "p226", "s5"}
    assert warned(vctk92) == []


def test_the_other_microphone(vctk92, warned):
    for id in ("p226_001", "p226_002"):
        (vctk92 / f"wav48_silence_trimmed/p226/{id}_mic2.flac").unlink()
    corpus = read_corpus(VCTK(mic=2), vctk92)
    assert {u.speaker for u in corpus} == {"p225", "s5"}
    assert all(u.path.endswith("_mic2.flac") and u.duration == pytest.approx(0.3) for u in corpus)
    assert warned(vctk92) == [
        "2 utterances of p226 without microphone 2, skipped (the first: p226_001)"
    ]


def test_vctk_080(vctk80, warned):
    assert detect(vctk80) == "vctk"
    corpus = read_corpus(VCTK(), vctk80)
    assert [u.id for u in corpus] == ["p225_001", "p225_002", "p226_001", "p226_002"]
    assert corpus[3].path == str(vctk80 / "wav48/p226/p226_002.wav")
    assert warned(vctk80) == []
    with pytest.raises(CorpusError, match="one microphone only"):
        read_corpus(VCTK(mic=2), vctk80)
    with pytest.raises(CorpusError, match="no microphone 3"):
        VCTK(mic=3)


def test_what_is_said_of_the_speakers(vctk92, vctk80):
    assert speaker_facts(VCTK(), vctk92) == {
        "p225": {"age": "23", "gender": "F", "accent": "English", "region": "Southern  England"},
        "p226": {
            "age": "22",
            "gender": "M",
            "accent": "English",
            "region": "Surrey",
            "comment": "mic2 files unavailable",
        },
        "s5": {"age": "20", "gender": "F", "accent": "British"},
    }
    assert speaker_facts(VCTK(), vctk80)["p226"]["region"] == "Belfast"
    (vctk80 / "speaker-info.txt").unlink()
    assert speaker_facts(VCTK(), vctk80) == {}


def test_the_faults_of_vctk_are_one_warning_a_kind(vctk80, warned):
    for number in (1, 2, 3):
        put_audio(vctk80 / f"wav48/p315/p315_{number:03d}.wav")
    put_text(vctk80 / "wav48/p376/p376_295.raw", "raw")
    put_audio(vctk80 / "wav48/p376/p376_001.wav")
    put_text(vctk80 / "txt/p376/p376_001.txt", "  \n")
    put_text(vctk80 / "txt/p362/p362_010.txt", "Gone.")
    put_text(vctk80 / "txt/p362/p362_011.txt", "Gone too.")
    put_audio(vctk80 / "wav48/p225/p225_003.wav", seconds=0.05)
    put_text(vctk80 / "wav48/p225/p225_004.wav", "")
    put_text(vctk80 / "wav48/p225/p225_005.wav", "text")
    cut(put_audio(vctk80 / "wav48/p225/p225_006.wav"))
    put_text(vctk80 / "wav48/p225/.DS_Store", "")
    (vctk80 / "wav48/p362").mkdir()
    corpus = read_corpus(VCTK(), vctk80)
    assert [u.id for u in corpus if u.text is None] == [
        "p315_001",
        "p315_002",
        "p315_003",
        "p376_001",
    ]
    assert len(corpus) == 8
    assert warned(vctk80) == [
        "2 texts of p362 without audio, skipped (the first: p362_010)",
        "1 file of p376 not named as VCTK's audio is, skipped (wav48/p376/p376_295.raw)",
        "1 file of p225 shorter than 0.1 s, skipped (wav48/p225/p225_003.wav)",
        "3 files of p225 not usable as audio, skipped "
        "(the first: wav48/p225/p225_004.wav: an empty file)",
        "4 utterances of p315, p376 without text, kept (the first: p315_001)",
    ]


def test_damage_and_silence_inside_are_found_on_request(vctk92, warned):
    folder = vctk92 / "wav48_silence_trimmed/p225"
    cut(folder / "p225_001_mic1.flac")
    put_audio(folder / "p225_002_mic1.flac", level=0)
    assert len(read_corpus(VCTK(), vctk92)) == 6
    assert warned(vctk92) == []
    assert len(read_corpus(VCTK(), vctk92, check=True)) == 4
    damaged, silent = warned(vctk92)
    assert damaged.startswith("1 file of p225 not usable as audio, skipped (wav48_silence_tr")
    assert "truncated" in damaged
    assert silent.startswith("1 file of p225 silent throughout, skipped (")


def test_only_some_speakers(vctk92, warned):
    put_text(vctk92 / "txt/p226/p226_099.txt", "Of another speaker.")
    assert {u.speaker for u in read_corpus(VCTK(), vctk92, speakers=["p225", "s5"])} == {
        "p225",
        "s5",
    }
    assert warned(vctk92) == []
    with pytest.raises(
        CorpusError, match=r"unknown speaker '225'.*p225, p226, s5.*did you mean p22"
    ):
        read_corpus(VCTK(), vctk92, speakers=["225"])


def test_only_the_utterances_of_a_list(vctk92, warned):
    put_text(vctk92 / "txt/s5/s5_099.txt", "Of another speaker.")
    wanted = ["p225_002", "p226_001", "p226_404", "p999_001"]
    corpus = read_corpus(VCTK(), vctk92, only=wanted)
    assert [u.id for u in corpus] == wanted[:2]
    assert warned(vctk92) == [
        "2 utterances of the list that the corpus does not have, left out (the first: p226_404)"
    ]
    with pytest.raises(CorpusError, match="no utterance of the list of 1; .* such as p225_001"):
        read_corpus(VCTK(), vctk92, only=["p225_1"])


def test_a_corpus_one_folder_down(vctk92, vctk80):
    outer = vctk92.parent / "outer"
    outer.mkdir()
    vctk92.rename(outer / "VCTK-Corpus-0.92")
    assert detect(outer) == "vctk"
    assert len(read_corpus(VCTK(), outer)) == 6
    assert set(speaker_facts(VCTK(), outer)) == {"p225", "p226", "s5"}


# ---- phone labels

LAB = "0.00 0.10 sil\n0.10 0.15 aa\n0.15 0.20 t\n"
PHONES = (Phone(0, 0.1, "sil"), Phone(0.1, 0.15, "aa"), Phone(0.15, 0.2, "t"))
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.2
<exists>
1
"IntervalTier"
"phones"
0
0.2
3
0
0.1
""
0.1
0.15
"aa"
0.15
0.2
"t"
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("phones/p225/p225_001.lab", LAB),
        ("phones/p225/p225_001.TextGrid", TEXTGRID),
        ("phones/p225/p225_001.PHN", "0 1600 h#\n1600 2400 aa\n2400 3200 t\n"),
        ("phones/p225/p225_001_mic1.TextGrid", TEXTGRID),
        ("phones/p225_001.lab", LAB),
        ("phones.ctm", "p225_001 1 0 0.1 SIL\np225_001 1 0.1 0.05 aa\np225_001 1 0.15 0.05 t\n"),
        (
            "phones/all.ctm",
            "p225_001 1 0 0.1 SIL\np225_001 1 0.1 0.05 aa\np225_001 1 0.15 0.05 t\n",
        ),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_labels_in_a_folder_of_their_own(vctk92, tmp_path, name, content, given):
    place = tmp_path / "aligned" if given else vctk92
    path = put_text(place / name, content)
    phones = None
    if given:
        phones = path if path.name == "phones.ctm" else place / "phones"
    corpus = {u.id: u for u in read_corpus(VCTK(), vctk92, phones=phones)}
    found = corpus["p225_001"].phones
    assert [p.label for p in found] == ["sil", "aa", "t"]
    expected = [t for p in PHONES for t in (p.start, p.end)]
    assert [t for p in found for t in (p.start, p.end)] == pytest.approx(expected)
    assert corpus["p225_002"].phones is None


def test_labels_that_cannot_be_right(vctk92, warned):
    put_text(vctk92 / "phones/p225/p225_001.lab", "0.0 x aa\n")
    put_text(vctk92 / "phones/p225/p225_002.lab", "0.0 0.15 aa\n0.15 1.0 t\n1.0 2.0 s\n")
    put_text(vctk92 / "phones/p226/p226_001.lab", "0.0 0.15 aa\n0.15 0.22 t\n")
    corpus = {u.id: u for u in read_corpus(VCTK(), vctk92)}
    assert corpus["p225_001"].phones is None
    for id in ("p225_002", "p226_001"):
        assert [p.label for p in corpus[id].phones] == ["aa", "t"]
        assert corpus[id].phones[-1].end == pytest.approx(0.2)
    unread, long = warned(vctk92)
    assert unread.startswith(
        "1 utterance of p225 with phone labels that cannot be read, kept without them "
        "(phones/p225/p225_001.lab:1: "
    )
    assert long == (
        "1 utterance of p225 with phone labels that run past the audio, cut to it "
        "(p225_002: 2.00 s of labels, 0.20 s of audio)"
    )


def test_labels_asked_for_must_be_there(vctk92, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder of label files"):
        read_corpus(VCTK(), vctk92, phones=tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no label files in it; expected SPEAKER"):
        read_corpus(VCTK(), vctk92, phones=tmp_path / "empty")
    put_text(tmp_path / "other/p999/p999_001.lab", LAB)
    with pytest.raises(CorpusError, match="no labels for this corpus; looked for p225/p225_001 or"):
        read_corpus(VCTK(), vctk92, phones=tmp_path / "other")
    with pytest.raises(CorpusError, match="not a folder of label files"):
        read_corpus(VCTK(), vctk92, phones=put_text(tmp_path / "a.txt", ""))
    (vctk92 / "phones").mkdir()  # our own idea to look there: no complaint
    assert len(read_corpus(VCTK(), vctk92)) == 6


def test_trimming_moves_the_labels_along(tmp_path):
    root = tmp_path / "mine"
    path = root / "ann/a.wav"
    path.parent.mkdir(parents=True)
    silence, sound = np.zeros(RATE), 0.5 * np.sin(np.arange(RATE) * 0.2)
    soundfile.write(path, np.concatenate([silence, sound, silence]), RATE)
    put_text(root / "ann/a.lab", "0.0 1.0 pau\n1.0 1.5 aa\n1.5 2.0 s\n2.0 3.0 pau\n")
    (utterance,) = read_corpus(Folder(), root, trim_silence=True)
    assert (utterance.start, utterance.duration) == pytest.approx((0.9, 1.2), abs=0.011)
    assert [p.label for p in utterance.phones] == ["sil", "aa", "s", "sil"]
    assert utterance.phones[1].start == pytest.approx(1.0 - utterance.start)
    waveform, _ = audio.read(utterance.path, None, utterance.start, utterance.duration)
    assert np.abs(waveform[: RATE // 20]).max() == 0
    assert np.abs(waveform[RATE // 5 : RATE]).max() > 0.4


# ---- LibriSpeech


@pytest.fixture
def librispeech(tmp_path):
    root = tmp_path / "LibriSpeech"
    for split, speaker, chapter in (("train-clean-100", 84, 121123), ("dev-clean", 1272, 128104)):
        folder = root / split / str(speaker) / str(chapter)
        lines = ""
        for number in range(2):
            id = f"{speaker}-{chapter}-{number:04d}"
            put_audio(folder / f"{id}.flac")
            lines += f"{id} GO DO YOU HEAR {number}\n"
        put_text(folder / f"{speaker}-{chapter}.trans.txt", lines)
    put_text(
        root / "SPEAKERS.TXT",
        "; comment | x | y | z | w\n"
        "84   | F | train-clean-100  | 25.1 | Christie Nowak\n"
        "1272 | M | dev-clean        |  8.0 | John | Rose\n",
    )
    return root


def test_librispeech(librispeech, warned):
    assert detect(librispeech) == "librispeech"
    assert detect(librispeech.parent) == "librispeech"
    corpus = read_corpus(LibriSpeech(), librispeech)
    assert [(u.id, u.speaker, u.text) for u in corpus] == [
        ("1272-128104-0000", "1272", "GO DO YOU HEAR 0"),
        ("1272-128104-0001", "1272", "GO DO YOU HEAR 1"),
        ("84-121123-0000", "84", "GO DO YOU HEAR 0"),
        ("84-121123-0001", "84", "GO DO YOU HEAR 1"),
    ]
    assert warned(librispeech) == []
    assert speaker_facts(LibriSpeech(), librispeech) == {
        "84": {"gender": "F", "name": "Christie Nowak"},
        "1272": {"gender": "M", "name": "John"},
    }


def test_one_split_of_librispeech(librispeech):
    split = librispeech / "dev-clean"
    assert detect(split) == "librispeech"
    assert len(read_corpus(LibriSpeech(), split)) == 2
    assert "1272" in speaker_facts(LibriSpeech(), split)


@pytest.mark.parametrize(
    "name",
    [
        "train-clean-100/84/121123/84-121123-0000",
        "84/121123/84-121123-0000",
        "84/84-121123-0000",
        "84-121123-0000",
    ],
)
def test_alignments_of_librispeech(librispeech, tmp_path, name):
    put_text(tmp_path / f"aligned/{name}.TextGrid", TEXTGRID)
    corpus = read_corpus(LibriSpeech(), librispeech, phones=tmp_path / "aligned")
    assert [u.id for u in corpus if u.phones] == ["84-121123-0000"]


def test_faults_of_librispeech(librispeech, warned):
    folder = librispeech / "dev-clean/1272/128104"
    with open(folder / "1272-128104.trans.txt", "w") as file:
        file.write("1272-128104-0000 HERE\n1272-128104-0009 GONE\nnonsense\n")
    put_audio(folder / "copy.flac")
    put_audio(librispeech / "dev-clean/1272/7/1272-7-0000.flac")
    corpus = {u.id: u.text for u in read_corpus(LibriSpeech(), librispeech)}
    assert len(corpus) == 5
    assert corpus["1272-128104-0000"] == "HERE"
    assert warned(librispeech) == [
        "1 line of a transcript not 'speaker-chapter-number TEXT', skipped "
        "(dev-clean/1272/128104/1272-128104.trans.txt:3)",
        "1 file not named as LibriSpeech's audio is, skipped (dev-clean/1272/128104/copy.flac)",
        "1 text of 1272 without audio, skipped (1272-128104-0009)",
        "2 utterances of 1272 without text, kept (the first: 1272-128104-0001)",
    ]


# ---- any folder


def test_any_folder(tmp_path, warned):
    root = tmp_path / "mine"
    put_audio(root / "ann/001.wav", rate=8000)
    put_audio(root / "ann/day two/001.mp3", 1)
    put_audio(root / "bob/bob_001.ogg")
    put_audio(root / "bob/UPPER.WAV")
    put_text(root / "ann/001.txt", "\ufeffHello  there.\r\n")
    (root / "bob/bob_001.txt").write_bytes("déjà vu".encode("latin-1"))
    put_text(root / "bob/UPPER.TXT", "0 4800 She had.")
    put_text(root / "bob/UPPER.PHN", "0 1600 h#\n1600 4800 sh\n")
    put_text(root / "README.txt", "about")
    assert detect(root) == "folder"
    corpus = {u.id: u for u in read_corpus(Folder(), root)}
    assert sorted(corpus) == ["ann_001", "ann_day two_001", "bob_001", "bob_UPPER"]
    assert {u.id: u.text for u in corpus.values()} == {
        "ann_001": "Hello there.",
        "ann_day two_001": None,
        "bob_001": "déjà vu",
        "bob_UPPER": "She had.",
    }
    assert corpus["bob_UPPER"].phones == (Phone(0, 0.1, "sil"), Phone(0.1, 0.3, "sh"))
    assert {u.speaker for u in corpus.values()} == {"ann", "bob"}
    assert warned(root) == [
        "1 utterance of ann without text, kept (ann_day two_001)",
        "1 text of bob in no UTF encoding, read as Windows-1252 (bob/bob_001.txt)",
    ]


def test_a_folder_without_any_text_needs_no_warning(tmp_path, warned):
    put_audio(tmp_path / "mine/ann/1.wav")
    assert [u.text for u in read_corpus(Folder(), tmp_path / "mine")] == [None]
    assert warned(tmp_path) == []


def test_a_lab_file_is_labels_or_a_text_by_what_is_in_it(tmp_path):
    root = tmp_path / "mine"
    for name, content in {"a": LAB, "b": "Call Stella.\n", "c": "2001 was a year.\n"}.items():
        put_audio(root / f"ann/{name}.wav", 0.2)
        put_text(root / f"ann/{name}.lab", content)
    corpus = read_corpus(Folder(), root)
    assert [u.text for u in corpus] == [None, "Call Stella.", "2001 was a year."]
    assert [u.phones and len(u.phones) for u in corpus] == [3, None, None]


def test_labels_by_name_alone_only_where_one_utterance_has_it(tmp_path):
    root = tmp_path / "mine"
    for name in ("ann/001.wav", "bob/001.wav", "bob/002.wav", "eve/003.wav"):
        put_audio(root / name)
    put_text(root / "phones/001.lab", LAB)
    put_text(root / "phones/002.lab", LAB)
    put_text(root / "phones/eve/003.TextGrid", TEXTGRID)
    put_audio(root / "eve/004.wav")
    for other in ("x", "y"):
        put_text(root / f"phones/{other}/004.lab", LAB)
    corpus = {u.id: u.phones is not None for u in read_corpus(Folder(), root)}
    assert corpus == {
        "ann_001": False,
        "bob_001": False,
        "bob_002": True,
        "eve_003": True,
        "eve_004": False,
    }


def test_one_speaker_may_be_a_root_given_too_high(tmp_path, warned):
    put_audio(tmp_path / "outer/mine/ann/1.wav")
    put_audio(tmp_path / "outer/mine/bob/1.wav")
    read_corpus(Folder(), tmp_path / "outer")
    assert warned(tmp_path) == [
        "all audio is of one speaker, 'mine', with folders inside; if those are the speakers, "
        "give outer/mine as the root"
    ]


def test_faults_of_a_folder(tmp_path, warned):
    root = tmp_path / "mine"
    put_audio(root / "ann/1.wav")
    put_audio(root / "ann/1.flac")
    put_audio(root / "stray.wav")
    assert [u.path for u in read_corpus(Folder(), root)] == [str(root / "ann/1.flac")]
    assert warned(root) == [
        "1 file in no speaker's folder, skipped (stray.wav)",
        "1 file of ann with the name of another, skipped (ann/1.wav beside ann/1.flac)",
    ]


# ---- a reader outside the package


class Flat(CorpusReader):
    """Files SPEAKER-NUMBER.wav in one folder."""

    kind = "flat"
    layout = "SPEAKER-NUMBER.wav"

    def recordings(self, root, faults):
        found = []
        for path in sorted(root.glob("*.wav")):
            speaker, dash, _ = path.stem.partition("-")
            if dash:
                found.append(Recording(path.stem, speaker, path, text=f"by {speaker}"))
            else:
                faults.add(Fault("file", "without speaker, skipped", str(path)))
        return found


def test_a_reader_from_another_file(tmp_path, warned):
    for name in ("ann-1", "ann-2", "bob-1", "noise"):
        put_audio(tmp_path / f"mine/{name}.wav")
    corpus = read_corpus(Flat(), tmp_path / "mine", speakers=["ann"])
    assert [(u.id, u.speaker, u.text) for u in corpus] == [
        ("ann-1", "ann", "by ann"),
        ("ann-2", "ann", "by ann"),
    ]
    assert warned(tmp_path / "mine") == ["1 file without speaker, skipped (noise.wav)"]
    with pytest.raises(CorpusError, match="no usable audio; expected SPEAKER-NUMBER.wav"):
        (tmp_path / "empty").mkdir()
        read_corpus(Flat(), tmp_path / "empty")


# ---- no corpus at all


def test_what_is_no_corpus(tmp_path, vctk80):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        detect(tmp_path / "gone")
    with pytest.raises(CorpusError, match="a file, where"):
        read_corpus(Folder(), put_text(tmp_path / "file", ""))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CorpusError, match="no corpus in it; expected vctk: wav48"):
        detect(empty)
    with pytest.raises(CorpusError, match="not librispeech; expected train-clean-100/84"):
        read_corpus(LibriSpeech(), vctk80)


def test_audio_without_speakers(tmp_path):
    put_audio(tmp_path / "flat/a.wav")
    assert detect(tmp_path / "flat") == "folder"
    with pytest.raises(CorpusError, match="without speakers' folders; expected SPEAKER/UTTERANCE"):
        read_corpus(Folder(), tmp_path / "flat")


def test_nothing_usable(tmp_path, warned):
    put_text(tmp_path / "mine/ann/a.wav", "no audio")
    with pytest.raises(CorpusError, match="no usable audio"):
        read_corpus(Folder(), tmp_path / "mine")
    assert warned(tmp_path / "mine") == [
        "1 file of ann not usable as audio, skipped (ann/a.wav: not audio that can be read "
        "(WAV, FLAC, OGG or MP3), or a damaged file)"
    ]


# ---- LibriTTS, TIMIT, CMU ARCTIC, ESD


def test_libritts_on_every_level(tmp_path, warned):
    root = tmp_path / "LibriTTS"
    for split, speaker in (("dev-clean", "84"), ("dev-clean", "174"), ("test-clean", "61")):
        stem = root / split / speaker / "1241" / f"{speaker}_1241_000003_000000"
        put_audio(stem.with_suffix(".wav"), 0.3 + int(speaker) / 1000)
        put_text(stem.with_name(stem.name + ".normalized.txt"), f"By {speaker}.")
        put_text(stem.with_name(stem.name + ".original.txt"), f"by {speaker}")
    put_text(root / "speakers.tsv", "READER\tGENDER\tSUBSET\tNAME\n84\tF\tdev-clean\tChristie\n")
    for place in (root, root / "dev-clean", root / "dev-clean/84", root.parent):
        assert detect(place) == "libritts"
    corpus = read_corpus(LibriTTS(), root)
    assert {u.speaker: u.text for u in corpus} == {"84": "By 84.", "174": "By 174.", "61": "By 61."}
    assert speaker_facts(LibriTTS(), root)["84"] == {"gender": "F", "name": "Christie"}
    assert warned(root) == []


@pytest.mark.parametrize("upper", [True, False])
def test_timit_on_every_level(tmp_path, warned, upper):
    def cased(path):
        return path.upper() if upper else path.lower()

    root = tmp_path / "data"
    for part, speaker in (("TRAIN", "FCJF0"), ("TEST", "MABW0")):
        for name in ("SA1", "SX37"):
            stem = cased(f"{part}/DR1/{speaker}/{name}")
            put_audio(root / (stem + cased(".WAV")), 0.3)
            put_text(root / (stem + cased(".TXT")), f"0 4800 The {name}.\r\n")
            put_text(root / (stem + cased(".PHN")), "0 1600 h#\n1600 4800 sh\n")
            put_audio(root / (stem + cased(".WAV") + ".wav"), 0.3)
    for place in (root, root / cased("TRAIN"), root / cased("TRAIN/DR1/FCJF0")):
        assert detect(place) == "timit"
    corpus = {u.id: u for u in read_corpus(TIMIT(), root)}
    assert sorted(corpus) == ["FCJF0_SA1", "FCJF0_SX37", "MABW0_SA1", "MABW0_SX37"]
    assert corpus["FCJF0_SA1"].text == "The SA1."
    assert [p.label for p in corpus["FCJF0_SA1"].phones] == ["sil", "sh"]
    assert corpus["FCJF0_SA1"].path.endswith(".wav")
    assert TIMIT().sentence(corpus["FCJF0_SA1"]) == TIMIT().sentence(corpus["MABW0_SA1"]) == "SA1"
    (line,) = warned(root)
    assert line.startswith("4 files of FCJF0, MABW0 a copy of another, skipped")


def test_arctic_reads_prompts_and_labels_and_leaves_the_copies(tmp_path, warned):
    root = tmp_path / "arctic"
    for speaker in ("slt", "bdl"):
        home = root / f"cmu_us_{speaker}_arctic"
        for folder in ("wav", "orig"):
            put_audio(home / folder / "arctic_a0001.wav", 0.3)
        put_text(home / "etc/txt.done.data", '( arctic_a0001 "He said \\"no\\"." )\n')
        put_text(home / "lab/arctic_a0001.lab", "#\n0.1 125 pau\n0.3 125 ah\n")
    assert detect(root) == detect(root / "cmu_us_slt_arctic") == "arctic"
    corpus = {u.id: u for u in read_corpus(Arctic(), root)}
    assert sorted(corpus) == ["bdl_arctic_a0001", "slt_arctic_a0001"]
    first = corpus["slt_arctic_a0001"]
    assert (first.speaker, first.text) == ("slt", 'He said "no".')
    assert "/wav/" in first.path
    assert [p.label for p in first.phones] == ["sil", "ah"]
    assert len({Arctic().sentence(u) for u in corpus.values()}) == 1


def test_l2_arctic(tmp_path):
    home = tmp_path / "L2" / "ABA"
    put_audio(home / "wav/arctic_b0001.wav", 0.2)
    put_text(home / "transcript/arctic_b0001.txt", "Hello.")
    put_text(home / "textgrid/arctic_b0001.TextGrid", TEXTGRID)
    (utterance,) = read_corpus(Arctic(), tmp_path / "L2")
    assert (utterance.speaker, utterance.text) == ("ABA", "Hello.")
    assert [p.label for p in utterance.phones] == ["sil", "aa", "t"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_esd_numbers_its_sentences(tmp_path, encoding):
    root = tmp_path / "ESD"
    for speaker in ("0009", "0011", "0012"):
        for emotion, number in (("Neutral", 1), ("Angry/test", 351)):
            put_audio(root / speaker / emotion / f"{speaker}_{number:06d}.wav", 0.3)
    text = "0011_000001\tThe nine.\tNeutral\r\n0011_000351\tThe nine.\tAngry\r\n"
    (root / "0011/0011.txt").write_bytes(text.encode(encoding))
    assert detect(root) == "esd"
    corpus = read_corpus(ESD(), root)
    assert {u.text for u in corpus if u.speaker == "0011"} == {"The nine."}
    numbers = {u.speaker: {ESD().sentence(v) for v in corpus if v.speaker == u.speaker}
               for u in corpus}  # fmt: skip
    assert numbers == {"0009": {"Mandarin 1"}, "0011": {"English 1"}, "0012": {"English 1"}}


# ---- roots on the wrong level


@pytest.mark.parametrize("place", ["", "WAVE", "WAVE/SPEAKER0012"])
def test_speechocean762_on_every_level(tmp_path, warned, place):
    root = tmp_path / "speechocean762"
    for number in ("000120015", "000120016"):
        put_audio(root / f"WAVE/SPEAKER0012/{number}.WAV")
    put_text(root / "train/text", "000120015\tHE IS HERE\n")
    put_text(root / "test/text", "000120016 WE ARE\n")
    assert detect(root / place) == "speechocean762"
    corpus = read_corpus(SpeechOcean762(), root / place)
    assert [(u.id, u.speaker, u.text) for u in corpus] == [
        ("000120015", "so0012", "HE IS HERE"),
        ("000120016", "so0012", "WE ARE"),
    ]
    assert warned(root) == []


def test_two_of_one_kind_are_prepared_one_by_one(vctk92, vctk80):
    with pytest.raises(CorpusError, match="2 corpora in it, of the kind vctk: VCTK, VCTK-Corpus"):
        detect(vctk92.parent)


def test_a_corpus_beside_another_is_named(vctk92, warned):
    put_audio(vctk92.parent / "other/ann/1.wav")
    read_corpus(VCTK(), vctk92.parent)
    (line,) = warned(vctk92.parent)
    assert line == "1 folder beside VCTK with audio, not read; prepare it by itself (other)"


@pytest.mark.parametrize("name", ["Wav48", "wav16", "WAV48_silence_trimmed"])
def test_vctk_in_other_letters_and_rates_and_by_its_audio(vctk80, name, warned):
    (vctk80 / "wav48").rename(vctk80 / name)
    (vctk80 / "txt").rename(vctk80 / "TXT")
    for path in (vctk80 / "TXT").rglob("*.txt"):
        path.rename(path.with_suffix(".TXT"))
    for place in (vctk80, vctk80 / name):
        assert detect(place) == "vctk"
        corpus = read_corpus(VCTK(), place)
        assert {u.text for u in corpus} == {"Sentence 1.", "Sentence 2."}
        assert set(speaker_facts(VCTK(), place)) == {"p225", "p226"}
    assert warned(vctk80) == []


@pytest.mark.parametrize("name", ["wav48", "wav16", "flac"])
def test_a_root_of_vctk_may_be_named_as_the_folder_of_its_audio(vctk80, name, warned):
    root = vctk80.rename(vctk80.with_name(name))
    for place in (root, root / "wav48", root.parent):
        corpus = read_corpus(VCTK(), place)
        assert {u.speaker for u in corpus} == {"p225", "p226"}
        assert all(u.text for u in corpus)
    assert warned(root.parent) == []


@pytest.mark.parametrize("paths", [
    ("train/a/1.wav", "test/b/2.wav"), ("dev-clean/a/1.wav", "other/b/2.wav"),
    ("one/a/1.wav", "one/b/1.wav", "two/c/1.wav"), ("clips/a.wav", "ann/b.wav"),
    ("orig/a.wav", "wav/a.wav"), ("mic1/a.wav", "mic2/a.wav"), ("female/a/1.wav", "male/b/1.wav"),
])  # fmt: skip
def test_folders_that_may_be_no_speakers_are_doubted(tmp_path, paths, warned):
    for path in paths:
        put_audio(tmp_path / "mine" / path)
    read_corpus(Folder(), tmp_path / "mine")
    assert "are taken for the speakers: " in warned(tmp_path)[0]


def test_sessions_of_speakers_are_not_doubted(tmp_path, warned):
    for path in ("ann/one/1.wav", "ann/two/1.wav", "bob/one/1.wav", "bob/two/2.wav"):
        put_audio(tmp_path / "mine" / path)
    read_corpus(Folder(), tmp_path / "mine")
    assert warned(tmp_path) == []


# ---- what cannot be read, entered or named


@pytest.fixture
def mine(tmp_path):
    root = tmp_path / "mine"
    for name in ("one", "two", "three"):
        put_audio(root / f"ann/{name}.wav", 0.3)
        put_text(root / f"ann/{name}.txt", f"This is {name}.")
    return root


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def itself(path):
    path.unlink()
    path.symlink_to(path)


def nonsense(path):
    path.write_bytes("привет".encode("koi8-r"))


@pytest.mark.parametrize("spoil", [dangling, folder, pipe, itself, nonsense])
def test_a_text_that_cannot_be_read(mine, warned, spoil):
    spoil(mine / "ann/two.txt")
    assert {u.id: u.text for u in read_corpus(Folder(), mine)} == {
        "ann_one": "This is one.",
        "ann_two": None,
        "ann_three": "This is three.",
    }
    (line,) = warned(mine)
    assert "with a text that cannot be read, kept without it (ann/two.txt: " in line


@pytest.mark.parametrize("suffix", ["lab", "TextGrid", "phn"])
@pytest.mark.parametrize("spoil", [dangling, pipe, itself])
def test_labels_that_cannot_be_read(mine, warned, suffix, spoil):
    spoil(put_text(mine / f"ann/two.{suffix}", ""))
    (mine / "ann/two.txt").unlink()
    assert len(read_corpus(Folder(), mine)) == 3
    assert any("cannot be read, kept without" in line for line in warned(mine))


@pytest.mark.parametrize("spoil", [dangling, pipe, itself])
def test_audio_that_cannot_be_read(mine, warned, spoil):
    spoil(mine / "ann/two.wav")
    assert len(read_corpus(Folder(), mine)) == 2
    (line,) = warned(mine)
    assert line.startswith("1 file of ann not usable as audio, skipped (ann/two.wav")


@pytest.mark.parametrize("name", ["new\nline", "tab\there", "blank ", "x" * 240, b"caf\xe9"])
def test_names_that_are_refused_later_are_refused_now(mine, warned, name):
    copy = os.fsencode(mine / "ann") + b"/" + os.fsencode(name) + b".wav"
    os.rename(mine / "ann/two.wav", copy)
    assert {u.id for u in read_corpus(Folder(), mine)} == {"ann_one", "ann_three"}
    assert len(warned(mine)) == 1


def test_a_folder_with_a_name_in_another_encoding(mine, warned):
    os.rename(mine / "ann", os.fsencode(mine) + b"/caf\xe9")
    put_audio(mine / "bob/1.wav")
    assert [u.speaker for u in read_corpus(Folder(), mine)] == ["bob"]
    assert warned(mine)[0] == (
        "1 path that cannot be used, skipped (caf\\xe9: a name that is not UTF-8; rename it)"
    )


@pytest.mark.parametrize("targets", [("..", "../../mine"), (".", "self"), ("../bob",)])
def test_links_that_go_round_end(mine, targets):
    put_audio(mine / "bob/1.wav")
    put_text(mine / "phones/ann/one.lab", LAB)
    for place in (mine / "ann", mine / "bob", mine / "phones/ann"):
        for number, target in enumerate(targets):
            (place / f"up{number}").symlink_to(target)
    detect(mine)
    corpus = {u.id: u for u in read_corpus(Folder(), mine)}
    assert {"ann_one", "ann_two", "ann_three", "bob_1"} <= corpus.keys()
    assert corpus["ann_one"].phones is not None


def test_folders_that_all_link_to_each_other_end(tmp_path):
    names = [f"s{n}" for n in range(12)]
    for name in names:
        put_audio(tmp_path / "mine" / name / "1.wav")
        for other in names:
            (tmp_path / "mine" / name / f"to-{other}").symlink_to(f"../{other}")
    paths = list(audio.walk(tmp_path / "mine"))
    assert len(names) <= len(paths) <= 2 * len(names)


def test_labels_in_another_unit_are_doubted(tmp_path, warned):
    root = tmp_path / "mine"
    for name in ("ms", "samples", "short", "right"):
        put_audio(root / f"ann/{name}.wav", 2.0)
    put_text(root / "ann/ms.lab", "0 900 ah\n900 1980 t\n")
    put_text(root / "ann/samples.phn", "0 48000 h#\n48000 96000 t\n")  # of 48 kHz
    put_text(root / "ann/short.lab", "0.0 0.3 ah\n0.3 0.71 t\n")
    put_text(root / "ann/right.lab", "0.0 1.0 ah\n1.0 1.9 t\n")
    corpus = {u.id: u.phones is not None for u in read_corpus(Folder(), root)}
    assert corpus == {
        "ann_ms": False, "ann_samples": False, "ann_short": True, "ann_right": True,
    }  # fmt: skip
    lines = " ".join(warned(root))
    assert "2 utterances of ann with phone labels in another unit of time" in lines
    assert "milliseconds would fit" in lines
    assert "1 utterance of ann with phone labels that end before half of the audio" in lines


def test_an_absurd_number_of_phones_is_said(tmp_path, warned):
    root = tmp_path / "mine"
    for n in range(4):
        put_audio(root / f"ann/{n}.wav", 2.0)
        rows = [f"{i / 25:.2f} {(i + 1) / 25:.2f} w{n}x{i}" for i in range(50)]
        put_text(root / f"ann/{n}.lab", "\n".join(rows))
    read_corpus(Folder(), root)
    assert any(line.startswith("200 classes of phones") for line in warned(root))


def test_librispeech_on_every_level(librispeech):
    place = librispeech
    while True:
        assert detect(place) == "librispeech", place
        assert {u.speaker for u in read_corpus(LibriSpeech(), place)} <= {
            "1272",
            "84",
            "2035",
            "61",
        }
        inside = [path for path in sorted(place.iterdir()) if path.is_dir()]
        if not inside:
            break
        place = inside[0]


def test_librispeech_without_transcripts(tmp_path):
    for split, speaker in (("dev-clean", 84), ("dev-clean", 174), ("test-clean", 61)):
        put_audio(tmp_path / f"mine/{split}/{speaker}/1241/{speaker}-1241-0000.flac")
    assert detect(tmp_path / "mine") == "librispeech"
    assert {u.speaker for u in read_corpus(LibriSpeech(), tmp_path / "mine")} == {
        "84", "174", "61"
    }  # fmt: skip
    put_audio(tmp_path / "dates/ann/2020-01-02.wav")
    assert detect(tmp_path / "dates") == "folder"


def test_a_corpus_two_folders_down(vctk80):
    outer = vctk80.parent / "archive" / "VCTK-Corpus"
    outer.mkdir(parents=True)
    vctk80.rename(outer / "VCTK-Corpus")
    assert detect(outer.parent) == "vctk"
    assert len(read_corpus(VCTK(), outer.parent)) == 4

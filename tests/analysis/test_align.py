"""Forced alignment, on two utterances of the stand-in corpus, whose phone times are exact."""

import difflib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pocketsphinx")

from speechvq.analysis.align import SAMPLE_RATE, Aligner, AlignmentError  # noqa: E402
from speechvq.cli import align as command  # noqa: E402
from speechvq.data.labels import SILENCE, read_labels  # noqa: E402
from speechvq.data.manifest import Utterance, read_manifest, write_manifest  # noqa: E402

STANDIN = Path(__file__).parents[2] / "recipes/vctk/standin"


@pytest.fixture(scope="module")
def aligner():
    return Aligner()


@pytest.fixture(scope="module")
def known(aligner):
    """Two utterances of a woman and a man, (waveform, text, true phones) each, all words known."""
    found = []
    for speaker in ("p225", "p226"):
        for text_file in sorted((STANDIN / "txt" / speaker).glob("*.txt")):
            text = text_file.read_text(encoding="utf-8").strip()
            name = text_file.stem
            audio = STANDIN / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac"
            if not aligner.unknown(text):
                waveform, sample_rate = soundfile.read(audio, dtype="float32")
                assert sample_rate == SAMPLE_RATE
                labels = read_labels(STANDIN / "phones" / speaker / f"{name}.lab").phones
                found.append((str(audio), waveform, text, labels))
                break
    if len(found) < 2:
        pytest.skip("no stand-in corpus")
    return found


def same_symbols(phones):
    # flite writes schwa as ax, CMUdict as ah.
    return ["ah" if phone.label == "ax" else phone.label for phone in phones]


def test_boundaries_are_near_the_true_ones(aligner, known):
    errors = []
    for _, waveform, text, labels in known:
        phones = aligner.align(waveform, text)
        assert phones[0].start == 0.0
        assert phones[-1].end == len(waveform) / SAMPLE_RATE
        for one, following in zip(phones, phones[1:], strict=False):
            assert one.start < one.end == pytest.approx(following.start)
        matcher = difflib.SequenceMatcher(None, same_symbols(phones), same_symbols(labels), False)
        pairs = [
            (phones[block.a + k].start, labels[block.b + k].start)
            for block in matcher.get_matching_blocks()
            for k in range(block.size)
        ]
        assert len(pairs) > 0.8 * len(labels)
        errors += [abs(ours - true) for ours, true in pairs if ours > 0]
    assert np.median(errors) < 0.015


def test_digital_silence_around_speech_is_silence(aligner, known):
    _, waveform, text, _ = known[0]
    quiet = np.zeros(SAMPLE_RATE // 2, dtype=np.float32)
    phones = aligner.align(np.concatenate([quiet, waveform, quiet]), text)
    assert phones[0].label == phones[-1].label == SILENCE
    assert phones[0].end > 0.45


def test_words(aligner):
    text = "\u201cThe stable-yard\u2019s well-known,\u201d she said - \u2018dogs\u2019, 42 ZZYX's!"
    assert aligner.words(text) == [
        "the", "stable", "yard's", "well-known", "she", "said", "dogs", "42", "zzyx's",
    ]  # fmt: skip
    assert aligner.unknown(text) == ["42", "zzyx's"]


def test_marks_are_no_words(aligner):
    assert aligner.words("<noise> yes [laughter-it's] {breath} (unk)") == ["yes", "it's"]
    assert aligner.unknown("[laughter] ++") == []


@pytest.mark.parametrize(
    ("waveform", "text", "complaint"),
    [
        (np.zeros(16000), "hello world", "does not fit"),
        (np.zeros(0), "hello world", "does not fit"),
        (np.ones(1600), "far too many words for a tenth of a second", "does not fit"),
        (np.zeros(16000), "zzyx", "not in the dictionary: zzyx"),
        (np.zeros(16000), "...", "no words"),
    ],
)
def test_what_cannot_be_aligned(aligner, waveform, text, complaint):
    with pytest.raises(AlignmentError, match=complaint):
        aligner.align(waveform, text)


@pytest.fixture()
def manifest(tmp_path, known):
    (one, waveform, text, labels), (other, second, _, _) = known
    length, second_length = len(waveform) / SAMPLE_RATE, len(second) / SAMPLE_RATE
    path = tmp_path / "test.jsonl"
    write_manifest(
        path,
        [
            Utterance("known", "p225", one, length, text=text),
            Utterance("labelled", "p225", one, length, text=text, phones=labels),
            Utterance("mute", "p226", other, second_length),
            Utterance("strange", "p226", other, second_length, text="Zzyx qwrtp."),
            Utterance("wrong", "p226", other, 0.2, text=text),
        ],
        [Path(one).parent, Path(other).parent],
    )
    return path


def test_command_rewrites_the_manifest(manifest, capsys):
    before = read_manifest(manifest)
    assert command.main([str(manifest), "--json"]) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary == {
        "manifest": str(manifest), "utterances": 5, "aligned": 1, "had_phones": 1, "no_text": 1,
        "unknown_words": 1, "failed": 1, "unread": 0,
    }  # fmt: skip
    assert (
        "1 utterances skipped for words that are not in the dictionary: qwrtp, zzyx" in output.err
    )
    after = read_manifest(manifest)
    assert {phone.label for phone in after[0].phones} > {SILENCE}
    assert [u.phones for u in after[1:]] == [u.phones for u in before[1:]]
    assert [(u.id, u.text, u.duration) for u in after] == [
        (u.id, u.text, u.duration) for u in before
    ]


def test_a_recording_that_is_gone_is_not_said_to_differ_from_its_text(manifest, capsys):
    first, *others = read_manifest(manifest)
    gone = Path(first.path).with_name("gone.wav")
    folders = sorted({Path(u.path).parent for u in others})
    write_manifest(manifest, [replace(first, path=str(gone)), *others], folders)
    assert command.main([str(manifest), "--json"]) == 2
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert (summary["aligned"], summary["failed"], summary["unread"]) == (0, 1, 1)
    assert "gone.wav: no such file; left out" in output.err
    (line,) = [line for line in output.err.splitlines() if "do not match" in line]
    assert first.id not in line


def test_command_writes_elsewhere_and_leaves_the_manifest_alone(manifest, tmp_path, capsys):
    before = manifest.read_bytes()
    out = tmp_path / "elsewhere" / "aligned.jsonl"
    assert command.main([str(manifest), "--out", str(out)]) == 0
    assert manifest.read_bytes() == before
    assert read_manifest(out)[0].phones is not None
    assert "1 utterances aligned, 1 had phones already" in capsys.readouterr().out


def test_command_with_no_manifest(tmp_path, capsys):
    assert command.main([str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""The same recording, found by name, samples and level."""

import logging
import unicodedata

import numpy as np
import pytest
import soundfile

from speechvq.data.manifest import Utterance, read_manifest
from speechvq.data.prepare import prepare
from speechvq.data.same_speech import find_copies, plain_name
from speechvq.data.split import group_sentences, normalize

RATE = 16000


def voice(seed, seconds=1.0, rate=RATE):
    """Noise whose level changes as that of speech does, the same at every rate."""
    generator = np.random.default_rng(seed)
    knots = generator.uniform(-50, 0, round(seconds * 12))
    times = np.arange(round(seconds * rate)) / rate
    level = np.interp(times, np.linspace(0, seconds, len(knots)), knots)
    partials = [np.sin(2 * np.pi * f * times + f) for f in generator.uniform(100, 3000, 8)]
    return 0.02 * 10 ** (level / 20) * np.sum(partials, axis=0)


def put(path, waveform, rate=RATE, **kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate, **kind)
    return path


def utterance(path, speaker=None, id=None):
    return Utterance(id or path.name, speaker or path.parent.name, str(path),
                     soundfile.info(path).duration)  # fmt: skip


def test_copies_in_other_forms(tmp_path):
    first = voice(1)
    others = [
        put(tmp_path / "a/same.flac", first),
        put(tmp_path / "a/softer.wav", 0.3 * first),
        put(tmp_path / "b/higher.wav", voice(1, rate=48000), 48000),
        put(tmp_path / "b/noisy.wav", first + 1e-4 * np.random.default_rng(9).normal(size=RATE)),
        put(tmp_path / "a/loud.wav", first, subtype="FLOAT"),
    ]
    all_of_them = [put(tmp_path / "a/one.wav", first), *others]
    different = [put(tmp_path / f"a/x{seed}.wav", voice(seed)) for seed in range(2, 30)]
    copies = find_copies([utterance(path) for path in all_of_them + different])
    assert [set(group) for group in copies.groups] == [{path.name for path in all_of_them}]
    assert copies.unread == []


def test_another_microphone_with_another_name(tmp_path):
    first = voice(1, 3.0)
    noise = 3e-4 * np.random.default_rng(3).normal(size=len(first))
    other = np.convolve(first, [0.5, 0.3, -0.1, 0.05, 0.02])[: len(first)] + noise
    paths = [put(tmp_path / "a/near.wav", first), put(tmp_path / "a/far.wav", other)]
    paths += [put(tmp_path / f"a/x{seed}.wav", voice(seed, 3.0)) for seed in range(2, 12)]
    (group,) = find_copies([utterance(path) for path in paths]).groups
    assert set(group) == {"near.wav", "far.wav"}


def test_even_sounds_are_copies_only_with_the_same_samples(tmp_path):
    tone = np.rint(9000 * np.sin(np.arange(RATE) * 0.2)).astype(np.int16)
    paths = [put(tmp_path / "a/1.wav", tone), put(tmp_path / "b/2.flac", tone)]
    paths.append(put(tmp_path / "a/3.wav", 0.3 * np.sin(np.arange(RATE) * 0.3)))
    (group,) = find_copies([utterance(path) for path in paths]).groups
    assert group == ["1.wav", "2.flac"]


@pytest.mark.parametrize(("name", "plain"), [
    ("p225_001_mic1.flac", "p225_001"), ("SX0.WAV.wav", "sx0"), ("a (1).wav", "a"),
    ("a-copy.wav", "a"), ("a_orig.wav", "a"), ("wav.wav", "wav"), ("a.b.wav", "a.b"),
])  # fmt: skip
def test_plain_names(name, plain):
    assert plain_name(f"x/{name}") == plain


def test_names_alone_where_the_lengths_are_close(tmp_path):
    pairs = [put(tmp_path / f"ann/s{n}/take.wav", voice(n, 1 + n)) for n in range(2)]
    near = [put(tmp_path / f"bob/1_mic{n}.wav", voice(5 + n, 1.2 + 0.01 * n)) for n in (1, 2)]
    copies = find_copies([utterance(p, p.parts[-2], p.stem) for p in pairs + near])
    assert copies.groups == [["1_mic1", "1_mic2"]]


def test_what_cannot_be_read_is_told(tmp_path):
    paths = [put(tmp_path / f"a/{n}.wav", voice(n)) for n in (1, 2)]
    listed = [utterance(path) for path in paths]
    paths[1].unlink()
    assert find_copies(listed).unread == ["2.wav"]


SPELLINGS = [
    ("Le café numéro", unicodedata.normalize("NFD", "Le café numéro")),
    ("I don't", "I don\u2019t"), ("I don't", "i DON\u02bcT!"), ("I don't", "I don`t."),
    ("ﬁne", "fine"), ("Straße", "STRASSE"), ("so\u00adft", "soft"), ("A\u00a0b", "a b"),
    ("ＡＢＣ", "abc"), ("Well \u2013 yes", "well, yes"), ("İstanbul", "i\u0307stanbul"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_one_sentence_in_other_letters(one, other):
    assert normalize(one) == normalize(other)


def test_other_sentences_stay_apart():
    assert normalize("कल") != normalize("काल")  # vowel signs are no letters to isalnum
    assert normalize("résumé") != normalize("resume")


def test_groups_are_joined_by_any_reason():
    listed = [Utterance(id, "a", "", 1.0, text=text) for id, text in
              (("1", "x"), ("2", "x"), ("3", "y"), ("4", None), ("5", "z"))]  # fmt: skip
    groups = group_sentences(listed, [["2", "4"], ["4", "3"], ["7", "8"], []])
    assert sorted(sorted(u.id for u in group) for group in groups.values()) == [
        ["1", "2", "3", "4"],
        ["5"],
    ]


def sides(out, key):
    found = {}
    for part in ("train", "valid", "test"):
        for u in read_manifest(out / f"{part}.jsonl"):
            found.setdefault(key(u), set()).add(part)
    return found


def test_doubled_folders_and_parallel_names_stay_on_one_side(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    for speaker in ("ann", "bob"):
        for n in range(12):
            waveform = voice(20 * (speaker == "bob") + n, 0.5 + n / 50)
            put(tmp_path / f"mine/{speaker}/wav/s{n}.wav", waveform)
            put(tmp_path / f"mine/{speaker}/orig/s{n}.wav", waveform)
    prepare(tmp_path / "mine", out=tmp_path / "out", valid=0.1, test=0.2)
    found = sides(tmp_path / "out", lambda u: u.path.rpartition("/")[2])
    assert {len(parts) for parts in found.values()} == {1}
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "recordings that are there more than once: 24" in said
    assert "no text is known of 48 of 48 utterances" in said

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from speechvq import audio
from speechvq.data.batches import speaker_weights
from speechvq.data.frame_labels import Labels
from speechvq.data.manifest import Columns, Utterance, read_manifest
from speechvq.data.pieces import pieces
from speechvq.data.segments import Batch, SegmentBatches, Waveforms

RATE = 1000
SETTINGS = {
    "seed": 3,
    "stage": "mel",
    "batch_size": 6,
    "segment_length": 50,
    "hop_length": 16,
    "steps": 100,
}


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """Ramps that tell where each sample comes from: utterance i at sample t holds 500 i + t."""
    folder = tmp_path_factory.mktemp("ramps")
    result = []
    for i, length in enumerate((400, 100, 30)):
        path = folder / f"{i}.wav"
        audio.write(path, (1000 * i + 1 + np.arange(length)) / 32768, RATE)
        result.append(Utterance(str(i), f"s{i % 2}", str(path), length / RATE))
    return result


def batches(utterances, cache_bytes=1 << 20, **changes) -> SegmentBatches:
    waveforms = Waveforms(utterances, RATE, cache_bytes=cache_bytes)
    return SegmentBatches(waveforms, ["s0", "s1"], **{**SETTINGS, **changes})


def test_shapes_and_types(utterances):
    waveform, speaker, labels, inputs, codes, speed = batches(utterances)[0]
    assert waveform.shape == (6, 64)  # 50 samples are 4 codes of 16
    assert waveform.dtype == torch.float32
    assert speaker.shape == (6,)
    assert speaker.dtype == torch.int64
    assert labels is None and inputs is None and codes is None and speed is None


def test_crops_are_pieces_of_utterances_and_short_ones_are_padded(utterances):
    lengths = (400, 100, 30)
    seen = set()
    for step in range(30):
        for row, speaker in zip(*batches(utterances)[step][:2], strict=True):
            values = (row * 32768).round().int().numpy()
            i, start = divmod(int(values[0]) - 1, 1000)
            length = min(64, lengths[i] - start)
            assert values[:length].tolist() == list(range(values[0], values[0] + length))
            assert not values[length:].any()
            assert length == min(64, lengths[i])  # whole segments wherever there is enough
            assert speaker == i % 2
            seen.add((i, start))
    assert {i for i, _ in seen} == {0, 1, 2}
    assert len({start % 16 for i, start in seen if i == 0}) == 16  # not at whole codes only


def test_utterances_are_drawn_in_proportion_to_their_duration(utterances):
    rows = torch.cat([batches(utterances)[step][0][:, 0] for step in range(100)])
    drawn = np.bincount(((rows * 32768 - 1) // 1000).int().numpy()) / len(rows)
    # 600 draws: standard errors below 0.02
    assert drawn == pytest.approx(np.array([400, 100, 30]) / 530, abs=0.06)


def test_a_batch_is_a_function_of_seed_stage_and_step(utterances):
    here, again = batches(utterances), batches(utterances)
    here[7]
    assert torch.equal(here[3][0], again[3][0])
    others = [
        here[4],
        batches(utterances, seed=4)[3],
        batches(utterances, stage="decoder")[3],
    ]
    assert not any(torch.equal(here[3].waveform, other.waveform) for other in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_starts_later_gives_the_same(utterances, workers):
    data = batches(utterances, steps=8)
    loader = DataLoader(data, batch_size=None, sampler=range(3, 8), num_workers=workers)
    for step, batch in enumerate(loader, start=3):
        assert isinstance(batch, Batch)
        assert torch.equal(batch.waveform, data[step].waveform)
        assert torch.equal(batch.speaker, data[step].speaker)
        assert batch.labels is None
    assert step == 7


def test_processes_share_the_batch_of_one(utterances):
    whole = batches(utterances)[5]
    shards = [batches(utterances, rank=rank, world_size=3)[5] for rank in range(3)]
    for part, expected in zip(zip(*(s[:2] for s in shards), strict=True), whole[:2], strict=True):
        assert torch.equal(torch.cat(part), expected)


def test_cached_and_read_each_time_are_the_same(utterances):
    cached, read = batches(utterances), batches(utterances, cache_bytes=0)
    assert cached.waveforms.cached
    assert not read.waveforms.cached
    for step in range(10):
        assert torch.equal(cached[step][0], read[step][0])


def test_only_the_crop_is_decoded(utterances, monkeypatch):
    data = batches(utterances, cache_bytes=0)
    decoded = []

    def read(*arguments):
        waveform, rate = audio_read(*arguments)
        decoded.append(len(waveform))
        return waveform, rate

    audio_read = audio.read
    monkeypatch.setattr(audio, "read", read)
    data[0]
    assert len(decoded) == 6
    assert max(decoded) <= 64 + 3 * 20  # the segment and margins


def test_resampled_crops_are_those_of_the_resampled_utterance(tmp_path):
    rate, file_rate = 8000, 12000
    t = np.arange(2 * file_rate) / file_rate
    audio.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * t * (1 + t / 4)), file_rate)
    utterance = Utterance("a", "s0", str(tmp_path / "a.wav"), duration=1.5, start=0.25)
    cached = Waveforms([utterance], rate)
    read = Waveforms([utterance], rate, cache_bytes=0)
    for start in (0, 1, 4321, 12000 - 500):
        assert read.crop(0, start, 500) == pytest.approx(cached.crop(0, start, 500), abs=2e-3)


def test_an_utterance_is_cut_out_of_its_file(tmp_path):
    audio.write(tmp_path / "a.wav", np.arange(1000) / 32768, RATE)
    inner = Utterance("a", "s0", str(tmp_path / "a.wav"), duration=0.2, start=0.3)
    for cache_bytes in (0, 1 << 20):
        waveforms = Waveforms([inner], RATE, cache_bytes=cache_bytes)
        samples = np.rint(waveforms.crop(0, 150, 80) * 32768)
        assert samples.tolist() == list(range(450, 500)) + [0] * 30


def test_seconds_and_epochs(utterances):
    data = batches(utterances)
    assert data.waveforms.seconds == pytest.approx(0.53)
    assert data.samples_per_step == 6 * 64
    assert batches(utterances, batch_size=1, segment_length=16).steps_per_epoch == round(530 / 16)
    assert data.steps_per_epoch == 1


def test_mistakes_are_named(utterances):
    with pytest.raises(ValueError, match="6 segments do not divide among 4 processes"):
        batches(utterances, world_size=4)
    with pytest.raises(ValueError, match="speaker 's1'"):
        SegmentBatches(Waveforms(utterances, RATE), ["s0"], **SETTINGS)
    with pytest.raises(ValueError, match="no utterances"):
        Waveforms([], RATE)
    with pytest.raises(IndexError):
        batches(utterances)[100]


def test_a_missing_file_is_named(tmp_path):
    gone = Utterance("a", "s0", str(tmp_path / "gone.wav"), 1.0)
    with pytest.raises(FileNotFoundError, match="gone.wav"):
        Waveforms([gone], RATE)


@pytest.fixture
def copies(utterances, tmp_path):
    """The utterances with files of their own, which may be damaged."""
    found = []
    for u in utterances:
        path = tmp_path / f"{u.id}.wav"
        path.write_bytes(Path(u.path).read_bytes())
        found.append(replace(u, path=str(path)))
    return found


@pytest.mark.parametrize("damage", ["gone", "cut", "cached"])
def test_an_utterance_that_cannot_be_decoded_changes_its_own_rows_alone(copies, damage, caplog):
    whole, drawn = batches(copies), batches(copies).draw
    if damage != "cached":  # the file is lost while the training runs
        data = batches(copies, cache_bytes=0)
    path = Path(copies[1].path)
    path.unlink() if damage == "gone" else path.write_bytes(b"RIFF, once upon a time")
    if damage == "cached":
        data = batches(copies)
    replaced = []
    for step in range(20):
        bad, got = drawn(step)[0] == 1, data[step]
        assert torch.equal(got.waveform[~bad], whole[step].waveform[~bad])
        assert torch.equal(got.speaker[~bad], whole[step].speaker[~bad])
        assert (got.speaker[bad] == 0).all()  # utterances 0 and 2
        replaced += got.waveform[bad].tolist()
        assert torch.equal(data[step].waveform, got.waveform)  # known by now, and drawn the same
        shards = [batches(copies, 0, rank=rank, world_size=3)[step] for rank in range(3)]
        assert torch.equal(torch.cat([s.waveform for s in shards]), got.waveform)
    assert len({tuple(row) for row in replaced}) > 5 and all(map(any, replaced))
    waveforms = data.waveforms
    assert [waveforms.usable(i) for i in range(3)] == [True, False, True]
    caplog.clear()
    waveforms.report(waveforms.unreported())
    waveforms.report(waveforms.unreported())
    (error,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert error.startswith(f"{path}: ") and error.endswith("left out from now on")


def test_what_is_lost_while_others_are_reported_is_reported_later(copies):
    """A process that loads batches may find it at that moment."""
    waveforms = batches(copies, cache_bytes=0).waveforms
    waveforms.leave_out(0)
    new = waveforms.unreported()
    waveforms.leave_out(1)
    waveforms.report(new)
    assert waveforms.unreported() == [1]


def test_what_a_loading_process_finds_is_known_to_the_training(copies, caplog):
    data = batches(copies, cache_bytes=0, steps=8)
    Path(copies[1].path).unlink()
    loaded = list(DataLoader(data, batch_size=None, num_workers=1))
    assert data.waveforms.unreported() == [1]
    for step, batch in enumerate(loaded):
        assert torch.equal(batch.waveform, data[step].waveform)


def test_nothing_to_read_at_all_ends(copies):
    data = batches(copies, cache_bytes=0)
    for u in copies:
        Path(u.path).unlink()
    assert not data[0].waveform.any()
    assert data.waveforms.left_out.all()


@pytest.mark.parametrize(
    ("length", "expected"), [(1, [1]), (10, [10]), (11, [10, 1]), (20, [10, 10])]
)
def test_pieces_cover_everything_once(length, expected):
    cut = list(pieces(length, 10))
    assert [n for _, n in cut] == expected
    assert [start for start, _ in cut] == [10 * i for i in range(len(expected))]


def test_the_tiny_corpus_is_readable(tiny_corpus):
    assert Waveforms(read_manifest(tiny_corpus.train), 8000).seconds > 2


def test_margins_are_what_lies_beside_the_segment(utterances):
    plain, wide = batches(utterances), batches(utterances, margin=32)
    assert wide.samples_per_step == plain.samples_per_step
    before = set()
    for step in range(10):
        for row, segment in zip(wide[step][0], plain[step][0], strict=True):
            assert row.shape == (32 + 64 + 32,)
            assert torch.equal(row[32:96], segment)
            inside = row[row != 0] * 32768
            assert (inside.diff() == 1).all()  # one stretch of one utterance
            before.add(int((row[:32] == 0).sum()))
    assert {0, 32} <= before  # both in the middle and at the beginning of utterances


def test_audio_that_was_read_already(utterances):
    """The same batches, and no file is opened."""
    read = [audio.read(u.path, RATE)[0] for u in utterances]
    moved = [replace(u, path="gone") for u in utterances]
    given = SegmentBatches(Waveforms(moved, RATE, 0, waveforms=read), ["s0", "s1"], **SETTINGS)
    for one, other in zip(given[5][:2], batches(utterances)[5][:2], strict=True):
        assert torch.equal(one, other)


def test_labels_of_codes_are_those_at_their_middle():
    labels = Labels([np.arange(10), np.arange(100, 103)], rate=100, sample_rate=8000)
    # 80 samples a label; codes of 160 samples have their middle at 80, 240, …
    np.testing.assert_array_equal(labels.of_codes(0, 0, 3, 160), [1, 3, 5])
    np.testing.assert_array_equal(labels.of_codes(0, 79, 3, 160), [1, 3, 5])
    np.testing.assert_array_equal(labels.of_codes(0, 80, 3, 160), [2, 4, 6])
    none = Labels.NONE
    np.testing.assert_array_equal(labels.of_codes(1, 160, 3, 80), [102, none, none])


def test_batches_bring_the_labels_of_their_codes(tiny_corpus):
    """Where labels are the samples' own places, a batch shows from where it was cut."""
    waveforms = Waveforms(read_manifest(tiny_corpus.train), 8000)
    places = [np.arange(length) for length in waveforms.lengths]
    plain, labelled = (
        SegmentBatches(
            waveforms,
            ["p225", "p226"],
            seed=0,
            stage="a",
            batch_size=4,
            segment_length=640,
            hop_length=160,
            steps=3,
            margin=80,
            labels=labels,
        )
        for labels in (None, Labels(places, 8000, 8000))
    )
    for step in range(3):
        waveform, speaker, places, *_ = labelled[step]
        assert torch.equal(waveform, plain[step][0]) and torch.equal(speaker, plain[step][1])
        assert places.shape == (4, 4) and (places.diff(dim=1) == 160).all()
        start = int(places[0, 0]) - 80
        crops = [waveforms.crop(i, start, 640) for i in range(len(waveforms))]
        assert any(np.array_equal(crop, waveform[0, 80:-80].numpy()) for crop in crops)


def test_a_batch_moves_whole():
    batch = Batch(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    moved = batch.to(torch.device("meta"))
    assert moved.waveform.is_meta and moved.speaker.is_meta
    assert moved.labels is None and moved.inputs is None


class Places:
    """Codes that tell where they are: code n of utterance i is 100 i + n."""

    def __init__(self, lengths, hop, G=1):
        self.counts, self.G = [-(-n // hop) for n in lengths], G

    def crop(self, utterance, first, count):
        n = np.arange(first, first + count).clip(0, self.counts[utterance] - 1)
        codes = 100 * utterance + n
        return codes if self.G == 1 else np.stack([codes + 1000 * g for g in range(self.G)], 1)


@pytest.mark.parametrize("margin", [0, 32])
@pytest.mark.parametrize("G", [1, 3])
def test_batches_bring_the_codes_of_the_whole_utterance(utterances, margin, G):
    """At the grid of the codes, those of the margins, too."""
    waveforms = Waveforms(utterances, RATE)
    codes = Places(waveforms.lengths, 16, G)
    data = SegmentBatches(waveforms, ["s0", "s1"], **SETTINGS, margin=margin, codes=codes)
    starts = set()
    for step in range(30):
        batch = data[step]
        N = (64 + 2 * margin) // 16
        assert batch.codes.shape == ((6, N) if G == 1 else (6, N, G))
        assert batch.codes.dtype == torch.int64
        for row, found in zip(batch.waveform, batch.codes, strict=True):
            samples = (row[margin : margin + 64] * 32768).round().int()
            i, start = divmod(int(samples[0]) - 1, 1000)
            assert start % 16 == 0
            starts.add((i, start))
            expected = codes.crop(i, (start - margin) // 16, N)
            assert np.array_equal(found.numpy(), expected)
    assert len({start for i, start in starts if i == 0}) > 15
    assert all(a <= 400 - 64 for i, a in starts if i == 0)


def test_codes_change_nothing_but_the_grid(utterances):
    plain, coded = batches(utterances), batches(utterances, codes=Places((400, 100, 30), 16))
    for step in range(10):
        (i, a), (j, b) = plain.draw(step), coded.draw(step)
        assert np.array_equal(i, j) and np.array_equal(a - a % 16, b)
        assert torch.equal(plain[step].speaker, coded[step].speaker)


def test_processes_share_the_codes_of_one(utterances):
    codes = Places((400, 100, 30), 16)
    whole = batches(utterances, codes=codes)[5]
    shards = [batches(utterances, codes=codes, rank=r, world_size=3)[5] for r in range(3)]
    assert torch.equal(torch.cat([s.codes for s in shards]), whole.codes)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Three speakers with 1, 4 and 16 utterances of 100 samples."""
    folder = tmp_path_factory.mktemp("uneven")
    audio.write(folder / "a.wav", np.full(100, 0.1), RATE)
    return [
        Utterance(f"{name}{i}", name, str(folder / "a.wav"), 0.1)
        for name, count in (("a", 1), ("b", 4), ("c", 16))
        for i in range(count)
    ]


def shares(uneven, **changes):
    data = SegmentBatches(Waveforms(uneven, RATE), list("abc"), **{**SETTINGS, **changes})
    drawn = torch.cat([data[step].speaker for step in range(100)])
    return np.bincount(drawn, minlength=3) / len(drawn)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.7, 1.0])
def test_speakers_are_drawn_by_a_power_of_their_length(uneven, exponent):
    expected = np.array([1, 4, 16]) ** exponent
    # 600 draws: standard errors below 0.021
    assert shares(uneven, speaker_exponent=exponent) == pytest.approx(
        expected / expected.sum(), abs=0.065
    )


def test_within_a_speaker_utterances_are_drawn_by_their_length():
    lengths = np.array([10, 30, 60, 50])
    columns = Columns(lengths / RATE, ("a", "b"), np.array([0, 0, 0, 1], np.int32))
    weights = speaker_weights(columns, lengths, 0.0)
    np.testing.assert_allclose(weights, [0.1, 0.3, 0.6, 1.0])
    assert speaker_weights(columns, lengths, 1.0) is None
    only = speaker_weights(columns, lengths, 1.0, ["a"])
    np.testing.assert_allclose(only, [10, 30, 60, 0])


def test_some_speakers_alone(uneven):
    assert shares(uneven, only=("b",)).tolist() == [0, 1, 0]
    both = shares(uneven, only=("a", "b"), speaker_exponent=0.0)
    assert both[2] == 0 and both[0] == pytest.approx(0.5, abs=0.07)
    with pytest.raises(ValueError, match="^speakers: no utterance of 'x' in the training data$"):
        shares(uneven, only=("a", "x"))


def test_an_exponent_of_one_draws_as_without(utterances):
    same = batches(utterances, speaker_exponent=1.0, only=())
    for step in range(5):
        assert torch.equal(same[step].waveform, batches(utterances)[step].waveform)


def test_weighted_draws_are_a_function_of_the_step(uneven):
    settings = {**SETTINGS, "speaker_exponent": 0.5}
    one, other = (SegmentBatches(Waveforms(uneven, RATE), list("abc"), **settings) for _ in "ab")
    one[3]
    assert np.array_equal(one.draw(7)[0], other.draw(7)[0])


@pytest.mark.parametrize("cache_bytes", [0, 1 << 24])
def test_every_utterance_is_brought_to_a_level(tiny_corpus, cache_bytes, tmp_path):
    utterances = list(read_manifest(tiny_corpus.train))
    audio.write(tmp_path / "silent.wav", np.zeros(8000, np.float32), 8000)
    utterances.append(Utterance("silent", "p225", str(tmp_path / "silent.wav"), 1.0))
    plain = Waveforms(utterances, 8000)
    levelled = Waveforms(utterances, 8000, cache_bytes=cache_bytes, level=-30.0)
    before = []
    for i, length in enumerate(plain.lengths[:-1]):
        whole = levelled.crop(i, 0, int(length))
        assert audio.speech_level([whole], 8000) == pytest.approx(-30.0, abs=0.1)
        before.append(audio.speech_level([plain.crop(i, 0, int(length))], 8000))
        ratio = whole / np.where(whole == 0, 1, plain.crop(i, 0, int(length)))
        assert ratio[ratio != 0] == pytest.approx(10 ** ((-30 - before[-1]) / 20), rel=0.02)
        assert np.array_equal(levelled.crop(i, 700, 300), whole[700:1000])
    assert max(abs(level + 30) for level in before) > 2
    assert not levelled.crop(len(plain) - 1, 0, 8000).any()

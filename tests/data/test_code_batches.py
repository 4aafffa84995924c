import numpy as np
import pytest
import torch

from speechvq.data.code_batches import CodeBatches, padded

UTTERANCES = [np.arange(n) + 100 * i for i, n in enumerate((5, 40, 12))]


def batches(**settings) -> CodeBatches:
    defaults = {
        "seed": 0,
        "batch_size": 8,
        "segment_length": 16,
        "context": 4,
        "padding": 0,
        "steps": 50,
    }
    return CodeBatches(UTTERANCES, [0, 1, 2], **(defaults | settings))


def test_rows_are_parts_of_utterances():
    for step in range(50):
        codes, scored, speaker = batches()[step]
        assert codes.shape == scored.shape and len(codes) == len(speaker) == 8
        for row, marks, s in zip(codes, scored, speaker, strict=True):
            whole = UTTERANCES[s]
            length = min(16, len(whole))
            first = int(row[0]) - 100 * int(s)
            assert row[:length].tolist() == whole[first : first + length].tolist()
            assert not row[length:].any() and not marks[length:].any()
            # The beginning of an utterance is scored, that of a cut is not
            assert marks[:length].sum() == (length if first == 0 else length - 4)
            assert marks[4:length].all()


def test_every_code_comes_as_often_as_another():
    """Utterances are drawn by their length, so that long ones are not slighted."""
    counts = np.zeros(3)
    for step in range(400):
        _, _, speaker = batches(steps=400)[step]
        counts += np.bincount(speaker, minlength=3)
    np.testing.assert_allclose(counts / counts.sum(), np.array([5, 40, 12]) / 57, atol=0.03)


def test_a_step_is_what_it_is():
    for one, other in zip(batches()[7], batches(steps=9)[7], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(batches()[7][2], batches(seed=1)[7][2])


def test_processes_share_a_batch():
    whole = batches()[3]
    parts = [batches(rank=rank, world_size=2)[3] for rank in range(2)]
    for i, length in ((0, whole[0].shape[1]), (1, whole[1].shape[1])):
        rows = [row[:length] for part in parts for row in part[i]]
        for row, expected in zip(rows, whole[i], strict=True):
            assert torch.equal(row, expected[: len(row)])
            assert not expected[len(row) :].any()
    with pytest.raises(ValueError, match="batch_size: 8 segments do not divide among 3"):
        batches(world_size=3)


def test_how_much_a_step_is():
    assert len(batches()) == 50
    assert batches().steps_per_epoch == 1
    assert batches().codes_per_step == round(8 * (5 + 16 + 12) / 3)
    with pytest.raises(IndexError):
        batches()[50]


def test_padded():
    codes, there = padded([np.array([1, 2, 3]), np.array([4])], 7)
    assert codes.tolist() == [[1, 2, 3], [4, 7, 7]]
    assert there.tolist() == [[True] * 3, [True, False, False]]
    codes, there = padded([np.array([[1, 2], [3, 4]]), np.array([[5, 6]])], 7)
    assert codes.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 7]]]
    assert there.tolist() == [[True, True], [True, False]]

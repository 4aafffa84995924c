"""N-grams: distributions, what their smoothing is, and that they know what was seen."""

import numpy as np
import pytest

from speechvq.analysis.ngrams import NGram

K = 6


def markov(seed: int, utterances: int = 40, length: int = 50) -> list[np.ndarray]:
    """Codes of which each mostly says what comes next."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(utterances):
        codes = [int(rng.integers(K))]
        while len(codes) < length:
            sure = rng.random() < 0.8
            codes.append((3 * codes[-1] + 1) % K if sure else int(rng.integers(K)))
        found.append(np.array(codes))
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_distributions_are_over_all_codes(order):
    model = NGram(markov(0), order, K)
    for before in ([], [2], [0, 5], [5, 5, 5, 1], [3] * 10):
        p = model.probabilities(before)
        assert p.shape == (K,)
        assert (p > 0).all() and p.sum() == pytest.approx(1)


def test_an_unseen_code_is_possible():
    model = NGram([np.array([0, 1, 0, 1, 2])], 3, K)
    assert np.isfinite(model.bits(np.array([5, 4, 0, 1, 3]))).all()


def test_a_bigram_by_hand():
    """Kneser-Ney of 0 1 0 1 0 2, as Chen and Goodman write it."""
    model = NGram([np.array([0, 1, 0, 1, 0, 2])], 2, 3)
    # Pairs: (start, 0) 1, (0, 1) 2, (1, 0) 2, (0, 2) 1; of two that came once and two twice
    # the discount is 2 / (2 + 4)
    d = 1 / 3
    # Codes by their different contexts: 0 after start and 1, 1 after 0, 2 after 0; two came once,
    # one twice: the discount is 2 / (2 + 2)
    below = np.array([2 - 0.5, 1 - 0.5, 1 - 0.5]) / 4 + 0.5 * 3 / 4 / 3
    after_0 = np.array([0, 2 - d, 1 - d]) / 3 + d * 2 / 3 * below
    np.testing.assert_allclose(model.probabilities([0]), after_0)
    np.testing.assert_allclose(model.bits(np.array([0, 1]))[1], -np.log2(after_0[1]))
    np.testing.assert_allclose(model.probabilities([2]), below)  # after 2 nothing was seen


def test_more_context_needs_fewer_bits_where_it_tells():
    train, test = markov(0), markov(1)
    bits = [np.concatenate([NGram(train, n, K).bits(c) for c in test]).mean() for n in (1, 2)]
    assert bits[1] < bits[0] - 0.5
    entropy = 0.2 * np.log2(K) - (0.8 + 0.2 / K) * np.log2(0.8 + 0.2 / K)  # about
    assert bits[1] == pytest.approx(entropy, abs=0.6)


def test_samples_are_like_what_was_seen():
    model = NGram(markov(0), 2, K)
    drawn = model.sample(20_000, np.random.default_rng(0))
    assert drawn.shape == (20_000,) and drawn.min() == 0 and drawn.max() == K - 1
    follows = np.mean(drawn[1:] == (3 * drawn[:-1] + 1) % K)
    assert follows == pytest.approx(0.8 + 0.2 / K, abs=0.02)
    again = model.sample(50, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:50], again)


def test_an_order_that_cannot_be():
    with pytest.raises(ValueError, match="order: must be at least 1, got 0"):
        NGram([np.array([0])], 0, K)
